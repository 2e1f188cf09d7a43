"""The book's own assignments: solutions earn all points, unwritten ones none, and what the site offers is current."""

import nbformat
import pytest

pytest.importorskip("nbgrader")

from claimbook import claims
from claimbook.coursework import __main__ as cli
from claimbook.coursework import source
from claimbook.coursework.grade import Course
from claimbook.coursework.mark import mark
from claimbook.coursework.sandbox import unavailable
from claimbook.site import coursework as pages

FOUND = source.folder()
COURSE = Course("another salt", "another key")
FAMILIAR = ("Not yet", "NotYet", "NotWritten")


def marked(name, notebook):
    return mark(FOUND[name], COURSE, "grace", notebook, walled=unavailable() is None)


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUND)
def test_the_solution_earns_all_points(name):
    given = source.with_salt(FOUND[name].notebook, COURSE.salt)
    identity = next(cell for cell in given.cells if source.id_of(cell) == source.IDENTITY)
    identity.source = 'STUDENT = "grace"'
    got = marked(name, given)
    assert {cell for cell, (points, full) in got.scores.items() if points < full} == set()
    assert got.seconds < 40


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUND)
def test_nothing_written_earns_nothing_and_says_so(name):
    got = marked(name, source.student_version(FOUND[name], COURSE.salt))
    assert sum(points for points, _ in got.scores.values()) == 0
    errors = [o for cell in got.notebook.cells for o in cell.get("outputs", []) if o.output_type == "error"]
    assert errors and {error.ename for error in errors} <= {"NotYet", "NotWritten"}


@pytest.mark.parametrize("name", FOUND)
def test_the_site_offers_the_current_notebook(name):
    stored = nbformat.read(cli.STORED / f"{name}.ipynb", as_version=4)
    made = source.student_version(FOUND[name], cli.PRACTICE)
    assert nbformat.writes(stored) == nbformat.writes(made), "run `make assignments STORE=1`"


def test_the_site_offers_no_other():
    assert {path.stem for path in cli.STORED.glob("*")} == set(FOUND)


@pytest.mark.parametrize("name", FOUND)
def test_each_problem_has_a_card_and_tests(name):
    assignment = FOUND[name]
    facts = next(facts for facts in pages.read(cli.ROOT / "assignments") if facts.id == name)
    assert facts.points == assignment.points and 40 <= facts.minutes <= 400
    assert 3 <= len(facts.problems) <= 6 and len(facts.problems) == len(assignment.problems())
    kinds = [cell for cell in assignment.notebook.cells if source.is_graded(cell)]
    assert any(cell.cell_type == "markdown" for cell in kinds), "one answer is written"
    text = "\n".join(cell.source for cell in assignment.notebook.cells)
    assert "practice" in assignment.notebook.cells[0].source + assignment.notebook.cells[1].source
    assert (
        "mine.generator(" in text and "hidden.generator(" in text and "expect_claim(" in text
    ) or name == "capstone"
    assert name == "capstone" or claims.registry()[name]


def test_commands(tmp_path, monkeypatch, capsys):
    from . import toy

    monkeypatch.setattr(cli, "ROOT", tmp_path)
    (tmp_path / "mine").mkdir()
    nbformat.write(toy.assignment().notebook, tmp_path / "mine" / "toy.ipynb")
    words = ["--from", str(tmp_path / "mine"), "--course", str(tmp_path / "course")]
    assert cli.main(["assignments", *words]) == 0
    folder = tmp_path / "_build" / "assignments"
    assert {path.name for path in folder.iterdir()} == {"toy.ipynb", "assignments.zip"}
    assert "NotWritten" in (folder / "toy.ipynb").read_text("utf8") and "11 points" in capsys.readouterr().out

    for arguments, says in [
        (["grade", "nowhere", "--assignment", "toy"], "neither a folder nor a zip"),
        (["grade", "nowhere", "--assignment", "rabbits"], "no assignment 'rabbits'"),
        (["grade", "nowhere", "--assignment", "toy", "--unsandboxed", "yes"], "I trust every submission"),
        (["grade", "nowhere", "--assignment", "toy", "--roster", "nobody.csv"], "nobody.csv cannot be read"),
    ]:
        if unavailable():
            monkeypatch.setattr("claimbook.coursework.grade.unavailable", lambda: None)
        assert cli.main([*arguments, *words]) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["grade", "x", "--assignment", "toy", "--due", "tomorrow"])


@pytest.mark.slow
def test_grading_by_command(tmp_path, capsys):
    from . import toy

    if unavailable():
        pytest.skip(unavailable())
    for name, text in (
        ("mine/toy.ipynb", nbformat.writes(toy.assignment().notebook).encode()),
        ("in/ada.ipynb", toy.text(toy.submission())),
        ("roster.csv", b"ID,Name\nada,Ada Lovelace\nbob,Bob\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(text)
    words = [
        "--assignment",
        "toy",
        "--roster",
        str(tmp_path / "roster.csv"),
        "--from",
        str(tmp_path / "mine"),
    ]
    assert cli.main(["grade", str(tmp_path / "in"), *words, "--course", str(tmp_path / "course")]) == 0
    said = capsys.readouterr().out
    assert "8 of 11" in said and "nothing was handed in" in said and "p3_why" in said
    salted = (tmp_path / "course" / "course.toml").read_text("utf8")
    assert "practice" in salted
