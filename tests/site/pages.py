"""Which pages the built site has, and what a phone is."""

from __future__ import annotations

from pathlib import Path

from claimbook import claims

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
PHONE = {"width": 390, "height": 844}
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.glob("book/**/*.html"))
CHAPTERS = [
    page
    for page in PAGES
    if page.split("/")[-2] in claims.registry().parts and not page.endswith("/index.html")
]
SERVED = [page for page in ("book/index.html", "book/map.html", *CHAPTERS[:1]) if page in PAGES]

TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const wide = [...document.querySelectorAll('.bd-article *')].filter(e => e.getBoundingClientRect().right > width + 1);
  return ['the page', ...wide.slice(0, 5).map(e => e.tagName + '.' + e.className)];
}"""
