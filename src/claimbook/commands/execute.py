"""Run a notebook from a fresh kernel, deterministically."""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
import time
from pathlib import Path

import nbformat

from claimbook import claims
from claimbook.evidence import records

ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
}
STARTS = 3  # how often a kernel is started, if it dies before any cell has run
USAGE = """\
import json, sys, time
try:
    import resource
    _kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
except ImportError:  # Windows
    _kilobytes = None
print(json.dumps({"cpu_seconds": time.process_time(), "peak_kilobytes": _kilobytes}))
"""


def notebook_path(chapter: str, book: Path | None = None) -> Path:
    """Return where a chapter or a primer stands; raise for an unknown id or one that is not written."""
    path = (book or Path("book")) / claims.registry().notebook(chapter)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: run this from the top of the book, or write the chapter first."
        )
    return path


def written(book: Path | None = None) -> list[str]:
    """Return the ids of all chapters that stand in the book, in the registry's order."""
    book = book or Path("book")
    return [claim.id for claim in claims.registry().claims.values() if claim.status(book) == "written"]


def written_primers(book: Path | None = None) -> list[str]:
    """Return the ids of all primers that stand in the book, in the registry's order."""
    book, registry = book or Path("book"), claims.registry()
    return [primer for primer in registry.primers if (book / registry.notebook(primer)).is_file()]


def read(path: Path) -> nbformat.NotebookNode:
    """Read a notebook of format 4."""
    return nbformat.read(path, as_version=4)


def execute(
    notebook,
    folder: Path,
    *,
    seed: int = 0,
    mode: str = "verify",
    timeout: int = 900,
    variables: dict[str, str] | None = None,
):
    """Return an executed copy of a notebook; raises `nbclient.exceptions.CellExecutionError`.

    The kernel starts in ``folder`` with one thread, the root seed ``seed`` and the evidence mode ``mode``, unless
    ``variables`` of the environment say otherwise. On a machine of a cluster, which may have no such folder, it
    starts where temporary files are kept.
    """
    from nbclient import NotebookClient

    place = folder if folder.is_dir() else Path(tempfile.gettempdir())

    environment = {
        **os.environ,
        **ONE_THREAD,
        "CLAIMBOOK_SEED": str(seed),
        "CLAIMBOOK_MODE": mode,
        "PYTHONHASHSEED": "0",
        "TQDM_DISABLE": "1",
        **(variables or {}),
    }
    for attempt in range(STARTS):
        executed = copy.deepcopy(notebook)
        client = NotebookClient(
            executed,
            timeout=timeout,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(place)}},
        )
        try:
            client.execute(env=environment)
        except AssertionError:  # an interrupt has taken the client's kernel away
            if client.km is None:
                raise KeyboardInterrupt from None
            raise
        except RuntimeError as problem:  # two kernels that start at once may be given the same port
            if "before replying" not in str(problem) or attempt == STARTS - 1:
                raise
        else:
            return executed


def as_text(notebook) -> str:
    """Return a notebook as text, for runs on other machines.

    Of a large object joblib leaves one copy on one machine of a cluster and sends only its address along. When that
    machine is lost, so is the object. Text goes along with each run.
    """
    return nbformat.writes(notebook)


def evidence_only(notebook):
    """Return a copy without the cells that carry no evidence: text, figures, asides and exercises."""
    lean = copy.deepcopy(notebook)
    lean.cells = [
        c for c in lean.cells if c.cell_type == "code" and not records.tags(c) & records.SKIPPED_TAGS
    ]
    return lean


def observe(notebook, folder: Path, seed: int, mode: str, variables: dict[str, str] | None = None) -> dict:
    """Run what makes a chapter's evidence under one root seed and return evidence, seconds and memory.

    The notebook is passed as read once, so that editing it meanwhile cannot mix two versions in one result. It may be
    text, see `as_text`.
    """
    if isinstance(notebook, str):
        notebook = nbformat.reads(notebook, as_version=4)
    executed, usage = measured(evidence_only(notebook), folder, seed=seed, mode=mode, variables=variables)
    evidence = records.stored(executed)
    if evidence is None:
        raise RuntimeError("The chapter gave no evidence: does it call chapter.verdict()?")
    return {"evidence": evidence, **usage}


def measured(notebook, folder: Path, **options):
    """Execute a notebook, see `execute`; return it with its processor and wall seconds and its peak memory."""
    extended = copy.deepcopy(notebook)
    extended.cells.append(nbformat.v4.new_code_cell(USAGE))
    started = time.perf_counter()
    executed = execute(extended, folder, **options)
    usage = json.loads(executed.cells.pop().outputs[0].text)
    usage["cpu_seconds"] = round(usage["cpu_seconds"], 2)
    return executed, {**usage, "wall_seconds": round(time.perf_counter() - started, 2)}


def what_stopped(problem: Exception) -> str:
    """Return in one line what stopped a run, without the colours that a kernel puts into its words."""
    lines = re.sub(r"\x1b\[[\d;]*m", "", str(problem)).split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return ": ".join([type(problem).__name__, *said[-1:]])
