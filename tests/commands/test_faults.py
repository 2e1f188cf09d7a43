"""What may go wrong with a machine: nothing stored is damaged, and the message says what to do."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from claimbook.commands import freeze, run, trust
from claimbook.coursework.sandbox import unavailable
from claimbook.evidence import lock, records

from .test_commands import book, observe, path, write  # noqa: F401

COMMAND = """\
import pathlib, sys
from claimbook.evidence import lock
lock.RECORDS = pathlib.Path("records").resolve()
from claimbook.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
SRC = Path(__file__).resolve().parents[2] / "src"
WALLS = [
    "bwrap", "--dev-bind", "/", "/", "--unshare-net", "--unshare-pid", "--proc", "/proc", "--die-with-parent",
]  # fmt: skip
walled = pytest.mark.skipif(unavailable() is not None, reason=unavailable() or "")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Freeze and store a small book once; return its folder and its evidence under a calibration seed."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "RECORDS", folder / "records")
        (folder / "records").mkdir()
        (folder / "book" / "memorization").mkdir(parents=True)
        patch.chdir(folder)
        write(folder)
        one = observe(folder, 1_000_000)["evidence"]
        freeze.freeze_from("long_tail", list(range(1_000_000, 1_000_020)), [one] * 20)
        run.run("long_tail")
    return folder


@pytest.fixture
def frozen(made, book):  # noqa: F811
    """A copy of the small book, frozen and stored."""
    moved(made, book)
    return book


def moved(old, new):
    """Copy the small book into another folder, which its notebook names."""
    shutil.copytree(old / "records", new / "records", dirs_exist_ok=True)
    (new / "book" / "memorization").mkdir(parents=True, exist_ok=True)
    text = path(old).read_text("utf8").replace(str(old / "records"), str(new / "records"))
    notebook = json.loads(text)
    notebook["metadata"]["claimbook"]["code"] = records.hash_of_cells(notebook)
    path(new).write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf8")


