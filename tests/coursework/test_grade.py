"""One batch with everything that students hand in, by accident or on purpose: it ends, and each gets what is due."""

from __future__ import annotations

import csv
import fcntl
import os
import pickle
import re
import sqlite3
import zipfile

import psutil
import pytest

from claimbook.coursework import grade as grading
from claimbook.coursework.collect import Student
from claimbook.coursework.sandbox import Limits, unavailable

from . import toy

pytest.importorskip("nbgrader")
LIMITS = Limits(cell=12, call=6)  # generous: the machine may be slow, and is busy with other tests
REASON = unavailable()
if REASON and os.environ.get("CLAIMBOOK_NEED_BROWSER") == "1":
    pytest.fail(REASON)
pytestmark = pytest.mark.skipif(bool(REASON), reason=REASON or "")

HALF = "def soup(weights): return [2.0, 3.0]\n"
PASTED = "my_mean = {}"
HONEST = {
    "perfect": toy.submission(who="perfect"),
    "half": toy.submission(who="half", soup=HALF + toy.RIGHT),
    "wrong": toy.submission(
        who="wrong", soup="def soup(w): return 0\ndef price(f, share): return 0\n", mine="my_mean = 1"
    ),
    "unwritten": toy.student_version(toy.assignment(), "practice"),
    "syntax": toy.submission(who="syntax", soup="def soup(weights) return\n"),
    "edited": toy.edited(toy.weak_tests, who="edited", soup=HALF + toy.RIGHT),
    "deleted": toy.edited(toy.without, who="deleted"),
    "doubled": toy.edited(toy.doubled, who="doubled"),
    "backwards": toy.edited(toy.backwards, who="backwards"),
    "endless_cell": toy.submission(who="endless_cell", mine=toy.OWN + "\nwhile True: pass"),
    "exit_cell": toy.submission(who="exit_cell", mine=toy.OWN + "\nimport os\nos._exit(1)"),
    "loud_cell": toy.submission(who="loud_cell", mine=toy.OWN + "\nfor _ in range(100): print('x' * 10**6)"),
    "kernel": toy.submission(who="kernel"),
    "Zoë_Ünal": toy.submission(who="Zoë_Ünal"),
}
HONEST["kernel"].metadata.kernelspec = {"name": "ir", "language": "R", "display_name": "R"}
WRONG = toy.assignment().notebook.copy()
WRONG.cells = [toy.cell("text", "elsewhere", "# Another notebook", markdown=True)]
BROKEN = {
    "empty": b"",
    "corrupt": b'{"cells": [',
    "deep": b"[" * 100_000,
    "listed": b"[1, 2]",
    "binary": bytes(range(256)) * 9,
    "wrong_notebook": toy.text(WRONG),
}


def name_of(trick: str) -> str:
    return trick.replace(" ", "_")


