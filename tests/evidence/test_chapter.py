import json

import numpy as np
import pytest

from claimbook import claims
from claimbook.claims import RegistryError
from claimbook.evidence import Band, Chapter, EvidenceError, MovedBand, NotFrozen, draw, lock, records
from claimbook.evidence.chapter import Number, Verdict, mode, verdict_expected
from claimbook.evidence.interval import measure

ABOVE = Band(above=0.5, why="the smallest effect worth asserting")
INTACT = ("the rest", np.linspace(0.9, 1.1, 10), Band(within=(0.8, 1.2), why="w"))


ADVICE = (
    "Run the cells above in order from a fresh kernel; if it stays, try another CLAIMBOOK_SEED: a state that turns "
    "with the seed is a defect of the chapter, one that turns with your change is a finding."
)


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    """Keep the locks of made-up chapters away from the package's."""
    monkeypatch.setattr(lock, "RECORDS", tmp_path)
    monkeypatch.delenv("CLAIMBOOK_MODE", raising=False)
    return tmp_path


def values(centre, seed=0, cells=()):
    return centre + 0.1 * np.random.default_rng(seed).normal(size=(10, *cells))


def write(chapter, effect=1.0, expect="holds", band=ABOVE, control=0.0):
    """Write the evidence of a small chapter."""
    check = chapter.check("It works", values(effect), band, unit="draw", expect=expect)
    check.control("without it", values(control, 1), intact=INTACT)
    if expect == "fails":
        check.planted("put in by hand", values(1.0, 2))
    return chapter


@pytest.fixture
def shown(monkeypatch):
    """Return what is displayed, in order."""
    found = []
    monkeypatch.setattr("IPython.display.display", found.append)
    return found


def refused(call, *arguments, kind=EvidenceError, **options):
    """Return the message with which a call is refused."""
    with pytest.raises(kind) as raised:
        call(*arguments, **options)
    return str(raised.value)


def freeze(chapter):
    definitions = [check.definition() for check in chapter._parts.values()]
    parts = [
        {"definition": d, "calibration": {"chances": {d["name"]: 1.0}, "shown": {}, "seeds": 20}}
        for d in definitions
    ]
    verdict = verdict_expected(definitions, chapter._untested)
    return lock.append(chapter.claim.id, parts, chapter._untested, verdict, list(range(1_000_000, 1_000_020)))


def test_unknown_chapter_is_refused_with_a_suggestion():
    with pytest.raises(RegistryError, match="Did you mean 'long_tail'"):
        Chapter("long_tale")


def test_a_frozen_chapter_earns_its_verdict_again(shown):
    revision = freeze(write(Chapter("long_tail")))
    chapter = write(Chapter("long_tail"))
    chapter.verdict()
    found = chapter.evidence()
    assert [verdict.record for verdict in shown] == [found]
    assert {key: found[key] for key in found if key != "parts"} == {
        "chapter": "long_tail",
        "seed": 0,
        "lock": revision["hash"],
        "untested": [],
        "verdict": "supported",
        "problem": None,
    }


def test_without_a_lock_there_is_no_verdict():
    with pytest.raises(NotFrozen, match="make freeze CHAPTER=long_tail"):
        write(Chapter("long_tail")).verdict()


def test_a_flipped_state_fails_and_speaks():
    freeze(write(Chapter("long_tail")))
    changed = write(Chapter("long_tail"), effect=0.0)
    (part,) = changed.evidence()["parts"]
    assert refused(changed.verdict) == (
        "No verdict. “It works” fails, and no planted effect shows that the statistic could have seen it. "
        f"“It works” came out fails, frozen as holds: measured {draw.interval(part)}, band at least 0.5. {ADVICE}"
    )


