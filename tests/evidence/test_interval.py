import numpy as np
import pytest
from scipy import stats

from claimbook.evidence import Band, EvidenceError, interval
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


@pytest.mark.parametrize("trials", [None, 3])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_share_is_clopper_pearson(trials, level):
    """Of every number of successes, each in a cell of its own."""
    each, units = trials or 1, 6
    total = each * units
    left = np.arange(total + 1) - each * np.arange(units)[:, None]
    values = np.clip(left, 0, each).astype(float)  # (units, total + 1): column k holds k successes
    centre, low, high = intervals(values, "share", level, trials)
    np.testing.assert_allclose(centre, np.arange(total + 1) / total)
    for successes in range(total + 1):
        expected = stats.binomtest(successes, total).proportion_ci(level, "exact")
        np.testing.assert_allclose([low[successes], high[successes]], expected, atol=1e-12)


@pytest.mark.parametrize("units", range(6, 40))
def test_median_interval_covers_as_promised_and_is_the_shortest(units):
    values = np.arange(units, dtype=float)
    _, low, high = intervals(values, "median", 0.95)
    rank = int(low) + 1
    assert high == units - rank
    assert 1 - 2 * stats.binom.cdf(rank - 1, units, 0.5) >= 0.95
    assert 1 - 2 * stats.binom.cdf(rank, units, 0.5) < 0.95


def test_median_of_cells():
    values = rng().permuted(np.stack([np.arange(10.0), 10 * np.arange(10.0)], axis=1), axis=0)
    for found, expected in zip(intervals(values, "median", 0.95), ([4.5, 45], [1, 10], [8, 80]), strict=True):
        np.testing.assert_array_equal(found, expected)
    few = np.arange(10.0).reshape(5, 2)  # at this level, five units bound no median
    for found, expected in zip(
        intervals(few, "median", 0.95), np.array([[4, 5], [-np.inf] * 2, [np.inf] * 2]), strict=True
    ):
        np.testing.assert_array_equal(found, expected, strict=True)


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


@pytest.mark.parametrize(
    ("edges", "state", "margin"),
    [
        ({"above": 2}, "holds", 0),  # the interval is 2 to 9
        ({"above": 1.5}, "holds", 0.5),
        ({"below": 9}, "holds", 0),
        ({"below": 9.5}, "holds", 0.5),
        ({"within": (1, 12)}, "holds", 1),
        ({"within": (-1, 11)}, "holds", 2),
        ({"above": 9}, "unsettled", -7),  # touching is not outside
        ({"below": 2}, "unsettled", -7),
        ({"within": (3, 8.5)}, "unsettled", -1),
        ({"above": 9.5}, "fails", 0.5),
        ({"above": 12}, "fails", 3),
        ({"below": 1.5}, "fails", 0.5),
        ({"within": (-3, -2)}, "fails", 4),
        ({"within": (10, 12)}, "fails", 1),
    ],
)
def test_states_and_margins_to_the_edge(edges, state, margin):
    values = np.arange(1.0, 11.0)
    found = measure(values, Band(why="w", **edges), "median")
    assert (found.state, found.margin, found.worst) == (state, margin, 0)
    assert type(found.margin) is float and type(found.worst) is int
    assert (found.estimate, found.low, found.high) == (5.5, 2, 9)
    assert found.worst_cell == (5.5, 2.0, 9.0)


def test_margins_of_censored_values():
    values = np.array([1, 2, 3, 4, 5, 6, 7, 8, np.inf, np.inf])
    assert measure(values, Band(above=1, why="w"), "median").margin == 0  # to infinity, as the band goes
    assert measure(values, Band(below=5, why="w"), "median").margin == -np.inf
    assert measure(values[::-1] * -1, Band(below=-1, why="w"), "median").state == "holds"


def test_the_cell_that_decides():
    """Cells at 2 to 9, 12 to 19 and 22 to 29, in a row and in a column."""
    values = np.arange(1.0, 11.0)[:, None] + [10, 0, 20]
    level = 1 - 0.05 / 3  # at which the intervals of ten units are 1 to 10 and so on
    _, low, high = intervals(values, "median", level)
    assert (low[1], high[1]) == (1, 10)
    for cells in (values, values[:, :, None], values[:, None]):
        found = measure(cells, Band(above=1.5, why="w"), "median")
        assert (found.state, found.margin, found.worst) == ("holds", 0.5, 1)
        assert found.worst_cell == (5.5, 2.0, 9.0) and found.low.shape == cells.shape[1:]
        found = measure(cells, Band(below=12, why="w"), "median")
        assert (found.state, found.margin, found.worst) == ("fails", 9, 2)
        found = measure(cells, Band(above=9.5, why="w"), "median")  # below the edge without the correction
        assert (found.state, found.margin, found.worst) == ("unsettled", -7.5, 1)


