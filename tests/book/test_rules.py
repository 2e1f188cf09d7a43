"""The book's own rules, for every chapter; and that a book which breaks them is caught."""

import copy
import json
import shutil
from pathlib import Path

import pytest

from claimbook import claims
from claimbook.commands.execute import written, written_primers
from claimbook.commands.rules import problems
from claimbook.evidence import lock, records

BOOK = Path(__file__).resolve().parents[2] / "book"
CHAPTERS, PRIMERS = written(BOOK), written_primers(BOOK)


@pytest.mark.parametrize("name", CHAPTERS + PRIMERS)
def test_a_chapter_or_primer_keeps_the_rules(name):
    assert problems(name, BOOK) == []


def test_every_notebook_is_known_and_every_chapter_has_a_broken_twin():
    notebooks = {
        path.relative_to(BOOK).as_posix()
        for path in BOOK.rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    assert notebooks == {claims.registry().notebook(name) for name in CHAPTERS + PRIMERS}
    assert PRIMERS == list(claims.registry().primers)
    assert {path.stem for path in (BOOK.parent / "tests" / "broken").glob("*.py")} == set(CHAPTERS)


@pytest.fixture
def chapter():
    return json.loads((BOOK / "memorization" / "long_tail.ipynb").read_text("utf8"))


def evidence_of(notebook):
    """Return the stored evidence itself, so that a test can tamper with it."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return next(
        o["metadata"]["claimbook"]["evidence"]
        for o in outputs
        if "evidence" in o.get("metadata", {}).get("claimbook", {})
    )


def flip_a_state(notebook):
    evidence_of(notebook)["parts"][0]["state"] = "fails"


def flip_the_verdict(notebook):
    evidence_of(notebook)["verdict"] = "partly supported"


def move_a_band(notebook):
    evidence_of(notebook)["parts"][0]["band"]["low"] = 0.04


def drop_a_part(notebook):
    del evidence_of(notebook)["parts"][0]


def add_a_part(notebook):
    evidence_of(notebook)["parts"].append({**evidence_of(notebook)["parts"][0], "name": "Another"})


def drop_the_controls(notebook):
    evidence_of(notebook)["parts"][0]["controls"] = []


def strip(notebook):
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)


def run_out_of_order(notebook):
    records.code_cells(notebook)[1]["execution_count"] = 9


def edit_the_code(notebook):
    records.code_cells(notebook)[1]["source"] += "\n# later"


def edit_what_makes_evidence(notebook):
    records.code_cells(notebook)[1]["source"] += "\nsomething_else = 1"


def forget_the_alt_text(notebook):
    for cell in notebook["cells"]:
        cell["metadata"].pop("mystnb", None)


def warn(notebook):
    records.code_cells(notebook)[0]["outputs"].append(
        {"output_type": "stream", "name": "stderr", "text": "w"}
    )


def remove_text(word):
    def edit(notebook):
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = records.source(cell).replace(word, "")

    return edit


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (flip_a_state, "came out fails, frozen as holds"),
        (flip_the_verdict, "its verdict is partly supported"),
        (move_a_band, "is not the frozen one"),
        (drop_a_part, "no longer checked"),
        (add_a_part, "is not frozen"),
        (drop_the_controls, "no control"),
        (strip, "fresh kernel"),
        (strip, "stores no verdict"),
        (run_out_of_order, "fresh kernel"),
        (edit_the_code, "changed since it was run"),
        (edit_what_makes_evidence, "verified under 0 seeds"),
        (forget_the_alt_text, "without alt text"),
        (warn, "stderr"),
        (remove_text("`long_tail`"), "does not cite"),
        (remove_text("{solution}"), "exercises"),
        (remove_text("pip install"), "how to run it by itself"),
    ],
)
def test_a_broken_book_is_caught(chapter, tamper, message):
    tampered = copy.deepcopy(chapter)
    tamper(tampered)
    assert any(message in problem for problem in problems("long_tail", BOOK, notebook=tampered)), problems(
        "long_tail", BOOK, notebook=tampered
    )


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (strip, "fresh kernel"),
        (forget_the_alt_text, "without alt text"),
        (remove_text("{solution}"), "it needs 3 exercises"),
        (remove_text("{cite"), "it cites nothing"),
    ],
)
def test_a_broken_primer_is_caught(tamper, message):
    tampered = json.loads((BOOK / "primers" / "margins.ipynb").read_text("utf8"))
    tamper(tampered)
    assert any(message in problem for problem in problems("margins", BOOK, notebook=tampered))


def test_a_chapter_outside_the_contents_is_caught(chapter, tmp_path):
    book = tmp_path / "book"
    book.mkdir()
    (tmp_path / "_toc.yml").write_text("root: book/index\n")
    assert "it is not in _toc.yml" in problems("long_tail", book, notebook=chapter)


@pytest.fixture
def kept(tmp_path):
    """A copy of what is kept of a chapter, to tamper with."""
    for path in (lock.path_of("long_tail"), records.runs_path("long_tail"), records.time_path("long_tail")):
        shutil.copy(path, tmp_path)
    assert problems("long_tail", BOOK, tmp_path) == []
    return tmp_path


def test_a_chapter_that_needs_too_much_memory_is_caught(kept):
    runs = [{**run, "peak_kilobytes": 3 * 1024**2} for run in records.runs("long_tail")]
    records.runs_path("long_tail", kept).write_text("".join(json.dumps(run) + "\n" for run in runs), "utf8")
    assert problems("long_tail", BOOK, kept) == ["it needs 3072 MB of memory, more than 2048"]


def test_a_chapter_that_takes_too_long_is_caught(kept):
    path = records.time_path("long_tail", kept)
    path.write_text(json.dumps(json.loads(path.read_text("utf8")) | {"cpu_seconds": 91.4}), "utf8")
    assert problems("long_tail", BOOK, kept) == [
        "it takes 91 s, more than 90",
        "its card does not name the ≈ 91.4 s it takes: make run CHAPTER=long_tail",
    ]


def test_a_time_of_other_code_is_no_time(kept, chapter):
    wanted = "nobody has timed its present code: make trust CHAPTER=long_tail"
    records.code_cells(chapter)[1]["source"] += "\n# later"
    assert wanted in problems("long_tail", BOOK, kept, chapter)
    records.time_path("long_tail", kept).unlink()
    assert problems("long_tail", BOOK, kept) == [wanted]
