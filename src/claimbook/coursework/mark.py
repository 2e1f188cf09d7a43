"""Marks one submission: the student's cells run in the sandbox, the tests outside.

A test calls a student's function through a `Proxy`, which sends the arguments into the sandbox as plain data and gets
plain data back. So nothing that a submission does to Python, NumPy, IPython or the tests can touch a mark: only right
answers pass. What ends the student's process costs the tests that called it; the process is started afresh for the
others.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import re
import time
import types
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat.v4 import new_output

from claimbook import coursework
from claimbook.coursework import plain
from claimbook.coursework import source as sources
from claimbook.coursework.sandbox import Dead, Limits, Sandbox, TimeUp
from claimbook.coursework.source import Assignment, id_of, is_solution, is_test

STARTS = 6  # of the student's process, in all
TOTAL = 240.0  # seconds for a submission
# What honest solutions have no use for. A person should look.
ODD = {
    "__builtins__", "builtins", "ctypes", "exec", "eval", "compile", "gc", "get_ipython", "importlib", "inspect",
    "multiprocessing", "NodeTransformer", "open", "os", "plain", "psutil", "requests", "settrace", "setprofile",
    "shutil", "signal", "socket", "subprocess", "sys", "threading", "urllib", "__eq__", "__class__", "__import__",
    "__subclasses__", "_exit", "NotYet", "expect", "expect_close", "expect_claim", "expect_raises", "Hidden",
}  # fmt: skip


@dataclass
class Marked:
    """What came of a submission: the notebook as it ran, points by test cell, and what a person should look at."""

    student: str
    notebook: nbformat.NotebookNode
    scores: dict[str, tuple[float, float]]
    answers: dict[str, str]
    expected: dict[str, str]
    flags: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Course:
    """What seeds personal data (public) and hidden tests (private)."""

    salt: str
    key: str


def merge(assignment: Assignment, salt: str, submitted) -> tuple[list, list[str]]:
    """Put a student's cells into the assignment, whose own cells are taken from the source.

    Parameters
    ----------
    assignment : Assignment
    salt : str
        The course's salt.
    submitted : notebook
        A valid notebook of format 4.

    Returns
    -------
    cells : list of (cell, origin)
        In the order of the source; a student's further cells follow the cell after which they stood. The origin is
        ``"source"`` or ``"student"``.
    flags : list of str
        What was edited, deleted, doubled or moved.
    """
    given = sources.student_version(assignment, salt)
    ours = {id_of(cell): cell for cell in given.cells}
    theirs: dict[str, list] = {}
    extra: dict[str | None, list] = {}
    order, last = [], None
    for cell in submitted.cells:
        name = id_of(cell)
        if name in ours:
            theirs.setdefault(name, []).append(cell)
            last = name
            if name not in order:
                order.append(name)
        elif cell.cell_type in ("code", "markdown"):
            extra.setdefault(last, []).append(cell)
    flags, merged = [], [(cell, "student") for cell in extra.get(None, [])]
    for cell in sources.with_salt(assignment.notebook, salt).cells:
        name = id_of(cell)
        found = theirs.get(name, [])
        free = is_solution(cell) or name == sources.IDENTITY
        what = "test" if is_test(cell) else "solution" if free else "given"
        if not found:
            flags.append(f"the {what} cell {name} was deleted")
        elif len(found) > 1:
            flags.append(f"the {what} cell {name} stands {len(found)} times")
        if free:
            chosen = next((c for c in found if c.cell_type == cell.cell_type), None)
            if found and chosen is None:
                flags.append(f"the solution cell {name} changed its type")
            new = nbformat.from_dict(dict(ours[name], source=chosen.source if chosen else ours[name].source))
            merged.append((new, "student"))
        else:
            if any(c.source.strip() != ours[name].source.strip() for c in found):
                flags.append(f"the {what} cell {name} was edited")
            merged.append((cell, "source"))
        merged += [(c, "student") for c in extra.get(name, [])]
    if order != [name for name in ours if name in order]:
        flags.append("cells were moved")
    return merged, flags


class StudentError(Exception):
    """A student's function raised an exception that is none of Python's own."""


class TooLong(Exception):
    """A student's function took too long, or the submission did."""


class Ended(Exception):
    """A student's function ended its process."""


