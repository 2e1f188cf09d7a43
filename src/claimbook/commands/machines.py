"""``make machines``: run chapters as other machines would, and keep what came out otherwise."""

from __future__ import annotations

import platform
from itertools import chain
from pathlib import Path

import numpy as np
from joblib import delayed

from claimbook.commands import execute, sweep
from claimbook.commands.trust import append, missed_states, versions
from claimbook.evidence import lock, records

# What makes this machine behave like another: the name under which it is kept, and its environment variables.
MACHINES = {
    "as it is": {},
    "two threads": dict.fromkeys(execute.ONE_THREAD, "2"),
    "processor with AVX2": {  # other kernels of PyTorch, MKL, oneDNN and OpenBLAS
        "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}

OWN_BLAS = "scipy-openblas"  # what NumPy's wheels for Linux and Windows bring along


def machines(chapters: list[str], names: list[str] | None = None, jobs: int | None = None) -> int:
    """Run the evidence of chapters under each machine, and return how many runs lost a frozen state.

    The root seed is that of the stored notebook, whose evidence each run is compared with. Runs that kept
    every state with the same code, bands and packages are not made again. Which packages these are is up to the
    environment that this is called from.
    """
    done = {
        tuple(str(run[key]) for key in ("machine", "chapter", "lock", "code", "versions"))
        for run in records.machines()
        if not run["lost"]
    }
    work, stored = {name: [] for name in names or MACHINES}, {}
    for name in work:
        for chapter in chapters:
            path = execute.notebook_path(chapter)
            notebook = execute.read(path)
            stored[chapter] = records.stored(notebook)
            run = {
                "machine": name,
                "chapter": chapter,
                "lock": lock.current(chapter)["hash"],
                "code": records.hash_of_evidence(notebook),
                "versions": packages(),
            }
            if tuple(map(str, run.values())) not in done:
                seed = stored[chapter]["seed"]
                work[name].append(delayed(one)(run, execute.as_text(notebook), path.parent, seed))
    total, lost = sum(len(runs) for runs in work.values()), 0
    print(f"{total} runs to make", flush=True)
    # Threads of two runs at once would wait for each other most of the time.
    jobs_of = {name: 1 if "OMP_NUM_THREADS" in MACHINES[name] else jobs for name in work}
    ended = (sweep.as_they_end(runs, jobs_of[name]) for name, runs in work.items())
    for number, (run, found) in enumerate(chain.from_iterable(ended), 1):
        run |= compared(stored[run["chapter"]], found, lock.current(run["chapter"]))
        append(records.machines_path(), run)
        lost += bool(run["lost"])
        said = "; ".join(run["lost"]) or (
            "the same digits" if run["same"] else f"moved by {run['moved']:.2g}"
        )
        print(f"{number}/{total}  {run['machine']}  {run['chapter']}  {said}", flush=True)
    return lost


def packages() -> dict[str, str]:
    """Return the versions that a result may depend on, the processor's name as the machine, and NumPy's BLAS unless
    it is that of NumPy's own wheels."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    return versions() | {"machine": processor()} | ({} if blas == OWN_BLAS else {"blas": blas})


def processor() -> str:
    """Return the processor's name, where the system tells, else its kind."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), platform.processor() or platform.machine())


def one(run: dict, notebook: str, folder: Path, seed: int) -> tuple[dict, dict | str]:
    """Run a chapter as one machine; return what was asked for, and the evidence or what stopped it."""
    try:
        seen = execute.observe(notebook, folder, seed, "observe", MACHINES[run["machine"]])
    except Exception as problem:  # a run that breaks off is a result, too
        return run, execute.what_stopped(problem)
    return run, seen["evidence"]


def compared(before: dict, after: dict | str, revision: dict) -> dict:
    """Return the frozen states that were lost, whether all digits are the same, and by how much means moved."""
    if isinstance(after, str):
        return {"lost": [after], "same": False, "moved": None}
    states = {key: part["state"] for key, part in records.states(after).items()}
    lost, same = missed_states({"states": states}, revision), after["parts"] == before["parts"]
    return {"lost": lost, "same": same, "moved": moved(before, after)}


def moved(before: dict, after: dict) -> float:
    """Return by how many standard errors the mean of any part moved, at most; exact parts have none."""
    largest = 0.0
    for old, new in zip(before["parts"], after["parts"], strict=True):
        if old["summary"] != "exact":
            old, new = np.array(old["values"], float), np.array(new["values"], float)
            error = old.std(axis=0, ddof=1) / len(old) ** 0.5
            move = np.abs(new.mean(axis=0) - old.mean(axis=0))
            largest = max(
                largest, float(np.max(np.divide(move, error, out=np.zeros_like(move), where=error > 0)))
            )
    return float(f"{largest:.3g}")
