"""Evidence as Markdown, to the letter, on small records made by hand."""

import math
from types import SimpleNamespace

import pytest

from claimbook.evidence import draw

ABOVE = {"low": 0.5, "high": None, "null": 0.0, "kind": "effect", "why": "twice the error of net X."}
BELOW = {"low": None, "high": -0.5, "null": 0.0, "kind": "effect", "why": "twice the error of net X"}
AROUND = {"low": -0.25, "high": 0.25, "null": 0.0, "kind": "equivalence", "why": "too small to matter"}


def measured(estimate, low, high, state="holds", summary="mean", cells=1, **more):
    return {"worst": [estimate, low, high], "state": state, "summary": summary, "cells": cells, **more}


def control(name, state="fails", intact="The same runs, but of net X."):
    intact = {"name": intact, "state": "holds"} if isinstance(intact, str) else intact
    return {"name": name, **measured(0.01, -0.1, 0.12, state), "intact": intact}


def part(name="It works", band=ABOVE, core=True, controls=(), planted=None, **more):
    common = {"unit": "draw", "fixed": "", "units": 10, "trials": None}
    return {
        "name": name,
        "band": band,
        "core": core,
        "controls": list(controls),
        "planted": planted,
        **common,
        **measured(1.0, 0.8, 1.2),
        **more,
    }


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("The soup beats its best ingredient", "the-soup-beats-its-best-ingredient"),
        ("“Grokking”: 2 × later!", "grokking-2-later"),
        ("a" * 70, "a" * 60),
        ("a" * 59 + " b", "a" * 59),  # cut right after the dash, which goes too
        ("X marks X", "x-marks-x"),
    ],
)
def test_slug(name, slug):
    assert draw.slug(name) == slug


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (math.inf, None, "beyond the grid"),
        (-math.inf, 0.1, "beyond the grid"),
        (0.12345, None, "≈ 0.123"),
        (1234.5, None, "≈ 1,234"),
        (1234567.0, None, "≈ 1,234,567"),
        (-1234567.0, None, "≈ -1,234,567"),
        (1e7, None, "≈ 1e+07"),
        (12345678.0, None, "≈ 1.23e+07"),
        (1.5e-7, None, "≈ 1.5e-07"),
        (1.0, 0.5, "≈ 1.00 ± 0.50"),
        (1.0, 1.0, "≈ 1.0 ± 1.0"),
        (1.0, 0.0123, "≈ 1.000 ± 0.012"),
        (12345.6, 1234.5, "≈ 12,346 ± 1,234"),
        (12345.6, 12.3, "≈ 12,346 ± 12"),
        (2e6, 999_999.0, "≈ 2,000,000 ± 999,999"),
        (2e6, 1e6, "≈ 2,000,000"),
        (3.14159, 0.0, "≈ 3.14"),
        (3.14159, -0.1, "≈ 3.14"),
        (3.14159, math.inf, "≈ 3.14"),
        (3.14159, math.nan, "≈ 3.14"),
        (0.5, 0.00001, "≈ 0.500000 ± 0.000010"),
        (0.123456, 0.00000123, "≈ 0.12 ± 1e-06"),
    ],
)
def test_number(value, spread, text):
    assert draw.number(value, spread) == text


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (measured(3.0, 3.0, 3.0, summary="exact"), "≈ 3"),
        (measured(1.0, 0.8, 1.2), "≈ 1.00 ± 0.20"),
        (measured(0.7, 0.4, 0.9, summary="share"), "≈ 0.7 (≈ 0.4 to ≈ 0.9)"),
        (measured(7.5, 2.0, math.inf, summary="median"), "≈ 7.5 (≈ 2 to beyond the grid)"),
        (measured(1.0, 0.8, 1.2, cells=3), "≈ 1.00 ± 0.20, worst of 3 cells"),
        (measured(1.0, 0.8, 1.2, "unsettled", cells=3), "≈ 1.00 ± 0.20, worst of 3 cells"),
        (measured(1.0, 0.8, 1.2, "fails", cells=2), "≈ 1.00 ± 0.20, clearest of 2 cells"),
    ],
)
def test_interval(found, text):
    assert draw.interval(found) == text


