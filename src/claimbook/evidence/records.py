"""What was found and stored: the evidence in executed notebooks, and the runs under verification seeds.

Needs the standard library alone, so that the site can be drawn without NumPy or torch.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import statistics
from pathlib import Path

from claimbook.evidence import lock

SKIPPED_TAGS = frozenset({"figure", "exercise", "aside"})  # cells that carry no evidence


def source(cell: dict) -> str:
    """Return a cell's source as one string."""
    return "".join(cell["source"]) if isinstance(cell["source"], list) else cell["source"]


def tags(cell: dict) -> set[str]:
    """Return a cell's tags."""
    return set(cell.get("metadata", {}).get("tags", []))


def code_cells(notebook: dict) -> list[dict]:
    """Return the code cells that are not empty."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and source(cell).strip()]


def hash_of_cells(notebook: dict) -> str:
    """Return the hash of all code cells to the letter: what a stored run belongs to."""
    return hashlib.sha256("\0".join(source(cell) for cell in code_cells(notebook)).encode()).hexdigest()[:16]


def hash_of_evidence(notebook: dict) -> str:
    """Return the hash of what the evidence follows from: the statements of all cells but figures and exercises.

    Comments, docstrings, white space and how statements are cut into cells make no difference.
    """
    sources = (source(cell) for cell in code_cells(notebook) if not tags(cell) & SKIPPED_TAGS)
    statements = [_syntax(statement) for text in sources for statement in ast.parse(text).body]
    return hashlib.sha256(repr(statements).encode()).hexdigest()[:16]


def _syntax(node):
    """Return a syntax tree as nested tuples that are the same under every version of Python."""
    if isinstance(node, list):
        return [_syntax(item) for item in node]
    if not isinstance(node, ast.AST):
        return node
    fields = dict(ast.iter_fields(node))
    if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
        fields["body"] = fields["body"][1:]
    kept = [(name, _syntax(value)) for name, value in fields.items() if value is not None and value != []]
    return (type(node).__name__, kept)


def stored(notebook: dict) -> dict | None:
    """Return the evidence in an executed notebook's output metadata, or None."""
    found = [data["evidence"] for data in _metadata(notebook) if "evidence" in data]
    return found[-1] if found else None


def numbers(notebook: dict) -> dict[str, str]:
    """Return the named measurements of an executed notebook, as text."""
    return {
        data["number"]["name"]: data["number"]["text"] for data in _metadata(notebook) if "number" in data
    }


def _metadata(notebook: dict) -> list[dict]:
    outputs = (output for cell in notebook["cells"] for output in cell.get("outputs", []))
    return [
        output["metadata"]["claimbook"] for output in outputs if "claimbook" in output.get("metadata", {})
    ]


def runs_path(chapter: str, folder: Path | None = None) -> Path:
    """Where the runs under verification seeds are kept, one line a run."""
    return (folder or lock.RECORDS) / f"{chapter}.trust.jsonl"


def runs(chapter: str, folder: Path | None = None) -> list[dict]:
    """Return every run ever made under verification seeds, oldest first; a torn line is passed over."""
    return _lines(runs_path(chapter, folder))


def machines_path(folder: Path | None = None) -> Path:
    """Where the runs as other machines are kept, one line a run."""
    return (folder or lock.RECORDS) / "machines.jsonl"


def machines(folder: Path | None = None) -> list[dict]:
    """Return every run ever made as another machine, oldest first; a torn line is passed over."""
    return _lines(machines_path(folder))


def _lines(path: Path) -> list[dict]:
    found = []
    for line in path.read_text("utf8").splitlines() if path.is_file() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def time_path(chapter: str, folder: Path | None = None) -> Path:
    """Where the time that a whole chapter takes is kept."""
    return (folder or lock.RECORDS) / f"{chapter}.time.json"


def seconds(chapter: str, folder: Path | None = None, notebook: dict | None = None) -> float | None:
    """Return the processor seconds of one run of the whole chapter, figures and asides included, or None.

    With a notebook, seconds that were taken with other code than its own are None as well.
    """
    path = time_path(chapter, folder)
    if not path.is_file():
        return None
    taken = json.loads(path.read_text("utf8"))
    return None if notebook and taken["code"] != hash_of_cells(notebook) else taken["cpu_seconds"]


def peak(found: list[dict]) -> float | None:
    """Return the most memory, in MiB, that a run of the newest code among these runs took, or None."""
    peaks = [
        run["peak_kilobytes"] / 1024
        for run in found
        if run["code"] == found[-1]["code"] and run.get("peak_kilobytes")
    ]
    return max(peaks, default=None)


def by_seed(found: list[dict]) -> list[list[dict]]:
    """Return runs grouped by seed: a seed counts once, however often the chapter was run under it."""
    groups: dict[int, list[dict]] = {}
    for run in found:
        groups.setdefault(run["seed"], []).append(run)
    return list(groups.values())