def test_every_flipped_state_is_named():
    def two(first, second):
        chapter = write(Chapter("long_tail"), effect=first)
        check = chapter.check("Second", values(second, 3), ABOVE, unit="draw", core=False, expect="fails")
        check.control("c", values(0.0), intact="The same runs.").planted("p", values(1.0))
        return chapter

    freeze(two(1.0, 0.0))
    two(1.0, 0.0).verdict()
    flipped = two(1.0, 1.0)
    second = draw.interval(flipped.evidence()["parts"][1])
    assert refused(flipped.verdict) == (
        "Verdict supported, frozen as partly supported. “Second” came out holds, frozen as fails: "
        f"measured {second}, band at least 0.5. {ADVICE}"
    )
    first, second = (draw.interval(part) for part in two(0.5, 0.5).evidence()["parts"])
    assert refused(two(0.5, 0.5).verdict) == (
        "No verdict. “It works” is unsettled: its interval straddles an edge of the band. "
        "“Second” is unsettled: its interval straddles an edge of the band. "
        f"“It works” came out unsettled, frozen as holds: measured {first}, band at least 0.5. "
        f"“Second” came out unsettled, frozen as fails: measured {second}, band at least 0.5. {ADVICE}"
    )


def test_states_as_frozen_are_not_enough(monkeypatch):
    """A control that holds leaves every part as it was frozen, and gives no verdict."""
    freeze(write(Chapter("long_tail")))
    assert refused(write(Chapter("long_tail"), control=1.0).verdict) == (
        f"No verdict. The control “without it” of “It works” is not disjoint from the band (holds). {ADVICE}"
    )
    monkeypatch.setattr("claimbook.evidence.chapter.decide", lambda parts, untested: "partly supported")
    told = f"Verdict partly supported, frozen as supported. {ADVICE}"
    assert refused(write(Chapter("long_tail")).verdict) == told


def test_a_flip_is_told_although_the_verdict_stays():
    def two(second):
        chapter = write(Chapter("long_tail"))
        check = chapter.check("Second", values(second), ABOVE, unit="draw", core=False, expect="fails")
        check.control("c", values(0.0), intact="The same runs.").planted("p", values(1.0))
        chapter.untested("At scale", why="needs a large model")
        return chapter

    freeze(two(0.0))
    assert refused(two(1.0).verdict).startswith(
        "Verdict partly supported, frozen as partly supported. “Second” came out holds, frozen as fails: "
    )


def test_a_moved_band_fails():
    freeze(write(Chapter("long_tail")))
    moved = Band(above=0.4, why=ABOVE.why)
    assert refused(write(Chapter("long_tail"), band=moved).verdict, kind=MovedBand) == (
        f"“It works” differs from its lock: band is {moved.as_dict()!r}, frozen as {ABOVE.as_dict()!r}. "
        "A new band needs `make freeze CHAPTER=long_tail`."
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.check("It works", values(1.0), ABOVE, unit="other").control(
            "without it", values(0), intact=INTACT
        ),
        lambda c: c.check("It works", values(1.0), ABOVE, unit="draw", core=False).control(
            "without it", values(0), intact=INTACT
        ),
        lambda c: c.check("It works", values(1.0), ABOVE, unit="draw").control(
            "another", values(0), intact=INTACT
        ),
        lambda c: c.check("It works", values(1.0)[:8], ABOVE, unit="draw").control(
            "without it", values(0), intact=INTACT
        ),
        lambda c: (
            write(c)
            .check("More", values(1.0), ABOVE, unit="draw")
            .control("without it", values(0), intact=INTACT)
        ),
    ],
)
def test_whatever_was_frozen_cannot_move(change):
    freeze(write(Chapter("long_tail")))
    chapter = Chapter("long_tail")
    change(chapter)
    with pytest.raises(MovedBand):
        chapter.verdict()


def test_a_part_that_is_left_out_fails():
    full = write(Chapter("long_tail"))
    for name in ("Second", "Third"):
        full.check(name, values(1.0), ABOVE, unit="draw").control("c", values(0.0), intact=INTACT)
    full.untested("At scale", why="needs a large model")
    freeze(full)
    told = "The lock has parts that this run lacks: {}."
    assert refused(write(Chapter("long_tail")).verdict) == told.format("Second; Third")
    full.untested("On text", why="no data")
    assert refused(full.verdict) == told.format("the untested ones")


