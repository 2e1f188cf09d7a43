"""Every chapter with its mechanism broken must lose its verdict."""

from pathlib import Path

import pytest

from claimbook.commands import execute
from claimbook.evidence import lock, records

BOOK = Path(__file__).resolve().parents[2] / "book"
BROKEN = Path(__file__).resolve().parents[1] / "broken"
# The longest first, so that no worker is left alone with it at the end.
CHAPTERS = sorted(execute.written(BOOK), key=lambda chapter: -(records.seconds(chapter) or 0))


@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_broken_mechanism_changes_the_verdict(chapter):
    path = execute.notebook_path(chapter, BOOK)
    lean = execute.evidence_only(execute.read(path))
    cell = next(cell for cell in lean.cells if "mechanism" in records.tags(cell))
    cell.source = (BROKEN / f"{chapter}.py").read_text("utf8")
    try:
        evidence = records.stored(execute.execute(lean, path.parent, mode="observe"))
    except Exception as problem:
        assert "EvidenceError" in str(problem), problem  # refused at the door: that is a changed verdict too
        return
    assert evidence["verdict"] != lock.current(chapter)["verdict"]
