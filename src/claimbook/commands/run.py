"""``make run``: execute a chapter and store it, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import nbformat

from claimbook.commands import execute
from claimbook.evidence import lock, records

NOTE_ID = "how-to-run-this-notebook"
NOTE = """\
> **To run this notebook by itself** you need the book's package: `pip install -e ".[run]"` in a clone of it.
> There, `make lab` opens all notebooks. This note is left out of the book's pages."""


def with_note(notebook):
    """Put a note on how to run it below a notebook's first cell, where the site leaves it out."""
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != NOTE_ID]
    note = nbformat.v4.new_markdown_cell(NOTE, id=NOTE_ID, metadata={"tags": ["remove-cell"]})
    notebook.cells.insert(1, note)
    return notebook


def run(chapter: str, book: Path | None = None) -> Path:
    """Execute a chapter under the stored seed 0 and replace its notebook at once.

    An interrupted or failing run leaves the old file. The same seed gives the same bytes.
    """
    path = execute.notebook_path(chapter, book)
    executed = execute.execute(with_note(execute.read(path)), path.parent)
    executed.metadata = nbformat.from_dict(
        {
            "claimbook": {"code": records.hash_of_cells(executed)},
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for cell in executed.cells:
        cell.metadata.pop("execution", None)
    nbformat.validate(executed)
    lock.write_atomically(path, nbformat.writes(executed, version=4).rstrip("\n") + "\n")
    return path