def test_the_record_and_the_definition_of_a_check():
    check = Chapter("long_tail").check("It works!", values(1.0), ABOVE, unit="draw", fixed="the digits")
    assert check.control("without it", values(0.0, 1), intact=INTACT) is check
    check.control("exactly", values(0.0, 2), intact=("the sum", 3, Band(within=(2, 4), why="w", null=3.5)))
    check.control("same runs", values(0.0, 3), intact="The same runs are used.")

    def plain(array, band, units=10, summary="mean"):
        found = measure(np.asarray(array, dtype=float), band, summary)
        return {
            "summary": summary,
            "trials": None,
            "units": units,
            "cells": 1,
            "state": found.state,
            "margin": pytest.approx(found.margin, rel=1e-5),
            "worst": pytest.approx(found.worst_cell, rel=1e-5),
            "values": pytest.approx(np.asarray(array), rel=1e-5),
        }

    exact = Band(within=(2, 4), why="w", null=3.5)
    rest = {"name": "the rest", "band": INTACT[2].as_dict(), **plain(INTACT[1], INTACT[2])}
    intact = [
        rest,
        {"name": "the sum", "band": exact.as_dict(), **plain(3, exact, None, "exact")},
        {"name": "The same runs are used.", "state": "holds"},
    ]
    names = ["without it", "exactly", "same runs"]
    told = {"name": "It works!", "unit": "draw", "fixed": "the digits", "core": True, "expect": "holds"}
    told |= {"band": ABOVE.as_dict(), "planted": None}
    assert check.record() == {
        **told,
        "slug": "it-works",
        **plain(values(1.0), ABOVE),
        "controls": [
            {"name": name, **plain(values(0.0, k), ABOVE), "intact": found}
            for k, (name, found) in enumerate(zip(names, intact, strict=True), 1)
        ],
    }
    assert check.definition() == {
        **told,
        "summary": "mean",
        "trials": None,
        "units": 10,
        "cells": 1,
        "controls": [
            {"name": name, "intact": {key: found[key] for key in ("name", "band") if key in found}}
            for name, found in zip(names, intact, strict=True)
        ],
    }
    json.dumps(check.record())  # plain data: it goes into the notebook
    assert check._repr_mimebundle_() == (
        dict.fromkeys(("text/markdown", "text/plain"), draw.check_table(check.record())),
        {},
    )


def test_shares_medians_and_exact_values_go_through_whole():
    chapter = Chapter("long_tail")
    band = Band(above=0.5, why="w")
    counts, none = np.array([9, 10, 9, 10, 10]), np.array([1, 0, 0, 1, 0])
    check = chapter.check("share", counts, band, unit="net", summary="share", trials=10, expect="fails")
    check.control("without", none, intact="The same runs.").planted("by hand", counts)
    own, other = measure(counts, band, "share", 10), measure(none, band, "share", 10)
    for found, expected in (
        (check.record(), own),
        (check.record()["controls"][0], other),
        (check.record()["planted"], own),
    ):
        assert (found["summary"], found["trials"], found["state"]) == ("share", 10, expected.state)
        assert found["worst"] == pytest.approx(expected.worst_cell, rel=1e-5)
    assert check.record()["planted"]["name"] == check.definition()["planted"] == "by hand"
    times = np.array([1, 2, 3, 4, 5, 6, 7, np.inf, np.inf])
    check = chapter.check("median", times, band, unit="net", summary="median")
    check.control("without", times / 1000 - 1, intact="The same runs.")
    assert check.record()["worst"] == [5, 2, np.inf] and check.record()["margin"] == 0.0
    with pytest.raises(EvidenceError, match=r"^without: infinite values need summary='median'\.$"):
        chapter.check("mean", values(1), band, unit="net").control("without", times, intact="")
    check = chapter.check("exact", [3, 4], band, summary="exact")
    check.control("without", [0, -1], intact="The same sum.")
    found = check.record()
    assert (found["units"], found["cells"], found["unit"], found["fixed"]) == (None, 2, "", "")
    assert found["values"] == [3.0, 4.0] and found["controls"][0]["values"] == [0.0, -1.0]
    assert refused(check.control, "other", [0, 1, 2], intact="") == (
        "other: its cells have the shape (3,), those of the check (2,)."
    )
    cells = chapter.check("cells", values(1.0, cells=(2, 3)), band, unit="net").record()
    assert cells["cells"] == 6 and np.shape(cells["values"]) == (10, 2, 3)


