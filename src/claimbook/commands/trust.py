"""``make trust``: repeat chapters under verification seeds and keep every run."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from pathlib import Path

from joblib import delayed

from claimbook.commands import execute, sweep
from claimbook.evidence import lock, records

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch")


def pending(chapter: str, seeds: int, code: str) -> list[int]:
    """Return the verification seeds, of the first ``seeds``, that no run of this code and lock has finished."""
    revision = lock.current(chapter)
    done = {
        r["seed"]
        for r in records.runs(chapter)
        if r["lock"] == revision["hash"] and r["code"] == code and "states" in r
    }
    return [seed for seed in lock.verification_seeds(revision, seeds) if seed not in done]


def trust(chapters: list[str], seeds: int = 20, book: Path | None = None, jobs: int | None = None) -> int:
    """Verify chapters, and return how many runs did not repeat every frozen state.

    A run is written as one line as soon as it ends, so a killed call loses only what was under way; called
    again it goes on with the seeds that are missing. Nothing that was found is ever removed. The runs go through
    joblib: two at a time, ``jobs`` at a time, or as an enclosing ``joblib.parallel_config`` says.
    """
    work = []
    for chapter in chapters:
        path = execute.notebook_path(chapter, book)
        notebook = execute.read(path)
        code = records.hash_of_evidence(notebook)
        revision = lock.current(chapter)["hash"]
        todo = pending(chapter, seeds, code)
        text = execute.as_text(notebook)
        work += [(chapter, text, path.parent, code, revision, seed) for seed in todo]
        take_time(chapter, notebook, path.parent)
    print(f"{len(work)} runs to make", flush=True)
    missed = 0
    runs = sweep.as_they_end((delayed(one)(*item) for item in work), jobs)
    for number, run in enumerate(runs, 1):
        chapter = run.pop("chapter")
        append(records.runs_path(chapter), run)
        problem = run.get("failed") or "; ".join(missed_states(run, lock.current(chapter)))
        missed += bool(problem)
        print(f"{number}/{len(work)}  {chapter}  seed {run['seed']}  {problem or 'held'}", flush=True)
    return missed


def append(path: Path, run: dict) -> None:
    """Add a run as one line; after a line that was torn by a full disk or a power cut, on a line of its own."""
    with path.open("ab+") as file:
        torn = file.tell() > 0 and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
        file.write(b"\n" * torn + json.dumps(run, ensure_ascii=False).encode() + b"\n")


def take_time(chapter: str, notebook, folder: Path) -> None:
    """Time one run of the whole chapter, before others start, unless that was done for this code."""
    if records.seconds(chapter, notebook=notebook) is not None:
        return
    try:
        _, usage = execute.measured(notebook, folder, mode="observe")
    except Exception as problem:  # the runs below will tell; there is no time to keep
        print(f"{chapter} cannot be timed: {type(problem).__name__}", flush=True)
        return
    taken = {"code": records.hash_of_cells(notebook), **usage, "versions": versions()}
    lock.write_atomically(records.time_path(chapter), json.dumps(taken, indent=1) + "\n")


def one(chapter: str, notebook: str, folder: Path, code: str, revision: str, seed: int) -> dict:
    """Run one chapter under one seed; a run that breaks off is a result too.

    All that it needs is handed over, so that it may run on a machine which has the package and not the book.
    """
    run = {"chapter": chapter, "seed": seed, "lock": revision, "code": code, "versions": versions()}
    try:
        seen = execute.observe(notebook, folder, seed, "observe")
    except Exception as problem:  # whatever stops a run is recorded, not lost
        return {**run, "failed": execute.what_stopped(problem)}
    found = records.states(seen["evidence"])
    return {
        **run,
        "states": {name: part["state"] for name, part in found.items()},
        "margins": {name: part["margin"] for name, part in found.items()},
        "measured": {name: part["worst"] for name, part in found.items()},
        "verdict": seen["evidence"]["verdict"],
        "cpu_seconds": seen["cpu_seconds"],
        "wall_seconds": seen["wall_seconds"],
        "peak_kilobytes": seen["peak_kilobytes"],
    }


def missed_states(run: dict, revision: dict) -> list[str]:
    """Return what did not repeat in a run, in words."""
    return [
        f"{name} came out {run['states'].get(f'{kind}: {name}')}, frozen as {state}"
        for name, kind, state in records.frozen_states(revision)
        if run["states"].get(f"{kind}: {name}") != state
    ]


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
