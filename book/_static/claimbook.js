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

// An explorable stays hidden unless Vega-Embed is there to draw it. All its positions are in the page.
async function explore(box) {
  const { sliders, reading, specs } = JSON.parse(box.querySelector("script").textContent);
  const inputs = [...box.querySelectorAll("input")];
  const panels = [...box.querySelectorAll(".cb-panel")];
  box.hidden = false;
  const options = { mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false };
  const drawn = await Promise.all(specs.map((spec, k) => vegaEmbed(panels[k], spec, options)));
  function show() {
    let place = 0;
    inputs.forEach((input, k) => {
      const position = sliders[k].positions[Number(input.value)];
      place = place * sliders[k].positions.length + Number(input.value);
      input.previousElementSibling.value = position;
      input.setAttribute("aria-valuetext", position);
      for (const { view } of drawn) view.signal(sliders[k].name, Number(input.value));
    });
    box.querySelector(".cb-reading").textContent = reading[place];
    return Promise.all(drawn.map(({ view }) => view.runAsync()));
  }
  for (const input of inputs) input.addEventListener("input", show);
  await show();
  box.dataset.drawn = "yes";
}
window.addEventListener("DOMContentLoaded", () => {
  if (window.vegaEmbed) document.querySelectorAll(".cb-explorable").forEach(explore);
});

// On a chapter's page, one button folds all code away, for those who read.
window.addEventListener("DOMContentLoaded", () => {
  const links = document.querySelector(".tag_claim-card ~ p");
  if (!links) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn-sm cb-fold";
  function fold(folded) {
    document.body.classList.toggle("cb-no-code", folded);
    button.setAttribute("aria-pressed", String(folded));
    button.textContent = folded ? "Show all code" : "Hide all code";
  }
  button.addEventListener("click", () => fold(!document.body.classList.contains("cb-no-code")));
  fold(false);
  links.append(" · ", button);
});
