"""``make pdf``: one PDF of the whole book, printed from the built pages by the browser that the tests use.

The pages are joined into one, in the order of ``_toc.yml``, and printed twice: the first print tells on which
page each heading came to stand, the second has these numbers in its contents.
"""

from __future__ import annotations

import contextlib
import html
import importlib.metadata
import posixpath
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import yaml

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
FLAGS += ["--disable-component-update", "--disable-sync"]
WIDTH = 643  # pixels between the margins of a page of A4, as pdf.css sets them
DRAWS_MARGINS = 131  # the first Chromium that draws what @page says about its margins
PATIENCE = 600_000  # milliseconds for the mathematics of the whole book

# What only works on a screen, or only on the site.
SCREEN_ONLY = ".headerlink, script, style, form, input, .toctree-wrapper, details.hide, .cb-screen"
SCREEN_ONLY += ", td .cb-details, li .cb-details"  # further details of a row
REFERRING = ("for", "aria-labelledby", "aria-describedby", "aria-controls")

DRAWN = """() => document.readyState === 'complete'
  && [...document.images].every(e => e.complete)
  && [...document.querySelectorAll('.math')].every(e => e.querySelector('mjx-container'))"""
FIT = """() => {
  for (const e of document.querySelectorAll("mjx-container[display=true], table")) {
    const room = e.parentElement.clientWidth, size = parseFloat(getComputedStyle(e).fontSize);
    for (let k = 1; k <= 12 && e.scrollWidth > room + 1; k++) e.style.fontSize = size * (1 - k / 20) + "px";
  }
}"""
NUMBER = """numbers => {
  for (const e of document.querySelectorAll(".cb-contents a"))
    e.querySelector(".cb-number").textContent = numbers[e.getAttribute("href").slice(1)] ?? "";
}"""
FOOTER = '<div style="font-size: 8pt; width: 100%; text-align: center"><span class="pageNumber"></span></div>'


class CannotPrint(RuntimeError):
    """Something that printing needs is missing; the message says what to install."""


@dataclass(frozen=True)
class Part:
    """A part of the book and the names of its pages, such as ``book/guide/how_to_read``."""

    title: str | None
    pages: tuple[str, ...]
    titles: dict[str, str] = field(
        default_factory=dict
    )  # where the contents call a page otherwise than it does


def contents(toc: Path = Path("_toc.yml")) -> list[Part]:
    """Return the parts of the book in reading order; the first holds the front page and has no title."""
    data = yaml.safe_load(toc.read_text("utf8"))
    parts = [Part(None, (data["root"],))]
    for part in data["parts"]:
        pages = {chapter["file"].removesuffix(".ipynb"): chapter.get("title") for chapter in part["chapters"]}
        titles = {page: title for page, title in pages.items() if title}
        parts.append(Part(part["caption"], tuple(pages), titles))
    return parts


def anchor(page: str, fragment: str = "") -> str:
    """Return where a page, or a place on it, is found in the joined page."""
    return page.replace("/", "-") + (f"--{fragment}" if fragment else "")


def join(site: Path, parts: list[Part]) -> str:
    """Return the built pages of ``site`` as one page of HTML, to be read from a folder beside ``site``.

    Its contents has a place for each page number, which is filled when the first print has told it.
    """
    from bs4 import BeautifulSoup

    names = {page for part in parts for page in part.pages}
    body, listed, rules = [], [], []
    for part in parts:
        for page in part.pages:
            path = site / f"{page}.html"
            if not path.is_file():
                raise CannotPrint(f"{path} does not exist: build the site first, with `make book`.")
            soup = BeautifulSoup(path.read_text("utf8"), "html.parser")
            at, opens = anchor(page), part.title is not None and page == part.pages[0]
            article = _article(soup, page, site, names, deeper=1 if part.title else 0)
            heading = article.select_one(".cb-level-1")
            title = heading.get_text(" ", strip=True)
            rules.append(_running_head(at, part.title, part.titles.get(page) or title))
            before = ""
            if opens and title == part.title:
                heading.name = "h1"  # the introduction of a part carries the part's own title
            elif opens:
                before = f'<h1 class="cb-part-title">{html.escape(part.title)}</h1>'
            if opens or not part.title:
                listed.append((1, part.title or title, at))
            if part.title and not (opens and title == part.title):
                listed.append((2, part.titles.get(page) or title, at))
            inside = before + article.decode_contents()
            body.append(f'<div class="cb-page" id="{at}" style="page: {at}">{inside}</div>')
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en" data-theme="light" data-mode="light"><head><meta charset="utf-8">',
            "<title>Deep Learning, Claim by Claim</title>",
            _head(site),
            f"<style>{''.join(rules)}</style></head>",
            '<body class="cb-print"><main class="bd-content"><article class="bd-article">',
            _title_page(),
            _contents(listed),
            *body,
            "</article></main></body></html>",
        ]
    )


