"""Pieces of a notebook's code, without running the notebook."""

import ast
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace

from claimbook import claims
from claimbook.evidence import records

BOOK = Path(__file__).resolve().parents[2] / "book"


class Pieces(SimpleNamespace):
    """What was taken from a notebook; shown short, where a failing test prints it."""

    def __repr__(self) -> str:
        return f"<pieces of {self.notebook}>"


def pieces(notebook: str, *wanted: str, **given) -> Pieces:
    """Return functions and constants of a chapter or primer, by name.

    Only the imports and the definitions of these names are executed, in the notebook's order; ``given`` stands in
    for what they need and would take long to compute.
    """
    space = dict(given, notebook=notebook)
    for statement in _statements(notebook):
        if isinstance(statement, ast.Import | ast.ImportFrom) or _names(statement) & set(wanted):
            exec(compile(ast.Module([statement], []), notebook, "exec"), space)
    missing = [name for name in wanted if name not in space]
    assert not missing, f"{notebook} defines no {', '.join(missing)}"
    return Pieces(**space)


@cache
def _statements(notebook: str) -> list[ast.stmt]:
    path = BOOK / claims.registry().notebook(notebook)
    cells = records.code_cells(json.loads(path.read_text("utf8")))
    return [statement for cell in cells for statement in ast.parse(records.source(cell)).body]


def _names(statement: ast.stmt) -> set[str]:
    """Return what a statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
