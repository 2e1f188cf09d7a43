"""The built site as a reader meets it: opened from disk and served, on a phone, without any other machine.

Needs `_build/html` (`make book`), and for most of it Chromium and Playwright. What is missing is skipped, or is a
failure where CLAIMBOOK_NEED_BROWSER=1.
"""

from __future__ import annotations

import functools
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest

from claimbook import claims

from .pages import CHAPTERS, PAGES, ROOT, SERVED, TOO_WIDE

# Every formula is drawn, and none as an error.
DRAWN = "() => [...document.querySelectorAll('.math')].every(e => e.querySelector('mjx-container'))"
FAULTY = "() => [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.textContent)"

# Words of code are judged once for each kind: a kind has one colour, and a chapter has eight thousand words. Of
# formulas, which are all drawn alike, three are left.
THINNED = """() => {
  const seen = new Set();
  document.querySelectorAll('.highlight pre span:not(:has(*))').forEach(e => {
    if (seen.has(e.className)) e.replaceWith(e.textContent);
    seen.add(e.className);
  });
  [...document.querySelectorAll('mjx-container')].slice(3).forEach(e => e.replaceWith('x'));
}"""
# Colours are judged in the first three pieces of text of a kind, which is all classes and styles from there upwards.
UNLIKE = """() => {
  const seen = {}, kinds = new Map([[document.body, ""]]);
  const kind = e => kinds.get(e) ?? kinds.set(e, [kind(e.parentElement), e.tagName, e.getAttribute("class"),
    e.getAttribute("style"), e.open].join()).get(e);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    if (!texts.currentNode.data.trim()) continue;
    const of = kind(texts.currentNode.parentElement);
    seen[of] = (seen[of] || 0) + 1;
    if (seen[of] > 3) texts.currentNode.data = "";
  }
}"""
BEHIND_FIGURES = """() => [...document.querySelectorAll('.cell_output img')].map(
  e => getComputedStyle(e).backgroundColor)"""
AXE = {"resultTypes": ["violations"], "preload": False}  # from disk it may not read style sheets again
COLOURS = ["color-contrast", "link-in-text-block"]  # the rules that take most of the time


def look(page) -> None:
    """Check what every page owes a reader: on a phone, enlarged, in the dark."""
    page.wait_for_function(DRAWN, timeout=20_000)
    assert not page.evaluate(FAULTY), "formulas that MathJax cannot draw"
    page.evaluate("() => document.querySelectorAll('details').forEach(e => e.open = true)")
    assert not page.evaluate(TOO_WIDE), "wider than a phone"
    page.set_viewport_size({"width": 640, "height": 450})  # a window of 1280 pixels, enlarged twice
    assert not page.evaluate(TOO_WIDE), "wider than a window at 200%"
    page.evaluate("() => document.documentElement.dataset.theme = 'dark'")
    assert set(page.evaluate(BEHIND_FIGURES)) <= {"rgb(255, 255, 255)"}, "figures stay on white in the dark"


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_page_from_disk(visit, site, name):
    look(visit((site / name).as_uri()))


@pytest.mark.browser
@pytest.mark.parametrize("name", SERVED)
def test_page_served(visit, served, name):
    look(visit(f"{served}/{name}"))


@pytest.mark.browser
@pytest.mark.parametrize("how", ["from disk", "served"])
def test_search_finds_a_chapter(visit, site, served, how):
    base = site.as_uri() if how == "from disk" else served
    page = visit(f"{base}/search.html?q=long+tail")
    page.wait_for_selector("#search-results li a[href*='long_tail']", timeout=20_000)
    assert "long tail" in page.inner_text("#search-results").lower()


@pytest.mark.browser
@pytest.mark.parametrize("words", ["double descent", "high_dimensional_dynamics"])
def test_search_finds_a_topic_and_an_id(visit, site, words):
    page = visit(f"{site.as_uri()}/search.html?q={words.replace(' ', '+')}")
    page.wait_for_selector("#search-results li a[href*='high_dimensional_dynamics']", timeout=20_000)


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_nothing_serious_is_inaccessible(visit, site, name):
    from axe_playwright_python.sync_playwright import Axe

    page = visit((site / name).as_uri())
    page.wait_for_function(DRAWN, timeout=20_000)
    page.add_style_tag(
        content="* { transition: none !important }"
    )  # colours are judged when they have settled
    page.evaluate(THINNED)
    found = set()

    def judge(theme, **options):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        for rule in Axe().run(page, options=AXE | options).response["violations"]:
            if rule["impact"] in ("serious", "critical"):
                found.update(f"{theme}: {rule['id']}: {node['html'][:200]}" for node in rule["nodes"])

    judge("light", rules={rule: {"enabled": False} for rule in COLOURS})
    page.evaluate(UNLIKE)
    for theme in ("light", "dark"):
        judge(theme, runOnly=COLOURS)
    assert not found


