"""Intervals, chances and spreads against SciPy, and against slower ways to the same number."""

import math
import statistics
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from claimbook.evidence import Band, records
from claimbook.evidence.interval import intervals, measure, repeat_chance

from .settings import few, many

LEVELS = st.sampled_from([0.6, 0.8, 0.9, 0.95, 0.99, 1 - 0.05 / 12, 1 - 0.05 / 400])
NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


def tables(least: int, elements=NUMBERS):
    """Draw values (units, cells), with ties and constant cells among them."""
    shapes = st.tuples(st.integers(least, 40), st.integers(1, 4))
    return shapes.flatmap(lambda shape: hnp.arrays(float, shape, elements=elements))


@many
@given(values=tables(2), level=LEVELS)
@example(values=np.array([[0.0], [1e-9]]), level=0.95)
@example(values=1e6 + np.arange(5.0)[:, None], level=0.95)
def test_the_mean_s_interval_is_scipy_s(values, level):
    """Against scipy.stats.ttest_1samp(...).confidence_interval."""
    assume(
        (values.std(axis=0) > 1e-9 * (1 + abs(values).max(axis=0))).all()
    )  # else SciPy warns of lost digits
    centre, low, high = intervals(values, "mean", level)
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    scale = abs(values).max() + (expected.high - expected.low).max()
    np.testing.assert_allclose(low, expected.low, rtol=1e-9, atol=1e-12 * scale)
    np.testing.assert_allclose(high, expected.high, rtol=1e-9, atol=1e-12 * scale)
    np.testing.assert_allclose(centre, [statistics.fmean(cell) for cell in values.T], atol=1e-12 * scale)