HEAD = "| part | measured | band | state |\n| --- | --- | --- | --- |\n"
OWN = "| **It works** | ≈ 1.00 ± 0.20 | at least 0.5 | holds |"
UNITS = "10 units (draw), each redrawn whole; mean and 95% t-interval over units."
REST = {"name": "the rest", "band": AROUND, **measured(0.0, -0.1, 0.1)}


@pytest.mark.parametrize(
    ("drawn", "rows", "notes"),
    [
        (part(), [OWN], f"Band: twice the error of net X. {UNITS}"),
        (
            part(band=AROUND, **measured(0.0, -0.1, 0.1)),
            ["| **It works** | ≈ 0.00 ± 0.10 | -0.25 to 0.25 | holds |"],
            f"Band: too small to matter. The band contains “no effect”: a check of equivalence. {UNITS}",
        ),
        (
            part(controls=[control("without it"), control("shuffled", "unsettled", REST)]),
            [
                OWN,
                "| control: without it | ≈ 0.01 ± 0.11 | the same | rejected, as it must be |",
                "| control: shuffled | ≈ 0.01 ± 0.11 | the same | unsettled: **the control did not fail** |",
                "| intact: the rest | ≈ 0.00 ± 0.10 | -0.25 to 0.25 | holds |",
            ],
            f"Band: twice the error of net X. {UNITS} Intact by construction: The same runs, but of net X.",
        ),
        (
            part(planted={"name": "by hand", **measured(2.0, 1.8, 2.2)}),
            [OWN, "| planted: by hand | ≈ 2.00 ± 0.20 | the same | holds |"],
            f"Band: twice the error of net X. {UNITS}",
        ),
    ],
)
def test_the_table_of_a_check(drawn, rows, notes):
    assert draw.check_table(drawn) == HEAD + "\n".join(rows) + "\n\n" + notes


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"summary": "exact", "units": None}, "Deterministic: no units."),
        (
            {"summary": "median", "fixed": "the digits of X."},
            "10 units (draw), each redrawn whole; median and 95% interval over units; held fixed: the digits of X.",
        ),
        (
            {"summary": "share", "trials": 20, "units": 6, "unit": "net"},
            "6 units (net), each redrawn whole; share and exact 95% interval over units, 20 trials each.",
        ),
    ],
)
def test_units_are_told_under_the_table(changes, text):
    assert draw.check_table(part(**changes)).endswith("\n\nBand: twice the error of net X. " + text)


FAILING = part("Second", band=ABOVE, core=False, **measured(0.1, -0.1, 0.3, "fails"))
OPPOSITE = part("Third", band=ABOVE, core=False, **measured(-0.3, -0.5, -0.1, "fails"))


def record(verdict, parts, untested=(), **more):
    return {"verdict": verdict, "parts": parts, "untested": list(untested), **more}


