"""Running, freezing and verifying, on a small made-up chapter in a book of its own."""

import json
import os
import signal
import threading
import time

import nbformat
import pytest

from claimbook import __main__ as cli
from claimbook.commands import execute, freeze, run, sweep, trust
from claimbook.evidence import EvidenceError, lock, records

IMPORTS = """\
import numpy as np
from claimbook import seeds
from claimbook.evidence import Band, Chapter, lock
import pathlib
lock.RECORDS = pathlib.Path({records!r})
chapter = Chapter("long_tail")
"""
MECHANISM = "effect = 1.0  # é ≈ 1 ± 2"
CHECK = """\
values = np.array([seeds.numpy("t/values", u).normal(effect, 0.1) for u in seeds.units()])
nothing = np.array([seeds.numpy("t/nothing", u).normal(0, 0.1) for u in seeds.units()])
check = chapter.check("It works", values, Band(above=0.5, why="w"), unit="draw")
check.control("without", nothing, intact=("rest", values, Band(above=0.2, why="w")))
"""
BROKEN_FIGURE = "raise RuntimeError('a figure is not evidence')"


@pytest.fixture
def book(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "RECORDS", tmp_path / "records")
    (tmp_path / "records").mkdir()
    (tmp_path / "book" / "memorization").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    return tmp_path


def write(folder, mechanism=MECHANISM, figure=None):
    notebook = nbformat.v4.new_notebook()
    cells = [IMPORTS.format(records=str(folder / "records")), mechanism, CHECK, "chapter.verdict()"]
    notebook.cells = [nbformat.v4.new_code_cell(text, id=f"cell-{k}") for k, text in enumerate(cells)]
    if figure:
        notebook.cells.insert(
            2, nbformat.v4.new_code_cell(figure, id="figure", metadata={"tags": ["figure"]})
        )
    nbformat.write(notebook, path(folder))


def path(folder):
    return folder / "book" / "memorization" / "long_tail.ipynb"


def observe(book, seed):
    return execute.observe(execute.read(path(book)), path(book).parent, seed, "calibrate")


def freeze_quickly(book):
    """Freeze from calibration runs that a small stand-in makes, instead of twenty kernels."""
    one = observe(book, 1_000_000)["evidence"]
    return freeze.freeze_from("long_tail", list(range(1_000_000, 1_000_020)), [one] * 20)


def test_run_stores_the_same_bytes_every_time(book):
    freeze_quickly(book)
    run.run("long_tail")
    first = path(book).read_bytes()
    run.run("long_tail")
    assert path(book).read_bytes() == first
    stored = json.loads(first)
    assert stored["metadata"]["claimbook"]["code"] == records.hash_of_cells(stored)
    assert records.stored(stored)["verdict"] == "supported"
    assert 'pip install -e ".[run]"' in records.source(stored["cells"][1])


def test_a_failing_run_leaves_the_old_file(book):
    freeze_quickly(book)
    write(book, figure=BROKEN_FIGURE)
    before = path(book).read_bytes()
    with pytest.raises(Exception, match="a figure is not evidence"):
        run.run("long_tail")
    assert path(book).read_bytes() == before
    assert [p.name for p in path(book).parent.iterdir()] == ["long_tail.ipynb"]


def test_trust_resumes_adds_and_discards_nothing(book, capsys):
    revision = freeze_quickly(book)
    assert trust.trust(["long_tail"], seeds=1, jobs=1) == 0
    (first,) = records.runs("long_tail")
    assert first["seed"] == lock.verification_seeds(revision, 1)[0]
    assert first["states"]["part: It works"] == "holds" and first["margins"] and first["versions"]["python"]
    assert first["cpu_seconds"] > 0 and first["peak_kilobytes"] > 10_000
    assert trust.trust(["long_tail"], seeds=2, jobs=1) == 0
    assert [r["seed"] for r in records.runs("long_tail")] == lock.verification_seeds(revision, 2)
    assert trust.trust(["long_tail"], seeds=2, jobs=1) == 0 and len(records.runs("long_tail")) == 2
    assert "0 runs to make" in capsys.readouterr().out


