"""Every chapter with its mechanism broken must lose its verdict."""

from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from claimbook.commands import execute
from claimbook.evidence import lock, records

BOOK = Path(__file__).resolve().parents[2] / "book"
BROKEN = Path(__file__).resolve().parents[1] / "broken"
# The longest first, so that no worker is left alone with it at the end.
CHAPTERS = sorted(execute.written(BOOK), key=lambda chapter: -(records.seconds(chapter) or 0))

# The claim stands or falls with its core parts: when one of them is lost there is no need to run the rest.
LOST = """
if lost := [p["name"] for p in chapter.evidence()["parts"] if p["core"] and p["state"] != "holds"]:
    raise RuntimeError("A core part is lost: " + "; ".join(lost))
"""
# Long cells, by their ids, that come before the first check and have nothing to do with its core part.
LEFT_OUT = {
    "skill_localization": "a1003190 ffc02d3f c48d3457 44f13441 25567cb3 2bc96efb 7e892c18",
    "diffusion_classifiers": "46b2c065 6e0a9d3b 8c16b658 1250dc31 9dffc74b c5bf86be",
}


def quickest(chapter, notebook):
    """Return a chapter's evidence, without the cells left out, that stops when a core part does not hold."""
    lean, without = execute.evidence_only(notebook), LEFT_OUT.get(chapter, "").split()
    assert set(without) <= {cell.id for cell in lean.cells}
    cells = []
    for cell in lean.cells:
        if cell.id not in without:
            cells.append(cell)
        if "chapter.check(" in cell.source:
            cells.append(nbformat.v4.new_code_cell(LOST))
    lean.cells = cells
    return lean


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_broken_mechanism_changes_the_verdict(chapter):
    frozen = lock.current(chapter)
    core = [part["definition"] for part in frozen["parts"] if part["definition"]["core"]]
    assert {part["expect"] for part in core} == {"holds"}  # so that one lost core part changes the verdict
    path = execute.notebook_path(chapter, BOOK)
    lean = quickest(chapter, execute.read(path))
    cell = next(cell for cell in lean.cells if "mechanism" in records.tags(cell))
    cell.source = (BROKEN / f"{chapter}.py").read_text("utf8")
    try:
        evidence = records.stored(execute.execute(lean, path.parent, mode="observe"))
    except CellExecutionError as problem:
        lost = problem.evalue.startswith("A core part is lost: ")
        refused = problem.ename == "EvidenceError"  # at the door: that is a changed verdict too
        assert lost or refused, problem
        return
    assert evidence["verdict"] != frozen["verdict"]