@many
@given(data=st.data(), units=st.integers(1, 60), trials=st.none() | st.integers(1, 50), level=LEVELS)
def test_the_share_s_interval_is_scipy_s(data, units, trials, level):
    """Against scipy.stats.binomtest(...).proportion_ci(method="exact"), from no success to nothing else."""
    total = units * (trials or 1)
    successes = data.draw(st.sampled_from([0, 1, total // 2, total - 1, total]) | st.integers(0, total))
    each = np.full(units, successes // units)
    each[: successes % units] += 1
    centre, low, high = intervals(each.astype(float), "share", level, trials)
    expected = stats.binomtest(successes, total).proportion_ci(level, method="exact")
    np.testing.assert_allclose([low, high], expected, rtol=1e-8, atol=1e-11)
    assert centre == pytest.approx(successes / total)


def slow_median_interval(values: list[float], level: float) -> tuple[float, float]:
    """Return the shortest symmetric pair of order statistics that covers the median, by adding up all outcomes."""
    n, ordered, found = len(values), sorted(values), (-math.inf, math.inf)
    for rank in range(1, n // 2 + 1):
        # the pair misses the median if fewer than `rank` values lie on one side of it
        missed = 2 * sum(math.comb(n, k) for k in range(rank))
        if missed <= (1 - level) * 2**n * (1 + 1e-12):
            found = (ordered[rank - 1], ordered[n - rank])
    return found


CENSORED = st.sampled_from([-math.inf, math.inf, 0.0, 1.0]) | NUMBERS


@many
@given(values=hnp.arrays(float, st.integers(1, 70), elements=CENSORED), level=LEVELS)
@example(values=np.arange(6.0), level=1 - 2 / 2**6 - 1e-9)  # just what the widest pair covers
@example(values=np.arange(6.0), level=1 - 2 / 2**6 + 1e-9)
@example(values=np.arange(5.0), level=0.95)
def test_the_median_s_interval_is_the_enumerated_one(values, level):
    """Against the number of outcomes of n coins, counted one by one; infinities are ordinary values."""
    with np.errstate(invalid="ignore"):  # the median between two infinities of opposite sign is none
        _, low, high = intervals(values, "median", level)
    assert (low, high) == slow_median_interval(values.tolist(), level)


@few
@given(values=hnp.arrays(float, st.integers(6, 60), elements=NUMBERS, unique=True), level=LEVELS)
def test_the_median_s_interval_is_scipy_s_pair_of_one_sided_bounds(values, level):
    """Against scipy.stats.quantile_test: its two-sided interval is the same pair of order statistics."""
    _, low, high = intervals(values, "median", level)
    expected = stats.quantile_test(values, p=0.5).confidence_interval(level)
    expected = [
        edge if not math.isnan(edge) else side for edge, side in zip(expected, (-np.inf, np.inf), strict=True)
    ]
    assert [low, high] == expected


@few
@given(values=tables(6), shift=st.floats(-3, 3))
def test_the_state_is_the_one_that_the_intervals_say(values, shift):
    """Against the rule in words: every interval inside; or one cell's interval, corrected, outside."""
    scale = values.std(axis=0).max()
    assume(scale > 1e-3 and (values.std(axis=0) > 1e-6).all())
    edge = float(values.mean() + shift * scale)
    assume(abs(edge) > 1e-6)
    found = measure(values, Band(above=edge, why="w"))
    cells = values.shape[1]
    own = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    corrected = stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / cells)
    assume(min(abs(own.low - edge).min(), abs(corrected.high - edge).min()) > 1e-9 * (1 + abs(edge)))
    holds, fails = (own.low > edge).all(), (corrected.high < edge).any()
    assert found.state == ("holds" if holds else "fails" if fails else "unsettled")


def test_the_chance_to_repeat_a_share_is_a_binomial_sum():
    """Against the exact sum over how many of ten fresh units succeed. After 20 of 20 that is not certain: the chance
    is taken to be 20.5 / 21."""
    successes, trials, edge = 20, 20, 0.6
    pooled, units = np.array([1.0] * successes + [0.0] * (trials - successes)), 10
    band = Band(above=edge, why="w")
    holds = [
        k for k in range(units + 1)
        if stats.binomtest(k, units).proportion_ci(0.95, method="exact").low >= edge
    ]  # fmt: skip
    expected = stats.binom.pmf(holds, units, (successes + 0.5) / (trials + 1)).sum()
    found = repeat_chance(pooled, band, "share", "holds", None, units)
    assert found == pytest.approx(expected, abs=5 * 0.5 / math.sqrt(4000))


@pytest.mark.parametrize("centre", [0.4, 1.5])
def test_the_chance_to_repeat_a_mean_is_at_most_the_noncentral_t_s(centre):
    """Against P(t' > t_.975) of the noncentral t: the prediction from normal draws, unless resampling gives less."""
    pooled = np.random.default_rng(1).normal(size=400)
    pooled = centre + (pooled - pooled.mean()) / pooled.std(
        ddof=1
    )  # the pool has this mean and spread exactly
    band, units = Band(above=1e-9, why="w"), 10
    quantile = stats.t.ppf(0.975, units - 1)
    expected = stats.nct.sf(quantile, units - 1, centre * math.sqrt(units))
    found = repeat_chance(pooled, band, "mean", "holds", None, units)
    assert expected - 0.06 < found < expected + 5 * 0.5 / math.sqrt(4000)


def test_the_chance_to_repeat_a_median_is_that_of_all_resamples():
    """Against every one of the 5^6 resamples of six units from a pool of five."""
    pool, band = np.array([1.0, 2.0, 3.0, 4.0, math.inf]), Band(above=1.5, why="w")
    expected = np.mean(
        [min(resample) >= 1.5 for resample in product(pool, repeat=6)]
    )  # 6 units: the whole range
    found = repeat_chance(pool, band, "median", "holds", None, 6)
    assert found == pytest.approx(expected, abs=5 * 0.5 / math.sqrt(4000))


@many
@given(data=st.data(), trials=st.integers(1, 300), level=st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_the_least_chance_is_scipy_s(data, trials, level):
    """Against scipy.stats.binomtest(..., alternative="greater").proportion_ci(method="exact")."""
    successes = data.draw(st.integers(0, trials))
    expected = (
        stats.binomtest(successes, trials, alternative="greater").proportion_ci(level, method="exact").low
    )
    assert records.least_chance(successes, trials, level) == pytest.approx(expected, abs=1e-9)


def test_the_least_chance_of_all_successes_has_a_closed_form():
    """Against 0.05^(1/n), also for as many seeds as nobody will run."""
    for trials in (1, 20, 1000, 3000):
        assert records.least_chance(trials, trials) == pytest.approx(0.05 ** (1 / trials), abs=1e-9)


@pytest.mark.parametrize("degrees", [*range(4, 40), 100, 1000, 10**6])
def test_the_t_quantile_is_scipy_s(degrees):
    """Against scipy.stats.t.ppf, within the half per cent that the docstring promises."""
    assert records.student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=0.005)


RUNS = st.tuples(st.integers(10, 25), st.integers(5, 12))


@few
@given(table=hnp.arrays(float, RUNS, elements=st.floats(-10, 10), unique=True), shared=st.floats(0, 3))
def test_the_spread_ratio_is_the_root_of_an_f_statistic(table, shared):
    """Against scipy.stats.f_oneway: with equally many units a run, the ratio is the root of its F."""
    assume((table.std(axis=1) > 1e-3).all())
    table = table + shared * np.arange(len(table))[:, None]
    centre, low, high = intervals(table.T, "mean", 0.95)
    found = [{"measured": {"part: p": list(row)}} for row in zip(centre, low, high, strict=True)]
    units = table.shape[1]
    ratio = records.spread_ratio(found, {"name": "p", "summary": "mean", "cells": 1, "units": units})
    assert ratio == pytest.approx(
        stats.f_oneway(*table).statistic ** 0.5, rel=0.006
    )  # the t quantile's half per cent
