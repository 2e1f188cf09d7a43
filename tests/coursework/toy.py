"""A small assignment, and submissions to it: honest ones, broken ones and cheats."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from claimbook.coursework.source import Assignment, id_of, student_version

SETUP = 'import numpy as np\n\nfrom claimbook import coursework\n\nSALT = "practice"'
SOUP = '''def soup(weights):
    """Return the mean over the first axis."""
    ### BEGIN SOLUTION
    return np.asarray(weights, dtype=float).mean(axis=0)
    ### END SOLUTION


def price(frequencies, share):
    """Return the sum of the rarest ``share`` of frequencies."""
    ### BEGIN SOLUTION
    ordered = np.sort(np.asarray(frequencies, dtype=float))
    return float(ordered[: int(round(share * len(ordered)))].sum())
    ### END SOLUTION'''
MINE = """### BEGIN SOLUTION
my_mean = float(mine.generator("data").normal(size=20).mean())
### END SOLUTION"""
HIDDEN = """# Hidden tests: other sizes.
### BEGIN HIDDEN TESTS
weights = hidden.generator("soup").normal(size=(5, 3))
coursework.expect_close(soup(weights), reference.soup(weights), "over which axis is the mean?")
### END HIDDEN TESTS"""
PRICE = """# Hidden tests: another share.
### BEGIN HIDDEN TESTS
values = hidden.generator("price").random(10)
coursework.expect_close(price(values, 0.3), reference.price(values, 0.3), "which are the rarest?")
### END HIDDEN TESTS"""


def cell(kind: str, name: str, text: str, points: float = 0, markdown: bool = False):
    """Return a cell with nbgrader's metadata."""
    meta = {
        "schema_version": 3,
        "grade_id": name,
        "locked": kind not in ("free", "solution", "written"),
        "task": False,
    }
    meta |= {"grade": bool(points), "solution": kind in ("solution", "written")}
    if points:
        meta["points"] = points
    made = (new_markdown_cell if markdown else new_code_cell)(text, metadata={"nbgrader": meta})
    made["id"] = name.replace("_", "-")
    return made


def assignment() -> Assignment:
    cells = [
        cell("text", "title", "# Assignment: A toy\n", markdown=True),
        cell("setup", "setup", SETUP),
        cell("free", "identity", 'STUDENT = ""  # your id'),
        cell("setup", "personal", 'mine = coursework.Personal(STUDENT, salt=SALT, assignment="toy")'),
        cell("solution", "p1_soup", SOUP),
        cell("tests", "p1_public", 'coursework.expect_close(soup([[1, 2], [3, 4]]), [2, 3], "a mean")', 1),
        cell("hidden", "p1_hidden", HIDDEN, 2),
        cell("hidden", "p1_price", PRICE, 2),
        cell("solution", "p2_mine", MINE),
        cell("tests", "p2_public", 'coursework.expect(abs(my_mean) < 5, "too large")', 1),
        cell(
            "hidden",
            "p2_hidden",
            "### BEGIN HIDDEN TESTS\ncoursework.expect_close(my_mean, reference.my_mean, 'whose numbers?')\n"
            "### END HIDDEN TESTS",
            2,
        ),
        cell("written", "p3_why", "### BEGIN SOLUTION\nBecause.\n### END SOLUTION", 3, markdown=True),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return Assignment("toy", new_notebook(cells=cells, metadata={"kernelspec": kernel}))


FULL = 8  # without the written answer
GOOD = "def soup(weights):\n    return np.mean(np.asarray(weights, dtype=float), axis=0)\n"
RIGHT = """def price(frequencies, share):
    ordered = sorted(frequencies)
    return sum(ordered[: round(share * len(ordered))])
"""
OWN = 'my_mean = mine.generator("data").normal(size=20).mean()'


def submission(soup: str = GOOD + RIGHT, mine: str = OWN, who: str = "ada", why: str = "I think so."):
    """Return a student's notebook with these answers."""
    notebook = student_version(assignment(), "practice")
    for found in notebook.cells:
        text = {"p1_soup": soup, "p2_mine": mine, "identity": f"STUDENT = {who!r}", "p3_why": why}.get(
            id_of(found)
        )
        if text is not None:
            found.source = text
    return notebook


def edited(change, **words):
    """Return a submission whose list of cells went through ``change``."""
    notebook = submission(**words)
    notebook.cells = change(copy.deepcopy(notebook.cells))
    return notebook


def index(cells, name: str) -> int:
    return next(k for k, found in enumerate(cells) if id_of(found) == name)


def weak_tests(cells):
    """Edit a test so that it passes."""
    cells[index(cells, "p1_public")].source = "pass"
    return cells


def without(cells):
    return [found for found in cells if id_of(found) not in ("p1_public", "p1_hidden")]


def doubled(cells):
    return [*cells, copy.deepcopy(cells[index(cells, "p1_hidden")])]


def backwards(cells):
    return [cells[0], *cells[1:4], *reversed(cells[4:])]


def text(notebook) -> bytes:
    return nbformat.writes(notebook).encode()  # as Jupyter stores it, lines apart


def _pieces(name: str) -> dict[str, str]:
    """Return {title: code} from a file of pieces of code under titles."""
    pieces = re.split(r"^== (.*)\n", (Path(__file__).parent / name).read_text("utf8"), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


# Wrong answers that try to be taken for right ones. None of them deserves a point for `soup`.
CHEATS = _pieces("cheats.txt")
# What should cost no more than the tests that touch it: the answers to everything else are right.
ACCIDENTS = _pieces("accidents.txt")