def answer_of(student: str) -> float:
    """Return a student's own right answer."""
    from claimbook.coursework import Personal

    mine = Personal(student, salt="practice", assignment="toy")
    return float(mine.generator("data").normal(size=20).mean())


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Grade all of them at once, for all workers; return rows by student, the course's folder, what else lies there."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    top = shared / "coursework"
    top.mkdir(exist_ok=True)
    with open(top / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (top / "rows").exists():
            (top / "rows").write_bytes(pickle.dumps(grade_all(top)))
    return pickle.loads((top / "rows").read_bytes()), top / "course", top / "handed in", top / "outside.txt"


def grade_all(top):
    """Hand everything in and grade it; return {student: row}."""
    handed, folder = top / "handed in", top / "course"
    (top / "outside.txt").write_text("untouched", "utf8")
    notebooks = dict(HONEST)
    for trick, text in {**toy.CHEATS, **toy.ACCIDENTS}.items():
        notebooks[name_of(trick)] = toy.submission(who=name_of(trick), soup=text + toy.RIGHT)
    notebooks["pasted"] = toy.submission(who="pasted", mine=PASTED.format(answer_of("victim")))
    notebooks["victim"] = toy.submission(who="victim", mine=PASTED.format(answer_of("victim")))
    for student, notebook in notebooks.items():
        path = handed / student / "toy.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes(toy.text(notebook))
    for student, text in BROKEN.items():
        (handed / f"{student}_toy.ipynb").write_bytes(text)
    hostile = handed / "=cmd|' ’$(touch x);<script>.."
    hostile.mkdir()
    (hostile / "toy.ipynb").write_bytes(toy.text(HONEST["perfect"]))
    (handed / "linked").mkdir()
    (handed / "linked" / "toy.ipynb").symlink_to(handed / "perfect" / "toy.ipynb")
    names = [*notebooks, *BROKEN, "missing", "linked"]
    results = grading.grade(
        handed,
        toy.assignment(),
        folder,
        students={name: Student(name, f"Name {name}") for name in names},
        limits=LIMITS,
        jobs=4,  # more than cores: endless loops are waited for
        progress=False,
    )
    rows = {row.student: row for row in results}
    assert set(rows) == set(names)
    return rows


def problems(row) -> tuple[float, float]:
    return row.problems["p1"], row.problems["p2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("student", "points"),
    [
        ("perfect", (5, 3)),
        ("half", (3, 3)),
        ("wrong", (0, 1)),
        ("unwritten", (0, 0)),
        ("syntax", (0, 3)),
        ("edited", (3, 3)),
        ("deleted", (5, 3)),
        ("doubled", (5, 3)),
        ("backwards", (5, 3)),
        ("endless_cell", (5, None)),  # what stands before the loop counts if the interrupt came in time
        ("exit_cell", (5, 0)),
        ("loud_cell", (5, 3)),
        ("kernel", (5, 3)),
        ("Zoë_Ünal", (5, 3)),
        ("victim", (5, 3)),
        ("pasted", (5, 1)),
        *((name_of(trick), None) for trick in {**toy.CHEATS, **toy.ACCIDENTS}),
    ],
)
def test_points(batch, student, points):
    row = batch[0][student]
    if points is not None:
        assert [got for got, due in zip(problems(row), points, strict=True) if due not in (None, got)] == []
        assert row.score == sum(problems(row))
        return
    # The tests of `soup` give nothing; what the honest rest of the notebook earns, it may still earn.
    assert row.problems["p1"] in (0, 2) and row.problems["p2"] <= 3


@pytest.mark.slow
@pytest.mark.parametrize("trick", toy.ACCIDENTS)
def test_an_accident_costs_only_the_tests_that_meet_it(batch, trick):
    assert problems(batch[0][name_of(trick)]) == (2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("student", [*BROKEN, "missing", "linked"])
def test_what_is_no_notebook_gets_nothing_and_a_reason(batch, student):
    row = batch[0][student]
    assert not row.score and row.flags
    assert (row.score is None) == (student in ("missing", "linked"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "student",
    [
        *(name_of(trick) for trick in toy.CHEATS),
        "edited",
        "deleted",
        "doubled",
        "backwards",
        "kernel",
        "endless_cell",
        "exit_cell",
        "loud_cell",
        "endless_function",
        "exits_in_a_function",
        "memory",
        "100_MB_of_output",
        "forks",
        "network",
        "writes_outside",
        "pasted",
        "victim",
    ],
)
def test_what_a_person_should_look_at_is_flagged(batch, student):
    assert batch[0][student].flags


@pytest.mark.slow
def test_honest_work_is_not_flagged(batch):
    assert not any(batch[0][student].flags for student in ("perfect", "half", "wrong", "syntax", "Zoë_Ünal"))


@pytest.mark.slow
def test_pasted_answers_name_both(batch):
    assert "victim" in str(batch[0]["pasted"].flags) and "pasted" in str(batch[0]["victim"].flags)


@pytest.mark.slow
def test_nothing_else_was_touched(batch):
    _, folder, handed, outside = batch
    assert outside.read_text("utf8") == "untouched"
    assert (handed / "perfect" / "toy.ipynb").read_bytes() == toy.text(HONEST["perfect"])
    assert not [
        p
        for p in psutil.process_iter(["cmdline"])
        if "coursework.worker" in " ".join(p.info["cmdline"] or [])
    ]
    with sqlite3.connect(folder / "gradebook.db") as book:
        assert book.execute("pragma integrity_check").fetchone() == ("ok",)


@pytest.mark.slow
def test_feedback_shows_points_and_hides_tests(batch):
    _, folder, _, _ = batch
    page = (folder / "feedback" / "half" / "toy" / "toy.html").read_text("utf8")
    assert "should have the shape (3,)" in page and "reference.soup" not in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    key = grading.settings(folder).course.key
    assert not any(key in path.read_text("utf8", "replace") for path in folder.rglob("*.html"))


@pytest.mark.slow
def test_the_summary_opens_in_a_spreadsheet(batch):
    _, folder, _, _ = batch
    table = list(csv.DictReader((folder / "summary" / "toy.csv").open(encoding="utf8")))
    by_id = {row["id"]: row for row in table}
    assert by_id["perfect"]["score"] == "8" and by_id["perfect"]["to_mark_by_hand"] == "p3_why"
    assert by_id["Zoë_Ünal"]["name"] == "Name Zoë_Ünal" and by_id["missing"]["score"] == ""
    assert not any(cell.startswith(("=", "+", "@")) for row in table for cell in row.values())
    page = (folder / "summary" / "toy.html").read_text("utf8")
    assert "$(touch x)" in page and "<script" not in page
    exported = list(csv.DictReader((folder / "grades.csv").open(encoding="utf8")))
    assert {row["student_id"]: float(row["score"] or 0) for row in exported}["perfect"] == 8


@pytest.fixture
def handed(tmp_path):
    """Two students' submissions in a folder, and their course's folder."""
    for student in ("ada", "bob"):
        (tmp_path / "in" / student).mkdir(parents=True)
        (tmp_path / "in" / student / "toy.ipynb").write_bytes(toy.text(toy.submission(who=student)))
    return tmp_path / "in", tmp_path / "course"


def run(handed, **words):
    path, folder = handed
    words = {"limits": LIMITS, "progress": False, "jobs": 1, **words}
    return {row.student: row for row in grading.grade(path, toy.assignment(), folder, **words)}


@pytest.mark.slow
def test_one_student_or_one_problem_is_graded_again(handed):
    run(handed)
    bad = toy.submission(who="ada", soup="def soup(w): return 0\n", mine="my_mean = 0")
    (handed[0] / "ada" / "toy.ipynb").write_bytes(toy.text(bad))
    (handed[0] / "bob" / "toy.ipynb").write_bytes(toy.text(bad))
    rows = run(handed, only_student="ada", only_problem="p1")
    assert set(rows) == {"ada"} and problems(rows["ada"]) == (0, 3)
    rows = run(handed, only_student="ada")
    assert problems(rows["ada"]) == (0, 1)
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{handed[1] / 'gradebook.db'}") as book:
        assert book.find_submission("toy", "bob").score == toy.FULL  # left as it was


@pytest.mark.slow
def test_points_given_by_hand_stay(handed):
    run(handed)
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{handed[1] / 'gradebook.db'}") as book:
        found = book.find_grade("p3_why", "toy", "toy", "ada")
        found.manual_score, found.needs_manual_grade = 2.0, False
        book.db.commit()
    rows = run(handed)
    assert rows["ada"].score == toy.FULL + 2 and not rows["ada"].by_hand
    assert rows["bob"].by_hand == ["p3_why"]


@pytest.mark.slow
def test_late_days(handed):
    import datetime as dt

    path, folder = handed
    grading.settings(folder)
    toml = (folder / "course.toml").read_text("utf8")
    (folder / "course.toml").write_text(toml.replace("late_days = 0", "late_days = 1"), "utf8")
    for student, days in (("ada", 1), ("bob", 3)):
        stamp = dt.datetime(2027, 2, 1, 12) + dt.timedelta(days=days - 0.5)
        (path / student / "timestamp.txt").write_text(stamp.isoformat(), "utf8")
    rows = run(handed, due=dt.datetime(2027, 2, 1, 12))
    assert (rows["ada"].late, rows["ada"].score) == (1, 8)
    assert rows["bob"].late == 3 and rows["bob"].score == pytest.approx(8 - 2 * 0.1 * 11)


@pytest.mark.slow
def test_zip_files_of_canvas_and_moodle(tmp_path):
    students = {
        "u1": Student("u1", "Ada Lovelace", canvas_id="77"),
        "u2": Student("u2", "Émile O'Neill", moodle_id="5005"),
        "u3": Student("u3", "Grace Hopper"),
    }
    canvas, moodle = tmp_path / "canvas.zip", tmp_path / "moodle.zip"
    with zipfile.ZipFile(canvas, "w") as archive:
        archive.writestr("lovelaceada_77_1234_toy-1.ipynb", toy.text(toy.submission(who="u1")))
        archive.writestr("hoppergrace_LATE_99_1235_toy.ipynb", toy.text(toy.submission(who="u3")))
        archive.writestr("../../evil_1_2_toy.ipynb", b"x")
        archive.writestr("__MACOSX/._toy.ipynb", b"x")
    with zipfile.ZipFile(moodle, "w") as archive:
        archive.writestr(
            "Émile O'Neill_5005_assignsubmission_file/toy.ipynb", toy.text(toy.submission(who="u2"))
        )
    rows = run((canvas, tmp_path / "course"), students=students)
    assert rows["u1"].score == rows["u3"].score == 8 and rows["u2"].score is None
    assert any("late" in flag for flag in rows["u3"].flags)
    assert "evil" in (tmp_path / "course" / "summary" / "toy.html").read_text("utf8")
    assert run((moodle, tmp_path / "course"), students=students)["u2"].score == 8


def test_it_refuses_without_a_sandbox(handed, monkeypatch):
    monkeypatch.setattr(grading, "unavailable", lambda: "bubblewrap is missing: install it.")
    with pytest.raises(grading.NoSandbox, match="install"):
        run(handed)


@pytest.mark.slow
def test_without_walls_only_when_told(handed, monkeypatch):
    monkeypatch.setattr(grading, "unavailable", lambda: "bubblewrap is missing: install it.")
    assert run(handed, walled=False)["ada"].score == toy.FULL


@pytest.mark.parametrize(
    ("words", "says"),
    [({"only_student": "eve"}, "eve"), ({"only_problem": "p9"}, "p1, p2, p3")],
)
def test_what_is_not_there_is_named(handed, words, says):
    with pytest.raises(ValueError, match=says):
        run(handed, **words)


def test_two_runs_do_not_share_a_gradebook(handed):
    with grading.alone(handed[1]), pytest.raises(grading.BadCourse, match="Another run"):
        run(handed)


@pytest.mark.parametrize(
    "text", ["", "salt = 3\nkey = 'x'", "salt = 'a'\nkey = ''", "salt = 'a'\nkey = 'b'\npenalty = 2", "["]
)
def test_a_bad_course_is_refused(tmp_path, text):
    (tmp_path / "course.toml").write_text(text, "utf8")
    with pytest.raises(grading.BadCourse, match=r"course\.toml"):
        grading.settings(tmp_path)


def test_the_key_is_private(tmp_path):
    made = grading.settings(tmp_path)
    assert (tmp_path / "course.toml").stat().st_mode & 0o077 == 0
    assert grading.settings(tmp_path) == made and len(made.course.key) == 64
    assert grading.settings(tmp_path / "other").course.key != made.course.key
