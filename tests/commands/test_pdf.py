"""Joining the built pages into one for print: anchors, links, headings, what is left out. Needs no browser."""

import sys

import pytest

from claimbook import __main__ as cli
from claimbook.commands import pdf

PAGE = """<html><head><link rel="stylesheet" href="{up}_static/theme.css?v=1"></head><body><nav>site</nav>
<article class="bd-article"><section id="top"><h1>{title}<a class="headerlink" href="#top">#</a></h1>{body}</section>
</article></body></html>"""
TOC = """\
format: jb-book
root: book/index
parts:
  - caption: "A part"
    chapters:
      - file: book/part/index # a note
        title: About this part
      - file: book/part/one
"""


@pytest.fixture
def site(tmp_path):
    pytest.importorskip("bs4")
    folder = tmp_path / "html"
    pages = {
        "book/index": (
            "The book",
            '<a href="part/one.html#how">to one</a><a href="../one.html">moved</a>',
            "../",
        ),
        "book/part/index": (
            "A part",
            '<a href="one.html">first</a><a href="other.html">not printed</a>',
            "../../",
        ),
        "book/part/one": (
            'One & "only"',
            '<h2 id="how">How</h2><img src="../../_images/a.png" loading="lazy"><details><p>Hint</p></details>'
            '<details class="hide"><p>imports</p></details><label for="how">x</label><output for="how top">2</output>'
            '<a href="https://doi.org/1">paper</a><a href="#top">up</a>',
            "../../",
        ),
    }
    for name, (title, body, up) in pages.items():
        path = folder / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PAGE.format(title=title, body=body, up=up), "utf8")
    (folder / "one.html").write_text(
        '<meta http-equiv="refresh" content="0; url=book/part/one.html">', "utf8"
    )
    (tmp_path / "_toc.yml").write_text(TOC, "utf8")
    return folder


@pytest.fixture
def joined(site):
    from bs4 import BeautifulSoup

    return BeautifulSoup(pdf.join(site, pdf.contents(site.parent / "_toc.yml")), "html.parser")


def test_every_link_into_the_book_leads_to_an_anchor(joined):
    ids = [node["id"] for node in joined.find_all(id=True)]
    assert len(ids) == len(set(ids))
    inside = [link["href"] for link in joined.find_all("a", href=True) if link["href"].startswith("#")]
    assert inside and {href[1:] for href in inside} <= set(ids)
    assert {"#book-part-one--how", "#book-part-one", "#book-part-one--top"} <= set(inside)


def test_what_refers_to_several_ids_still_does(joined):
    (output,) = joined.find_all("output")
    (how, top) = output.get_attribute_list("for")
    assert how != top and all(joined.find(id=word) for word in (how, top))


def test_other_links(joined):
    outside = [link["href"] for link in joined.find_all("a", href=True) if not link["href"].startswith("#")]
    assert outside == ["https://doi.org/1"]
    assert "not printed" in joined.get_text()  # its words stay


def test_headings_make_an_outline(joined):
    found = [
        (node.name, node.get_text()) for node in joined.select("h1, h2, h3") if node.get_text() != "Contents"
    ]
    assert found == [("h1", "The book"), ("h1", "A part"), ("h2", 'One & "only"'), ("h3", "How")]


def test_the_contents_name_every_page_once(joined):
    lines = joined.select(".cb-contents li a")
    assert [line.span.get_text() for line in lines] == ["The book", "A part", 'One & "only"']


def test_what_works_on_a_screen_only_is_left_out(joined):
    text = joined.get_text()
    assert "imports" not in text and "Hint" in text and "site" not in text
    assert all(node.has_attr("open") for node in joined.select("details"))
    assert joined.img["src"] == "../html/_images/a.png" and not joined.img.has_attr("loading")
    assert joined.label["for"] == "book-part-one--how"


def test_running_heads_are_safe_in_a_style_sheet(site):
    text = pdf.join(site, pdf.contents(site.parent / "_toc.yml"))
    assert '@top-right { content: "One & \\"only\\"" }' in text
    assert '@top-right { content: "About this part" }' in text


def test_a_page_that_is_not_built(site):
    (site / "book" / "part" / "one.html").unlink()
    with pytest.raises(pdf.CannotPrint, match="make book"):
        pdf.join(site, pdf.contents(site.parent / "_toc.yml"))


def test_it_says_what_is_missing(site, monkeypatch, capsys):
    pytest.importorskip("pypdf")
    pytest.importorskip("playwright")
    monkeypatch.chdir(site.parent)
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(pdf.CannotPrint, match="apt install chromium"):
        pdf.pdf(site)
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(pdf.CannotPrint, match="Playwright is not installed"):
        pdf.pdf(site)
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(pdf.CannotPrint, match="pypdf is not installed"):
        pdf.pdf(site)
    assert cli.main(["pdf"]) == 2 and "pypdf" in capsys.readouterr().err
    assert not (site.parent / "_build" / "pdf" / "claimbook.pdf").exists()
