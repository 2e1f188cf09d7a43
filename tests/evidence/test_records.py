import copy
import hashlib
import json

import numpy as np
import pytest
from scipy import stats

from claimbook.evidence import lock, records


def cell(source, tags=(), outputs=()):
    return {"cell_type": "code", "source": source, "metadata": {"tags": list(tags)}, "outputs": list(outputs)}


def output(**claimbook):
    return {"output_type": "execute_result", "data": {}, "metadata": {"claimbook": claimbook}}


NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "source": "# Title", "metadata": {}},
        cell("x = 1  # one"),
        cell(["y = 2\n", "y"], outputs=[output(number={"name": "y", "text": "≈ 2"})]),
        cell("plot(x)", tags=["figure"]),
        cell("chapter.verdict()", outputs=[output(evidence={"verdict": "supported"})]),
    ]
}


def test_stored_evidence_and_numbers():
    assert records.stored(NOTEBOOK) == {"verdict": "supported"}
    assert records.numbers(NOTEBOOK) == {"y": "≈ 2"}
    assert records.stored({"cells": []}) is None


def test_the_last_evidence_counts():
    cells = [cell("a", outputs=[output(evidence=1), {"metadata": {}}, {}, output(evidence=2)])]
    assert records.stored({"cells": cells}) == 2


@pytest.mark.parametrize(
    ("given", "text", "tags"),
    [
        ({"source": ["a\n", "b"], "metadata": {"tags": ["figure", "x"]}}, "a\nb", {"figure", "x"}),
        ({"source": "a\nb", "metadata": {}}, "a\nb", set()),
        ({"source": []}, "", set()),
    ],
)
def test_source_and_tags(given, text, tags):
    assert records.source(given) == text
    assert records.tags(given) == tags


def notebook(*sources):
    return {"cells": [cell(source) for source in sources]}


def test_the_hash_of_cells_is_that_of_their_text():
    """Another hash would say of every stored chapter that it was edited since."""
    expected = hashlib.sha256(b"x = 1\0y = 2").hexdigest()[:16]
    assert records.hash_of_cells(notebook("x = 1", " \n", ["y ", "= 2"])) == expected


def test_the_hash_of_evidence_is_that_of_its_statements():
    name = ("Name", [("id", "x"), ("ctx", ("Store", []))])
    statements = [("Assign", [("targets", [name]), ("value", ("Constant", [("value", 1)]))])]
    expected = hashlib.sha256(repr(statements).encode()).hexdigest()[:16]
    assert records.hash_of_evidence(notebook("x = 1  # one")) == expected


DEFINED = "def f(a, b=1):\n    return a + b"


@pytest.mark.parametrize(
    ("sources", "same"),
    [
        (["def f(a, b=1):\n    'Add.'\n    return a + b"], True),  # a docstring
        (["def f(a, b=1):\n    return a - b"], False),
        (["def f(a, b=1):\n    'Add.'\n    a + b"], False),
        (["def f(a, b=1):\n    'Add.'\n    b\n    return a + b"], False),
        (["def f(a, b=2):\n    return a + b"], False),
        (["def f(a, b=1): 'Add.'; return a + b", "# nothing"], True),
        (["class f:\n    'Add.'\n    a = 1"], False),
        ([DEFINED, DEFINED], False),
    ],
)
def test_docstrings_are_no_evidence_and_all_else_is(sources, same):
    hashes = [records.hash_of_evidence(notebook(*some)) for some in (sources, [DEFINED])]
    assert (hashes[0] == hashes[1]) is same


def test_neither_cuts_into_cells_nor_docstrings_of_classes_are_evidence():
    assert records.hash_of_evidence(notebook("x = 1\ny = 2")) == records.hash_of_evidence(
        notebook("x = 1", "y = 2")
    )
    with_docstring, without = "class A:\n    'Say.'\n    a = 1", "class A:\n    a = 1"
    assert records.hash_of_evidence(notebook(with_docstring)) == records.hash_of_evidence(notebook(without))


def edited(index, source):
    notebook = copy.deepcopy(NOTEBOOK)
    notebook["cells"][index]["source"] = source
    return notebook


@pytest.mark.parametrize(
    ("index", "source", "cells_change", "evidence_changes"),
    [
        (0, "# Other title", False, False),
        (1, "x = 1", True, False),  # a comment
        (1, "x = 3", True, True),
        (3, "plot(x, 2)", True, False),  # a figure
        (4, "chapter.verdict( )", True, False),  # white space
    ],
)
def test_hashes_see_what_they_should(index, source, cells_change, evidence_changes):
    other = edited(index, source)
    assert (records.hash_of_cells(other) != records.hash_of_cells(NOTEBOOK)) is cells_change
    assert (records.hash_of_evidence(other) != records.hash_of_evidence(NOTEBOOK)) is evidence_changes


