// Opened from disk, a page may not read other pages: search then lists titles without excerpts.
if (window.location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}
// A link to something folded away unfolds it.
function unfold() {
  const target = window.location.hash.length > 1 && document.getElementById(window.location.hash.slice(1));
  if (!target) return;
  for (const fold of [target.querySelector("details"), target.closest("details")]) if (fold) fold.open = true;
  target.scrollIntoView();
}
window.addEventListener("hashchange", unfold);
window.addEventListener("DOMContentLoaded", () => window.location.hash && unfold());

// The map: show only the papers that fit all choices, and say how many do.
function narrow(form) {
  const wanted = [...form.elements].filter((e) => e.tagName === "SELECT" && e.value);
  const name = (e) => (["part", "level"].includes(e.name) ? `cb-is-${e.name}-${e.value}` : `cb-is-${e.value}`);
  let shown = 0;
  const rows = document.querySelectorAll(".cb-papers > li");
  for (const row of rows) {
    row.hidden = !wanted.every((e) => row.classList.contains(name(e)));
    shown += !row.hidden;
  }
  for (const fold of document.querySelectorAll("details:has(> .cb-papers)")) {
    const some = fold.querySelector(".cb-papers > li:not([hidden])") !== null;
    if (wanted.length) fold.open = some;
    fold.closest("section").hidden = wanted.length > 0 && !some;
  }
  form.querySelector("output").textContent = wanted.length ? `${shown} of ${rows.length} papers` : "";
}
window.addEventListener("DOMContentLoaded", () => {
  for (const form of document.querySelectorAll(".cb-filters")) {
    form.hidden = false;
    form.addEventListener("change", () => narrow(form));
    narrow(form);
  }
});
