"""Grades a batch of submissions into nbgrader's gradebook, with feedback for each student and a summary.

Submissions run in parallel, each in its own sandbox. The gradebook is written by one process, a student at a time, so
that an interrupted run keeps what it has graded.
"""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import html
import io
import logging
import math
import os
import re
import secrets
import signal
import sys
import tomllib
import warnings
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import nbformat

from claimbook.coursework import source as sources
from claimbook.coursework.collect import BadSubmissions, Student, Submission, collect
from claimbook.coursework.mark import TOTAL, Course, Marked, mark
from claimbook.coursework.sandbox import Limits, NoSandbox, unavailable
from claimbook.coursework.source import Assignment, id_of, is_graded, is_solution, is_test
from claimbook.evidence.lock import write_atomically

HIDDEN = re.compile(r"### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS", re.DOTALL)
UNWALLED = "I trust every submission"
COURSE = """\
# Set once, before the first notebook is handed out. Keep this file private: with the key, hidden tests can be foreseen.
salt = {salt!r}  # public: stands in every student's notebook
key = {key!r}  # private
late_days = 0  # free ones for each student, over the whole course
penalty = 0.1  # of the points, for each late day beyond these
"""
NBGRADER = """\
# Lets nbgrader's own tools open this folder, for marking written answers: `jupyter lab`, then Nbgrader, Formgrader.
from pathlib import Path

c = get_config()  # noqa: F821
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
c.CourseDirectory.db_url = "sqlite:///" + str(Path(__file__).resolve().parent / "gradebook.db")
"""


class BadCourse(ValueError):
    """A course folder that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """What a course's ``course.toml`` says."""

    course: Course
    late_days: int = 0
    penalty: float = 0.1


@dataclass
class Result:
    """A student's row in the summary."""

    student: str
    file: str = ""
    score: float | None = None
    possible: float = 0.0
    by_hand: list[str] = field(default_factory=list)
    problems: dict[str, float] = field(default_factory=dict)
    late: int = 0
    penalty: float = 0.0
    flags: list[str] = field(default_factory=list)
    seconds: float = 0.0