def start(folder, *words, walls=(), env=None, fds=()):
    """Start a command of the book in a folder, by itself."""
    environment = dict(os.environ, PYTHONPATH=str(SRC)) if env is None else env
    return subprocess.Popen(
        [*walls, sys.executable, "-c", COMMAND, *words],
        cwd=folder,
        pass_fds=fds,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


# A kernel that is told to end while it writes may complain on the stream that it shares with us (ipykernel's race).
LAST_WORDS = re.compile(r"^ERROR:tornado\.general:.*?^zmq\.error\.[^\n]*\n", re.DOTALL | re.MULTILINE)


def finish(process):
    """Wait for a command, and return its exit code and what it said."""
    out, err = (part.decode("utf8", "replace") for part in process.communicate(timeout=120))
    return process.returncode, out, LAST_WORDS.sub("", err)


def kept(folder):
    """Return the bytes of all that a book stores."""
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_an_interrupt(frozen):
    write(frozen, mechanism="import pathlib, time\npathlib.Path('started').touch()\ntime.sleep(60)")
    before = kept(frozen)
    process = start(frozen, "run", "long_tail")
    started = path(frozen).parent / "started"
    for _ in range(600):
        if started.exists():
            break
        time.sleep(0.1)
    kernels = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    started.unlink()
    assert code == 130 and err.strip().splitlines()[-1].startswith("Interrupted. Nothing was changed"), err
    assert kept(frozen) == before and kernels
    _, alive = psutil.wait_procs(kernels, timeout=10)
    assert not alive


def test_a_killed_kernel(frozen):
    write(frozen, mechanism="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    before = kept(frozen)
    code, _, err = finish(start(frozen, "run", "long_tail"))
    assert code == 2 and "kernel" in err.lower() and "memory" in err and "Traceback" not in err
    assert kept(frozen) == before
    assert trust.trust(["long_tail"], seeds=1, jobs=1) == 1
    (noted,) = records.runs("long_tail")
    assert "DeadKernelError" in noted["failed"]


def test_a_failing_cell_is_shown_without_our_own_traceback(frozen):
    write(frozen, mechanism="effect = 1 / 0")
    code, _, err = finish(start(frozen, "run", "long_tail"))
    assert code == 2 and "ZeroDivisionError" in err and "nbclient" not in err


def test_two_runs_at_once(frozen):
    before = path(frozen).read_bytes()
    both = [start(frozen, "run", "long_tail") for _ in range(2)]
    assert [finish(process)[0] for process in both] == [0, 0]
    assert path(frozen).read_bytes() == before
    assert [p.name for p in path(frozen).parent.iterdir()] == ["long_tail.ipynb"]


@walled
def test_a_checkout_that_cannot_be_written(frozen):
    before = kept(frozen)
    for words in (["run", "long_tail"], ["trust", "--chapter", "long_tail", "--seeds", "1"]):
        code, _, err = finish(start(frozen, *words, walls=[*WALLS, "--ro-bind", str(frozen), str(frozen)]))
        assert code == 2 and "Read-only file system" in err and "Traceback" not in err, err
    assert kept(frozen) == before


@walled
def test_a_full_disk(frozen):
    before, place = kept(frozen), path(frozen).parent
    size = (path(frozen).stat().st_size // 4096 + 2) * 4096  # no room for a new notebook beside the old one
    with path(frozen).open("rb") as old:
        walls = [
            *WALLS,
            "--size",
            str(size),
            "--tmpfs",
            str(place),
            "--file",
            str(old.fileno()),
            str(path(frozen)),
        ]
        after = 'original=$1; shift; "$@"; code=$?; cmp "$original" book/*/long_tail.ipynb && ls -A book/*; exit $code'
        copy = frozen / "copy.ipynb"
        shutil.copy(path(frozen), copy)
        process = start(
            frozen, "run", "long_tail", walls=[*walls, "sh", "-c", after, "sh", str(copy)], fds=[old.fileno()]
        )
        code, out, err = finish(process)
    copy.unlink()
    assert code == 2 and "No space left" in err and "Traceback" not in err, err
    assert out.split() == ["long_tail.ipynb"], out
    assert kept(frozen) == before


def test_a_torn_line_costs_that_line_alone(frozen):
    trust.trust(["long_tail"], seeds=1, jobs=1)
    file = records.runs_path("long_tail")
    with file.open("a", encoding="utf8") as torn:
        torn.write('{"chapter": "long_tail", "se')
    trust.trust(["long_tail"], seeds=2, jobs=1)
    assert len(records.runs("long_tail")) == 2 and len(file.read_text("utf8").splitlines()) == 3


def test_a_path_with_blanks_and_accents(made, tmp_path):
    there = tmp_path / "mon été & l’autre"
    there.mkdir()
    moved(made, there)
    before = path(there).read_bytes()
    code, _, err = finish(start(there, "run", "long_tail"))
    assert code == 0, err
    assert path(there).read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"LC_ALL": "C", "LANG": "C", "HOME": None, "USER": None, "LOGNAME": None, "XDG_CACHE_HOME": None},
        {"LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii", "HOME": "/nonexistent", "IPYTHONDIR": None},
    ],
    ids=["C, no HOME", "ASCII, a HOME that is not there"],
)
def test_odd_environments(frozen, change):
    before = path(frozen).read_bytes()
    change |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    env = {**os.environ, "PYTHONPATH": str(SRC), **change}
    code, _, err = finish(
        start(frozen, "run", "long_tail", env={k: v for k, v in env.items() if v is not None})
    )
    assert code == 0, err
    assert path(frozen).read_bytes() == before


@walled
def test_without_a_network(frozen):
    before = path(frozen).read_bytes()
    code, _, err = finish(start(frozen, "run", "long_tail", walls=WALLS))
    assert code == 0, err
    assert path(frozen).read_bytes() == before