def test_trust_records_what_breaks_off_or_comes_out_otherwise(book):
    freeze_quickly(book)
    write(book, mechanism="effect = 0.0", figure=BROKEN_FIGURE)  # the figure is not run
    assert trust.trust(["long_tail"], seeds=1, jobs=1) == 1
    write(book, mechanism="raise RuntimeError('lost')")
    assert trust.trust(["long_tail"], seeds=1, jobs=1) == 1
    first, second = records.runs("long_tail")
    assert first["states"]["part: It works"] == "fails" and "lost" in second["failed"]
    assert {row["held"] for row in records.held("long_tail")} <= {0, 1}


def test_a_kernel_that_dies_before_it_starts_is_started_again(book, monkeypatch):
    started = []

    def dies_twice(client, env):
        started.append(client.nb)
        if len(started) < 3:
            raise RuntimeError("Kernel died before replying to kernel_info")

    monkeypatch.setattr("nbclient.NotebookClient.execute", dies_twice)
    notebook = execute.read(path(book))
    assert execute.execute(notebook, book) is started[2]
    monkeypatch.setattr(execute, "STARTS", 1)
    started.clear()
    with pytest.raises(RuntimeError, match="before replying"):
        execute.execute(notebook, book)


@pytest.mark.slow
def test_a_cluster_loses_no_finished_run_when_it_loses_a_worker(book):
    from distributed import LocalCluster

    revision = freeze_quickly(book)
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        one_is_lost = threading.Thread(target=lose_a_worker, args=(cluster,))
        one_is_lost.start()
        with sweep.on_cluster(cluster.scheduler_address):
            assert trust.trust(["long_tail"], seeds=6) == 0
        one_is_lost.join()
    assert sorted(r["seed"] for r in records.runs("long_tail")) == sorted(
        lock.verification_seeds(revision, 6)
    )
    assert all("failed" not in run for run in records.runs("long_tail"))


def lose_a_worker(cluster):
    """Kill one worker as soon as the first run is kept."""
    while not records.runs("long_tail"):
        time.sleep(0.05)
    os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)


def test_freeze_pools_units_and_refuses_what_depends_on_the_seed(book):
    one = observe(book, 5)["evidence"]
    other = json.loads(json.dumps(one))
    other["definitions"][0]["units"] = 11
    with pytest.raises(EvidenceError, match="differ between seeds"):
        freeze.freeze_from("long_tail", [], [one, other])
    revision = freeze.freeze_from("long_tail", [1, 2], [one, one])
    shown = revision["parts"][0]["calibration"]["shown"]
    assert shown["It works"]["repeated"] == 2
    assert set(shown) == {"It works", "control: without", "intact: rest"}


def test_the_command_line_says_what_is_wrong(book, capsys):
    assert cli.main(["run", "long_tale"]) == 2
    assert "Did you mean 'long_tail'" in capsys.readouterr().err
    assert cli.main(["freeze", "model_soups"]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert cli.main(["freeze", "long_tail", "--seeds", "3"]) == 2
    assert "at least 20" in capsys.readouterr().err
    for command in (["freeze", "kernels"], ["trust", "--chapter", "kernels"]):
        (book / "book" / "primers").mkdir(exist_ok=True)
        (book / "book" / "primers" / "kernels.ipynb").write_text("{}")
        assert cli.main(command) == 2
        assert "It is a primer, which asserts no claim" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (ValueError("first\nlast\n\n"), "ValueError: last"),
        (RuntimeError("\x1b[31mKeyError\x1b[39m: 'x'\n"), "RuntimeError: KeyError: 'x'"),
        (MemoryError(), "MemoryError"),  # which says nothing
    ],
)
def test_what_stopped_a_run_is_one_line(problem, said):
    assert execute.what_stopped(problem) == said
