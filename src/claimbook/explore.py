"""Explorables: a figure that answers a slider, computed ahead.

A chapter computes every position, in a cell tagged ``aside``. Altair writes the drawing as a Vega-Lite
specification, data included, which is stored with the cell's output. `claimbook.site.explorables` puts it into the
page, where Vega-Embed draws it: there is no kernel and no network. Without scripts readers see the chapter's figures.
"""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import numpy as np

from claimbook import figures

LEAST_POSITIONS = 20
MAX_BYTES = 150_000
DIGITS = 4  # significant digits that are stored
TEXT, GRID = "#333333", "#E6E6E6"
CONFIG = {
    "font": "system-ui, -apple-system, 'Segoe UI', sans-serif",
    "background": "white",
    "view": {"stroke": None},
    "axis": {
        "labelColor": TEXT,
        "titleColor": TEXT,
        "gridColor": GRID,
        "domainColor": TEXT,
        "tickColor": TEXT,
        "labelFontSize": 12,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
    },
    "title": {"anchor": "start", "fontSize": 13, "color": TEXT, "frame": "group"},
    "text": {"fontSize": 12.5, "align": "left", "baseline": "middle"},
    "line": {"strokeWidth": 2},
    "point": {"filled": True, "opacity": 1, "size": 55},
}


class Slider(NamedTuple):
    """One slider: the name of the data's column that it moves along, its label, and what its positions are called."""

    name: str
    label: str
    positions: tuple[str, ...]
    start: int = 0

    @property
    def here(self) -> str:
        """The Vega expression that keeps the rows at the slider's position."""
        return f"datum.{self.name} == {self.name}"


def slider(name: str, label: str, positions, start: int = 0) -> Slider:
    """Return a slider.

    Parameters
    ----------
    name : str
        The column of the data that holds the number of the position, from 0.
    label : str
        What readers see.
    positions : sequence of str
        What each position is called, with its unit.
    start : int
        Where it stands at first.
    """
    positions = tuple(map(str, positions))
    if not name.isidentifier():
        raise ValueError(f"The slider's name {name!r} must be a plain word.")
    if not label:
        raise ValueError(f"The slider {name!r} needs a label.")
    if not 0 <= start < len(positions):
        raise ValueError(f"The slider {name!r} starts at {start}, but has {len(positions)} positions.")
    return Slider(name, label, positions, start)


def color(role: str) -> str:
    """Return the colour of a role of `claimbook.figures`."""
    return figures.style(role).color


def rows(**columns):
    """Return data for Altair, one row for each entry of arrays that broadcast against each other.

    Numbers are rounded to four significant digits; text is kept.
    """
    import altair as alt

    arrays = dict(zip(columns, np.broadcast_arrays(*columns.values()), strict=True))
    for name, values in arrays.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"The column {name!r} holds values that are not finite.")
    lists = [[_plain(value) for value in array.ravel().tolist()] for array in arrays.values()]
    return alt.InlineData([dict(zip(arrays, row, strict=True)) for row in zip(*lists, strict=True)])


def _plain(value):
    """Return a value rounded, and as an integer where it is one."""
    if not isinstance(value, float):
        return value
    value = float(f"{value:.{DIGITS}g}")
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


class Explorable:
    """One chart or two beside each other, with the sliders that move them; the value of an ``aside`` cell.

    Parameters
    ----------
    charts : altair chart, or a list of them
        Each a single view or layers. Rows are kept by ``transform_filter(slider.here)``.
    sliders : Slider or a list of them
        At least one has twenty positions or more.
    alt : str
        What the drawing shows, for those who do not see it.
    caption : str
        How to read it; plain text.
    reading : nested lists of str
        One sentence for each position, shown under the sliders and read aloud; one axis for each slider.

    Used by high_dimensional_dynamics, model_soups, optimal_regularization and skill_localization.
    """

    def __init__(self, charts, sliders, *, alt: str, caption: str, reading):
        self.sliders = [sliders] if isinstance(sliders, Slider) else list(sliders)
        counts = [len(slider.positions) for slider in self.sliders]
        if not counts:
            raise ValueError("An explorable needs a slider.")
        if max(counts) < LEAST_POSITIONS:
            raise ValueError(f"No slider has {LEAST_POSITIONS} positions; the most is {max(counts)}.")
        if len(alt) < 40 or not caption:
            raise ValueError("An explorable needs a caption, and an alt text of a sentence or more.")
        self.alt, self.caption = alt, caption
        self.reading = np.asarray(reading, dtype=object)
        if any("\n" in sentence for sentence in self.reading.ravel()):
            raise ValueError("Each reading is one line.")
        if self.reading.shape != tuple(counts):
            raise ValueError(f"reading must have the shape {tuple(counts)}, not {self.reading.shape}.")
        charts = charts if isinstance(charts, list | tuple) else [charts]
        self.specs = [self._specification(chart) for chart in charts]
        text = json.dumps(self.specs)
        for slider in self.sliders:
            if slider.here not in text and f"[{slider.name}]" not in text:
                raise ValueError(f"No chart depends on the slider {slider.name!r}: filter by slider.here.")
        if len(text) > MAX_BYTES:
            raise ValueError(
                f"The drawing takes {len(text):,} bytes, more than {MAX_BYTES:,}: store fewer points."
            )

    def _specification(self, chart) -> dict:
        """Return a chart as plain data, as wide as the page allows, with the sliders as its parameters."""
        spec = chart.to_dict()
        for kind in ("hconcat", "vconcat", "concat", "facet", "repeat"):
            if kind in spec:
                raise ValueError(f"A chart with {kind!r} does not fit a phone: give a list of charts.")
        _check(spec)
        spec.pop("$schema", None)
        params = [{"name": slider.name, "value": slider.start} for slider in self.sliders]
        fixed = {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
        return {"height": 260, **spec, **fixed, "params": params + spec.get("params", []), "config": CONFIG}

    def _repr_mimebundle_(self, include=None, exclude=None):
        text = f"Explorable, drawn on the book's page: {self.caption}"
        stored = {
            "alt": self.alt,
            "caption": self.caption,
            "sliders": [{**slider._asdict(), "positions": list(slider.positions)} for slider in self.sliders],
            # As text, so that a notebook in git does not grow by a line a number.
            "reading": "\n".join(self.reading.ravel()),
            "specs": [
                json.dumps(spec, separators=(",", ":"), ensure_ascii=False, sort_keys=True)
                for spec in self.specs
            ],
        }
        return {"text/plain": text}, {"claimbook": {"explorable": stored}}


def _check(node, key: str = "") -> None:
    """Raise for values that are not finite, and for data that a page would have to fetch."""
    if isinstance(node, dict):
        if key == "data" and "url" in node:
            raise ValueError(f"The data at {node['url']} must be in the page: use explore.rows.")
        for name, child in node.items():
            _check(child, name)
    elif isinstance(node, list):
        for child in node:
            _check(child, key)
    elif isinstance(node, float) and not math.isfinite(node):
        raise ValueError(f"The drawing holds a value that is not finite, at {key!r}.")