def settings(folder: Path, salt: str | None = None) -> Settings:
    """Read a course's settings; make them, with a key of its own, where there are none.

    Raises
    ------
    BadCourse
        If ``course.toml`` cannot be used; the message says why.
    """
    path = folder / "course.toml"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf8") as file:
            file.write(COURSE.format(salt=salt or "practice", key=secrets.token_hex(32)))
    try:
        said = tomllib.loads(path.read_text("utf8"))
        found = Settings(
            Course(said["salt"], said["key"]), int(said.get("late_days", 0)), float(said.get("penalty", 0.1))
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as problem:
        raise BadCourse(f"{path} cannot be used: {problem}.") from None
    if not all(isinstance(word, str) and word for word in (found.course.salt, found.course.key)):
        raise BadCourse(f"{path}: salt and key are strings that are not empty.")
    if found.late_days < 0 or not 0 <= found.penalty <= 1:
        raise BadCourse(f"{path}: late_days is not negative, and penalty lies between 0 and 1.")
    return found


def _mark(assignment: Assignment, course: Course, submission: Submission, options: dict) -> Marked:
    """Mark one submission, in a process of the pool, within a time that no trick can stretch."""

    def ring(*_):
        raise TimeoutError(f"grading took longer than {2 * TOTAL:g} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(int(2 * TOTAL))
    try:
        return mark(assignment, course, submission.student, submission.notebook, **options)
    finally:
        signal.alarm(0)


def grade(
    path: Path,
    assignment: Assignment,
    folder: Path,
    *,
    students: dict[str, Student] | None = None,
    due: dt.datetime | None = None,
    only_student: str | None = None,
    only_problem: str | None = None,
    jobs: int | None = None,
    walled: bool = True,
    limits: Limits | None = None,
    progress: bool = True,
) -> list[Result]:
    """Grade all submissions of an assignment, and return a row for each student.

    Parameters
    ----------
    path : Path
        A folder or zip; see `collect`.
    assignment : Assignment
    folder : Path
        The course's: settings, gradebook, submissions as they ran, feedback, summary.
    students : dict, optional
        The roster.
    due : datetime, optional
        When the assignment was due, in the clock of the submissions.
    only_student, only_problem : str, optional
        Grade these again and leave the rest as it is.
    jobs : int, optional
        How many submissions run at once; the cores at hand by default.
    walled : bool
        Run them in the sandbox.
    limits : Limits, optional
    progress : bool
        Show a bar.

    Raises
    ------
    NoSandbox, BadCourse, BadSubmissions
        With a sentence that says what to do.
    """
    if walled and (reason := unavailable()):
        raise NoSandbox(reason)
    if only_problem and only_problem not in assignment.problems():
        raise BadSubmissions(
            f"{assignment.id} has no problem {only_problem!r}: {', '.join(assignment.problems())}."
        )
    submissions, nobody = collect(path, assignment, students)
    if only_student:
        submissions = [s for s in submissions if s.student == only_student]
        if not submissions:
            raise BadSubmissions(f"Nobody with the id {only_student!r} is in {path} or on the roster.")
    if not submissions:
        raise BadSubmissions(f"{path} holds no notebooks.")
    with alone(folder), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Object of type .* not in session")  # of nbgrader's making
        course = settings(folder)
        options = {
            "walled": walled,
            "limits": limits or Limits(),
            "only": only_problem,
            "fonts": _fonts(folder),
        }
        book = Book(folder, assignment, course, students or {}, due)
        rows: dict[str, Result] = {}
        marked: dict[str, Marked] = {}
        for submission, outcome in _run(assignment, course.course, submissions, options, jobs, progress):
            if isinstance(outcome, Marked):
                marked[submission.student] = outcome
            rows[submission.student] = book.record(submission, outcome, only_problem)
        for student, flags in alike(assignment, course.course, marked).items():
            rows[student].flags += flags
        results = [rows[s.student] for s in submissions]
        _summary(folder, assignment, results, nobody, students or {}, partial=bool(only_student))
    return results


def _run(assignment, course, submissions, options, jobs, progress):
    """Yield each submission with what came of it: `Marked`, or a sentence."""
    from tqdm import tqdm

    waiting = [s for s in submissions if s.notebook is not None]
    yield from ((s, s.problem) for s in submissions if s.notebook is None)
    bar = tqdm(total=len(waiting), unit="submission", disable=None if progress else True)
    alone = False
    while waiting:
        workers = 1 if alone else max(1, min(jobs or os.cpu_count() or 1, len(waiting)))
        batch, broken = (waiting[:1] if alone else waiting), False
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            running = {pool.submit(_mark, assignment, course, s, options): s for s in batch}
            for future in as_completed(running):
                submission = running[future]
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    broken = True
                    if not alone:
                        continue  # the others are tried again, one by one
                    outcome = "the process that grades ended"
                except Exception as problem:
                    outcome = f"it could not be graded: {type(problem).__name__}: {problem}"
                waiting.remove(submission)
                bar.update()
                yield submission, outcome
        alone = alone or broken
    bar.close()


def alike(assignment: Assignment, course: Course, marked: dict[str, Marked]) -> dict[str, list[str]]:
    """Return flags for students whose personal answers, or whose code, are those of another student."""
    flags: dict[str, list[str]] = defaultdict(list)
    same: dict[tuple, list[str]] = defaultdict(list)
    for student, one in marked.items():
        for name, answer in one.answers.items():
            if len(answer) > 6:  # a short answer is nobody's own
                same[name, answer].append(student)
    for (name, answer), students in same.items():
        if len(students) > 1 and len({marked[s].expected.get(name) for s in students}) == len(students):
            for student in students:
                others = ", ".join(s for s in students if s != student)
                flags[student].append(
                    f"{name} = {answer} is also the answer of {others}, whose numbers differ"
                )
    codes: dict[str, list[str]] = defaultdict(list)
    published = {cell.source.strip() for cell in assignment.notebook.cells}
    for student, one in marked.items():
        own = [
            cell.source.strip()
            for cell in one.notebook.cells
            if cell.cell_type == "code" and is_solution(cell) and "NotWritten" not in cell.source
        ]
        own = [text for text in own if text not in published]
        if sum(map(len, own)) > 300:
            codes["\n".join(re.sub(r"#.*|\s+", "", text) for text in own)].append(student)
    for students in codes.values():
        for student in students if len(students) > 1 else ():
            flags[student].append(f"the code is that of {', '.join(s for s in students if s != student)}")
    return flags


class Book:
    """A course's gradebook, and the notebooks and pages beside it."""

    def __init__(self, folder, assignment, course, students, due):
        from nbgrader.api import Gradebook
        from nbgrader.preprocessors import CheckCellMetadata, ComputeChecksums, LockCells, SaveCells

        logging.getLogger("nbgrader").setLevel(logging.ERROR)
        tools = str(Path(sys.executable).parent)  # nbgrader calls alembic by its name
        if tools not in os.environ.get("PATH", "").split(os.pathsep):
            os.environ["PATH"] = tools + os.pathsep + os.environ.get("PATH", os.defpath)
        self.folder, self.assignment, self.settings = folder, assignment, course
        self.students, self.due = students, due
        self.url = f"sqlite:///{folder / 'gradebook.db'}"
        self.resources = {
            "nbgrader": {"assignment": assignment.id, "notebook": assignment.id, "db_url": self.url}
        }
        with Gradebook(self.url) as book:
            book.update_or_create_assignment(assignment.id, **({"duedate": due.isoformat()} if due else {}))
        notebook = sources.with_salt(assignment.notebook, course.course.salt)
        for step in (LockCells(), CheckCellMetadata(), ComputeChecksums(), SaveCells()):
            try:
                notebook, _ = step.preprocess(notebook, self.resources)
            except RuntimeError:
                raise BadCourse(
                    f"The cells of {assignment.id} have changed since submissions were graded: grade them into "
                    f"another course folder, or give the assignment another name."
                ) from None
        self.given = sources.student_version(assignment, course.course.salt)
        write_atomically(
            folder / "source" / assignment.id / f"{assignment.id}.ipynb", nbformat.writes(notebook)
        )
        write_atomically(
            folder / "release" / assignment.id / f"{assignment.id}.ipynb", nbformat.writes(self.given)
        )
        if not (folder / "nbgrader_config.py").exists():
            write_atomically(folder / "nbgrader_config.py", NBGRADER)

    def record(self, submission: Submission, outcome: Marked | str, only: str | None) -> Result:
        """Write what came of a submission into gradebook and feedback, and return the student's row."""
        from nbgrader.api import Gradebook

        result = Result(submission.student, submission.file, possible=self.assignment.points)
        result.flags += submission.flags
        if isinstance(outcome, str):
            result.flags.append(outcome)
        else:
            result.flags += outcome.flags
            result.seconds = outcome.seconds
        if isinstance(outcome, str) and (not submission.file or only):
            return result  # nothing was handed in, or nothing is to be changed
        name = self.assignment.id
        with Gradebook(self.url) as book:
            self._student(book, submission.student)
            stamp = submission.time or dt.datetime.now().replace(microsecond=0)
            book.update_or_create_submission(name, submission.student, timestamp=stamp.isoformat())
            for cell in self.assignment.notebook.cells:
                if is_graded(cell):
                    found = book.find_grade(id_of(cell), name, name, submission.student)
                    self._points(found, cell, outcome)
            book.db.commit()
            sheet = book.find_submission_notebook(name, name, submission.student)
            result.late, lateness = self._late(book, submission.student, stamp)
            result.penalty = min(sheet.score, lateness * self.assignment.points)
            sheet.late_submission_penalty = result.penalty or None
            book.db.commit()
            result.score = sheet.score - result.penalty
            for found in sheet.grades:
                problem = found.name.partition("_")[0]
                result.problems[problem] = result.problems.get(problem, 0.0) + found.score
                if found.needs_manual_grade:
                    result.by_hand.append(found.name)
        if isinstance(outcome, Marked):
            try:
                self._keep(submission, outcome, only)
            except Exception as problem:  # the points stand, and the batch goes on
                result.flags.append(
                    f"no feedback could be written: {type(problem).__name__}: {problem}"[:300]
                )
        return result

    def _student(self, book, student: str) -> None:
        known = self.students.get(student)
        last, _, first = (known.name if known else "")[::-1].partition(" ")
        book.update_or_create_student(
            student,
            first_name=first[::-1] or None,
            last_name=last[::-1] or None,
            email=known.email if known else None,
        )

    def _points(self, found, cell, outcome: Marked | str) -> None:
        """Set the automatic points of one cell; what a person gave stays, and is shown again to that person."""
        name = id_of(cell)
        if is_test(cell):
            if isinstance(outcome, str):
                found.auto_score, found.needs_manual_grade = 0.0, found.manual_score is not None
            elif name in outcome.scores:
                found.auto_score = outcome.scores[name][0]
                found.needs_manual_grade = found.manual_score is not None
            return
        if isinstance(outcome, str):
            found.auto_score, found.needs_manual_grade = 0.0, found.manual_score is not None
            return
        written = next((c for c in outcome.notebook.cells if id_of(c) == name), None)
        given = next(c for c in self.given.cells if id_of(c) == name)
        empty = written is None or written.source.strip() == given.source.strip()
        found.auto_score = 0.0 if empty else None
        found.needs_manual_grade = found.manual_score is None and not empty

    def _late(self, book, student: str, stamp: dt.datetime) -> tuple[int, float]:
        """Return how many days late, and the share of the points that this costs."""
        late = _days(stamp, self.due)
        if not late:
            return 0, 0.0
        used = 0
        for other in book.assignments:
            if other.name != self.assignment.id and other.duedate:
                for submission in other.submissions:
                    if submission.student_id == student:
                        used += _days(submission.timestamp, other.duedate)
        free = max(0, self.settings.late_days - used)
        return late, min(1.0, max(0, late - free) * self.settings.penalty)

    def _keep(self, submission: Submission, outcome: Marked, only: str | None) -> None:
        """Store the notebook as it was handed in and as it ran, and the student's feedback."""
        name, student = self.assignment.id, submission.student
        where = Path(student) / name / f"{name}.ipynb"
        ran = self.folder / "autograded" / where
        if only and ran.exists():
            before = {id_of(c): c for c in nbformat.read(ran, as_version=4).cells if id_of(c)}
            for cell in outcome.notebook.cells:
                if is_test(cell) and id_of(cell) not in outcome.scores and id_of(cell) in before:
                    cell.outputs = before[id_of(cell)].get("outputs", [])
        write_atomically(self.folder / "submitted" / where, nbformat.writes(submission.notebook))
        write_atomically(ran, nbformat.writes(outcome.notebook))
        page = self.feedback(student, outcome.notebook)
        write_atomically(self.folder / "feedback" / where.with_suffix(".html"), page)

    def feedback(self, student: str, notebook) -> str:
        """Return a student's page: the notebook as it ran, points and comments, without the hidden tests."""
        import nbgrader
        from nbconvert.exporters import HTMLExporter
        from nbgrader.preprocessors import GetGrades
        from traitlets.config import Config

        shown = nbformat.from_dict(notebook)
        for cell in shown.cells:
            if cell.cell_type == "code":
                cell.source = HIDDEN.sub("# (hidden)", cell.source)
        config = Config()
        config.HTMLExporter.template_name = "feedback"
        pages = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader"
        config.HTMLExporter.extra_template_basedirs = [str(pages / "templates")]
        config.HTMLExporter.extra_template_paths = [
            str(pages / "static" / "node_modules" / "bootstrap" / "dist" / "css")
        ]
        config.HTMLExporter.sanitize_html = True
        exporter = HTMLExporter(config=config)
        exporter.register_preprocessor(GetGrades(parent=exporter), enabled=True)
        resources = {
            "metadata": {"name": self.assignment.id},
            "nbgrader": {**self.resources["nbgrader"], "student": student},
        }
        page = exporter.from_notebook_node(shown, resources=resources)[0]
        return re.sub(r"<script[^>]*\bsrc=[^>]*>\s*</script>", "", page)  # nothing is fetched from elsewhere


def _days(stamp: dt.datetime | None, due: dt.datetime | None) -> int:
    """Return how many days, begun ones included, lie between."""
    if stamp is None or due is None or stamp <= due:
        return 0
    return math.ceil((stamp - due) / dt.timedelta(days=1))


def _fonts(folder: Path) -> Path | None:
    """Return a folder with Matplotlib's list of fonts, which each sandbox copies instead of making its own."""
    try:
        import matplotlib
        import matplotlib.font_manager
    except ImportError:
        return None
    made = sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))
    if not made:
        return None
    kept = folder / "cache"
    write_atomically(kept / made[-1].name, made[-1].read_text("utf8"))
    return kept.resolve()


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a course's folder: two runs at once would write into each other's gradebook."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BadCourse(f"Another run is grading into {folder}: wait until it is done.") from None
        yield


