"""From values per unit to an interval per cell, and from the intervals to a state.

A statistic is an array ``(units, *cells)``. The interval of a cell is

* ``mean``: Student's t interval of the mean over units;
* ``median``: the order-statistic interval of the median, for skewed or censored values (infinities allowed);
* ``share``: the exact (Clopper-Pearson) interval of a share of units, or of pooled successes out of ``trials``;
* ``exact``: the value itself, for deterministic statements, which have no units.

*holds* asks every cell's 95% interval to lie inside the band, which needs no correction: a wrong claim passes
with a chance of at most 2.5% whatever the number of cells (intersection-union test). *fails* asks one cell at
least to lie outside, so there the level is corrected for the number of cells (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from claimbook.evidence.band import Band
from claimbook.evidence.errors import EvidenceError

LEVEL = 0.95
LEAST_UNITS = 5
DRAWS = 4000  # fresh runs that `repeat_chance` imagines, of either kind
SUMMARIES = ("mean", "median", "share", "exact")
STATES = ("holds", "fails", "unsettled")


@dataclass(frozen=True)
class Measured:
    """A statistic's estimates, intervals and state against a band; arrays have the shape of the cells."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    state: str
    margin: float
    worst: int

    @property
    def worst_cell(self) -> tuple[float, float, float]:
        """Estimate, low and high of the cell that decides: nearest to an edge, or farthest outside."""
        return tuple(float(array.reshape(-1)[self.worst]) for array in (self.estimate, self.low, self.high))


def validate(values, summary: str, name: str, trials: int | None = None) -> np.ndarray:
    """Return the values as a float array ``(units, *cells)``, or ``cells`` for ``exact``.

    Raises
    ------
    EvidenceError
        For an unknown summary, values that are no real numbers, no cells, NaN, infinities outside a median, fewer
        than five units (six for a median), values that are not successes or shares where these are asked, or
        values that are identical in all units, but for rounding, although chance was claimed.
    """
    if summary not in SUMMARIES:
        raise EvidenceError(f"{name}: the summary is one of {', '.join(SUMMARIES)}, not {summary!r}.")
    array = real_numbers(values, name)
    if trials is not None and (summary != "share" or not _is_count(trials)):
        raise EvidenceError(f"{name}: trials= is a positive whole number and goes with summary='share'.")
    if array.size == 0:
        raise EvidenceError(f"{name}: there are no values.")
    if np.isnan(array).any():
        raise EvidenceError(f"{name}: {int(np.isnan(array).sum())} of {array.size} values are nan.")
    if np.isinf(array).any() and summary != "median":
        raise EvidenceError(f"{name}: infinite values need summary='median'.")
    if summary == "exact":
        return array
    least = LEAST_UNITS + (summary == "median")
    if array.ndim == 0 or array.shape[0] < least:
        raise EvidenceError(
            f"{name}: at least {least} units are needed, not {array.shape[0] if array.ndim else 0}."
        )
    if summary == "share":
        top = 1 if trials is None else trials
        if not ((array >= 0) & (array <= top) & (array == np.floor(array))).all():
            raise EvidenceError(f"{name}: a share counts successes, whole numbers from 0 to {top} per unit.")
    elif _identical(array).any():
        raise EvidenceError(
            f"{name}: identical values in all units of a cell, although chance was claimed. Is it summary='exact'?"
        )
    if summary == "median" and np.isnan(_median(array)).any():
        raise EvidenceError(f"{name}: as many values of -inf as of inf in a cell, which has no median then.")
    return array