def test_values_are_kept_to_six_digits():
    check = Chapter("long_tail").check("exact", [1234.56789, 1e-9 / 3], ABOVE, summary="exact")
    assert check.record()["values"] == [1234.57, 3.33333e-10]


def test_what_is_wrong_with_values_is_told_by_name():
    check = Chapter("long_tail").check("It works", values(1.0), ABOVE, unit="draw", expect="fails")
    same = "{}: identical values in all units of a cell, although chance was claimed. Is it summary='exact'?"
    ones = np.ones(10)
    assert refused(check.planted, "by hand", ones) == same.format("by hand")
    assert refused(check.control, "without", ones, intact="") == same.format("without")
    rest = ("the rest", ones, INTACT[2])
    assert refused(check.control, "without", values(0.0), intact=rest) == same.format("the rest")


def test_a_check_without_control_earns_no_verdict():
    freeze(write(Chapter("long_tail")))
    chapter = Chapter("long_tail")
    chapter.check("It works", values(1.0), ABOVE, unit="draw")
    problem = "No verdict. “It works” has no control, so nothing shows that it could fail."
    assert (chapter.evidence()["verdict"], chapter.evidence()["problem"]) == ("none", problem)
    with pytest.raises(MovedBand):
        chapter.verdict()


def test_a_failing_part_needs_a_planted_effect():
    chapter = Chapter("long_tail")
    check = chapter.check("It works", values(-1.0), ABOVE, unit="draw", expect="fails")
    check.control("without it", values(0.0), intact=INTACT)
    assert "planted" in chapter.evidence()["problem"]
    check.planted("put in by hand", values(1.0))
    assert chapter.evidence()["verdict"] == "not seen at this scale"
    assert "comes out the opposite way" in Verdict(chapter.evidence())._markdown()


def test_an_effect_is_planted_only_for_failing_parts():
    check = Chapter("long_tail").check("It works", values(1.0), ABOVE, unit="draw")
    told = "It works: an effect is planted only where the part is expected to fail."
    assert refused(check.planted, "x", values(1.0)) == told


def test_untested_parts_make_it_partly_supported():
    chapter = write(Chapter("long_tail"))
    chapter.untested("At scale", why="needs a large model")
    chapter.untested("At scale", why="needs a large model")
    assert chapter.evidence()["verdict"] == "partly supported"
    assert chapter.evidence()["untested"] == [{"name": "At scale", "why": "needs a large model"}]
    assert (
        "| At scale | – | – | – | untested: needs a large model |" in Verdict(chapter.evidence())._markdown()
    )


@pytest.mark.parametrize(
    ("expect", "untested", "verdict"),
    [
        ("holds", [], "supported"),
        ("holds", [{"name": "At scale", "why": "w"}], "partly supported"),
        ("fails", [], "not seen at this scale"),
    ],
)
def test_the_expected_verdict_follows_from_the_declared_states(expect, untested, verdict):
    chapter = write(Chapter("long_tail"), effect=0.5, expect=expect, control=0.5)  # nothing is settled
    definitions = [check.definition() for check in chapter._parts.values()]
    assert verdict_expected(definitions, untested) == verdict


