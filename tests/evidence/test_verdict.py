"""The rule from parts to verdict, on made-up evidence of every kind, and its error rates by simulation."""

import numpy as np
import pytest

from claimbook.evidence import Band, EvidenceError
from claimbook.evidence.interval import measure
from claimbook.evidence.verdict import NOT_SEEN, PARTLY, SUPPORTED, decide


def part(name="p", core=True, state="holds", control="fails", intact="holds", planted=None, **changes):
    return {
        "name": name,
        "core": core,
        "state": state,
        "controls": [{"name": "c", "state": control, "intact": {"name": "i", "state": intact}}],
        "planted": planted and {"name": "planted", "state": planted},
        **changes,
    }


FAILING = {"state": "fails", "planted": "holds"}


@pytest.mark.parametrize(
    ("parts", "untested", "verdict"),
    [
        ([part()], [], SUPPORTED),
        ([part("a"), part("b", core=False)], [], SUPPORTED),
        ([part("a"), part("b", core=False, **FAILING)], [], PARTLY),
        ([part("a")], [{"name": "u", "why": "w"}], PARTLY),
        ([part("a", **FAILING)], [], NOT_SEEN),
        ([part("a"), part("b", **FAILING)], [], NOT_SEEN),
        ([part("a", **FAILING), part("b", core=False)], [{"name": "u", "why": "w"}], NOT_SEEN),
    ],
)
def test_verdicts(parts, untested, verdict):
    assert decide(parts, untested) == verdict


CORE = "No verdict: at least one part of the claim must be core."
UNSETTLED = "No verdict. “{}” is unsettled: its interval straddles an edge of the band."
DISJOINT = "No verdict. The control “c” of “p” is not disjoint from the band ({})."
INTACT = "No verdict. Under the control “c”, “i” is not intact."
PLANTED = "No verdict. “{}” fails, and no planted effect shows that the statistic could have seen it."


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], CORE),
        ([part(core=False)], CORE),
        ([part(state="unsettled")], UNSETTLED.format("p")),
        ([part(), part("b", core=False, state="unsettled")], UNSETTLED.format("b")),
        ([part(controls=[])], "No verdict. “p” has no control, so nothing shows that it could fail."),
        ([part(control="holds")], DISJOINT.format("holds")),
        ([part(control="unsettled")], DISJOINT.format("unsettled")),
        ([part(intact="fails")], INTACT),
        ([part(intact="unsettled")], INTACT),
        ([part(state="fails")], PLANTED.format("p")),
        (
            [part(state="fails", planted="fails")],
            "No verdict. The effect planted for “p” was not seen (fails).",
        ),
        ([part(), part("b", core=False, state="fails")], PLANTED.format("b")),
        (
            [part(intact="fails"), part(control="holds")],
            INTACT + DISJOINT.format("holds").removeprefix("No verdict."),
        ),
    ],
)
def test_no_verdict(parts, message):
    with pytest.raises(EvidenceError) as raised:
        decide(parts, [])
    assert str(raised.value) == message


def test_nothing_untested_is_the_default():
    assert decide([part()]) == SUPPORTED


BAND = Band(above=0.5, why="w")


def simulate(effect, control, runs=400, units=10, planted=2.0):
    """Return how often each verdict comes out for one core part with unit noise of sd 0.5."""
    found = []
    for k in range(runs):
        rng = np.random.default_rng([7, k])
        draw = lambda centre: measure(centre + 0.5 * rng.normal(size=units), BAND).state  # noqa: B023, E731
        one = part(state=draw(effect), control=draw(control), planted=draw(planted))
        try:
            found.append(decide([one], []))
        except EvidenceError:
            found.append("none")
    return {verdict: found.count(verdict) / runs for verdict in (SUPPORTED, NOT_SEEN, "none")}


def test_power():
    """An effect of three noise units above the edge is found, and so is its absence."""
    assert simulate(effect=2.0, control=-1.0)[SUPPORTED] > 0.98
    assert simulate(effect=-1.0, control=-1.0)[NOT_SEEN] > 0.98


def test_false_alarms():
    """At the very edge of the band each wrong verdict comes in about 2.5% of runs, and noise earns none."""
    edge = simulate(effect=0.5, control=-1.0)
    assert edge[SUPPORTED] < 0.05 and edge[NOT_SEEN] < 0.05
    assert simulate(effect=0.0, control=-1.0)[SUPPORTED] < 0.01


def test_a_control_that_only_straddles_does_not_pass():
    assert simulate(effect=2.0, control=0.5)[SUPPORTED] < 0.05


def test_an_effect_that_cannot_be_seen_earns_no_verdict():
    assert simulate(effect=-1.0, control=-1.0, planted=0.5)["none"] > 0.9


@pytest.mark.parametrize("state", ["hold", "Holds", "", None, True])
def test_a_state_that_there_is_not_gives_no_verdict(state):
    with pytest.raises(EvidenceError, match="is holds, fails or unsettled"):
        decide([part(state=state)])
