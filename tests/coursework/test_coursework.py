"""Tests that speak, and personal and hidden numbers."""

import numpy as np
import pytest
import torch

from claimbook import coursework
from claimbook.coursework import NotWritten, NotYet
from claimbook.evidence import Band


def draw(**changes):
    words = {"student": "ada", "salt": "s", "assignment": "toy", "name": "data"} | changes
    name = words.pop("name")
    return coursework.Personal(words.pop("student"), **words).generator(name).random()


def test_personal_numbers_depend_on_each_word():
    assert draw() == draw(student=" ada ")
    others = [draw(student="bob"), draw(salt="t"), draw(assignment="other"), draw(name="more")]
    assert len({draw(), *others}) == 5


def test_hidden_numbers_depend_on_the_key():
    def hidden(key="k", student="ada", assignment="toy", name="x"):
        return coursework.Hidden(key, student=student, assignment=assignment).generator(name).random()

    others = [hidden("l"), hidden(student="bob"), hidden(assignment="other"), hidden(name="y")]
    assert hidden() == hidden() and len({hidden(), *others}) == 5


@pytest.mark.parametrize("student", ["", "  ", None, 3])
def test_a_student_writes_an_id(student):
    with pytest.raises(NotYet, match="student id"):
        coursework.Personal(student, salt="s", assignment="toy")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, "return"),
        (..., "no answer yet"),
        ("two", "number"),
        ([1.0, 2.0, 3.0], r"shape \(2,\), not \(3,\)"),
        ([1.0, float("nan")], "not finite"),
        ([1.0, 2.1], "think of b"),
        ([[1.0], [2.0, 3.0]], "number"),
        ({"a": 1}, "number"),
    ],
)
def test_expect_close_says_what_is_wrong(given, says):
    with pytest.raises(NotYet, match=says):
        coursework.expect_close(given, [1, 2], "think of b")


@pytest.mark.parametrize(
    "given", [[1, 2], (1.0, 2.0), np.array([1, 2]), torch.tensor([1.0, 2.0]), [1, 2 + 1e-7]]
)
def test_expect_close_takes_what_is_right(given):
    coursework.expect_close(given, [1, 2], "no")


def test_tolerance_is_relative_above_one():
    coursework.expect_close(1000.5, 1000, "no", tolerance=1e-3)
    with pytest.raises(NotYet):
        coursework.expect_close(0.01, 0, "no", tolerance=1e-3)


def test_expect():
    coursework.expect(np.bool_(True), "no")
    with pytest.raises(NotYet, match="because"):
        coursework.expect(False, "because")
    with pytest.raises(TypeError):  # an object that calls itself true proves nothing
        coursework.expect([1], "no")


def test_expect_raises():
    def fails(error):
        raise error

    coursework.expect_raises(ValueError, fails, ValueError(), message="no")
    for error in (KeyError(), None):
        with pytest.raises((NotYet, TypeError), match="refuse"):
            coursework.expect_raises(ValueError, fails if error else str, error, message="refuse it")
    with pytest.raises(NotWritten):
        coursework.expect_raises(NotImplementedError, fails, NotWritten("f"), message="no")


CLAIM = {"band": Band(above=0.5, why="half"), "message": "weak", "control_message": "no control"}
EFFECT, CONTROL = [0.9, 1.0, 1.1, 0.95, 1.05], [0.0, 0.1, -0.1, 0.05, -0.05]


def test_expect_claim():
    coursework.expect_claim(EFFECT, CONTROL, **CLAIM)
    for effect, control, says in [
        (CONTROL, CONTROL, "weak"),
        (EFFECT, EFFECT, "no control"),
        (EFFECT[:3], CONTROL, "5 units"),
        ([1.0] * 5, CONTROL, "identical"),
        ([*EFFECT[:4], float("nan")], CONTROL, "nan"),
        (None, CONTROL, "return"),
    ]:
        with pytest.raises(NotYet, match=says):
            coursework.expect_claim(effect, control, **CLAIM)


def test_jupyter_shows_one_sentence():
    assert NotYet("think")._render_traceback_() == ["Not yet: think"]
    assert NotWritten()._render_traceback_() == [
        "this part is not written yet: replace the line that says so by your own."
    ]
