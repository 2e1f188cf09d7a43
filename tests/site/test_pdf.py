"""A part of the book as a PDF: its contents, page numbers, bookmarks and links."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from claimbook.commands import pdf

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
PARTS = [
    pdf.Part(None, ("book/index",)),
    pdf.Part("Memorization and data", ("book/memorization/index", "book/memorization/long_tail")),
]
TITLES = ["Deep Learning, Claim by Claim", "Memorization and data", "Memorizing the long tail"]
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Print one part of the built site, and return what reads it."""
    out = tmp_path_factory.mktemp("pdf") / "part.pdf"
    try:
        with ThreadPoolExecutor(1) as pool:  # this thread may hold another test's browser
            path = pool.submit(pdf.pdf, SITE, out, parts=PARTS).result()
    except pdf.CannotPrint as problem:
        if os.environ.get("CLAIMBOOK_NEED_BROWSER") == "1":
            pytest.fail(str(problem))
        pytest.skip(str(problem))
    from pypdf import PdfReader

    return PdfReader(path)


@pytest.fixture(scope="module")
def contents(printed):
    """Return {title: page number} as the contents say."""
    text = re.sub(
        r"\s+", " ", printed.pages[1].extract_text().replace("\ufb01", "fi").replace("\ufb02", "fl")
    )
    return {title: int(found[1]) for title in TITLES if (found := re.search(rf"{title} ?(\d+)", text))}


def test_the_contents_lead_to_each_chapter(printed, contents):
    assert list(contents) == TITLES and len(printed.pages) > 5
    for title, number in contents.items():
        text = re.sub(r"\s+", " ", printed.pages[number - 1].extract_text())
        assert title in text, f"“{title}” does not begin on page {number}"


def test_pages_are_numbered(printed):
    for number, page in enumerate(printed.pages, 1):
        lines = page.extract_text().split()
        assert (str(number) in lines) == (number > 1), f"page {number}"  # the title page has none


def test_bookmarks_show_parts_and_chapters(printed):
    top = [entry["/Title"] for entry in printed.outline if not isinstance(entry, list)]
    assert top == ["Contents", TITLES[0], TITLES[1]]
    below = [entry["/Title"] for entry in printed.outline[-1] if not isinstance(entry, list)]
    assert TITLES[2] in below


def test_every_link_inside_leads_somewhere(printed):
    known, inside, outside = set(printed.named_destinations), 0, 0
    for page in printed.pages:
        for note in page.get("/Annots") or []:
            note = note.get_object()
            if note.get("/Subtype") != "/Link":
                continue
            address = note.get("/A", {}).get("/URI")
            if address:
                outside += 1
                assert address.startswith(("https://", "http://")), address
                continue
            target = note.get("/Dest") or note["/A"].get_object()["/D"]
            assert isinstance(target, list) or str(target).removeprefix("/") in known | {
                str(name).removeprefix("/") for name in known
            }
            inside += 1
    assert inside >= len(TITLES) and outside > 3


def test_formulas_and_figures_are_drawn(printed):
    text = "".join(page.extract_text() for page in printed.pages)
    assert not re.findall(r"\\(?:frac|lambda|mathbb|sum|tau)|\\\(", text), "TeX instead of formulas"
    assert sum(len(page.images) for page in printed.pages) >= 2


def test_nothing_is_left_behind():
    assert not list(SITE.parent.glob("print-*"))
