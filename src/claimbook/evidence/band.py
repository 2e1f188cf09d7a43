"""The band: the values of a statistic that the claim allows, fixed in advance and with its reason."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

from claimbook.evidence.errors import EvidenceError


@dataclass(frozen=True)
class Band:
    """An interval of accepted values.

    Parameters
    ----------
    above, below : float, optional
        A one-sided band: at least ``above``, or at most ``below``.
    within : (float, float), optional
        A two-sided band.
    why : str
        Why the edge stands where it stands: theory, the paper, or the smallest effect worth asserting.
    null : float, default 0
        The value of the statistic that means "no effect" (1 for a ratio). A band that contains it is labelled
        *non-inferiority* (one-sided) or *equivalence* (two-sided).
    possible : (float, float), optional
        The values that the statistic can take at all, such as ``(0, 1)`` for an accuracy.

    Raises
    ------
    EvidenceError
        If there is no reason, not exactly one form, an edge at the null, an edge that is not finite, a null or
        possible values that are no numbers, or a band that accepts every possible value.
    """

    above: float | None = None
    below: float | None = None
    within: tuple[float, float] | None = None
    why: str = ""
    null: float = 0.0
    possible: tuple[float, float] = (-math.inf, math.inf)

    def __post_init__(self) -> None:
        if sum(form is not None for form in (self.above, self.below, self.within)) != 1:
            raise EvidenceError("A band takes exactly one of above=, below= and within=.")
        if not isinstance(self.why, str) or not self.why.strip():
            raise EvidenceError("A band needs its reason: why=.")
        if self.within is not None and not (isinstance(self.within, tuple | list) and len(self.within) == 2):
            raise EvidenceError(f"within= is a pair of numbers, lower and upper edge, not {self.within!r}.")
        one = self.above if self.above is not None else self.below
        given = (one,) if self.within is None else tuple(self.within)
        if not all(_is_number(edge) and math.isfinite(edge) for edge in given):
            raise EvidenceError(f"The edges of a band are finite numbers, not {given}.")
        if not _is_number(self.null) or not math.isfinite(self.null):
            raise EvidenceError(f"null= is a finite number, not {self.null!r}.")
        pair = isinstance(self.possible, tuple | list) and len(self.possible) == 2
        if not pair or not all(map(_is_number, self.possible)) or not self.possible[0] < self.possible[1]:
            raise EvidenceError(f"possible= is a pair of numbers, least and largest, not {self.possible!r}.")
        edges = [edge for edge in self.edges if not math.isinf(edge)]
        if self.low >= self.high:
            raise EvidenceError(f"The band from {self.low} to {self.high} is empty.")
        if any(edge == self.null for edge in edges):
            raise EvidenceError(
                f"The band has its edge at {self.null:g}, which means no effect. "
                "Ask for the smallest effect worth asserting."
            )
        if self.low <= self.possible[0] and self.high >= self.possible[1]:
            raise EvidenceError("The band accepts every value that the statistic can take.")
        if self.high < self.possible[0] or self.low > self.possible[1]:
            raise EvidenceError("The band accepts no value that the statistic can take.")

    @property
    def edges(self) -> tuple[float, float]:
        """Lower and upper edge, infinite where the band is open."""
        if self.within is not None:
            return float(self.within[0]), float(self.within[1])
        if self.above is not None:
            return float(self.above), math.inf
        return -math.inf, float(self.below)

    @property
    def low(self) -> float:
        """Lower edge."""
        return self.edges[0]

    @property
    def high(self) -> float:
        """Upper edge."""
        return self.edges[1]

    @property
    def kind(self) -> str:
        """``effect``, or ``non-inferiority`` or ``equivalence`` where the band contains "no effect"."""
        if not self.low <= self.null <= self.high:
            return "effect"
        return "equivalence" if self.within is not None else "non-inferiority"

    def as_dict(self) -> dict:
        """Plain data for the lock and for stored evidence: infinite edges become None."""
        finite = [None if math.isinf(edge) else edge for edge in self.edges]
        return {
            "low": finite[0],
            "high": finite[1],
            "null": float(self.null),
            "kind": self.kind,
            "why": self.why,
        }

    def __str__(self) -> str:
        return describe(self.as_dict())


def _is_number(value) -> bool:
    """Whether a value is one real number; True and False are none, arrays neither."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def describe(band: dict) -> str:
    """Return a stored band in words, such as ``at least 0.015``."""
    low, high = band["low"], band["high"]
    if high is None:
        return f"at least {low:g}"
    if low is None:
        return f"at most {high:g}"
    return f"{low:g} to {high:g}"
