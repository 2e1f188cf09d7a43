"""What assignments are written with: numbers of a student's own, and tests whose messages teach.

A test speaks in one sentence, without a traceback. The same cell runs in the student's notebook and, when it is
graded, outside the process that runs the student's code (`claimbook.coursework.mark`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

import numpy as np

from claimbook.evidence import Band
from claimbook.evidence.errors import EvidenceError
from claimbook.evidence.interval import measure, validate


class NotYet(AssertionError):
    """A test that does not pass yet. Jupyter shows its sentence alone."""

    def _render_traceback_(self):
        return [f"Not yet: {self}"]


class NotWritten(NotImplementedError):
    """Stands where a solution is to be written."""

    def __init__(self, what: str = "this part"):
        super().__init__(f"{what} is not written yet: replace the line that says so by your own.")

    def _render_traceback_(self):
        return [str(self)]


class Personal:
    """Numbers of one student in one assignment, from the student's id and the course's public salt.

    Parameters
    ----------
    student, salt, assignment : str
        The id on the course's roster, the course's salt, and the assignment's id.
    """

    def __init__(self, student: str, *, salt: str, assignment: str):
        if not isinstance(student, str) or not student.strip():
            raise NotYet("write your student id, a string, in the first cell, and run it.")
        self._word = "\0".join((salt, assignment, student.strip()))

    def generator(self, name: str) -> np.random.Generator:
        """Return a generator that depends on student, assignment, salt and ``name`` alone."""
        return np.random.default_rng(_words(hashlib.sha256(f"{self._word}\0{name}".encode()).digest()))


class Hidden:
    """Numbers that hidden tests draw, from a key that no student's notebook holds."""

    def __init__(self, key: str, *, student: str, assignment: str):
        self._key = key.encode()
        self._word = "\0".join((assignment, student))

    def generator(self, name: str) -> np.random.Generator:
        """Return a generator that depends on key, student, assignment and ``name`` alone."""
        word = f"{self._word}\0{name}".encode()
        return np.random.default_rng(_words(hmac.new(self._key, word, "sha256").digest()))


def _words(digest: bytes) -> list[int]:
    return np.frombuffer(digest, dtype=np.uint32).tolist()


def expect(condition: bool, message: str) -> None:
    """Raise `NotYet` with ``message`` unless ``condition`` is true."""
    if type(condition) not in (bool, np.bool_):
        raise TypeError(f"A test needs a truth value, not {type(condition).__name__}.")
    if not condition:
        raise NotYet(message)


def expect_close(given, right, message: str, *, tolerance: float = 1e-6) -> None:
    """Raise `NotYet` unless ``given`` has the shape of ``right`` and differs from it by little.

    Parameters
    ----------
    given : number, array or tensor
        A student's answer.
    right : number or array
        What it should be.
    message : str
        What to think about when the shape is right and the numbers are not.
    tolerance : float
        Largest difference accepted, relative to the right number or absolute below 1.
    """
    given, right = numbers(given), np.asarray(right, dtype=float)
    if given.shape != right.shape:
        raise NotYet(f"the answer should have the shape {right.shape}, not {given.shape}.")
    if not np.all(np.isfinite(given)):
        raise NotYet("the answer holds numbers that are not finite.")
    if np.any(np.abs(given - right) > tolerance * np.maximum(np.abs(right), 1.0)):
        raise NotYet(message)


def expect_raises(error: type[Exception], function: Callable, *arguments, message: str) -> None:
    """Raise `NotYet` with ``message`` unless ``function(*arguments)`` raises ``error``."""
    try:
        function(*arguments)
    except error as problem:
        if isinstance(problem, NotWritten):
            raise
        return
    except NotWritten:
        raise
    except Exception as problem:
        raise NotYet(f"{message} It raised {type(problem).__name__} instead.") from None
    raise NotYet(message)


def expect_claim(
    effect: Sequence[float], control: Sequence[float], band: Band, *, message: str, control_message: str
) -> None:
    """Raise `NotYet` unless an experiment holds as a claim, by the rules of the book's own checks.

    Parameters
    ----------
    effect, control : sequences of numbers, (units,)
        One independent value a unit, with the mechanism and without it; five units or more.
    band : Band
        The whole 95% t-interval of the effect must lie inside, and that of the control outside.
    message, control_message : str
        What to think about when the effect, or its control, is not where it should be.
    """
    for values, wanted, sentence in ((effect, "holds", message), (control, "fails", control_message)):
        try:
            measured = measure(validate(numbers(values), "mean", "your experiment"), band)
        except EvidenceError as problem:
            raise NotYet(str(problem)) from None
        if measured.state != wanted:
            raise NotYet(f"{sentence} (Measured: {measured.low:.3g} to {measured.high:.3g}.)")


def numbers(value) -> np.ndarray:
    """Return ``value`` as floats; raise `NotYet` if it is not numbers."""
    if value is None:
        raise NotYet("the function returned nothing: did you forget `return`?")
    if value is ...:
        raise NotYet("there is no answer yet: put yours in place of the three dots.")
    if hasattr(value, "detach"):  # a tensor
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise NotYet("the answer should be a number or an array of numbers.") from None
    if array.dtype.kind not in "biuf":
        raise NotYet(f"the answer should be a number or an array of numbers, not {type(value).__name__}.")
    return array.astype(float)