def test_running_a_cell_twice_replaces_the_part():
    chapter = write(write(Chapter("long_tail")))
    assert len(chapter.evidence()["parts"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": ""}, "It works: name the unit, the smallest thing that is redrawn whole."),
        ({"unit": "d", "expect": "maybe"}, "It works: the expected state is holds or fails, not 'maybe'."),
        ({"unit": "d", "band": (0, 1)}, "It works: the band must be a Band, not tuple."),
        (
            {"unit": "d", "values": np.ones(10)},
            "It works: identical values in all units of a cell, although chance was claimed. "
            "Is it summary='exact'?",
        ),
        ({"unit": "d", "values": np.arange(4)}, "It works: at least 5 units are needed, not 4."),
        (
            {"unit": "d", "values": [2] * 5, "summary": "share"},
            "It works: a share counts successes, whole numbers from 0 to 1 per unit.",
        ),
        (
            {"unit": "d", "trials": 3},
            "It works: trials= is a positive whole number and goes with summary='share'.",
        ),
    ],
)
def test_bad_checks_are_refused_at_the_door(options, message):
    options = {"values": values(1.0), "band": ABOVE, **options}
    assert refused(Chapter("long_tail").check, "It works", **options) == message


def test_a_control_has_the_cells_of_its_check():
    check = Chapter("long_tail").check("It works", values(1.0, cells=(3,)), ABOVE, unit="draw")
    told = "without it: its cells have the shape (2,), those of the check (3,)."
    assert refused(check.control, "without it", values(0.0, cells=(2,)), intact=INTACT) == told
    check.control("of fewer units", values(0.0, cells=(3,))[:6], intact=INTACT)
    assert check.record()["controls"][0]["units"] == 6


def test_modes(monkeypatch, shown):
    monkeypatch.setenv("CLAIMBOOK_MODE", "calibrate")
    chapter = write(Chapter("long_tail"))
    chapter.verdict()  # no lock is needed
    assert shown.pop().record["definitions"] == [check.definition() for check in chapter._parts.values()]
    monkeypatch.setenv("CLAIMBOOK_MODE", "")
    assert mode() == "verify"
    freeze(write(Chapter("long_tail")))
    with pytest.raises(EvidenceError):
        write(Chapter("long_tail"), effect=0.0).verdict()
    assert "definitions" not in shown.pop().record
    monkeypatch.setenv("CLAIMBOOK_MODE", "calibrate")
    assert Chapter("long_tail").evidence()["lock"] is None  # not bound by the lock
    monkeypatch.setenv("CLAIMBOOK_MODE", "observe")
    write(Chapter("long_tail"), effect=0.0).verdict()  # recorded, not raised
    assert shown.pop().record["parts"][0]["state"] == "fails"
    with pytest.raises(MovedBand):
        write(Chapter("long_tail"), band=Band(above=0.4, why="w")).verdict()
    monkeypatch.setenv("CLAIMBOOK_MODE", "guess")
    told = "CLAIMBOOK_MODE is one of verify, calibrate, observe, not 'guess'."
    assert refused(Chapter, "long_tail") == told
    monkeypatch.delenv("CLAIMBOOK_MODE")
    assert mode() == "verify"


def test_values_of_every_unit_go_to_the_output_metadata():
    chapter = write(Chapter("long_tail"))
    data, metadata = Verdict(chapter.evidence())._repr_mimebundle_()
    part = metadata["claimbook"]["evidence"]["parts"][0]
    np.testing.assert_allclose(part["values"], values(1.0), rtol=1e-5)
    assert "**Verdict: supported.**" in data["text/markdown"]