@pytest.mark.browser
def test_theme_switch(visit, site):
    page = visit((site / "book/index.html").as_uri())
    page.set_viewport_size({"width": 1280, "height": 900})
    seen = {page.evaluate("() => getComputedStyle(document.body).backgroundColor")}
    for _ in range(2):  # auto, light and dark follow each other
        page.click(".theme-switch-button >> visible=true")
        seen.add(page.evaluate("() => getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2


FOCUS = """() => {
  const e = document.activeElement, seen = [e, e.querySelector("*"), e.parentElement].filter(Boolean);
  return seen.some((node) => {
    const style = getComputedStyle(node);
    return (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  }) ? "" : e.outerHTML.slice(0, 120);
}"""


@pytest.mark.browser
@pytest.mark.parametrize("name", ["book/index.html", "book/map.html", *CHAPTERS[:1]])
def test_focus_is_visible(visit, site, name):
    page = visit((site / name).as_uri())
    page.set_viewport_size({"width": 1280, "height": 900})
    lost = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        lost.add(page.evaluate(FOCUS))
    assert lost <= {""}


@pytest.mark.browser
def test_all_code_folds_away(visit, site):
    page = visit((site / CHAPTERS[0]).as_uri())
    code = page.locator(".cell_input:visible")
    assert code.count() > 10
    page.focus(".cb-fold")
    page.keyboard.press("Enter")
    assert page.get_attribute(".cb-fold", "aria-pressed") == "true"
    assert code.count() == 0 and page.locator(".cell_output img:visible").count() > 0
    page.click(".cb-fold")
    assert code.count() > 10


@pytest.mark.browser
def test_the_map_is_narrowed_by_keyboard(visit, site):
    page = visit((site / "book/map.html").as_uri())
    rows = ".cb-papers > li"
    everything = page.locator(rows).count()
    page.focus(".cb-filters select[name=status]")
    page.keyboard.type("written")
    page.keyboard.press("Enter")
    page.select_option(".cb-filters select[name=level]", "2")
    shown = page.locator(f"{rows}:visible")
    expected = [
        c for c in claims.registry().claims.values() if c.level == 2 and c.status(ROOT / "book") == "written"
    ]
    assert 0 < shown.count() == len(expected) < everything
    assert page.inner_text(".cb-filters output") == f"{len(expected)} of {everything} papers"
    page.select_option(".cb-filters select[name=status]", "")
    page.select_option(".cb-filters select[name=level]", "")
    assert page.locator(f"{rows}[hidden]").count() == 0


@pytest.mark.browser
@pytest.mark.parametrize("name", PAGES)
def test_page_weighs_little(site, name):
    """One megabyte besides what all pages share: the theme, the mathematics, the search index."""
    page = site / name
    own = {link for link in read(page).loaded if "_static/" not in link and not urlsplit(link).scheme}
    sizes = {link: (page.parent / unquote(urlsplit(link).path)).stat().st_size for link in own}
    assert page.stat().st_size + sum(sizes.values()) < 1_000_000, sizes


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_downloaded_notebook_is_the_stored_one(site, name):
    source = f"{name.removesuffix('.html')}.ipynb"
    links = [link for link in read(site / name).links if link.endswith(".ipynb")]
    assert links, "no download button"
    for link in links:
        assert ((site / name).parent / link).resolve().read_bytes() == (ROOT / source).read_bytes()


@pytest.mark.parametrize("name", CHAPTERS)
def test_an_id_is_an_address_for_ever(site, name):
    redirect = site / f"{Path(name).stem}.html"
    target = re.search(r"url=([^\"]+)", redirect.read_text("utf8"))[1]
    assert (redirect.parent / target).resolve() == (site / name).resolve()


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_says_how_to_run_and_to_cite_it(site, name):
    text = (site / name).read_text("utf8")
    identifier = Path(name).stem
    assert f"claimbook_{identifier}" in text
    anchors = {f"{what}-{identifier.replace('_', '-')}" for what in ("run", "held", "next")}
    assert anchors <= read(site / name).ids


@pytest.mark.browser
def test_front_page_leads_to_the_book(visit, site):
    page = visit((site / "index.html").as_uri())
    page.wait_for_url("**/book/index.html")
    page.wait_for_selector(".cb-ledger")


class Reader(HTMLParser):
    """Collects what a page links to, loads and can be linked at."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.loaded, self.figures = set(), [], [], []
        self._in_output = 0

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.update(filter(None, (found.get("id"), found.get("name") if tag == "a" else None)))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if tag in ("script", "img", "iframe") and found.get("src"):
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.loaded.append(found["href"])
        if tag == "img":
            self.figures.append(found)


@functools.cache
def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text("utf8"))
    return reader


@pytest.mark.parametrize("name", PAGES)
def test_links_and_anchors_resolve(site, name):
    page, broken = site / name, []
    for link in {*read(page).links, *read(page).loaded}:
        address, anchor = urldefrag(link)
        if urlsplit(address).scheme or address.startswith("//"):
            continue
        target = (page.parent / unquote(urlsplit(address).path)).resolve() if address else page
        if not target.is_file():
            broken.append(link)
        elif anchor and target.suffix == ".html" and unquote(anchor) not in read(target).ids:
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_loaded_from_elsewhere(site, name):
    assert not [
        url
        for url in read(site / name).loaded
        if urlsplit(url).scheme in ("http", "https") or url.startswith("//")
    ]


@pytest.mark.parametrize("name", CHAPTERS)
def test_figures_say_what_they_show(site, name):
    figures = [figure for figure in read(site / name).figures if "_images/" in figure.get("src", "")]
    assert figures, "a chapter without a figure"
    for figure in figures:
        alt = figure.get("alt") or ""
        assert len(alt) > 40 and "_images/" not in alt, figure["src"]