@pytest.mark.parametrize(("successes", "trials"), [(20, 20), (19, 20), (1, 5), (60, 60)])
def test_least_chance_is_the_exact_bound(successes, trials):
    expected = stats.binomtest(successes, trials, alternative="greater").proportion_ci(0.95, "exact").low
    assert records.least_chance(successes, trials) == pytest.approx(expected, abs=1e-9)
    assert records.least_chance(0, trials) == 0.0


def definition(name, expect="holds"):
    intact = {"name": "rest", "band": {"low": 0.8, "high": 1.2}}
    planted = "by hand" if expect == "fails" else None
    return {
        "name": name,
        "expect": expect,
        "band": {},
        "controls": [{"name": "c", "intact": intact}],
        "planted": planted,
    }


def test_held_counts_every_run_of_the_current_lock(tmp_path):
    parts = [{"definition": definition("a"), "calibration": {"chances": {}}}]
    old = lock.append("x", parts, [], "supported", [], tmp_path)
    parts = [{"definition": definition("a", "fails"), "calibration": {"chances": {}}}]
    new = lock.append("x", parts, [], "supported", [], tmp_path)
    good = {
        "part: a": "fails",
        "control: c / a": "fails",
        "intact: rest / c / a": "holds",
        "planted: by hand / a": "holds",
    }
    runs = [
        {"seed": 1, "lock": old["hash"], "states": {}},
        {"seed": 2, "lock": new["hash"], "states": good, "cpu_seconds": 4.0},
        {"seed": 3, "lock": new["hash"], "states": {**good, "part: a": "unsettled"}, "cpu_seconds": 2.0},
        {"seed": 4, "lock": new["hash"], "failed": "RuntimeError"},
        {"seed": 4, "lock": new["hash"], "states": good},  # done again: the seed stays as it was
    ]
    records.runs_path("x", tmp_path).write_text("".join(json.dumps(r) + "\n" for r in runs) + '{"torn')
    assert len(records.runs("x", tmp_path)) == 5
    rows = {row["kind"]: (row["held"], row["seeds"]) for row in records.held("x", tmp_path)}
    assert rows == {"part": (1, 3), "control": (2, 3), "intact": (2, 3), "planted": (2, 3)}


def test_a_torn_line_is_passed_over_wherever_it_stands(tmp_path):
    records.runs_path("x", tmp_path).write_text('{"seed": 1}\n{"se\n{"seed": "é"}\n', encoding="utf-8")
    assert records.runs("x", tmp_path) == [{"seed": 1}, {"seed": "é"}]


def test_records_stand_in_the_package_unless_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "RECORDS", tmp_path / "package")
    for path_of, name in (
        (records.runs_path, "x.trust.jsonl"),
        (records.time_path, "x.time.json"),
        (lock.path_of, "x.lock.json"),
    ):
        assert path_of("x") == tmp_path / "package" / name
        assert path_of("x", tmp_path / "other") == tmp_path / "other" / name


def append(folder, *definitions):
    parts = [{"definition": d, "calibration": {"chances": {}}} for d in definitions]
    return lock.append("x", parts, [], "supported", [], folder)


def test_held_counts_for_the_last_of_several_locks(tmp_path):
    for expect, units in (("unsettled", 5), ("fails", 7), ("holds", 10)):
        last = append(tmp_path, {**definition("a", expect), "summary": "mean", "cells": 1, "units": units})
    assert [row["least"] for row in records.held("x", tmp_path)] == [0.0, 0.0, 0.0]
    states = {"part: a": "holds", "control: c / a": "fails", "intact: rest / c / a": "fails"}
    half = records.student(9)
    found = [
        {
            "seed": k,
            "lock": last["hash"],
            "states": states,
            "measured": {"part: a": [float(k), k - half, k + half]},
        }
        for k in range(20)
    ]
    again = {**found[0], "measured": {"part: a": [100.0, 99.0, 101.0]}}
    lines = [again, *found]  # the last run of a seed gives its estimate
    records.runs_path("x", tmp_path).write_text("".join(json.dumps(r) + "\n" for r in lines))
    spread = records.spread_ratio(found, {"name": "a", "summary": "mean", "cells": 1, "units": 10})
    assert spread == pytest.approx(np.arange(20).std(ddof=1))
    common = {"seeds": 20, "held": 20, "least": records.least_chance(20, 20)}
    assert records.held("x", tmp_path) == [
        {"name": "a", "kind": "part", **common, "spread": pytest.approx(spread)},
        {"name": "c / a", "kind": "control", **common, "spread": None},
        {"name": "rest / c / a", "kind": "intact", "seeds": 20, "held": 0, "least": 0.0, "spread": None},
    ]


def test_states_are_keyed_as_they_are_looked_up():
    intact = {"name": "rest", "band": {}, "state": "holds"}
    planted = {"name": "by hand", "state": "holds"}
    controls = [
        {"name": "c", "state": "fails", "intact": intact},
        {"name": "d", "state": "fails", "intact": {"name": "The same runs.", "state": "holds"}},
    ]
    first = {"name": "a", "expect": "fails", "state": "fails", "controls": controls, "planted": planted}
    second = {"name": "b", "expect": "holds", "state": "holds", "controls": [], "planted": None}
    found = records.states({"parts": [first, second]})
    assert found == {
        "part: a": first,
        "control: c / a": controls[0],
        "intact: rest / c / a": intact,
        "control: d / a": controls[1],
        "planted: by hand / a": planted,
        "part: b": second,
    }
    frozen = [{"definition": {**first, "planted": "by hand"}}, {"definition": second}]
    named = [f"{kind}: {name}" for name, kind, _ in records.frozen_states({"parts": frozen})]
    assert named == list(found)