def test_numbers_carry_their_text():
    data, metadata = (
        Chapter("long_tail").number("best", np.array([0.94, 0.95, 0.96]), "best accuracy")._repr_mimebundle_()
    )
    assert data == dict.fromkeys(("text/markdown", "text/plain"), "best accuracy: ≈ 0.950 ± 0.010")
    assert metadata == {"claimbook": {"number": {"name": "best", "text": "≈ 0.950 ± 0.010"}}}


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (3, "≈ 3"),
        ([3], "≈ 3"),
        ([1, 3], "≈ 2.0 ± 1.4"),
        ([[1, 3], [1, 3]], "≈ 2"),  # of several cells, the mean alone
    ],
)
def test_a_number_has_a_spread_over_units(values, text):
    assert Number("n", values, "x").text == text


@pytest.mark.parametrize("values", [[], [np.nan], [1.0, np.nan]])
def test_a_number_needs_values(values):
    assert refused(Number, "best", values, "x") == "best: a number needs values without nan."


def test_the_card_names_claim_paper_and_needs(kept):
    titles = {
        "bayes_rule": "Bayes' rule",
        "generalization_error": "Generalization error",
        "overfitting": "Overfitting",
    }
    claim = claims.registry()["long_tail"]
    assert "Feldman (2020)" in Chapter("long_tail")._markdown()
    assert Chapter("long_tail")._markdown() == draw.card(claim, None, None, titles)
    revision = freeze(write(Chapter("long_tail")))
    records.time_path("long_tail").write_text('{"cpu_seconds": 31.2}')
    assert Chapter("long_tail")._markdown() == draw.card(claim, revision, 31.2, titles)
    assert (
        "| **Know first** | Neural network; Softmax; Stochastic gradient descent; " + claim.paper + " |"
        in (Chapter("data_diet")._markdown())
    )


def check(name="It works", data=None, band=ABOVE, **options):
    data = values(1.0) if data is None else data
    return Chapter("long_tail").check(name, data, band, **{"unit": "draw", **options})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: check(name=""), "name of a part is a sentence"),
        (lambda: check(name=None), "name of a part is a sentence"),
        (lambda: check(name="–"), "name of a part is a sentence"),  # nothing to link to
        (lambda: check(band={"above": 1}), "must be a Band, not dict"),
        (lambda: check(core="no"), "core= is True or False"),
        (lambda: check().control("", values(0), intact="the same runs"), "a control needs a name"),
        (lambda: check().control(None, values(0), intact="the same runs"), "a control needs a name"),
        (lambda: check().control("c", values(0), intact=" "), "intact= is a sentence"),
        (lambda: check().control("c", values(0), intact=None), "intact= is a sentence"),
        (lambda: check().control("c", values(0), intact=("rest", values(1))), "intact= is a sentence"),
        (
            lambda: check().control("c", values(0), intact=("rest", values(1), (0, 2))),
            "rest: the band must be a Band",
        ),
        (lambda: check().control("c", values(0, cells=(2,)), intact="the same runs"), r"shape \(2,\)"),
    ],
)
def test_parts_and_controls_are_refused_at_the_door(make, message):
    with pytest.raises(EvidenceError, match=message):
        make()


def test_running_a_control_twice_replaces_it():
    part = (
        check()
        .control("c", values(0.4), intact="the same runs")
        .control("d", values(0), intact="the same runs")
    )
    part.control("c", values(0.0), intact="the same runs")
    assert [control["name"] for control in part.record()["controls"]] == ["d", "c"]
    assert part.record()["controls"][1]["worst"][0] < 0.2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([np.inf, -np.inf], "have no mean"),
        (np.array([1 + 1j]), "must be numbers, not complex"),
        ("abc", "must be numbers"),
        (None, "must be numbers"),
        (np.ma.masked_array([1.0, 100.0], [False, True]), "masked"),
        ([], "without nan"),
    ],
)
def test_numbers_that_are_none_are_refused(data, message):
    with pytest.raises(EvidenceError, match=message):
        Chapter("long_tail").number("n", data, "It measured")


def test_a_number_beyond_the_grid_needs_no_warning(recwarn):
    assert Chapter("long_tail").number("n", [1.0, np.inf], "It took").text == "beyond the grid"
    assert not recwarn
