"""The book's own rules for a chapter or a primer, each as a sentence on what is wrong. Needs no torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from claimbook import claims
from claimbook.evidence import draw, lock, records

MAX_LINES = 30
MAX_SECONDS, MAX_MEBIBYTES = 90, 2048
MAX_FIGURE_BYTES = 150_000
SEEDS_REQUIRED, SHARE_REQUIRED = 20, 0.95


def problems(
    chapter: str, book: Path = Path("book"), folder: Path | None = None, notebook: dict | None = None
) -> list[str]:
    """Return everything that is wrong with a chapter or a primer, or an empty list.

    Parameters
    ----------
    chapter : str
        An id of the registry, of a row or of a primer.
    book : Path
        The book's folder; the table of contents stands beside it.
    folder : Path, optional
        Where locks and runs are kept, by default in the package.
    notebook : dict, optional
        The notebook's content, by default what is stored.
    """
    registry = claims.registry()
    path = registry.notebook(chapter)
    if notebook is None:
        notebook = json.loads((book / path).read_text("utf8"))
    if chapter in registry.primers:
        found = [*_stored(notebook), *_lesson(notebook)]
    else:
        found = [*_stored(notebook), *_text(notebook, chapter), *_evidence(notebook, chapter, folder)]
    if (book.parent / "_toc.yml").is_file() and path.removesuffix(".ipynb") not in _toc(book):
        found.append("it is not in _toc.yml")
    return found


def _stored(notebook: dict) -> list[str]:
    """What is wrong with the stored run."""
    code, found = records.code_cells(notebook), []
    if [cell.get("execution_count") for cell in code] != list(range(1, len(code) + 1)):
        found.append("its cells were not run once, in order, from a fresh kernel")
    if notebook.get("metadata", {}).get("claimbook", {}).get("code") != records.hash_of_cells(notebook):
        found.append("its code has changed since it was run: make run CHAPTER=…")
    if not any('pip install -e ".[run]"' in records.source(cell) for cell in notebook["cells"][:2]):
        found.append("it does not say how to run it by itself: make run CHAPTER=…")
    for number, cell in enumerate(code, 1):
        if records.source(cell).count("\n") + 1 > MAX_LINES:
            found.append(f"code cell {number} has more than {MAX_LINES} lines")
        if re.search(r"^\s*[!%]\s*pip|sys\.path|urlretrieve|https?://", records.source(cell), re.M):
            found.append(f"code cell {number} installs, downloads or edits the path")
        if (
            re.search(r"^(import|from) ", records.source(cell), re.M)
            and number > 1
            and not records.tags(cell) & {"exercise", "aside"}
        ):
            found.append(f"code cell {number} imports: that belongs into the first cell")
        for output in cell.get("outputs", []):
            found += [f"code cell {number} {what}" for what in _output(output, cell)]
    return found


def _output(output: dict, cell: dict) -> list[str]:
    found = []
    if output["output_type"] == "error":
        found.append("stores an error")
    if output.get("name") == "stderr":
        found.append("stores a warning or a progress bar (stderr)")
    if "image/png" in output.get("data", {}):
        options = cell["metadata"].get("mystnb", {})
        if not options.get("image", {}).get("alt"):
            found.append("draws a figure without alt text")
        if not options.get("figure", {}).get("caption"):
            found.append("draws a figure without a caption")
        if "figure" not in records.tags(cell):
            found.append("draws a figure but is not tagged so")
        if len(output["data"]["image/png"]) * 3 // 4 > MAX_FIGURE_BYTES:
            found.append(f"draws a figure of more than {MAX_FIGURE_BYTES // 1000} KB")
    return found


def _prose(notebook: dict) -> str:
    return "\n".join(records.source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def _tags(notebook: dict) -> list[str]:
    return [tag for cell in notebook["cells"] for tag in records.tags(cell)]


def _exercises(notebook: dict, least: int, checked: int) -> list[str]:
    """What is wrong with the exercises: how many there must be, and how many cells that check an answer."""
    prose, found = _prose(notebook), []
    exercises = re.findall(r"\{exercise\}[^\n]*\n(?:#?\s*)?:label: (\S+)", prose)
    solutions = re.findall(r"\{solution\} (\S+)", prose)
    if len(exercises) < least or set(exercises) != set(solutions):
        found.append(f"it needs {least} exercises or more, each with its solution")
    if _tags(notebook).count("exercise") < checked:
        found.append("not enough cells let readers check their own answer (tag exercise)")
    return found


def _lesson(notebook: dict) -> list[str]:
    """What is wrong with what a reader finds in a primer."""
    found = _exercises(notebook, 3, 3)
    if _tags(notebook).count("figure") != 1:
        found.append("a primer has one figure")
    if "{cite" not in _prose(notebook):
        found.append("it cites nothing to read next")
    return found


def _text(notebook: dict, chapter: str) -> list[str]:
    """What is wrong with what a reader finds in a chapter."""
    prose, tags = _prose(notebook), _tags(notebook)
    found = _exercises(notebook, 2, 1)
    if not re.search(rf"\{{cite[:tp]*\}}`[^`]*\b{chapter}\b", prose):
        found.append("it does not cite its paper")
    if tags.count("mechanism") != 1:
        found.append("exactly one cell must hold the mechanism (tag mechanism)")
    unknown = set(re.findall(r"\{measured\}`([^`]+)`", prose)) - set(records.numbers(notebook))
    found += [f"the prose quotes {name!r}, which no cell measures" for name in sorted(unknown)]
    card = json.dumps(
        [cell.get("outputs", []) for cell in records.code_cells(notebook)[:1]], ensure_ascii=False
    )
    if not re.search(r"\*\*Time\*\* \| ≈", card):
        found.append("its claim card does not state the running time: make trust, then make run")
    return found


def _evidence(notebook: dict, chapter: str, folder: Path | None) -> list[str]:
    """What is wrong with the evidence, the lock and the runs under verification seeds."""
    evidence, revisions = records.stored(notebook), lock.revisions(chapter, folder)
    if evidence is None:
        return ["it stores no verdict"]
    if not revisions:
        return ["it is not frozen"]
    current, found = revisions[-1], []
    if evidence["verdict"] != current["verdict"]:
        found.append(f"its verdict is {evidence['verdict']}, frozen as {current['verdict']}")
    frozen = {part["definition"]["name"]: part["definition"] for part in current["parts"]}
    for part in evidence["parts"]:
        definition = frozen.pop(part["name"], None)
        if definition is None:
            found.append(f"“{part['name']}” is not frozen")
            continue
        if part["band"] != definition["band"]:
            found.append(f"the band of “{part['name']}” is not the frozen one")
        if part["state"] != definition["expect"]:
            found.append(f"“{part['name']}” came out {part['state']}, frozen as {definition['expect']}")
        if not part["controls"] or any(control["state"] != "fails" for control in part["controls"]):
            found.append(f"“{part['name']}” has no control that its band rejects")
    found += [f"“{name}” is frozen but no longer checked" for name in frozen]
    return found + _runs(notebook, chapter, current, folder)


def _runs(notebook: dict, chapter: str, revision: dict, folder: Path | None) -> list[str]:
    code = records.hash_of_evidence(notebook)
    runs = [r for r in records.runs(chapter, folder) if r["lock"] == revision["hash"] and r["code"] == code]
    seeds = len(records.by_seed(runs))
    if seeds < SEEDS_REQUIRED:
        return [f"it was verified under {seeds} seeds, not {SEEDS_REQUIRED}: make trust CHAPTER={chapter}"]
    found = [
        f"{row['kind']} “{row['name']}” held under {row['held']} of {row['seeds']} seeds"
        for row in records.held(chapter, folder)
        if row["held"] < SHARE_REQUIRED * row["seeds"]
    ]
    seconds = records.seconds(chapter, folder, notebook)
    if seconds is None:
        found.append(f"nobody has timed its present code: make trust CHAPTER={chapter}")
    else:
        if seconds > MAX_SECONDS:
            found.append(f"it takes {seconds:.0f} s, more than {MAX_SECONDS}")
        if f"{draw.number(seconds)} s " not in str(records.code_cells(notebook)[0].get("outputs")):
            found.append(
                f"its card does not name the {draw.number(seconds)} s it takes: make run CHAPTER={chapter}"
            )
    most = records.peak(runs)
    if most and most > MAX_MEBIBYTES:
        found.append(f"it needs {most:.0f} MB of memory, more than {MAX_MEBIBYTES}")
    return found


def _toc(book: Path) -> set[str]:
    """Return all files in the table of contents, relative to the book's folder."""
    text = (book.parent / "_toc.yml").read_text("utf8")
    files: set[str] = set()

    def collect(node) -> None:
        if isinstance(node, dict):
            files.update(
                str(node[key]).removeprefix(f"{book.name}/") for key in ("file", "root") if key in node
            )
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            collect(child)

    collect(yaml.safe_load(text))
    return {name.removesuffix(".ipynb") for name in files}
