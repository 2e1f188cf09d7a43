"""Many runs of chapters, through joblib: on two cores, or on whatever joblib is told to use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import joblib


def as_they_end(runs: Iterable, jobs: int | None = None) -> Iterator:
    """Yield the results of delayed calls as they come in, so that each can be kept at once."""
    return joblib.Parallel(n_jobs=_jobs(jobs), return_as="generator_unordered")(runs)


def in_order(runs: Iterable, jobs: int | None = None) -> Iterator:
    """Yield the results of delayed calls in the order of the calls."""
    return joblib.Parallel(n_jobs=_jobs(jobs), return_as="generator")(runs)


def _jobs(jobs: int | None) -> int | None:
    """Two, unless the caller or an enclosing `joblib.parallel_config` names another number."""
    if jobs is None and joblib.effective_n_jobs(None) == 1:
        return 2
    return jobs


@contextlib.contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """Send what runs inside to the Dask scheduler at ``address``; without one, change nothing.

    A run whose worker is lost is given to another worker. What had come in before is not touched by that.
    """
    if address is None:
        yield
        return
    from distributed import Client

    with Client(address), joblib.parallel_config(backend="dask"):
        yield
