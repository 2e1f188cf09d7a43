"""``make freeze``: fix a chapter's bands before its verification seeds are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from joblib import delayed

from claimbook.commands import execute, sweep
from claimbook.evidence import lock
from claimbook.evidence.band import Band
from claimbook.evidence.chapter import verdict_expected
from claimbook.evidence.errors import EvidenceError
from claimbook.evidence.interval import repeat_chance


def freeze(
    chapter: str, seeds: int = lock.LEAST_CALIBRATION_SEEDS, book: Path | None = None, jobs: int | None = None
) -> dict:
    """Run a chapter under fresh calibration seeds and append a revision to its lock.

    Raises
    ------
    claimbook.evidence.errors.EvidenceError
        If a state's predicted chance to repeat is below .999, or nothing changed since the last revision. The
        refusal is written down and its calibration seeds are spent.
    """
    path = execute.notebook_path(chapter, book)
    notebook, roots = execute.as_text(execute.read(path)), lock.calibration_seeds(chapter, seeds)
    observe = delayed(execute.observe)
    found = list(sweep.in_order((observe(notebook, path.parent, root, "calibrate") for root in roots), jobs))
    try:
        return freeze_from(chapter, roots, [run["evidence"] for run in found])
    except EvidenceError as problem:
        lock.refuse(chapter, roots, str(problem))
        raise


def freeze_from(chapter: str, roots: list[int], found: list[dict], folder: Path | None = None) -> dict:
    """Append a revision from evidence that was gathered under the calibration seeds ``roots``."""
    definitions = found[0]["definitions"]
    if any(evidence["definitions"] != definitions for evidence in found):
        raise EvidenceError(
            "The parts differ between seeds: names, bands and counts must not depend on what comes out."
        )
    parts = []
    for index, definition in enumerate(definitions):
        runs = [evidence["parts"][index] for evidence in found]
        parts.append({"definition": definition, "calibration": _calibration(definition, runs)})
    verdict = verdict_expected(definitions, found[0]["untested"])
    return lock.append(chapter, parts, found[0]["untested"], verdict, roots, folder)


def _calibration(definition: dict, runs: list[dict]) -> dict:
    """What the calibration seeds showed of a part, its controls and all that goes with them."""
    summary, trials, name = definition["summary"], definition["trials"], definition["name"]
    chances, shown = {}, {}

    def judge(label: str, records: list[dict], band: dict, state: str, how: str) -> None:
        values = [np.asarray(record["values"], dtype=float) for record in records]
        if how == "exact":
            chances[label] = float(np.mean([record["state"] == state for record in records]))
            pooled = np.stack(values)
        else:
            pooled = np.concatenate(values)
            chances[label] = repeat_chance(pooled, as_band(band), how, state, trials, records[0]["units"])
        centres, spreads = np.mean(pooled, axis=0).reshape(-1), np.std(pooled, axis=0, ddof=1).reshape(-1)
        shown[label] = {
            "mean": [float(f"{x:.5g}") for x in centres],
            "sd_between_units": [float(f"{x:.3g}") for x in spreads],
            "repeated": sum(record["state"] == state for record in records),
        }

    judge(name, runs, definition["band"], definition["expect"], summary)
    for k, control in enumerate(definition["controls"]):
        records = [run["controls"][k] for run in runs]
        judge(f"control: {control['name']}", records, definition["band"], "fails", summary)
        if "band" in control["intact"]:
            intact = [record["intact"] for record in records]
            judge(
                f"intact: {control['intact']['name']}",
                intact,
                control["intact"]["band"],
                "holds",
                intact[0]["summary"],
            )
    if definition["planted"]:
        judge(
            f"planted: {definition['planted']}",
            [run["planted"] for run in runs],
            definition["band"],
            "holds",
            summary,
        )
    return {
        "chances": {label: round(chance, 5) for label, chance in chances.items()},
        "shown": shown,
        "seeds": len(runs),
    }


def as_band(data: dict) -> Band:
    """Return the `Band` that plain data describe."""
    low, high, rest = data["low"], data["high"], {"why": data["why"], "null": data["null"]}
    if high is None:
        return Band(above=low, **rest)
    return Band(below=high, **rest) if low is None else Band(within=(low, high), **rest)
