"""What the site tells of the assignments: read from their source notebooks, without nbgrader."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes

from claimbook.site import draw

CARD = re.compile(r"^\|\s*\d[^|]*\|\s*\d\s*\|\s*(\d+)\s*\|", re.MULTILINE)  # points, difficulty, minutes
CAPSTONE = "capstone"


@dataclass(frozen=True)
class Facts:
    """One assignment: its id, title, points, minutes and problems' titles."""

    id: str
    title: str
    points: int
    minutes: int
    problems: tuple[str, ...]


def read(folder: Path) -> list[Facts]:
    """Return the assignments of a folder; the capstone last."""
    found = [_facts(path) for path in sorted(folder.glob("*.ipynb"))]
    return sorted(found, key=lambda facts: (facts.id == CAPSTONE, facts.title))


def _facts(path: Path) -> Facts:
    cells = json.loads(path.read_text("utf8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    cards = [match for text in texts for match in CARD.finditer(text)]
    return Facts(
        path.stem,
        texts[0].splitlines()[0].removeprefix("# ").removeprefix("Assignment: "),
        int(sum(cell["metadata"].get("nbgrader", {}).get("points", 0) for cell in cells)),
        sum(int(match[1]) for match in cards),
        tuple(m[1] for text in texts for m in re.finditer(r"^## Problem \d+\. (.*)$", text, re.MULTILINE)),
    )


def table(found: list[Facts], to_top: str, chapters: dict[str, nodes.Node]) -> list[nodes.Node]:
    """Draw the assignments.

    Parameters
    ----------
    found : list of Facts
    to_top : str
        The way from the page to the site's top.
    chapters : dict
        A link to the chapter of each assignment that has one.
    """
    rows = []
    for facts in found:
        load = nodes.reference(
            "", "Download", refuri=f"{to_top}_static/coursework/{facts.id}.ipynb", internal=True, download=""
        )
        title = [draw.paragraph(draw.text(facts.title, "cb-title"))]
        title.append(draw.paragraph(" · ".join(facts.problems), classes=["cb-small"]))
        chapter = chapters.get(facts.id)
        rows.append(
            [
                title,
                [draw.paragraph(chapter)] if chapter is not None else "any open row of the map",
                f"{facts.minutes} min" if facts.minutes else "–",
                str(facts.points),
                [draw.paragraph(load)],
            ]
        )
    return [
        draw.table(
            ["Assignment", "Chapter", "Time", "Points", ""],
            rows,
            "cb-rows cb-coursework",
            [42, 26, 10, 9, 13],
        )
    ]