def test_the_table_of_a_chapter():
    first = part(controls=[control("a"), control("b")])
    gap = {"name": "At scale", "why": "needs a large model"}
    assert draw.verdict_table(record("partly supported", [first, FAILING], [gap])) == (
        "| part of the claim | measured | band | control | state |\n"
        "| --- | --- | --- | --- | --- |\n"
        "| It works | ≈ 1.00 ± 0.20 | at least 0.5 | ≈ 0.01 ± 0.11<br>≈ 0.01 ± 0.11 | holds |\n"
        "| Second *(not core)* | ≈ 0.10 ± 0.20 | at least 0.5 |  | fails |\n"
        "| At scale | – | – | – | untested: needs a large model |\n\n"
        "**Verdict: partly supported.** "
        "Every core part holds; “Second” fails; “At scale” is untested."
    )


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (record("supported", [part(), part("b")]), "All 2 parts hold, and every control is rejected."),
        (
            record("partly supported", [part(), FAILING, OPPOSITE]),
            "Every core part holds; “Second” fails; “Third” comes out the opposite way.",
        ),
        (
            record("partly supported", [part()], [{"name": "a", "why": "w"}, {"name": "b", "why": "w"}]),
            "Every core part holds; “a” is untested; “b” is untested.",
        ),
        (
            record("not seen at this scale", [part(), FAILING, OPPOSITE]),
            "“Second” fails; “Third” comes out the opposite way, "
            "although the statistic sees an effect that is planted.",
        ),
        (record("none", [part()], problem="No verdict. Why."), "No verdict. Why."),
        (record("none", [part()]), ""),
    ],
)
def test_one_sentence_explains_the_verdict(found, text):
    assert draw.explain(found) == text


@pytest.mark.parametrize(
    ("band", "low", "high", "opposite"),
    [
        (ABOVE, -0.5, -0.1, True),
        (ABOVE, -0.5, 0.0, False),  # touches no effect
        (ABOVE, -0.5, 0.1, False),
        (BELOW, 0.1, 0.5, True),
        (BELOW, 0.0, 0.5, False),
        (BELOW, -0.1, 0.5, False),
        ({**ABOVE, "low": 0.2, "high": 0.5}, -0.5, -0.1, True),
        ({**ABOVE, "low": -0.5, "high": -0.2}, 0.1, 0.5, True),
        ({**ABOVE, "low": -0.5, "high": -0.2}, -0.9, -0.6, False),
        ({**ABOVE, "low": 1.5, "null": 1.0}, 0.5, 0.9, True),
        ({**ABOVE, "low": -0.5, "kind": "non-inferiority"}, -0.9, -0.6, False),
        (AROUND, 0.5, 0.9, False),
    ],
)
def test_a_part_fails_short_of_the_band_or_the_opposite_way(band, low, high, opposite):
    found = part(band=band, **measured((low + high) / 2, low, high, "fails"))
    assert draw.direction(found) == ("comes out the opposite way" if opposite else "fails")


@pytest.mark.parametrize(
    ("source", "paper"),
    [
        (
            ("Doe (2020)", "ICML", "10.1/2", None, "https://a.b"),
            "Doe (2020), *T*, ICML, [10.1/2](https://a.b)",
        ),
        (
            ("Doe (2020)", "", None, "2001.1", "https://a.b"),
            "Doe (2020), *T*, [arXiv:2001.1](https://a.b)",
        ),
        (("Doe (2020)", "", None, None, ""), "Doe (2020), *T*"),
    ],
)
@pytest.mark.parametrize(
    ("lock", "seconds", "needs", "told"),
    [
        (
            {"verdict": "supported"},
            31.26,
            ("sgd", "soups"),
            ["**supported**, checked again below", "≈ 31.3 s on one processor core", "SGD; Model soups"],
        ),
        (None, None, (), ["not frozen yet", "not measured yet", "nothing beyond the introduction"]),
    ],
)
def test_the_card(source, paper, lock, seconds, needs, told):
    source = dict(zip(("short", "venue", "doi", "arxiv", "url"), source, strict=True))
    claim = SimpleNamespace(
        claim="It works.", paper="T", level=2, needs=needs, source=SimpleNamespace(**source)
    )
    titles = {"sgd": "SGD", "soups": "Model soups", "unasked": "x"}
    verdict, time, first = told
    assert draw.card(claim, lock, seconds, titles) == (
        f"| **Claim** | It works. |\n| --- | --- |\n| **Paper** | {paper} |\n| **Verdict** | {verdict} |\n"
        f"| **Time** | {time} |\n| **Know first** | {first} |\n| **Level** | 2 of 3 |"
    )
