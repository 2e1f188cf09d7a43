import numpy as np
import pytest
from scipy import stats

from claimbook.evidence import Band, EvidenceError
from claimbook.evidence.interval import intervals, measure, repeat_chance, validate

ABOVE = Band(above=1.0, why="w")


def rng(seed=0):
    return np.random.default_rng(seed)


def test_mean_is_students_interval():
    values = rng().normal(size=(10, 3))
    centre, low, high = intervals(values, "mean", 0.95)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    np.testing.assert_allclose(low, expected.low)
    np.testing.assert_allclose(high, expected.high)
    np.testing.assert_allclose(centre, values.mean(axis=0))


def test_share_is_clopper_pearson():
    for successes in (0, 3, 10):
        values = np.array([1] * successes + [0] * (10 - successes), dtype=float)
        _, low, high = intervals(values, "share", 0.95)
        expected = stats.binomtest(successes, 10).proportion_ci(0.95, "exact")
        np.testing.assert_allclose([low, high], expected, atol=1e-12)
    _, low, high = intervals(np.full(10, 18.0), "share", 0.95, trials=20)
    np.testing.assert_allclose([low, high], stats.binomtest(180, 200).proportion_ci(0.95, "exact"))


@pytest.mark.parametrize("units", [6, 9, 10, 20, 31])
def test_median_interval_covers_as_promised_and_is_the_shortest(units):
    values = np.arange(units, dtype=float)
    _, low, high = intervals(values, "median", 0.95)
    rank = int(low) + 1
    assert high == units - rank
    assert 1 - 2 * stats.binom.cdf(rank - 1, units, 0.5) >= 0.95
    assert 1 - 2 * stats.binom.cdf(rank, units, 0.5) < 0.95


def test_median_takes_censored_values():
    values = np.array([1, 2, 3, 4, 5, 6, 7, 8, np.inf, np.inf])
    assert measure(validate(values, "median", "x"), Band(above=0.5, why="w"), "median").state == "holds"
    assert measure(values, Band(below=5, why="w"), "median").state == "unsettled"


def test_three_states():
    noise = rng().normal(size=10) * 0.1
    assert measure(2 + noise, ABOVE).state == "holds"
    assert measure(0 + noise, ABOVE).state == "fails"
    assert measure(1 + noise, ABOVE).state == "unsettled"
    assert measure(2 + noise, ABOVE).margin > 0
    assert measure(0 + noise, ABOVE).margin > 0
    assert measure(1 + noise, ABOVE).margin < 0


def test_every_cell_must_hold_and_one_suffices_to_fail():
    noise = rng().normal(size=(10, 4)) * 0.1
    cells = np.array([2.0, 2.0, 2.0, 2.0])
    assert measure(cells + noise, ABOVE).state == "holds"
    cells[2] = 0
    found = measure(cells + noise, ABOVE)
    assert (found.state, found.worst) == ("fails", 2)


def test_failing_is_corrected_for_the_number_of_cells():
    """Cells just at the edge: without a correction one of a hundred would often lie outside by chance."""
    draws = [measure(rng(k).normal(1.0, 1.0, size=(10, 100)), ABOVE).state for k in range(300)]
    assert np.mean([state == "fails" for state in draws]) < 0.06


def test_a_wrong_claim_holds_rarely_whatever_the_cells():
    for cells in (1, 5):
        draws = [measure(rng(k).normal(1.0, 1.0, size=(10, cells)), ABOVE).state for k in range(400)]
        assert np.mean([state == "holds" for state in draws]) < 0.05


