"""The lock: what was frozen before looking, one append-only file per chapter.

A revision holds, for every part, its *definition* (statistic, unit, count, band, reason, controls, expected
state) and what the calibration seeds showed. The seeds that verify it are derived from its hash: change a band
and the seeds change with it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
from pathlib import Path

from claimbook.evidence.errors import EvidenceError, MovedBand, NotFrozen

RECORDS = Path(__file__).resolve().parent.parent / "records"
LEAST_CALIBRATION_SEEDS, MOST_CALIBRATION_SEEDS = 20, 10_000
LEAST_CHANCE = 0.999
VERIFICATION_FLOOR = (
    2**31
)  # development seeds are small, calibration seeds in the millions, verification above
CALIBRATION_FLOOR = 1_000_000


def path_of(chapter: str, folder: Path | None = None) -> Path:
    """Where the lock of a chapter stands."""
    return (folder or RECORDS) / f"{chapter}.lock.json"


def digest(data) -> str:
    """Return the SHA-256 of plain data in canonical JSON."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _stored(chapter: str, folder: Path | None) -> dict:
    path = path_of(chapter, folder)
    empty = {"chapter": chapter, "revisions": [], "refused": []}
    return empty | json.loads(path.read_text("utf8")) if path.is_file() else empty


def _store(data: dict, folder: Path | None) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path_of(data["chapter"], folder), text)


def revisions(chapter: str, folder: Path | None = None) -> list[dict]:
    """Return all revisions of a chapter's lock, oldest first.

    Raises
    ------
    EvidenceError
        If a revision was edited after it was written: its hash, or its link to the one before, does not match.
    """
    found, previous = _stored(chapter, folder)["revisions"], None
    for revision in found:
        body = {key: value for key, value in revision.items() if key != "hash"}
        if revision["previous"] != previous or digest(body) != revision["hash"]:
            raise EvidenceError(
                f"Revision {revision['revision']} of {path_of(chapter, folder).name} was edited after it was frozen."
            )
        previous = revision["hash"]
    return found


def current(chapter: str, folder: Path | None = None) -> dict:
    """Return the last revision of a chapter's lock, or raise `NotFrozen`."""
    found = revisions(chapter, folder)
    if not found:
        raise NotFrozen(
            f"Chapter {chapter!r} is not frozen: fix its bands with `make freeze CHAPTER={chapter}` first."
        )
    return found[-1]


def calibration_seeds(chapter: str, count: int, folder: Path | None = None) -> list[int]:
    """Return calibration seeds for the next revision; no two attempts to freeze a chapter share any."""
    if count < LEAST_CALIBRATION_SEEDS:
        raise EvidenceError(
            f"Freezing takes at least {LEAST_CALIBRATION_SEEDS} calibration seeds, not {count}."
        )
    if count > MOST_CALIBRATION_SEEDS:  # more would reach into those of the next attempt
        raise EvidenceError(
            f"Freezing takes at most {MOST_CALIBRATION_SEEDS} calibration seeds, not {count}."
        )
    attempts = len(revisions(chapter, folder)) + len(_stored(chapter, folder)["refused"])
    start = CALIBRATION_FLOOR + MOST_CALIBRATION_SEEDS * attempts
    return list(range(start, start + count))


def refuse(chapter: str, seeds: list[int], problem: str, folder: Path | None = None) -> None:
    """Write down an attempt to freeze that was refused, so that its calibration seeds are never used again."""
    data = _stored(chapter, folder)
    attempt = {"date": datetime.date.today().isoformat(), "calibration_seeds": seeds, "problem": problem}
    _store({**data, "refused": [*data["refused"], attempt]}, folder)


def verification_seeds(revision: dict, count: int) -> list[int]:
    """Return the first ``count`` seeds that verify a revision; they follow from its hash alone."""
    words = (hashlib.sha256(f"{revision['hash']}/{k}".encode()).digest()[:4] for k in range(count))
    return [VERIFICATION_FLOOR + int.from_bytes(word, "big") % VERIFICATION_FLOOR for word in words]


def append(
    chapter: str,
    parts: list[dict],
    untested: list[dict],
    verdict: str,
    seeds: list[int],
    folder: Path | None = None,
) -> dict:
    """Append a revision and return it. ``parts`` hold ``definition`` and ``calibration`` each.

    Raises
    ------
    EvidenceError
        If nothing changed since the last revision, or a state's predicted chance to repeat is below .999.
    """
    weak = [
        _weakness(part, name, chance)
        for part in parts
        for name, chance in part["calibration"]["chances"].items()
        if chance < LEAST_CHANCE
    ]
    if weak:
        raise EvidenceError(f"Not frozen, below {LEAST_CHANCE}: " + "; ".join(weak) + ".")
    earlier = revisions(chapter, folder)
    if earlier and _definitions(earlier[-1]) == _definitions({"parts": parts, "untested": untested}):
        raise EvidenceError(f"Not frozen: nothing changed since revision {len(earlier)} of {chapter!r}.")
    body = {
        "revision": len(earlier) + 1,
        "frozen": datetime.date.today().isoformat(),
        "verdict": verdict,
        "parts": [{**part, "band_set": _times_set(part, earlier)} for part in parts],
        "untested": untested,
        "calibration_seeds": seeds,
        "previous": earlier[-1]["hash"] if earlier else None,
    }
    revision = {**body, "hash": digest(body)}
    _store({**_stored(chapter, folder), "revisions": [*earlier, revision]}, folder)
    return revision


def _weakness(part: dict, name: str, chance: float) -> str:
    """Say what would not repeat, of which part, and what the calibration seeds showed of it."""
    whole, shown = part["definition"]["name"], part["calibration"]["shown"][name]
    of = "" if name == whole else f", of “{whole}”,"
    cells = f"mean {shown['mean']}, standard deviation {shown['sd_between_units']} over units"
    return f"“{name}”{of} would come out as frozen with a chance of {chance:.4f} only ({cells})"


def _definitions(revision: dict) -> tuple:
    return [part["definition"] for part in revision["parts"]], revision["untested"]


def _times_set(part: dict, earlier: list[dict]) -> int:
    """How often the band of this part has been set, this time included."""
    name, bands = part["definition"]["name"], []
    for old in [*(p for revision in earlier for p in revision["parts"]), part]:
        definition = old["definition"]
        if definition["name"] == name and (not bands or bands[-1] != definition["band"]):
            bands.append(definition["band"])
    return len(bands)


def compare(definition: dict, revision: dict, chapter: str) -> dict:
    """Return the frozen part that ``definition`` repeats, or raise `MovedBand` with the fields that differ."""
    frozen = {part["definition"]["name"]: part for part in revision["parts"]}
    name = definition["name"]
    if name not in frozen:
        raise MovedBand(
            f"The part “{name}” is not in the lock of {chapter!r}, whose parts are: {'; '.join(frozen)}."
        )
    moved = [
        f"{key} is {definition[key]!r}, frozen as {frozen[name]['definition'].get(key)!r}"
        for key in definition
        if definition[key] != frozen[name]["definition"].get(key)
    ]
    if moved:
        raise MovedBand(
            f"“{name}” differs from its lock: {'; '.join(moved)}. A new band needs `make freeze CHAPTER={chapter}`."
        )
    return frozen[name]


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that an interruption leaves either the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, "utf8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
