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
REFERENCES = re.compile(r"^#+ References\s*$", re.MULTILINE)
HOW = "guide/how_to_run.md"
TOP = "[Held under {held} of {seeds} fresh seeds](held-{id}) · [run it, cite it](run-{id}) · [read on](next-{id})"
RUN = """\
(run-{id})=
## Run it, cite it, read on

In a clone of the book{how}:

```bash
# open {path}
make lab
# run it, and compare every output with what stands here
make notebooks CHAPTER={id}
# repeat it under seeds that nobody has looked at
make trust CHAPTER={id} SEEDS=20
```

The button at the top of this page downloads the notebook alone. It needs the package: in a clone,
`pip install -e ".[run]"`.

To cite this chapter (and, please, its paper):

```bibtex
@incollection{{claimbook_{id},
  author    = {{{{{author}}}}},
  title     = {{{title}}},
  booktitle = {{{book}}},
  year      = {{{year}}},
  note      = {{Chapter {id}, version {version}}}
}}
```

(next-{id})=
{links}
"""
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
        return text, [f"{name}.ipynb should stand at {claim.notebook}, where the registry has it."]
    problems += faults(identifier, notebook, lock.revisions(identifier, contents.records))
    for cell in notebook["cells"]:
        _tag(cell)
        _link_needs(cell, claim, contents)
    _enclose(notebook, claim, contents)
    place = _verdict_cell(notebook)
    if place is None:
        problems.append(f"{name}.ipynb has no cell that calls chapter.verdict().")
    else:
        section = HELD.format(id=identifier, level="#" * (_level(notebook["cells"][:place]) + 1))
        notebook["cells"].insert(place + 1, _markdown_cell(section, notebook, "how-often-it-held"))
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


def _enclose(notebook: dict, claim, contents) -> None:
    """Put links under the claim card, and before the references how to run, to cite and to go on."""
    cells = notebook["cells"]
    card = next((k for k, cell in enumerate(cells) if "claim-card" in records.tags(cell)), None)
    if card is None:
        return
    facts = contents.chapter(claim.id)
    top = TOP.format(id=claim.id, held=facts.seeds_held, seeds=len(facts.by_seed))
    cells.insert(card + 1, _markdown_cell(top, notebook, "run-cite-next"))
    last = [
        k
        for k, cell in enumerate(cells)
        if cell["cell_type"] == "markdown" and REFERENCES.search(CODE_BLOCK.sub("", records.source(cell)))
    ]
    section = RUN.format(
        id=claim.id,
        how=f" ([how to run](/{contents.prefix}{HOW}))" * (contents.book / HOW).is_file(),
        path=f"{contents.prefix}{claim.notebook}",
        title=title(notebook) or claim.paper,
        links=_read_on(claim, contents) or "More chapters stand in the contents.",
        **contents.citation,
    )
    cells.insert(last[-1] if last else len(cells), _markdown_cell(section, notebook, "run-it"))


def _read_on(claim, contents) -> str:
    """Return where to go from a chapter, in Markdown: what it needs, what needs it, its part."""
    root = f"/{contents.prefix}"
    before = [f"[{name}]({root}{page})" for name, page in contents.prepared_by(claim)]
    after = [
        f"[{contents.title(other.id)}]({root}{other.notebook})"
        for other in contents.written()
        if claim.id in other.needs
    ]
    beside = [
        f"[{contents.title(other.id)}]({root}{other.notebook})"
        for other in contents.written()
        if other.part == claim.part and other.id != claim.id
    ]
    if (contents.book / claim.part / "index.md").is_file():
        beside.insert(0, f"[about this part]({root}{claim.part}/index.md)")
    lines = (("Before", before), ("After", after), ("In this part", beside))
    found = [f"**{name}.** {'; '.join(links)}." for name, links in lines if links]
    return "\n\n".join(found)


def _markdown_cell(text: str, notebook: dict, identifier: str) -> dict:
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    if (notebook.get("nbformat", 4), notebook.get("nbformat_minor", 0)) >= (4, 5):
        cell["id"] = identifier
    return cell
