import math

import numpy as np
import pytest

from claimbook.evidence import Band, EvidenceError
from claimbook.evidence.band import describe


def test_edges_and_words():
    assert Band(above=0.015, why="w").edges == (0.015, math.inf)
    assert Band(below=2, why="w").edges == (-math.inf, 2.0)
    assert str(Band(above=0.015, why="w")) == "at least 0.015"
    assert str(Band(below=0.3, why="w")) == "at most 0.3"
    assert describe(Band(within=(-0.1, 0.2), why="w").as_dict()) == "-0.1 to 0.2"


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"above": 0.1}, "effect"),
        ({"above": -0.1}, "non-inferiority"),
        ({"below": 0.1}, "non-inferiority"),
        ({"within": (-0.1, 0.1)}, "equivalence"),
        ({"within": (0.5, 0.9)}, "effect"),
        ({"above": 1.2, "null": 1.0}, "effect"),
        ({"below": 1.2, "null": 1.0}, "non-inferiority"),
    ],
)
def test_a_band_that_contains_no_effect_is_labelled(options, kind):
    assert Band(why="w", **options).kind == kind


FORMS = "A band takes exactly one of above=, below= and within=."
REASON = "A band needs its reason: why=."
NULL = "The band has its edge at {}, which means no effect. Ask for the smallest effect worth asserting."
EVERY = "The band accepts every value that the statistic can take."
NONE = "The band accepts no value that the statistic can take."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, FORMS),
        ({"above": 1, "below": 2}, FORMS),
        ({"above": 1, "within": (0.5, 1.5)}, FORMS),
        ({"above": 0.1, "why": " "}, REASON),
        ({"above": 0.1, "why": ""}, REASON),
        ({"above": 0.0}, NULL.format("0")),
        ({"below": 0.0}, NULL.format("0")),
        ({"within": (-1.0, 0.0)}, NULL.format("0")),
        ({"within": (0.0, 1.0)}, NULL.format("0")),
        ({"above": 1.0, "null": 1.0}, NULL.format("1")),
        ({"above": math.nan}, "The edges of a band are finite numbers, not (nan,)."),
        ({"above": -math.inf}, "The edges of a band are finite numbers, not (-inf,)."),
        ({"below": math.inf}, "The edges of a band are finite numbers, not (inf,)."),
        ({"within": (1.0, math.inf)}, "The edges of a band are finite numbers, not (1.0, inf)."),
        ({"within": (2, 1)}, "The band from 2.0 to 1.0 is empty."),
        ({"within": (2, 2)}, "The band from 2.0 to 2.0 is empty."),
        ({"within": (-0.5, 1.5), "possible": (0, 1), "null": 0.5}, EVERY),
        ({"within": (-1, 2), "possible": (-1, 2), "null": 0.5}, EVERY),
        ({"above": -0.1, "possible": (0, 1)}, EVERY),
        ({"above": -0.1, "possible": (-0.1, math.inf)}, EVERY),
        ({"above": 1.5, "possible": (0, 1)}, NONE),
        ({"below": -0.5, "possible": (0, 1)}, NONE),
    ],
)
def test_bad_bands_are_refused(options, message):
    with pytest.raises(EvidenceError) as raised:
        Band(**{"why": "w", **options})
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "options",
    [
        {"above": 1.0, "possible": (0, 1)},  # one value is enough
        {"below": -1.0, "possible": (-1, 1)},
        {"within": (0.1, 1), "possible": (0, 1)},
        {"within": (0, 0.9), "possible": (0, 1), "null": 0.5},
    ],
)
def test_bands_at_the_ends_of_what_is_possible(options):
    assert Band(why="w", **options).kind in ("effect", "equivalence")


def test_a_band_as_plain_data():
    above = {"low": 0.5, "high": None, "null": 0.0, "kind": "effect", "why": "w"}
    assert Band(above=0.5, why="w").as_dict() == above
    below = {"low": None, "high": 2.0, "null": 1.0, "kind": "non-inferiority", "why": "w"}
    assert Band(below=2, why="w", null=1).as_dict() == below
    assert Band(within=(1, 2), why="w").as_dict()["high"] == 2.0


def test_names_are_imported_on_first_use():
    import claimbook.evidence as package

    for name in package.__all__:
        assert package.__getattr__(name).__name__ == name
    with pytest.raises(AttributeError, match=r"^module .claimbook\.evidence. has no attribute .Bond.$"):
        package.__getattr__("Bond")


@pytest.mark.parametrize("edge", [1, np.float64(1), np.float32(1), np.int64(1)])
def test_an_edge_may_be_any_kind_of_real_number(edge):
    assert Band(above=edge, why="w") == Band(above=1.0, why="w")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"above": "1"}, "finite numbers, not"),
        ({"above": True}, "finite numbers, not"),
        ({"above": np.array([1.0, 2.0])}, "finite numbers, not"),
        ({"within": (1, None)}, "finite numbers, not"),
        ({"within": (1, math.nan)}, "finite numbers, not"),
        ({"within": (1, 2, 3)}, "within= is a pair"),
        ({"within": 3}, "within= is a pair"),
        ({"above": 1, "null": math.nan}, "null= is a finite number"),
        ({"above": 1, "null": math.inf}, "null= is a finite number"),
        ({"above": 1, "null": "0"}, "null= is a finite number"),
        ({"above": 1, "possible": (2, 1)}, "possible= is a pair"),
        ({"above": 1, "possible": (0, math.nan)}, "possible= is a pair"),
        ({"above": 1, "possible": (2, 2)}, "possible= is a pair"),
        ({"above": 1, "possible": None}, "possible= is a pair"),
        ({"above": 1, "why": None}, "reason"),
    ],
)
def test_what_is_no_band_is_refused(options, message):
    with pytest.raises(EvidenceError, match=message):
        Band(**{"why": "w", **options})
