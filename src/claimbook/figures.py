"""The book's look: roles to colours, bands, direct labels, sizes that read on a phone.

A role keeps its colour in every chapter. The palette is Okabe and Ito's, which readers with any common form of
colour blindness tell apart; roles also differ in line style, so that a figure reads in grey.
"""

from __future__ import annotations

from typing import NamedTuple

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib import pyplot as plt
from scipy import stats


class Style(NamedTuple):
    """How a role is drawn."""

    color: str
    linestyle: str
    marker: str


ROLES = {
    "test": Style("#0072B2", "-", "o"),
    "train": Style("#E69F00", "--", "s"),
    "theory": Style("#111111", "-", ""),
    "control": Style("#8A8A8A", "-", "D"),
    "accent": Style("#D55E00", "-", "^"),
    "second": Style("#009E73", "-", "v"),
    "third": Style("#CC79A7", "-", "P"),
}
SIZES = {"wide": (7.2, 3.6), "single": (5.4, 3.8), "tall": (7.2, 6.4), "strip": (7.2, 2.3)}


def use() -> None:
    """Apply the book's look; call it once, in the first cell.

    Figures are PNG on white, so that they read in the dark theme too, with no version tag inside: the same run
    stores the same bytes.
    """
    matplotlib.rcParams.update(
        {
            "figure.dpi": 105,
            "figure.figsize": SIZES["wide"],
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "font.size": 11,
            "font.family": "DejaVu Sans",
            "axes.titlesize": 11,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=[style.color for style in ROLES.values()]),
            "grid.color": "#E6E6E6",
            "grid.linewidth": 0.8,
            "lines.linewidth": 2.0,
            "lines.markersize": 5.5,
            "legend.frameon": False,
        }
    )
    try:
        from matplotlib_inline.config import InlineBackend
    except ImportError:  # outside Jupyter there is nothing to set
        return
    backend = InlineBackend.instance()
    backend.figure_formats = {"png"}
    backend.print_figure_kwargs = {"bbox_inches": None, "metadata": {"Software": None}}


def style(role: str) -> Style:
    """Return the style of a role, one of `ROLES`."""
    if role not in ROLES:
        raise ValueError(f"Unknown role {role!r}; known are {', '.join(ROLES)}.")
    return ROLES[role]


def subplots(rows: int = 1, columns: int = 1, size: str = "wide", **options):
    """Return a figure of one of the book's `SIZES` and its axes."""
    if size not in SIZES:
        raise ValueError(f"Unknown size {size!r}; known are {', '.join(SIZES)}.")
    return plt.subplots(rows, columns, figsize=SIZES[size], **options)


def band(
    ax, x, values, role: str, text: str | None = None, level: float = 0.95, line: bool = True, **options
) -> None:
    """Draw the mean over units as points on a line, with its t interval as a band.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : array (n,)
    values : array (units, n)
    role : str
    text : str, optional
        A direct label at the right end.
    """
    x = np.asarray(x, dtype=float)
    mean, half = _mean_and_half(x, values, level)
    color, linestyle, marker = style(role)
    ax.fill_between(x, mean - half, mean + half, color=color, alpha=0.22, linewidth=0)
    ax.plot(x, mean, color=color, linestyle=linestyle if line else "none", marker=marker, **options)
    if text:
        label(ax, x[-1], mean[-1], text, role)


def points(ax, x, values, role: str, level: float = 0.95, **options) -> None:
    """Draw the mean over units as separate points, with its t interval as bars.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    x : array (n,)
    values : array (units, n)
    role : str

    Used by long_tail and high_dimensional_dynamics.
    """
    mean, half = _mean_and_half(x, values, level)
    color, _, marker = style(role)
    ax.errorbar(x, mean, half, fmt=marker, color=color, capsize=3, **options)


def _mean_and_half(x, values, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and half-width of the t interval over units, each (n,)."""
    if np.iscomplexobj(values):
        raise ValueError("values must be real numbers.")
    values = np.asarray(values, dtype=float)
    if np.ndim(x) != 1 or np.size(x) == 0:
        raise ValueError(f"x must be a list of numbers, not of the shape {np.shape(x)}.")
    if values.ndim != 2 or values.shape[1:] != np.shape(x):
        raise ValueError(f"values must have the shape (units, {np.size(x)}), not {values.shape}.")
    if len(values) < 2:
        raise ValueError(f"values need at least two units for an interval, not {len(values)}.")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, not {level}.")
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return values.mean(axis=0), half


def label(ax, x: float, y: float, text: str, role: str, dx: float = 6, dy: float = 0, **options) -> None:
    """Write a direct label beside a curve, ``dx`` and ``dy`` points from the place, in its role's colour."""
    options = {"va": "center", "ha": "left", "fontsize": 10, "annotation_clip": False, **options}
    ax.annotate(text, (x, y), xytext=(dx, dy), textcoords="offset points", color=style(role).color, **options)
