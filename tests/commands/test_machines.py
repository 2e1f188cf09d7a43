"""Chapters run as other machines, on the small made-up chapter of test_commands."""

import numpy as np
import pytest

from claimbook import __main__ as cli
from claimbook.commands import execute, machines, run
from claimbook.commands.trust import versions
from claimbook.evidence import records

from .test_commands import book, freeze_quickly, write  # noqa: F401


@pytest.mark.slow
def test_a_run_is_compared_with_what_is_stored(book, capsys):  # noqa: F811
    freeze_quickly(book)
    write(book, mechanism="import os\neffect = 1.0 + 0.01 * (os.environ['OMP_NUM_THREADS'] == '2')")
    run.run("long_tail")
    assert machines.machines(["long_tail"], ["as it is", "two threads"], jobs=2) == 0
    same, other = sorted(records.machines(), key=lambda found: found["machine"])
    assert (same["machine"], same["lost"], same["same"], same["moved"]) == ("as it is", [], True, 0.0)
    assert other["lost"] == [] and not other["same"] and 0.1 < other["moved"] < 1  # .01 of .1 / sqrt(10)
    assert machines.machines(["long_tail"], ["as it is", "two threads"]) == 0
    assert "0 runs to make" in capsys.readouterr().out and len(records.machines()) == 2


@pytest.mark.slow
def test_a_lost_state_and_a_run_that_breaks_off_are_told(book, capsys):  # noqa: F811
    freeze_quickly(book)
    lost = "import os\neffect = 1.0 * (os.environ['OMP_NUM_THREADS'] != '2')"
    broken = "\nassert os.environ.get('OPENBLAS_CORETYPE') != 'Haswell', 'not here'"
    write(book, mechanism=lost + broken)
    run.run("long_tail")
    assert machines.machines(["long_tail"], ["two threads", "processor with AVX2"], jobs=2) == 2
    said = capsys.readouterr().out
    assert "It works came out fails, frozen as holds" in said and "AssertionError: not here" in said
    assert machines.machines(["long_tail"], ["two threads"]) == 1  # it is not forgotten


@pytest.mark.slow
def test_runs_with_two_threads_are_made_one_at_a_time(book, monkeypatch):  # noqa: F811
    freeze_quickly(book)
    run.run("long_tail")
    asked = []
    monkeypatch.setattr(
        machines.sweep, "as_they_end", lambda runs, jobs: asked.append((len(runs), jobs)) or []
    )
    assert machines.machines(["long_tail"], ["as it is", "two threads"], jobs=2) == 0
    assert asked == [(1, 2), (1, 1)]


def evidence(values, summary="mean"):
    return {"parts": [{"summary": summary, "values": values}]}


def test_moves_are_in_standard_errors():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    error = values.std(ddof=1) / 5**0.5
    assert machines.moved(evidence(values.tolist()), evidence((values + error / 4).tolist())) == 0.25
    cells = np.stack([values, 0 * values], axis=1)  # a cell without spread has no standard error
    assert machines.moved(evidence(cells.tolist()), evidence((cells + error).tolist())) == 1.0
    assert machines.moved(evidence(1.0, "exact"), evidence(2.0, "exact")) == 0.0


def test_settings_only_change_variables_of_the_environment():
    assert set(machines.MACHINES["two threads"]) == set(execute.ONE_THREAD)
    values = [value for settings in machines.MACHINES.values() for value in settings.values()]
    assert all(isinstance(value, str) for value in values)


def test_another_blas_is_named(monkeypatch):
    def built_against(name):
        return lambda mode: {"Build Dependencies": {"blas": {"name": name}}}

    monkeypatch.setattr(np, "show_config", built_against("scipy-openblas"))
    assert "blas" not in machines.packages()
    monkeypatch.setattr(np, "show_config", built_against("accelerate"))
    assert machines.packages() == {**versions(), "machine": machines.processor(), "blas": "accelerate"}


def test_the_processor_has_a_name(monkeypatch):
    assert machines.packages()["machine"] == machines.processor() != ""
    monkeypatch.setattr(machines.Path, "exists", lambda path: False)  # no Linux
    monkeypatch.setattr(machines.platform, "processor", lambda: "arm")
    assert machines.processor() == "arm"
    monkeypatch.setattr(machines.platform, "processor", lambda: "")
    monkeypatch.setattr(machines.platform, "machine", lambda: "arm64")
    assert machines.processor() == "arm64"
    monkeypatch.setattr(machines.Path, "exists", lambda path: True)
    told = "processor : 0\nmodel name\t: A Chip: 3\nmodel name\t: B\n"
    monkeypatch.setattr(machines.Path, "read_text", lambda path, encoding: told)
    assert machines.processor() == "A Chip: 3"


def test_an_unknown_machine(capsys):
    assert cli.main(["machines", "--as", "abacus"]) == 2
    assert "There is no machine 'abacus': as it is, two threads" in capsys.readouterr().err