def test_seconds_are_those_of_the_whole_chapter(tmp_path):
    records.time_path("x", tmp_path).write_text('{"cpu_seconds": 4.0}')
    assert records.seconds("x", tmp_path) == 4.0


def test_seconds_belong_to_the_code_that_took_them(tmp_path):
    notebook = {"cells": [{"cell_type": "code", "source": "a = 1", "metadata": {}}]}
    taken = {"code": records.hash_of_cells(notebook), "cpu_seconds": 4.0}
    records.time_path("x", tmp_path).write_text(json.dumps(taken))
    assert records.seconds("x", tmp_path, notebook) == 4.0
    notebook["cells"][0]["source"] += "  # later"
    assert records.seconds("x", tmp_path, notebook) is None


def test_nothing_found_yet(tmp_path):
    assert records.runs("x", tmp_path) == [] and records.held("x", tmp_path) == []
    assert records.seconds("x", tmp_path) is None


def test_the_reader_needs_neither_numpy_nor_torch():
    import subprocess
    import sys

    imports = "import sys, claimbook.claims, claimbook.evidence.records"
    code = f"{imports}; sys.exit(any(name in sys.modules for name in ('numpy', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_t_quantile_is_close():
    for degrees in (4, 5, 9, 19, 59):
        assert records.student(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=0.005)
    z = stats.norm.ppf(0.975)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384  # Abramowitz and Stegun, 26.7.5
    second, first = (5 * z**5 + 16 * z**3 + 3 * z) / 96, (z**3 + z) / 4
    for degrees in (4, 9, 59):
        expected = z + first / degrees + second / degrees**2 + third / degrees**3
        assert records.student(degrees) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("shared", "low", "high"), [(0.0, 0.75, 1.3), (1.0, 2.0, 6.0)])
def test_randomness_that_units_share_shows_as_spread(shared, low, high):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        values = rng.normal(size=10) + shared * rng.normal()
        centre = values.mean()
        half = records.student(9) * values.std(ddof=1) / 10**0.5
        found.append({"measured": {"part: It works": [centre, centre - half, centre + half]}})
    definition = {"name": "It works", "summary": "mean", "cells": 1, "units": 10}
    assert low < records.spread_ratio(found, definition) < high
    assert records.spread_ratio(found[:9], definition) is None
    assert records.spread_ratio([*found[:9], {"states": {}}], definition) is None
    assert records.spread_ratio(found[:10], definition) > 0
    ends = [{"measured": {"part: It works": [k, k, k]}} for k in range(10)]
    assert records.spread_ratio(ends, definition) is None  # no spread within runs to compare with
    assert records.spread_ratio(found, {**definition, "cells": 3}) is None
    assert records.spread_ratio(found, {**definition, "summary": "median"}) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 3), "successes"),
        ((-1, 3), "successes"),
        ((3, 5, 95), "level"),
        ((3, 5, 1.0), "level"),
        ((3, 5, 0), "level"),
    ],
)
def test_a_least_chance_that_there_is_not_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        records.least_chance(*arguments)


def test_the_least_chance_of_very_many_trials():
    expected = stats.binomtest(2000, 4000, alternative="greater").proportion_ci(0.95, "exact").low
    assert records.least_chance(2000, 4000) == pytest.approx(expected, abs=1e-9)
    assert records.least_chance(0, 0) == 0.0


@pytest.mark.parametrize("degrees", [0, -3, 1, 3, float("nan")])
def test_a_t_quantile_that_would_be_far_off_is_refused(degrees):
    with pytest.raises(ValueError, match="degrees must be at least 4"):
        records.student(degrees)


def test_the_peak_is_that_of_the_newest_code():
    runs = [
        {"code": "old", "peak_kilobytes": 9 * 1024},
        {"code": "new", "peak_kilobytes": 3 * 1024},
        {"code": "new", "peak_kilobytes": 4 * 1024},
        {"code": "new", "failed": "MemoryError"},
    ]
    assert records.peak(runs) == 4 and records.peak(runs[:1]) == 9
    assert records.peak([]) is None and records.peak(runs[3:]) is None


def test_runs_as_other_machines_are_kept_beside_the_locks(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "RECORDS", tmp_path / "own")
    assert records.machines_path() == tmp_path / "own" / "machines.jsonl"
    assert records.machines() == [] and records.machines(tmp_path) == []
    records.machines_path(tmp_path).write_text('{"machine": "é"}\n{"torn', "utf8")
    assert records.machines(tmp_path) == [{"machine": "é"}] and records.machines() == []