def real_numbers(values, name: str) -> np.ndarray:
    """Return values as an array of floats, or raise an `EvidenceError` that says why they are none."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise EvidenceError(f"{name}: the values must have the same number of cells in every unit.") from None
    if array.dtype.kind not in "buif":
        raise EvidenceError(f"{name}: the values must be numbers, not {array.dtype}.")
    if np.ma.is_masked(values):
        raise EvidenceError(f"{name}: some values are masked; leave them out, or put in what they stand for.")
    return np.asarray(array, dtype=float)


def _is_count(value) -> bool:
    """Whether a value is a positive whole number, such as 3 or 3.0."""
    return np.ndim(value) == 0 and np.asarray(value).dtype.kind in "uif" and value >= 1 and value % 1 == 0


def _identical(array: np.ndarray) -> np.ndarray:
    """Say of every cell whether all its units have one value, up to rounding errors."""
    low, high = array.min(axis=0), array.max(axis=0)
    finite = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, 0.0), np.where(finite, high, 1.0)
    rounding = 1e-13 * np.maximum(np.abs(low), np.abs(high))
    # halves, because a difference may be larger than the largest float
    return (array == array[:1]).all(axis=0) | (finite & (high / 2 - low / 2 <= rounding / 2))


def _median(array: np.ndarray) -> np.ndarray:
    """Return the median over units, nan halfway between infinities of opposite sign."""
    with np.errstate(invalid="ignore"):
        return np.median(array, axis=0)


def intervals(values: np.ndarray, summary: str, level: float, trials: int | None = None):
    """Return estimate, low and high per cell, at the given confidence level, of valid values (see `validate`)."""
    if summary not in SUMMARIES:
        raise EvidenceError(f"The summary is one of {', '.join(SUMMARIES)}, not {summary!r}.")
    if not 0 < level < 1:
        raise EvidenceError(f"The level of an interval lies between 0 and 1, not at {level}.")
    values = np.asarray(values, dtype=float)
    if summary == "exact":
        return values, values, values
    count = values.shape[0]
    if count < 1 + (summary == "mean"):
        raise EvidenceError(f"An interval of a {summary} needs more units than {count}.")
    if summary == "mean":
        centre = values.mean(axis=0)
        half = _student(level, count) * values.std(axis=0, ddof=1) / np.sqrt(count)
        return centre, centre - half, centre + half
    if summary == "median":
        rank = int(
            stats.binom.ppf((1 - level) / 2, count, 0.5)
        )  # the largest r with coverage at least `level`
        while rank > 0 and 2 * stats.binom.cdf(rank - 1, count, 0.5) > 1 - level:
            rank -= 1
        ordered, centre = np.sort(values, axis=0), _median(values)
        if rank == 0:  # too few units for this level: the interval is the whole line
            return centre, np.full_like(centre, -np.inf), np.full_like(centre, np.inf)
        return centre, ordered[rank - 1], ordered[count - rank]
    total, successes = count * (trials or 1), values.sum(axis=0)
    if (successes < 0).any() or (successes > total).any():
        raise EvidenceError(f"There cannot be {successes} successes in {total} trials.")
    tail = (1 - level) / 2
    low = np.where(successes == 0, 0.0, stats.beta.ppf(tail, np.maximum(successes, 1), total - successes + 1))
    high = np.where(
        successes == total, 1.0, stats.beta.ppf(1 - tail, successes + 1, np.maximum(total - successes, 1))
    )
    return successes / total, low, high


@lru_cache
def _student(level: float, count: int) -> float:
    return float(stats.t.ppf((1 + level) / 2, count - 1))


def measure(values: np.ndarray, band: Band, summary: str = "mean", trials: int | None = None) -> Measured:
    """Compare valid values (see `validate`) with a band.

    The margin is the distance between intervals and band edges in the statistic's own units: of the nearest
    cell when all are inside, of the farthest cell when one is disjoint, and negative when unsettled.
    """
    estimate, low, high = (np.asarray(a, dtype=float) for a in intervals(values, summary, LEVEL, trials))
    cells = estimate.size
    slack = np.minimum(_gap(low, band.low), _gap(band.high, high)).reshape(-1)
    strict = 1 - (1 - LEVEL) / cells
    _, strict_low, strict_high = (
        intervals(values, summary, strict, trials) if cells > 1 else (None, low, high)
    )
    outside = np.maximum(_gap(band.low, strict_high), _gap(strict_low, band.high)).reshape(-1)
    if slack.min() >= 0:
        state, margin, worst = "holds", slack.min(), slack.argmin()
    elif outside.max() > 0:
        state, margin, worst = "fails", outside.max(), outside.argmax()
    else:
        state, margin, worst = "unsettled", slack.min(), slack.argmin()
    return Measured(estimate, low, high, state, float(margin), int(worst))


def _gap(upper, lower) -> np.ndarray:
    """``upper - lower`` where equal infinities leave no gap, instead of nan."""
    upper, lower = np.broadcast_arrays(np.asarray(upper, dtype=float), np.asarray(lower, dtype=float))
    gap = np.zeros(upper.shape)
    np.subtract(upper, lower, out=gap, where=~((upper == lower) & np.isinf(upper)))
    return gap


def repeat_chance(
    values: np.ndarray, band: Band, summary: str, state: str, trials: int | None, units: int
) -> float:
    """Return the predicted chance that a fresh run with ``units`` units comes out in ``state``.

    ``values`` pools all calibration units, ``(pooled, *cells)``. Two predictions are made and the smaller is
    returned: resampling whole units, which keeps skewness and the dependence of cells, and, for means, normal
    draws with the pooled mean and spread, which reach past the values that were seen.
    """
    if state not in STATES:
        raise EvidenceError(f"The state is one of {', '.join(STATES)}, not {state!r}.")
    if summary == "exact":
        return float(measure(values, band, summary).state == state)
    if not _is_count(units) or len(values) == 0:
        raise EvidenceError(
            f"At least one unit must be drawn, not {units}, from at least one, not {len(values)}."
        )
    units = int(units)
    rng = np.random.default_rng(20_000)
    flat = values.reshape(values.shape[0], -1)
    resampled = (flat[rng.integers(0, len(flat), (units,))] for _ in range(DRAWS))
    chances = [np.mean([measure(sample, band, summary, trials).state == state for sample in resampled])]
    if summary == "mean":
        centre, spread = flat.mean(axis=0), flat.std(axis=0, ddof=1)
        normal = (rng.normal(centre, spread, (units, flat.shape[1])) for _ in range(DRAWS))
        chances.append(np.mean([measure(sample, band, summary, trials).state == state for sample in normal]))
    if summary == "share":  # the counts themselves bound what the next run may bring
        share = (flat.sum(axis=0) + 0.5) / (flat.shape[0] * (trials or 1) + 1)
        counts = (
            rng.binomial(trials or 1, share, (units, flat.shape[1])).astype(float) for _ in range(DRAWS)
        )
        chances.append(np.mean([measure(sample, band, summary, trials).state == state for sample in counts]))
    return float(min(chances))
