"""An assignment's source notebook, and the versions that come of it, made by nbgrader's own preprocessors."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat

STUB = "raise coursework.NotWritten()"
IDENTITY = "identity"
SALT = re.compile(r"^SALT = .*$", re.MULTILINE)
ID = re.compile(r"[a-z][a-z0-9_]*")


class BadSource(ValueError):
    """A source notebook that cannot be assigned."""


@dataclass(frozen=True)
class Assignment:
    """One source notebook: its id and its cells, solutions and hidden tests included."""

    id: str
    notebook: nbformat.NotebookNode

    @property
    def points(self) -> float:
        return sum(cell.metadata.nbgrader.points for cell in self.notebook.cells if is_graded(cell))

    @property
    def title(self) -> str:
        return self.notebook.cells[0].source.splitlines()[0].removeprefix("# ").removeprefix("Assignment: ")

    def problems(self) -> dict[str, float]:
        """Return the points of each problem: the part of its cells' ids before the first underscore."""
        points: dict[str, float] = {}
        for cell in self.notebook.cells:
            if is_graded(cell):
                name = problem_of(cell)
                points[name] = points.get(name, 0) + cell.metadata.nbgrader.points
        return points


def id_of(cell) -> str | None:
    """Return a cell's nbgrader id, or None."""
    found = cell.get("metadata", {}).get("nbgrader", {})
    name = found.get("grade_id") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def problem_of(cell) -> str:
    return id_of(cell).partition("_")[0]


def is_graded(cell) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def is_solution(cell) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def is_test(cell) -> bool:
    return cell.cell_type == "code" and is_graded(cell) and not is_solution(cell)


def read(path: Path) -> Assignment:
    """Read and check a source notebook.

    Raises
    ------
    BadSource
        If the notebook lacks what assigning and grading need; the message says what.
    """
    if not ID.fullmatch(path.stem):
        raise BadSource(f"{path.name}: an assignment's id consists of a-z, 0-9 and _.")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as problem:
        raise BadSource(f"{path} is not a notebook: {problem}") from problem
    found = Assignment(path.stem, notebook)
    problems = list(_problems(found))
    if problems:
        raise BadSource("\n".join(f"{path.name}: {problem}" for problem in problems))
    return found


def _problems(assignment: Assignment) -> Iterator[str]:
    cells = assignment.notebook.cells
    names = [id_of(cell) for cell in cells]
    if not cells or cells[0].cell_type != "markdown" or not cells[0].source.startswith("# "):
        yield "the first cell should be Markdown and begin with a heading."
    for position, name in enumerate(names):
        if name is None:
            yield f"cell {position + 1} has no nbgrader id."
        elif names.count(name) > 1 and names.index(name) == position:
            yield f"two cells have the id {name}."
    if IDENTITY not in names:
        yield f"no cell has the id {IDENTITY}, in which students write who they are."
    if any(is_solution(cell) for cell in cells if id_of(cell) == IDENTITY):
        yield f"{IDENTITY} is an ordinary cell, not a solution: students see what stands in it."
    if not any(cell.cell_type == "code" and SALT.search(cell.source) for cell in cells):
        yield "no cell has a line that begins with SALT =."
    for cell in cells:
        if cell.cell_type != "code":
            continue
        for mark in ("SOLUTION", "HIDDEN TESTS"):
            begins, ends = (cell.source.count(f"### {word} {mark}") for word in ("BEGIN", "END"))
            if begins != ends:
                yield f"{id_of(cell)}: {begins} begin and {ends} end marks of {mark}."
        if not is_test(cell) and not is_solution(cell) and "### BEGIN" in cell.source:
            yield f"{id_of(cell)}: only solutions and tests hide something."
        public = re.sub(r"### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS", "", cell.source, flags=re.DOTALL)
        try:
            words = {
                node.id for node in ast.walk(ast.parse(plain_code(public))) if isinstance(node, ast.Name)
            }
        except SyntaxError as problem:
            yield f"{id_of(cell)}: {problem}."
            continue
        for word in sorted(words & {"hidden", "reference"}):
            yield f"{id_of(cell)}: students would see the name {word}, which only hidden tests know."


def plain_code(source: str) -> str:
    """Return a cell's code without magics and shell commands."""
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in source.splitlines())


def written_by_student(assignment: Assignment) -> dict[str, bool]:
    """Return what the solution cells define at top level, and whether each is a function."""
    found: dict[str, bool] = {}
    for cell in assignment.notebook.cells:
        if cell.cell_type != "code" or not is_solution(cell) or id_of(cell) == IDENTITY:
            continue
        for node in ast.parse(plain_code(cell.source)).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = True
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for name in (n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)):
                    found.setdefault(name.id, False)
    return found


def with_salt(notebook, salt: str):
    """Return a copy in which the course's salt stands in place of the one in the source."""
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = SALT.sub(lambda _: f"SALT = {json.dumps(salt)}", cell.source)
    return notebook


def student_version(assignment: Assignment, salt: str):
    """Return the notebook that students get: no solutions, no hidden tests, tests locked."""
    from nbgrader.preprocessors import (
        CheckCellMetadata,
        ClearHiddenTests,
        ClearOutput,
        ClearSolutions,
        ComputeChecksums,
        LockCells,
    )

    notebook = with_salt(assignment.notebook, salt)
    steps = [LockCells(), ClearSolutions(), ClearOutput(), CheckCellMetadata(), ClearHiddenTests()]
    steps[1].code_stub = {"python": STUB}
    steps[1].text_stub = "*Write your answer here.*"
    for step in [*steps, ComputeChecksums(), CheckCellMetadata()]:
        notebook, _ = step.preprocess(notebook, {})
    return notebook


def folder(path: Path | None = None) -> dict[str, Assignment]:
    """Return the assignments of a folder by id; by default the book's own."""
    path = path or Path(__file__).resolve().parents[3] / "assignments"
    if not path.is_dir():
        raise BadSource(f"There is no folder {path}.")
    found = [read(file) for file in sorted(path.glob("*.ipynb"))]
    if not found:
        raise BadSource(f"{path} holds no notebooks.")
    return {assignment.id: assignment for assignment in found}