def _head(site: Path) -> str:
    """Return the style sheets of the site, the book's own for print, and what draws the mathematics."""
    from bs4 import BeautifulSoup

    pages = [site / "genindex.html", *sorted(site.glob("book/**/*.html"))]
    soup = BeautifulSoup(next(page for page in pages if page.is_file()).read_text("utf8"), "html.parser")
    base = f"../{site.name}/"
    found = []
    for link in soup.select("link[rel=stylesheet]"):
        name = re.sub(r"^(\.\./)+|\?.*$", "", link["href"])
        found.append(f'<link rel="stylesheet" href="{base}{name}">')
    found.append(f'<link rel="stylesheet" href="{base}_static/pdf.css">')
    found.append('<script>window.MathJax = {options: {processHtmlClass: "math", enableMenu: false}}</script>')
    mathjax = sorted((site / "_static" / "mathjax").glob("tex-chtml.js"))
    found += [f'<script defer src="{base}{path.relative_to(site).as_posix()}"></script>' for path in mathjax]
    return "\n".join(found)


def _article(soup, page: str, site: Path, names: set[str], deeper: int):
    """Return a page's article with anchors of its own, links into the joined page, and headings one level down."""
    article = soup.select_one("article.bd-article")
    for node in article.select(SCREEN_ONLY):
        node.decompose()
    for node in article.find_all(True):
        if node.get("id"):
            node["id"] = anchor(page, node["id"])
        for name in REFERRING:
            if node.get(name):
                words = " ".join(node.get_attribute_list(name)).split()
                node[name] = " ".join(anchor(page, word) for word in words)
        if node.name == "details":
            node["open"] = ""
        if node.get("src") and not urlsplit(node["src"]).scheme:
            node["src"] = f"../{site.name}/" + posixpath.normpath(
                posixpath.join(posixpath.dirname(page), node["src"])
            )
            node.attrs.pop("loading", None)
        if re.fullmatch("h[1-6]", node.name):
            level = int(node.name[1])
            node["class"] = [*node.get("class", []), f"cb-level-{level}"]
            node.name = f"h{min(6, level + deeper)}"
    for link in article.find_all("a", href=True):
        target = _target(link["href"], page, site, names)
        if target is None:
            link.name = "span"
            del link["href"]
        else:
            link["href"] = target
    return article


def _target(href: str, page: str, site: Path, names: set[str]) -> str | None:
    """Return a link's address in the joined page, or None if it leads to what no print holds."""
    if urlsplit(href).scheme or href.startswith("//"):
        return href
    address, fragment = urldefrag(href)
    name = page
    if address:
        where = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(address)))
        name = _moved(site, where).removesuffix(".html")
    return "#" + anchor(name, unquote(fragment)) if name in names else None


def _moved(site: Path, name: str) -> str:
    """Return the page that a redirect at the top of the site leads to, or the name itself."""
    path = site / name
    if "/" in name or not name.endswith(".html") or not path.is_file():
        return name
    found = re.search(r'http-equiv="refresh" content="[^"]*url=([^"]+)"', path.read_text("utf8"))
    return posixpath.normpath(found[1]) if found else name