def test_two_cells_are_corrected_for_too():
    values = np.stack([rng(1).normal(size=10), rng(2).normal(size=10)], axis=1)
    found = measure(values, Band(above=9, why="w"))
    strict = stats.ttest_1samp(values, 0).confidence_interval(0.975).high
    assert found.margin == pytest.approx(9 - strict.min()) and found.worst == strict.argmin()
    np.testing.assert_allclose(found.high, stats.ttest_1samp(values, 0).confidence_interval(0.95).high)
    one = measure(values[:, 0], Band(above=9, why="w"))
    assert one.margin == pytest.approx(9 - found.high[0])
    counts = np.array([[3, 1]] * 10)
    shares = measure(counts, Band(above=0.9, why="w"), "share", 3)
    high = stats.binomtest(10, 30).proportion_ci(0.975, "exact").high
    assert shares.margin == pytest.approx(0.9 - high) and shares.worst == 1


def test_exact_needs_no_units():
    found = measure(validate(3, "exact", "x"), Band(within=(2, 4), why="w", null=0), "exact")
    assert found.state == "holds" and found.estimate.shape == ()
    found = measure(np.array([[3, 5], [6, 2]]), Band(within=(2, 7), why="w"), "exact")
    assert (found.state, found.margin, found.worst) == ("holds", 0, 3)
    assert found.estimate.dtype == found.low.dtype == found.high.dtype == float


FEW = "name: at least {} units are needed, not {}."
TRIALS = "name: trials= is a positive whole number and goes with summary='share'."
SHARE = "name: a share counts successes, whole numbers from 0 to {} per unit."
SAME = "name: identical values in all units of a cell, although chance was claimed. Is it summary='exact'?"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.ones((4, 2)) * rng().normal(size=(4, 1)), {}, FEW.format(5, 4)),
        (rng().normal(size=5), {"summary": "median"}, FEW.format(6, 5)),
        (7.0, {}, FEW.format(5, 0)),
        ([1, 2, 3, 4, np.nan], {}, "name: 1 of 5 values are nan."),
        ([np.nan, 2, 3, 4, np.nan, 1], {"summary": "median"}, "name: 2 of 6 values are nan."),
        ([np.nan], {"summary": "exact"}, "name: 1 of 1 values are nan."),
        ([1, 2, 3, 4, np.inf], {}, "name: infinite values need summary='median'."),
        (-np.inf, {"summary": "exact"}, "name: infinite values need summary='median'."),
        (np.ones(10), {}, SAME),
        (np.stack([np.ones(10), np.arange(10)], axis=1), {}, SAME),
        (np.ones(10), {"summary": "median"}, SAME),
        ([], {}, "name: there are no values."),
        (["a"] * 5, {}, "name: the values must be numbers, not <U1."),
        (
            rng().normal(size=10),
            {"summary": "mode"},
            "name: the summary is one of mean, median, share, exact, not 'mode'.",
        ),
        ([0.5] * 10, {"summary": "share"}, SHARE.format(1)),
        ([2] * 10, {"summary": "share"}, SHARE.format(1)),
        ([-1] * 10, {"summary": "share"}, SHARE.format(1)),
        ([3] * 10, {"summary": "share", "trials": 2}, SHARE.format(2)),
        (rng().normal(size=10), {"trials": 3}, TRIALS),
        ([1] * 10, {"summary": "share", "trials": 0}, TRIALS),
        ([1] * 10, {"summary": "share", "trials": -1}, TRIALS),
        ([1] * 10, {"summary": "share", "trials": 1.5}, TRIALS),
    ],
)
def test_values_that_carry_no_check_are_refused(values, options, message):
    with pytest.raises(EvidenceError) as raised:
        validate(values, **{"summary": "mean", "name": "name", **options})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("values", "options"),
    [
        ([1, 2, 3, 4, 5], {}),
        ([[1, 2], [1, 3], [1, 4], [1, 5], [2, 5]], {}),
        ([1, 2, 3, 4, 5, np.inf], {"summary": "median"}),
        ([True, False, True, True, True], {"summary": "share"}),
        ([1] * 5, {"summary": "share"}),
        ([0, 1] * 3, {"summary": "share", "trials": 1}),
        ([0, 1, 2, 3, 3], {"summary": "share", "trials": 3}),
        (3, {"summary": "exact"}),
        ([1, 1], {"summary": "exact"}),
    ],
)
def test_values_that_carry_a_check_become_floats(values, options):
    found = validate(values, **{"summary": "mean", "name": "name", **options})
    assert found.dtype == float
    np.testing.assert_array_equal(found, values)


def test_repeat_chance_is_the_smaller_of_two_predictions(monkeypatch):
    """The same draws, all at once, and the intervals in closed form."""
    monkeypatch.setattr(interval, "DRAWS", 300)
    units, noise = 8, 0.1 * rng(3).normal(size=(40, 2)) * [1, 7]
    half = stats.t.ppf(0.975, units - 1) / units**0.5

    def holds(draws):
        low = draws.mean(axis=1) - half * draws.std(axis=1, ddof=1)
        return (low >= 0.5).all(axis=1).mean()

    smaller = []
    for values, shape in (
        (1.0 + noise, (40, 1, 2)),
        (np.array([1.0, 1.6]) + noise, (40, 2)),
        (1.4 + noise[:, 1:], (40,)),
    ):
        draws = np.random.default_rng(20_000)
        resampled = holds(values[draws.integers(0, 40, (300, units))])
        normal = holds(
            draws.normal(values.mean(axis=0), values.std(axis=0, ddof=1), (300, units, values.shape[1]))
        )
        band = Band(above=0.5, why="w")
        found = repeat_chance(values.reshape(shape), band, "mean", "holds", None, units)
        assert 0 < found < 1 and found == min(resampled, normal)
        smaller.append(found == normal)
    assert smaller[:2] == [False, True]  # either can be the smaller one