def held(chapter: str, folder: Path | None = None) -> list[dict]:
    """Count, for the current lock, under how many seeds each part and control repeated its frozen state.

    Returns
    -------
    list of dict
        ``name``, ``kind`` (part, control, intact or planted), ``held``, ``seeds``, ``least``: the exact 95% lower
        bound of the chance to hold, and ``spread``, see `spread_ratio` (of parts alone, else None). Runs under one
        seed are not independent, so a seed counts once: as held if all runs under it were. A run that broke off counts
        as not held.
    """
    revisions = lock.revisions(chapter, folder)
    if not revisions:
        return []
    groups = by_seed([run for run in runs(chapter, folder) if run["lock"] == revisions[-1]["hash"]])
    parts = {part["definition"]["name"]: part["definition"] for part in revisions[-1]["parts"]}
    rows = []
    for name, kind, state in frozen_states(revisions[-1]):
        good = sum(repeated(group, name, kind, state) for group in groups)
        least = least_chance(good, len(groups)) if groups else 0.0
        definition = parts[name] if kind == "part" else None
        spread = definition and spread_ratio([group[-1] for group in groups], definition)
        rows.append(
            {"name": name, "kind": kind, "held": good, "seeds": len(groups), "least": least, "spread": spread}
        )
    return rows


def spread_ratio(found: list[dict], definition: dict) -> float | None:
    """Return how much a part's estimate varies between roots, against what its units within a run let expect.

    The standard deviation of the means over runs, divided by their root mean square standard error. It is near 1 if
    the units of a run are independent; well above 1 if they share randomness that differs from root to root.
    None where there is no such comparison: for other summaries than one mean, and for fewer than ten runs.
    """
    key = f"part: {definition['name']}"
    seen = [run["measured"][key] for run in found if key in run.get("measured", {})]
    if (definition.get("summary"), definition.get("cells")) != ("mean", 1) or len(seen) < 10:
        return None
    errors = [(high - low) / (2 * student(definition["units"] - 1)) for _, low, high in seen]
    within = statistics.fmean(error**2 for error in errors) ** 0.5
    return statistics.stdev(estimate for estimate, _, _ in seen) / within if within else None


def student(degrees: int) -> float:
    """Return the 97.5% quantile of Student's t, by Cornish and Fisher's expansion: within .5% from 4 degrees on."""
    if not degrees >= 4:
        raise ValueError(f"degrees must be at least 4, those of five units, not {degrees}.")
    z = statistics.NormalDist().inv_cdf(0.975)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / degrees**k for k, term in enumerate(terms, 1))


def repeated(group: list[dict], name: str, kind: str, state: str) -> bool:
    """Return whether a frozen state came out in every run of a group."""
    return all(run.get("states", {}).get(f"{kind}: {name}") == state for run in group)


def frozen_states(revision: dict) -> list[tuple[str, str, str]]:
    """Return name, kind and expected state of everything that a revision froze."""
    rows = []
    for part in (p["definition"] for p in revision["parts"]):
        rows.append((part["name"], "part", part["expect"]))
        for control in part["controls"]:
            rows.append((f"{control['name']} / {part['name']}", "control", "fails"))
            if "band" in control["intact"]:
                rows.append(
                    (f"{control['intact']['name']} / {control['name']} / {part['name']}", "intact", "holds")
                )
        if part["planted"]:
            rows.append((f"{part['planted']} / {part['name']}", "planted", "holds"))
    return rows


def states(evidence: dict) -> dict[str, dict]:
    """Return state and margin of everything in a run's evidence, keyed as `held` looks them up."""
    rows = {}
    for part in evidence["parts"]:
        rows[f"part: {part['name']}"] = part
        for control in part["controls"]:
            rows[f"control: {control['name']} / {part['name']}"] = control
            if "band" in control["intact"]:
                rows[f"intact: {control['intact']['name']} / {control['name']} / {part['name']}"] = control[
                    "intact"
                ]
        if part["planted"]:
            rows[f"planted: {part['planted']['name']} / {part['name']}"] = part["planted"]
    return rows


def least_chance(successes: int, trials: int, level: float = 0.95) -> float:
    """Return the exact one-sided lower bound (Clopper-Pearson) of a chance, by bisection.

    The bound p solves P(at least ``successes`` of ``trials`` | p) = 1 - level; 20 of 20 gives .861.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"successes must be between 0 and the {trials} trials, not {successes}.")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}.")
    if successes == 0:
        return 0.0
    ways = [(k, math.log(math.comb(trials, k))) for k in range(successes, trials + 1)]  # logs never overflow
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if middle == 1:  # as near as floats come
            break
        yes, no = math.log(middle), math.log1p(-middle)
        tail = math.fsum(math.exp(log + k * yes + (trials - k) * no) for k, log in ways)
        low, high = (middle, high) if tail < 1 - level else (low, middle)
    return low
