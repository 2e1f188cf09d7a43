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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one"),
        ({"above": 1, "below": 2}, "exactly one"),
        ({"above": 0.1, "why": " "}, "reason"),
        ({"above": 0.0}, "no effect"),
        ({"within": (-1.0, 0.0)}, "no effect"),
        ({"above": 1.0, "null": 1.0}, "no effect"),
        ({"above": math.nan}, "finite"),
        ({"above": -math.inf}, "finite"),
        ({"within": (2, 1)}, "empty"),
        ({"within": (-0.5, 1.5), "possible": (0, 1), "null": 0.5}, "every value"),
        ({"above": -0.1, "possible": (0, 1)}, "every value"),
        ({"above": 1.5, "possible": (0, 1)}, "no value"),
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
        ({"above": 1, "possible": None}, "possible= is a pair"),
        ({"above": 1, "why": None}, "reason"),
    ],
)
def test_bad_bands_are_refused(options, message):
    with pytest.raises(EvidenceError, match=message):
        Band(**{"why": "w", **options})


@pytest.mark.parametrize("edge", [1, np.float64(1), np.float32(1), np.int64(1)])
def test_an_edge_may_be_any_kind_of_real_number(edge):
    assert Band(above=edge, why="w") == Band(above=1.0, why="w")