def _summary(
    folder, assignment, results: list[Result], nobody: list[str], students, *, partial: bool
) -> None:
    """Write ``summary/<assignment>.csv`` and ``.html``, and the gradebook's own export ``grades.csv``."""
    from nbgrader.api import Gradebook
    from nbgrader.plugins import CsvExportPlugin

    problems = list(assignment.problems())
    head = ["id", "name", "email", "canvas_id", "moodle_id", "score", "max_score", *problems]
    head += ["days_late", "late_penalty", "to_mark_by_hand", "look_at", "file"]
    table = []
    for row in results:
        known = students.get(row.student, Student(row.student))
        line = [row.student, known.name, known.email, known.canvas_id, known.moodle_id]
        line += ["" if row.score is None else f"{row.score:g}", f"{row.possible:g}"]
        line += [f"{row.problems[p]:g}" if p in row.problems else "" for p in problems]
        line += [row.late, f"{row.penalty:g}", " ".join(row.by_hand), "; ".join(row.flags), row.file]
        table.append([_harmless(item) for item in line])
    name = f"{assignment.id}.again" if partial else assignment.id
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head, *table])
    write_atomically(folder / "summary" / f"{name}.csv", text.getvalue())
    cells = ["<tr>" + "".join(f"<th scope='col'>{html.escape(word)}</th>" for word in head) + "</tr>"]
    cells += [
        "<tr>" + "".join(f"<td>{html.escape(str(word))}</td>" for word in line) + "</tr>" for line in table
    ]
    lost = "".join(f"<li>{html.escape(file)}</li>" for file in nobody)
    page = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(assignment.title)}</title>"
        "<style>body{font-family:sans-serif}table{border-collapse:collapse}td,th{border:1px solid #999;padding:.3em;"
        "text-align:left;vertical-align:top}</style>"
        f"<h1>{html.escape(assignment.title)}</h1><table>{''.join(cells)}</table>"
        + (f"<h2>Files of nobody on the roster</h2><ul>{lost}</ul>" if lost else "")
        + "</html>\n"
    )
    write_atomically(folder / "summary" / f"{name}.html", page)
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        CsvExportPlugin(to=str(folder / "grades.csv")).export(book)


def _harmless(item) -> str:
    """Return text that no spreadsheet takes for a formula."""
    text = str(item)
    return (
        f"'{text}"
        if text[:1] in ("=", "+", "-", "@", "\t") and not re.fullmatch(r"[-+]?\d+(\.\d+)?", text)
        else text
    )
