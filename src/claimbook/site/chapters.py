"""Chapters on their way to a page: what is added to a notebook when it is drawn, and what is wrong with it."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

from claimbook.evidence import lock, records
from claimbook.site import explorables

VERDICT = re.compile(r"^\s*chapter\.verdict\(\)", re.MULTILINE)
FIRST_HEADING = re.compile(r"^# +(.+?) *$", re.MULTILINE)
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
CODE_BLOCK = re.compile(r"^(```+|~~~+|:::+).*?^\1\s*$", re.MULTILINE | re.DOTALL)
KNOW_FIRST = re.compile(r"^(\| \*\*Know first\*\* \| ).*\|$", re.MULTILINE)
HELD = """\
(held-{id})=
{level} How often it held

```{{how-often-held}} {id}
```
"""
# How an output of the evidence begins, and the tag by which the style sheet knows its cell.
DRAWN = (
    ("| **Claim** |", "claim-card"),
    ("| part |", "check-table"),
    ("| part of the claim |", "verdict-table"),
)


def read(path: Path) -> dict:
    """Return a notebook as plain data."""
    path = Path(path)
    return _read(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=64)
def _read(path: str, mtime: int) -> dict:
    return json.loads(Path(path).read_text("utf8"))


def title(notebook: dict) -> str | None:
    """Return a notebook's first heading, as text."""
    for cell in notebook["cells"]:
        found = FIRST_HEADING.search(records.source(cell)) if cell["cell_type"] == "markdown" else None
        if found:
            return re.sub(r"[*`]", "", found[1])
    return None


def complete(text: str, name: str, contents) -> tuple[str, list[str]]:
    """Complete a chapter's notebook for its page.

    Parameters
    ----------
    text : str
        The notebook as JSON.
    name : str
        Where it stands in the book's folder, such as ``memorization/long_tail``.
    contents : claimbook.site.contents.Contents

    Returns
    -------
    (str, list of str)
        The notebook to draw, and what is wrong with the stored one.
    """
    identifier = name.rpartition("/")[2]
    registry = contents.registry
    notebook = json.loads(text)
    if explorables.put_in(notebook):
        text = json.dumps(notebook, ensure_ascii=False)
    if identifier in registry.primers and registry.notebook(identifier) == f"{name}.ipynb":
        return text, []
    claim = registry.claims.get(identifier)
    if claim is None:
        return text, [f"{name}.ipynb is no chapter: the registry has no row {identifier!r}."]
    problems = []
    if claim.notebook != f"{name}.ipynb":
        problems.append(f"{name}.ipynb should stand at {claim.notebook}, where the registry has it.")
    problems += faults(identifier, notebook, lock.revisions(identifier, contents.records))
    for cell in notebook["cells"]:
        _tag(cell)
        _link_needs(cell, claim, contents)
    place = _verdict_cell(notebook)
    if place is None:
        problems.append(f"{name}.ipynb has no cell that calls chapter.verdict().")
    else:
        section = HELD.format(id=identifier, level="#" * (_level(notebook["cells"][:place]) + 1))
        notebook["cells"].insert(place + 1, _markdown_cell(section, notebook))
    return json.dumps(notebook, ensure_ascii=False), problems


def faults(identifier: str, notebook: dict, revisions: list[dict]) -> list[str]:
    """Return what is wrong with a chapter's stored evidence."""
    again = f"run it with `make run CHAPTER={identifier}`"
    evidence = records.stored(notebook)
    if evidence is None:
        return [f"The chapter {identifier!r} is stored without evidence: {again}."]
    if evidence["chapter"] != identifier:
        return [f"The notebook of {identifier!r} holds the evidence of {evidence['chapter']!r}."]
    if revisions and evidence["lock"] != revisions[-1]["hash"]:
        return [f"The stored run of {identifier!r} belongs to another lock than its last one: {again}."]
    return []


def _verdict_cell(notebook: dict) -> int | None:
    cells = list(enumerate(notebook["cells"]))
    found = [k for k, cell in cells if cell["cell_type"] == "code" and VERDICT.search(records.source(cell))]
    return found[-1] if found else None


def _level(cells: list[dict]) -> int:
    """Return the level of the section in which the last of these cells stands."""
    texts = [CODE_BLOCK.sub("", records.source(cell)) for cell in cells if cell["cell_type"] == "markdown"]
    headings = [heading for text in texts for heading in HEADING.findall(text)]
    return len(headings[-1]) if headings else 1


def _tag(cell: dict) -> None:
    """Tag a cell whose output the evidence drew."""
    for output in cell.get("outputs", []):
        drawn = output.get("data", {}).get("text/markdown", "")
        drawn = "".join(drawn) if isinstance(drawn, list) else drawn
        for beginning, tag in DRAWN:
            if drawn.startswith(beginning):
                cell["metadata"]["tags"] = sorted({*records.tags(cell), tag})


def _link_needs(cell: dict, claim, contents) -> None:
    """Let what the claim card says to know first link to primers, to chapters, and to the map for open rows."""
    if "claim-card" not in records.tags(cell):
        return
    links = "; ".join(contents.link_to(need) for need in claim.needs)
    for output in cell["outputs"]:
        drawn = output.get("data", {}).get("text/markdown")
        if drawn and links:
            drawn = "".join(drawn) if isinstance(drawn, list) else drawn
            output["data"]["text/markdown"] = KNOW_FIRST.sub(lambda found: f"{found[1]}{links} |", drawn)


def _markdown_cell(text: str, notebook: dict) -> dict:
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    if (notebook.get("nbformat", 4), notebook.get("nbformat_minor", 0)) >= (4, 5):
        cell["id"] = "how-often-it-held"
    return cell
