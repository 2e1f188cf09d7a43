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
