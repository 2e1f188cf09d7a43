"""Cells in which readers check their own answers. Used by every chapter."""

from __future__ import annotations

import numbers
from collections.abc import Callable

import numpy as np


def compare(answer, truth: Callable[[], object], *, tolerance: float = 0.01, hint: str = "") -> None:
    """Print whether a reader's answer is right; never raises for a wrong one.

    Parameters
    ----------
    answer : number, array, or ... while there is none yet
    truth : callable
        Computes the right answer; called only once there is an answer, so that reading costs nothing.
    tolerance : float
        Largest difference accepted, relative to the right answer or absolute below 1.
    hint : str
        What to think about next when the answer is wrong.
    """
    if answer is ...:
        print("No answer yet: put yours in place of the three dots and run this cell.")
        return
    if not isinstance(tolerance, numbers.Real) or not tolerance >= 0:
        raise ValueError(f"tolerance must be a number that is not negative, not {tolerance}.")
    right = np.asarray(truth(), dtype=float)
    if np.isnan(right).any():
        raise ValueError("truth must not be nan: no answer could be right.")
    try:
        if np.iscomplexobj(answer) or np.ma.is_masked(answer):
            raise TypeError
        given = np.asarray(answer, dtype=float)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last, from a tensor with a gradient
        print(f"The answer should be a number or an array, not {type(answer).__name__}.")
        return
    size = np.where(np.isinf(right), 1.0, np.maximum(np.abs(right), 1.0))
    if given.shape != right.shape:
        print(f"The answer should have the shape {right.shape}, not {given.shape}.")
    elif np.isclose(given, right, rtol=0, atol=tolerance * size).all():  # infinities must be the same
        print("Right.")
    else:
        print("Not yet." + (f" {hint}" if hint else ""))
