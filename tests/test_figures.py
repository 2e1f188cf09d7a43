import io

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt

from claimbook import figures

matplotlib.use("Agg")


def luminance(color):
    red, green, blue = matplotlib.colors.to_rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_roles_differ_without_colour():
    assert len({(s.linestyle, s.marker) for s in figures.ROLES.values()}) == len(figures.ROLES)
    assert all(luminance(s.color) < 0.75 for s in figures.ROLES.values())


def draw():
    figures.use()
    fig, ax = figures.subplots()
    figures.band(ax, np.arange(4.0), np.random.default_rng(0).normal(size=(10, 4)), "test", "test error")
    file = io.BytesIO()
    fig.savefig(file, format="png", metadata={"Software": None})
    plt.close(fig)
    return file.getvalue()


def test_the_same_figure_is_the_same_bytes():
    assert draw() == draw() and b"matplotlib" not in draw().lower()


def test_bad_input():
    fig, ax = figures.subplots(size="single")
    with pytest.raises(ValueError, match="Unknown role 'tests'"):
        figures.label(ax, 0, 0, "x", "tests")
    with pytest.raises(ValueError, match=r"\(units, 4\)"):
        figures.band(ax, np.arange(4), np.zeros(4), "test")
    with pytest.raises(ValueError, match="Unknown size"):
        figures.subplots(size="huge")
    plt.close(fig)


@pytest.mark.parametrize("draw_it", [figures.band, figures.points])
@pytest.mark.parametrize(
    ("x", "values", "level", "message"),
    [
        (np.arange(3), np.ones((1, 3)), 0.95, "at least two units"),
        (np.arange(3), np.ones((0, 3)), 0.95, "at least two units"),
        ([], np.ones((5, 0)), 0.95, "x must be a list"),
        (1, np.ones((5, 1)), 0.95, "x must be a list"),
        ([[1, 2, 3]], np.ones((5, 3)), 0.95, "x must be a list"),
        (np.arange(3), np.ones((3, 5)), 0.95, r"\(units, 3\)"),
        (np.arange(3), np.ones((5, 3)), 95, "level"),
        (np.arange(3), np.ones((5, 3)), 0, "level"),
        (np.arange(3), np.ones((5, 3)) + 1j, 0.95, "real"),
    ],
)
def test_an_interval_that_there_is_not_is_not_drawn(draw_it, x, values, level, message):
    fig, ax = figures.subplots()
    with pytest.raises(ValueError, match=message):
        draw_it(ax, x, values, "test", level=level)
    assert not ax.lines and not ax.collections
    plt.close(fig)