@pytest.mark.parametrize("trials", [None, 4])
def test_repeat_chance_of_shares(monkeypatch, trials):
    monkeypatch.setattr(interval, "DRAWS", 100)
    each, units, edge = trials or 1, 12, 0.3
    values = rng(5).binomial(each, [0.75, 0.65], size=(60, 2)).astype(float)

    def holds(draws):
        successes, total = draws.sum(axis=1), each * units
        return (stats.beta.ppf(0.025, successes, total - successes + 1) >= edge).all(axis=1).mean()

    generator = np.random.default_rng(20_000)
    resampled = holds(values[generator.integers(0, 60, (100, units))])
    share = (values.sum(axis=0) + 0.5) / (60 * each + 1)
    counted = holds(generator.binomial(each, share, (100, units, 2)))
    band = Band(above=edge, why="w")
    found = repeat_chance(values, band, "share", "holds", trials, units)
    assert found == min(resampled, counted) and 0 < found


def test_repeat_chance_doubts_shares_that_were_always_one(monkeypatch):
    monkeypatch.setattr(interval, "DRAWS", 300)
    band = Band(above=0.5, why="w")
    for trials in (None, 2):
        each = trials or 1
        share = np.full(1, (9 * each + 0.5) / (9 * each + 1))
        draws = np.random.default_rng(20_000)
        draws.integers(0, 9, (300, 6))  # resampling, which finds ones alone
        successes = draws.binomial(each, share, (300, 6, 1)).sum(axis=(1, 2))
        counted = np.mean(stats.beta.ppf(0.025, successes, 6 * each - successes + 1) >= 0.5)
        found = repeat_chance(np.full(9, float(each)), band, "share", "holds", trials, 6)
        assert found == counted < 1


def test_repeat_chance_of_medians_resamples_alone(monkeypatch):
    monkeypatch.setattr(interval, "DRAWS", 300)
    values = rng(6).exponential(size=50)
    ordered = np.sort(values[np.random.default_rng(20_000).integers(0, 50, (300, 10))], axis=1)
    expected = (ordered[:, 1] >= 0.1).mean()
    found = repeat_chance(values, Band(above=0.1, why="w"), "median", "holds", None, 10)
    assert found == expected and 0 < found < 1


@pytest.mark.parametrize(
    ("value", "state", "chance"), [(1.0, "holds", 1.0), (0.5, "holds", 0.0), (0.5, "fails", 1.0)]
)
def test_repeat_chance_of_what_is_deterministic(value, state, chance):
    found = repeat_chance(np.array(value), Band(above=0.6, why="w"), "exact", state, None, 1)
    assert found == chance and type(found) is float


def test_repeat_chance_tells_safe_from_unsafe(monkeypatch):
    monkeypatch.setattr(interval, "DRAWS", 1000)
    safe, unsafe = 3 + rng().normal(size=200), 1.6 + rng().normal(size=200)
    assert repeat_chance(safe, ABOVE, "mean", "holds", None, 10) > 0.99
    assert repeat_chance(unsafe, ABOVE, "mean", "holds", None, 10) < 0.9


def test_repeat_chance_is_calibrated(monkeypatch):
    """What it predicts from 200 units is about what fresh runs of 10 do."""
    monkeypatch.setattr(interval, "DRAWS", 1000)
    values = 1.8 + rng(1).normal(size=200)
    predicted = repeat_chance(values, ABOVE, "mean", "holds", None, 10)
    fresh = np.mean([measure(1.8 + rng(k).normal(size=10), ABOVE).state == "holds" for k in range(1000)])
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


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (rng().normal(size=10) + 1j, {}, "must be numbers, not complex"),
        (1j, {"summary": "exact"}, "must be numbers, not complex"),
        (np.arange(10).astype("timedelta64[D]"), {}, "must be numbers, not timedelta"),
        (np.ma.masked_array(np.arange(10.0), np.arange(10) == 3), {}, "masked"),
        ([[1, 2], [3]] * 5, {}, "same number of cells"),
        (0.3 + np.array([0.0, 0.0, 5e-17, 0.0, 0.0]), {}, "identical"),  # but for rounding
        (np.full(10, np.inf), {"summary": "median"}, "identical"),
        (np.stack([0.3 + 5e-17 * np.arange(10), rng().normal(size=10)], 1), {}, "identical"),  # one cell is
        (np.stack([np.full(10, np.inf), np.arange(10.0)], 1), {"summary": "median"}, "identical"),
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
def test_values_of_odd_kinds_are_refused(values, options, message):
    with pytest.raises(EvidenceError, match=message):
        validate(values, **{"summary": "mean", "name": "name", **options})
