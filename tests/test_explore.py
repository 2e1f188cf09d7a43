"""Explorables: what the room accepts, and what it makes of it."""

import json

import numpy as np
import pytest

from claimbook import explore

alt = pytest.importorskip("altair")
TIME = explore.slider("time", "Time", range(20))


def chart(moving=TIME, values=None):
    values = np.arange(20.0) if values is None else values
    data = explore.rows(time=range(20), x=np.arange(20) / 3, y=values)
    return alt.Chart(data).mark_line().encode(x="x:Q", y="y:Q").transform_filter(moving.here)


def explorable(
    charts=None, sliders=TIME, reading=("now",) * 20, alt="What the drawing shows, told in a whole sentence."
):
    charts = chart() if charts is None else charts
    return explore.Explorable(charts, sliders, alt=alt, caption="Move it.", reading=list(reading))


def test_it_is_stored_as_data_that_a_page_can_draw():
    data, metadata = explorable()._repr_mimebundle_()
    stored = json.loads(json.dumps(metadata))["claimbook"]["explorable"]
    spec = json.loads(stored["specs"][0])
    assert data == {"text/plain": "Explorable, drawn on the book's page: Move it."}
    assert spec["params"] == [{"name": "time", "value": 0}] and spec["width"] == "container"
    assert "://" not in json.dumps(stored)
    assert stored["sliders"][0]["positions"][-1] == "19" and len(stored["reading"].split("\n")) == 20


def test_the_same_data_are_the_same_bytes():
    assert json.dumps(explorable().specs) == json.dumps(explorable().specs)
    (text,) = explorable()._repr_mimebundle_()[1]["claimbook"]["explorable"]["specs"]
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_rows_broadcast_and_round():
    data = explore.rows(k=range(2), x=np.array([[1 / 3], [2.0]]), name="a").to_dict()["values"]
    assert data == [
        {"k": 0, "x": 0.3333, "name": "a"},
        {"k": 1, "x": 0.3333, "name": "a"},
        {"k": 0, "x": 2, "name": "a"},
        {"k": 1, "x": 2, "name": "a"},
    ]


def test_two_sliders_share_a_grid_of_readings():
    load = explore.slider("load", "Load", range(3))
    both = chart().transform_filter(load.here)
    made = explorable(both, [TIME, load], np.full((20, 3), "now").tolist())
    assert len(made._repr_mimebundle_()[1]["claimbook"]["explorable"]["reading"].split("\n")) == 60


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: explorable(sliders=[]), "needs a slider"),
        (lambda: explorable(sliders=explore.slider("time", "Time", range(19))), "most is 19"),
        (
            lambda: explorable(sliders=explore.slider("load", "Load", range(20))),
            "depends on the slider 'load'",
        ),
        (lambda: explorable(reading=["now"]), r"shape \(20,\)"),
        (lambda: explorable(reading=["two\nlines"] * 20), "one line"),
        (lambda: explorable(alt="Short."), "alt text"),
        (lambda: explorable(chart(values=np.full(20, np.nan))), "'y' holds values that are not finite"),
        (lambda: explorable([chart()] * 200), "more than 150,000"),
        (lambda: explorable(chart() | chart()), "does not fit a phone"),
        (lambda: explorable(alt_chart_of("data.csv")), "must be in the page"),
        (lambda: explore.slider("a b", "Time", range(20)), "plain word"),
        (lambda: explore.slider("time", "Time", range(20), 20), "starts at 20"),
        (lambda: explore.slider("time", "", range(20)), "needs a label"),
        (lambda: explore.color("tests"), "Unknown role"),
    ],
)
def test_bad_input(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def alt_chart_of(address):
    return alt.Chart(address).mark_line().encode(x="x:Q").transform_filter(TIME.here)