class Pupil:
    """A student's process, started again when it dies, with the cells that have run so far."""

    def __init__(self, limits: Limits, walled: bool, fonts: Path | None):
        self._new = lambda: Sandbox(limits, walled=walled, fonts=fonts)
        self._box: Sandbox | None = None
        self._ran: list[str] = []
        self._starts = 0
        self._end = time.monotonic() + TOTAL
        self.flags: list[str] = []

    def __enter__(self) -> Pupil:
        return self

    def __exit__(self, *_) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._box is not None:
            self._box.__exit__()
            self._box = None

    def _running(self) -> Sandbox:
        if time.monotonic() > self._end:
            raise TooLong(f"the whole submission ran longer than {TOTAL:g} s")
        if self._box is None:
            if self._starts == STARTS:
                raise Ended(f"the process ended {STARTS} times, and is not started again")
            self._starts += 1
            self._box = self._new().__enter__()
            for code in list(self._ran):
                try:
                    self._box.cell(code)
                except TimeUp as problem:
                    if not problem.alive:
                        raise
        return self._box

    def _guarded(self, what: str, ask):
        """Ask the process; turn its end into an exception that a test reports, and note it."""
        try:
            return ask(self._running())
        except TimeUp as problem:
            self.flags.append(f"{what}: {problem}")
            if not problem.alive:
                self._stop()
            raise TooLong(str(problem)) from None
        except Dead as problem:
            self.flags.append(f"{what}: {problem}")
            self._stop()
            raise Ended(str(problem)) from None

    def run(self, name: str, code: str) -> list:
        """Run a cell and return its outputs."""
        try:
            reply = self._guarded(f"cell {name}", lambda box: box.cell(code))
        except (TooLong, Ended) as problem:
            return [_error(type(problem).__name__, str(problem))]
        self._ran.append(code)
        if reply["dropped"]:
            self.flags.append(f"cell {name}: printed {reply['dropped']} characters too many")
        if any("Passed: " in str(output) for output in reply["outputs"] if isinstance(output, dict)):
            self.flags.append(f"cell {name}: prints what only the grader prints")
        return [valid for output in reply["outputs"][:50] if (valid := _output(output))]

    def value(self, name: str):
        """Return the value of a name, as plain data."""
        return self._data(self._guarded(name, lambda box: box.value(name)), name)

    def call(self, name: str, positional: tuple, named: dict):
        """Return what a student's function returns, as plain data."""
        arguments = plain.encode((positional, named))
        return self._data(self._guarded(name, lambda box: box.call(name, arguments)), name)

    def _data(self, reply: dict, name: str):
        if isinstance(reply.get("dropped"), int) and reply["dropped"] > 0:
            self.flags.append(f"{name}: printed {reply['dropped']} characters too many")
        if isinstance(reply.get("value"), str):
            try:
                return plain.decode(reply["value"])
            except plain.NotPlain as problem:
                raise coursework.NotYet(f"{name}: {problem}.") from None
        kind, message = (*map(str, reply.get("error") or ()), "", "")[:2]
        if kind == "NotPlain":
            raise coursework.NotYet(f"{name} gave {message}.")
        if kind == "MemoryError":
            self.flags.append(f"{name}: asked for more memory than there is")
        if kind == "NotYet":
            raise coursework.NotYet(message)
        if kind == "NotWritten" or (kind == "NameError" and message == f"there is no {name}"):
            raise coursework.NotWritten(name)
        error = getattr(builtins, kind, None)
        if (
            isinstance(error, type)
            and issubclass(error, Exception)
            and error not in (StopIteration, UnicodeError)
        ):
            with contextlib.suppress(TypeError):
                raise error(message)
        raise StudentError(f"{kind}: {message}")


class Proxy:
    """Stands for a student's function in a test."""

    def __init__(self, pupil: Pupil, name: str):
        self._pupil, self.__name__ = pupil, name

    def __call__(self, *positional, **named):
        return self._pupil.call(self.__name__, positional, named)


def _error(kind: str, message: str):
    return new_output("error", ename=kind, evalue=message, traceback=[f"{kind}: {message}"])


def _output(found) -> dict | None:
    """Return an output that came from the sandbox, if it is one."""
    if not isinstance(found, dict):
        return None
    try:
        kind = found["output_type"]
        if kind == "stream":
            made = new_output("stream", name="stdout", text=str(found["text"]))
        elif kind == "error":
            made = _error(str(found["ename"]), str(found["evalue"]))
            made["traceback"] = [str(line) for line in found["traceback"]][:50]
        else:
            data = {k: str(v) for k, v in found["data"].items() if k in ("text/plain", "image/png")}
            made = new_output("display_data", data=data)
        nbformat.validate(made, version=4, ref="output")
    except Exception:
        return None
    return made


def _name_is(cell) -> str:
    return id_of(cell) or "of the student's own"


def oddities(cells: list) -> list[str]:
    """Return a flag for each of a student's cells with something that honest solutions have no use for."""
    found = []
    for cell, origin in cells:
        if origin != "student" or cell.cell_type != "code":
            continue
        words = set(re.findall(r"\w+", cell.source))
        odd = sorted(words & ODD)
        try:
            for node in ast.walk(ast.parse(sources.plain_code(cell.source))):
                if isinstance(node, (ast.Assign, ast.AugAssign)):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    odd += [
                        f"{ast.unparse(target)} ="
                        for target in targets
                        if isinstance(target, ast.Attribute) and _module_like(target)
                    ]
                elif isinstance(node, ast.ClassDef):
                    odd.append(f"class {node.name}")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass  # it does not run either
        if odd:
            found.append(f"cell {_name_is(cell)}: look at {', '.join(dict.fromkeys(odd))}"[:400])
    return found


