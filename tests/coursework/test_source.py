"""From a source notebook to what students get; what a source must have."""

import json

import nbformat
import pytest

pytest.importorskip("nbgrader")

from claimbook.coursework import source

from . import toy


def write(path, change=None):
    notebook = toy.assignment().notebook
    if change:
        change(notebook.cells)
    nbformat.write(notebook, path)
    return path


def test_students_get_no_solutions_and_no_hidden_tests():
    given = source.student_version(toy.assignment(), "our course 2027")
    text = json.dumps(given)
    assert "mean(axis=0)" not in text and "Because" not in text and "reference" not in text
    assert text.count(source.STUB) == 3 and r"SALT = \"our course 2027\"" in text
    assert "Hidden tests: other sizes." in text
    locked = {cell.metadata.nbgrader.grade_id: cell.metadata.get("editable", True) for cell in given.cells}
    assert not locked["p1_public"] and locked["p1_soup"] and locked["identity"]
    assert toy.assignment().points == 11 and toy.assignment().problems() == {"p1": 5, "p2": 3, "p3": 3}


def test_what_students_write_is_known():
    assert source.written_by_student(toy.assignment()) == {"soup": True, "price": True, "my_mean": False}


def test_a_good_source_is_read(tmp_path):
    found = source.read(write(tmp_path / "toy.ipynb"))
    assert found.id == "toy" and found.title == "A toy"
    assert list(source.folder(tmp_path)) == ["toy"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cells: cells.pop(2), "identity"),
        (lambda cells: cells.pop(1), "SALT"),
        (lambda cells: cells.pop(0), "heading"),
        (lambda cells: cells.append(cells[5]), "two cells have the id p1_public"),
        (lambda cells: cells[4].metadata.clear(), "has no nbgrader id"),
        (
            lambda cells: cells[4].update(source=cells[4].source.replace("### END SOLUTION", "")),
            "2 begin and 0 end",
        ),
        (
            lambda cells: cells[1].update(source=cells[1].source + "\n### BEGIN SOLUTION\n### END SOLUTION"),
            "only",
        ),
        (lambda cells: cells[5].update(source="reference.soup"), "students would see the name reference"),
        (lambda cells: cells[5].update(source="hidden("), "never closed"),
        (lambda cells: cells[2].metadata.nbgrader.update(solution=True), "ordinary cell"),
    ],
)
def test_a_bad_source_is_named(tmp_path, change, says):
    with pytest.raises(source.BadSource, match=says):
        source.read(write(tmp_path / "toy.ipynb", change))


def test_what_is_no_source(tmp_path):
    (tmp_path / "toy.ipynb").write_text("{}", "utf8")
    with pytest.raises(source.BadSource, match="not a notebook"):
        source.folder(tmp_path)
    (tmp_path / "toy.ipynb").unlink()
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(source.BadSource):
            source.folder(path)
    with pytest.raises(source.BadSource, match="id consists"):
        source.read(write(tmp_path / "A toy.ipynb"))