def test_exact_needs_no_units():
    found = measure(validate(3, "exact", "x"), Band(within=(2, 4), why="w", null=0), "exact")
    assert found.state == "holds" and found.estimate.shape == ()


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones((4, 2)) * rng().normal(size=(4, 1)), {}, "at least 5 units"),
        (rng().normal(size=5), {"summary": "median"}, "at least 6 units"),
        ([1, 2, 3, 4, np.nan], {}, "nan"),
        ([1, 2, 3, 4, np.inf], {}, "infinite"),
        (np.ones(10), {}, "identical"),
        (np.stack([np.ones(10), np.arange(10)], axis=1), {}, "identical"),
        ([], {}, "no values"),
        (["a"] * 5, {}, "numbers"),
        (rng().normal(size=10), {"summary": "mode"}, "summary"),
        ([0.5] * 10, {"summary": "share"}, "successes"),
        ([3] * 10, {"summary": "share", "trials": 2}, "successes"),
        (rng().normal(size=10), {"trials": 3}, "trials"),
        ([np.nan], {"summary": "exact"}, "nan"),
        (7.0, {}, "units"),
        (rng().normal(size=10) + 1j, {}, "must be numbers, not complex"),
        (1j, {"summary": "exact"}, "must be numbers, not complex"),
        (np.arange(10).astype("timedelta64[D]"), {}, "must be numbers, not timedelta"),
        (np.ma.masked_array(np.arange(10.0), np.arange(10) == 3), {}, "masked"),
        ([[1, 2], [3]] * 5, {}, "same number of cells"),
        (0.3 + np.array([0.0, 0.0, 5e-17, 0.0, 0.0]), {}, "identical"),  # but for rounding
        (np.full(10, np.inf), {"summary": "median"}, "identical"),
        ([-np.inf] * 3 + [np.inf] * 3, {"summary": "median"}, "no median"),
        ([1] * 10, {"summary": "share", "trials": np.nan}, "trials"),
        ([1] * 10, {"summary": "share", "trials": np.inf}, "trials"),
        ([1] * 10, {"summary": "share", "trials": 2.5}, "trials"),
        ([1] * 10, {"summary": "share", "trials": "3"}, "trials"),
        ([1] * 10, {"summary": "share", "trials": np.array([1, 2])}, "trials"),
        ([-1] + [1] * 9, {"summary": "share", "trials": 3}, "successes"),
        ([np.inf] + [1] * 9, {"summary": "share"}, "infinite"),
    ],
)
def test_values_that_carry_no_check_are_refused(values, options, message):
    with pytest.raises(EvidenceError, match=message):
        validate(values, **{"summary": "mean", "name": "name", **options})


def test_repeat_chance_tells_safe_from_unsafe():
    safe, unsafe = 3 + rng().normal(size=200), 1.6 + rng().normal(size=200)
    assert repeat_chance(safe, ABOVE, "mean", "holds", None, 10) > 0.99
    assert repeat_chance(unsafe, ABOVE, "mean", "holds", None, 10) < 0.9
    assert (
        repeat_chance(np.ones(200), Band(above=0.4, why="w", possible=(0, 1)), "share", "holds", None, 10)
        > 0.99
    )
    assert repeat_chance(np.array(1.0), Band(above=0.6, why="w"), "exact", "holds", None, 1) == 1.0


def test_repeat_chance_is_calibrated():
    """What it predicts from 200 units is about what fresh runs of 10 do."""
    values = 1.8 + rng(1).normal(size=200)
    predicted = repeat_chance(values, ABOVE, "mean", "holds", None, 10)
    fresh = np.mean([measure(1.8 + rng(k).normal(size=10), ABOVE).state == "holds" for k in range(2000)])
    assert abs(predicted - fresh) < 0.12


def test_values_that_nearly_coincide_carry_a_check():
    for values in (1 + 1e-9 * rng().normal(size=10), 1e-300 * np.arange(1.0, 11), 1e300 * np.arange(1.0, 11)):
        assert (validate(values, "mean", "name") == values).all()


def test_a_huge_number_of_trials_is_no_trouble():
    values = validate(np.full(10, 3), "share", "name", 10**10)
    estimate, low, high = intervals(values, "share", 0.95, 10**10)
    expected = stats.chi2.ppf([0.025, 0.975], [60, 62]) / 2 / 10**11  # the Poisson limit
    np.testing.assert_allclose([estimate, low, high], [3e-10, *expected], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "summary", "level", "message"),
    [
        (rng().normal(size=10), "mode", 0.95, "summary"),
        (rng().normal(size=10), "mean", 95, "level"),
        (rng().normal(size=10), "share", -1, "level"),
        (rng().normal(size=10), "mean", np.nan, "level"),
        (rng().normal(size=1), "mean", 0.95, "more units than 1"),
        (np.empty((0, 3)), "median", 0.95, "more units than 0"),
        (np.full(5, 3.0), "share", 0.95, "successes in 5 trials"),
    ],
)
def test_an_interval_that_there_is_not_is_refused(values, summary, level, message):
    with pytest.raises(EvidenceError, match=message):
        intervals(values, summary, level)


@pytest.mark.parametrize(
    ("size", "state", "units", "message"),
    [
        (20, "hold", 10, "state is one of"),
        (20, "holds", 0, "At least one unit"),
        (20, "holds", 2.5, "At least one unit"),
        (20, "holds", 1, "more units than 1"),
        (0, "holds", 10, "At least one unit"),
    ],
)
def test_a_chance_that_there_is_not_is_refused(size, state, units, message):
    with pytest.raises(EvidenceError, match=message):
        repeat_chance(rng().normal(size=size), ABOVE, "mean", state, None, units)