def _module_like(target: ast.Attribute) -> bool:
    root = target
    while isinstance(root, ast.Attribute):
        root = root.value
    return isinstance(root, ast.Name) and root.id in (
        "np",
        "numpy",
        "torch",
        "scipy",
        "stats",
        "coursework",
        "plt",
    )


def mark(
    assignment: Assignment,
    course: Course,
    student: str,
    submitted,
    *,
    limits: Limits | None = None,
    walled: bool = True,
    fonts: Path | None = None,
    only: str | None = None,
) -> Marked:
    """Run one submission and return its points by test cell.

    Parameters
    ----------
    assignment : Assignment
    course : Course
    student : str
        The id on the roster, which decides the personal numbers whatever the notebook says.
    submitted : notebook
        A valid notebook of format 4; its outputs are ignored.
    limits : Limits, optional
    walled : bool
        Run in the sandbox.
    fonts : Path, optional
        See `Sandbox`.
    only : str, optional
        Evaluate the tests of this problem alone; all cells of the student run.
    """
    start = time.monotonic()
    cells, flags = merge(assignment, course.salt, submitted)
    flags += oddities(cells)
    own = sources.written_by_student(assignment)
    reference = _reference(assignment, course, student)
    scores: dict[str, tuple[float, float]] = {}
    answers: dict[str, str] = {}
    with Pupil(limits or Limits(), walled, fonts) as pupil:
        for count, (cell, origin) in enumerate(cells, 1):
            if cell.cell_type != "code":
                continue
            cell.outputs, cell.execution_count = [], count
            name = id_of(cell)
            if name == sources.IDENTITY:
                said = _who(cell.source)
                if said != student:
                    flags.append(f"the notebook says it is by {said!r}")
                cell.source = f"STUDENT = {student!r}"
                pupil.run(name, cell.source)
            elif origin == "student" or not is_test(cell):
                cell.outputs = pupil.run(_name_is(cell), cell.source)
                if origin == "student" and name:
                    answers |= _answers(pupil, cell, own)
            elif only is None or sources.problem_of(cell) == only:
                points = float(cell.metadata.nbgrader.points)
                cell.outputs = _test(cell, pupil, own, reference, course, student, assignment)
                failed = any(output.output_type == "error" for output in cell.outputs)
                scores[name] = (0.0 if failed else points, points)
        flags += pupil.flags
    notebook = nbformat.v4.new_notebook(
        cells=[cell for cell, _ in cells], metadata=assignment.notebook.metadata
    )
    expected = {name: repr(reference.get(name))[:200] for name in answers}
    flags = list(dict.fromkeys(flags))
    return Marked(student, notebook, scores, answers, expected, flags, time.monotonic() - start)


def _who(text: str) -> str | None:
    """Return the id that a student wrote, without running anything."""
    try:
        for node in ast.parse(text).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                return str(node.value.value)
    except (SyntaxError, ValueError):
        pass
    return None


def _reference(assignment: Assignment, course: Course, student: str) -> dict:
    """Run the solution with the student's personal data and return its names."""
    names: dict = {"__name__": "__main__"}
    for cell in sources.with_salt(assignment.notebook, course.salt).cells:
        if cell.cell_type != "code" or is_test(cell):
            continue
        text = cell.source if id_of(cell) != sources.IDENTITY else f"STUDENT = {student!r}"
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(sources.plain_code(text), f"<{id_of(cell)}>", "exec"), names)
    return names


def _answers(pupil: Pupil, cell, own: dict[str, bool]) -> dict[str, str]:
    """Return the numbers that a student states in a solution cell, to be compared between students."""
    found = {}
    try:
        for node in ast.parse(sources.plain_code(cell.source)).body:
            for target in getattr(node, "targets", []):
                if isinstance(target, ast.Name) and own.get(target.id) is False:
                    found[target.id] = repr(pupil.value(target.id))[:200]
    except Exception:
        return found
    return found


def _test(
    cell,
    pupil: Pupil,
    own: dict[str, bool],
    reference: dict,
    course: Course,
    student: str,
    assignment: Assignment,
) -> list:
    """Evaluate a test cell outside the sandbox and return its outputs: an error if it does not pass."""
    names = {name: value for name, value in reference.items() if name not in own}
    names["reference"] = types.SimpleNamespace(**{n: reference[n] for n in own if n in reference})
    names["hidden"] = coursework.Hidden(course.key, student=student, assignment=assignment.id)
    said = io.StringIO()
    try:
        needed = {n.id for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Name)} & set(own)
        for name in needed:
            names[name] = Proxy(pupil, name) if own[name] else pupil.value(name)
        with contextlib.redirect_stdout(said):
            exec(compile(cell.source, f"<{id_of(cell)}>", "exec"), names)
    except Exception as problem:
        return [_error(type(problem).__name__, str(problem)[:2000])]
    points = cell.metadata.nbgrader.points
    return [new_output("stream", name="stdout", text=f"{said.getvalue()[:2000]}Passed: {points:g} points.\n")]