def _running_head(kind: str, part: str | None, title: str) -> str:
    """Return the style of a page's margins: the part on the left, the chapter on the right."""
    left, right = (_quoted(part), _quoted(title)) if part else ('""', _quoted(title))
    return f"@page {kind} {{ @top-left {{ content: {left} }} @top-right {{ content: {right} }} }}\n"


def _quoted(text: str) -> str:
    """Return a string of a style sheet."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("<", "\\3c ").replace("\n", " ") + '"'


def _title_page() -> str:
    return (
        '<div class="cb-title-page"><p class="cb-book-title">Deep Learning,<br>Claim by Claim</p>'
        "<p>An executable textbook that keeps testing what it says</p>"
        f'<p class="cb-small">The claimbook authors · version {importlib.metadata.version("claimbook")}<br>'
        "Text under CC BY 4.0, code under the MIT licence</p></div>"
    )


def _contents(listed: list[tuple[int, str, str]]) -> str:
    lines = []
    for level, title, at in listed:
        lines.append(
            f'<li class="cb-contents-{level}"><a href="#{at}"><span>{html.escape(title)}</span>'
            f'<span class="cb-leader"></span><span class="cb-number">000</span></a></li>'
        )
    return (
        '<nav class="cb-contents" id="contents"><h1 class="cb-level-1">Contents</h1><ul>'
        + "\n".join(lines)
        + "</ul></nav>"
    )


@contextlib.contextmanager
def browser() -> Iterator:
    """Start Chromium, or say what is missing."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise CannotPrint(
            'Playwright is not installed: pip install -e ".[book,test]", or `make pdf`.'
        ) from None
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise CannotPrint(
            "The book is printed with Chromium, and none was found: install it (on Debian: apt install chromium)."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def _print(browser, joined: Path, printed: Path) -> None:
    """Print the joined page when its mathematics and pictures are drawn, then again with its page numbers."""
    context = browser.new_context(viewport={"width": WIDTH, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.emulate_media(media="print", color_scheme="light")
    page.goto(joined.as_uri())
    page.wait_for_function(DRAWN)
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.evaluate(FIT)
    margins = int(browser.version.partition(".")[0]) >= DRAWS_MARGINS
    options = {"prefer_css_page_size": True, "print_background": True, "outline": True, "tagged": True}
    if not margins:
        options |= {
            "display_header_footer": True,
            "header_template": "<span></span>",
            "footer_template": FOOTER,
        }
    page.pdf(path=printed, **options)
    page.evaluate(NUMBER, page_numbers(printed))
    page.pdf(path=printed, **options)
    context.close()


def page_numbers(path: Path) -> dict[str, int]:
    """Return on which page of a PDF, counted from one, each anchor that something links to stands."""
    from pypdf import PdfReader

    reader = PdfReader(path)
    found = {}
    for name, place in reader.named_destinations.items():
        number = reader.get_destination_page_number(place)
        if number is not None and number >= 0:
            found[unquote(name.removeprefix("/"))] = number + 1
    return found


def pdf(
    site: Path = Path("_build/html"),
    out: Path = Path("_build/pdf/claimbook.pdf"),
    toc: Path = Path("_toc.yml"),
    parts: list[Part] | None = None,
) -> Path:
    """Print the built book, or some ``parts`` of it, and return where the PDF is; whole or not at all.

    Raises
    ------
    CannotPrint
        If a page is not built, or Chromium, Playwright or pypdf is missing.
    """
    try:
        import pypdf  # noqa: F401
    except ImportError:
        raise CannotPrint('pypdf is not installed: pip install -e ".[book,test]", or `make pdf`.') from None
    site, parts = site.resolve(), parts or contents(toc)
    text = join(site, parts)
    out.parent.mkdir(parents=True, exist_ok=True)
    with browser() as started, tempfile.TemporaryDirectory(dir=site.parent, prefix="print-") as folder:
        joined, printed = Path(folder) / "book.html", Path(folder) / "book.pdf"
        joined.write_text(text, "utf8")
        _print(started, joined, printed)
        shutil.move(printed, out)
    return out
