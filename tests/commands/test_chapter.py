"""Laying out a chapter: whole or not at all, and never so that it could pass for a written one."""

import json
from pathlib import Path

import nbformat
import pytest
import yaml

from claimbook import __main__ as cli
from claimbook import claims
from claimbook.commands import chapter, execute, rules
from claimbook.evidence import EvidenceError, lock, records

ROOT = Path(__file__).resolve().parents[2]
ROWS = claims.registry().claims.values()
OPEN = next(claim.id for claim in ROWS if claim.status(ROOT / "book") == "open")
WRITTEN = next(claim.id for claim in ROWS if claim.status(ROOT / "book") == "written")
CONTEXT = next(claim.id for claim in ROWS if claim.kind == "context")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Return a book of its own, with the real table of contents and one written chapter."""
    (tmp_path / "_toc.yml").write_text((ROOT / "_toc.yml").read_text("utf8"), "utf8")
    written = tmp_path / "book" / claims.registry()[WRITTEN].notebook
    written.parent.mkdir(parents=True)
    written.write_text("{}", "utf8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(root):
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_three_places_and_nothing_else(root):
    before = files(root)
    said = chapter.lay_out(OPEN)
    new = set(files(root)) - set(before)
    claim = claims.registry()[OPEN]
    assert new == {root / "book" / claim.notebook, root / "tests" / "broken" / f"{OPEN}.py"}
    for words in (
        claim.notebook,
        f"tests/broken/{OPEN}.py",
        "_toc.yml",
        "references.bib",
        "make freeze",
        "make test",
    ):
        assert words in said


@pytest.mark.parametrize("part", claims.registry().parts)
def test_the_contents_get_one_line_in_the_right_place(part):
    before = (ROOT / "_toc.yml").read_text("utf8")
    after = chapter.with_line(before, part, f"book/{part}/new_claim")
    added = [line for line in after.splitlines() if line not in before.splitlines()]
    assert added == [f"      - file: book/{part}/new_claim"]
    assert [line for line in after.splitlines() if line not in added] == before.splitlines()  # comments too
    (found,) = [
        p for p in yaml.safe_load(after)["parts"] if {"file": f"book/{part}/new_claim"} in p["chapters"]
    ]
    assert found["chapters"][0]["file"] == f"book/{part}/index"
    assert found["chapters"][-1] == {"file": f"book/{part}/new_claim"}


def test_contents_that_lack_the_part():
    with pytest.raises(chapter.CannotLayOut, match="does not list book/bias/index"):
        chapter.with_line("root: book/index\nparts: []\n", "bias", "book/bias/new_claim")


def test_every_section_of_a_chapter_is_there(root):
    chapter.lay_out(OPEN)
    notebook = execute.read(execute.notebook_path(OPEN))
    nbformat.validate(notebook)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    order = ["# TODO", "## The question", "Predict first", "## The smallest setting", "## What theory says"]
    order += [
        "## Experiment",
        "## The checks",
        "## Verdict",
        "## What the paper did",
        "does not show",
        "## Break it",
    ]
    places = [prose.index(words) for words in [*order, "## References"]]
    assert places == sorted(places)
    assert claims.registry()[OPEN].claim in prose and "<id>" not in json.dumps(notebook)
    assert [cell for cell in notebook.cells if "mechanism" in records.tags(cell)]


def test_every_open_row_can_be_laid_out(root):
    for claim in ROWS:
        if claim.status(root / "book") == "open":
            nbformat.validate(nbformat.reads(chapter._notebook(claim), as_version=4))


def test_it_cannot_pass_as_it_stands(root, monkeypatch):
    monkeypatch.setattr(lock, "RECORDS", root / "records")
    chapter.lay_out(OPEN)
    path = execute.notebook_path(OPEN)
    notebook = execute.read(path)
    with pytest.raises(Exception, match="NotFrozen"):  # the verdict, when it is run
        execute.execute(notebook, path.parent, mode="verify")
    seen = execute.observe(notebook, path.parent, 1_000_000, "calibrate")["evidence"]
    assert seen["parts"][0]["state"] == "fails"  # and if somebody froze it, nothing would hold
    found = rules.problems(OPEN, root / "book", root / "records")
    assert any("stores no verdict" in problem for problem in found)
    assert "it is not in _toc.yml" not in found
    with pytest.raises(NotImplementedError):
        exec((root / "tests" / "broken" / f"{OPEN}.py").read_text("utf8"))
    assert issubclass(EvidenceError, ValueError)


@pytest.mark.parametrize(
    ("identifier", "message"),
    [
        (OPEN[:-1], f"Did you mean '{OPEN}'"),
        (WRITTEN, "exists already; nothing was changed"),
        (CONTEXT, "it has no claim to test"),
        ("kernels", "It is a primer, which asserts no claim"),
    ],
)
def test_refused(root, capsys, identifier, message):
    before = files(root)
    assert cli.main(["chapter", identifier]) == 2
    assert message in capsys.readouterr().err
    assert files(root) == before


def test_all_or_nothing(root, monkeypatch):
    before, write = files(root), lock.write_atomically

    def full(path, text):
        if path.name == "_toc.yml":
            raise OSError("No space left on device")
        write(path, text)

    monkeypatch.setattr(lock, "write_atomically", full)
    with pytest.raises(OSError, match="No space"):
        chapter.lay_out(OPEN)
    assert files(root) == before


def test_outside_the_book(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(chapter.CannotLayOut, match="top of the book"):
        chapter.lay_out(OPEN)
    assert not list(tmp_path.iterdir())
