"""The command runner: its words to an old Python, what it installs and counts, what it never overwrites."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """Return tasks.py as a module that lives in an empty folder."""
    spec = importlib.util.spec_from_file_location("tasks_under_test", ROOT / "tasks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, path in {
        "ROOT": "",
        "VENV": ".venv",
        "STAMP": ".venv/claimbook.json",
        "LOG": ".venv/install.log",
        "SITE": "_build/html",
        "RESULTS": "_build/tests",
        "TEXT": "text",
        "MUTANTS": "mutants",
    }.items():
        monkeypatch.setattr(module, name, str(tmp_path / path))
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    return module


@pytest.fixture
def installs(tasks, monkeypatch):
    """Pretend to install, and return the list of what was asked for."""
    asked = []
    monkeypatch.setattr(tasks, "make_venv", lambda folder: Path(folder).mkdir())
    monkeypatch.setattr(tasks, "venv_works", lambda: True)
    monkeypatch.setattr(tasks, "pip_install", lambda python, arguments, log: asked.append(arguments[-1]))
    return asked


@pytest.fixture
def chapter(tasks, tmp_path):
    """Write a chapter with tags and outputs, and return its path."""
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# Title"]},
        {
            "cell_type": "code",
            "id": "b",
            "metadata": {"tags": ["mechanism"], "mystnb": {"image": {"alt": "a line"}}},
            "execution_count": 1,
            "source": ["print(1)"],
            "outputs": [{"name": "stdout", "output_type": "stream", "text": ["1\n"]}],
        },
    ]
    path = tmp_path / "book" / "part" / "a_chapter.ipynb"
    path.parent.mkdir(parents=True)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nb = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(nb, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


class TestOldPython:
    def test_the_syntax_is_for_any_python(self):
        source = (ROOT / "tasks.py").read_text(encoding="ascii")
        tree = ast.parse(source)
        new = (
            ast.JoinedStr,
            ast.NamedExpr,
            ast.AnnAssign,
            ast.YieldFrom,
            ast.Nonlocal,
            ast.Match,
        )
        for node in ast.walk(tree):
            assert not isinstance(node, new), f"line {node.lineno} is not Python 2"
            if isinstance(node, ast.FunctionDef):
                assert not node.args.kwonlyargs and not node.returns, f"line {node.lineno} is not Python 2"
            if isinstance(node, ast.List | ast.Tuple):
                assert not any(isinstance(item, ast.Starred) for item in node.elts), f"line {node.lineno}"
            if isinstance(node, ast.Raise):
                assert node.cause is None, f"line {node.lineno} is not Python 2"

    def test_it_ends_with_one_sentence(self):
        source = (ROOT / "tasks.py").read_text(encoding="ascii")
        pretend = "import sys; sys.version_info = (3, 9, 1, 'final', 0)\n"
        done = subprocess.run(
            [sys.executable, "-c", pretend + "exec(compile(sys.stdin.read(), 'tasks.py', 'exec'))"],
            input=source,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1 and done.stdout == ""
        assert re.fullmatch(
            r"This book needs Python 3\.11 or newer, and this is Python 3\.9: .*\.\n", done.stderr
        )


class TestMakefile:
    def test_names_every_command(self, tasks):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = set(re.findall(r"^([a-z]+): ## ", makefile, flags=re.MULTILINE)) - {"list"}
        (names,) = [action.choices for action in tasks.commands()._actions if action.dest == "command"]
        assert targets == set(names)

    def test_every_recipe_is_one_line(self):
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        rules = re.findall(r"^[a-z]+: ## .*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)
        assert rules and all(rule.count("\n") == 1 for rule in rules)
        assert all(rule.startswith("\t@$(RUN) ") for rule in rules[1:])


class TestInstalling:
    def test_once(self, tasks, installs):
        tasks.need("book")
        tasks.need("book")
        assert installs == [".[book]"]

    def test_extras_stay(self, tasks, installs):
        tasks.need("book")
        tasks.need("run", "test")
        tasks.need("book")
        assert installs == [".[book]", ".[book,run,test]"]

    @pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
    def test_again_when_the_packages_change(self, tasks, installs, tmp_path, name):
        tasks.need("book")
        (tmp_path / name).write_text("changed\n")
        tasks.need("run")
        assert installs == [".[book]", ".[book,run]"]

    def test_again_after_a_failure(self, tasks, installs, monkeypatch):
        works = tasks.pip_install
        monkeypatch.setattr(tasks, "pip_install", lambda *arguments: tasks.stop("no"))
        with pytest.raises(SystemExit):
            tasks.need("book")
        monkeypatch.setattr(tasks, "pip_install", works)
        tasks.need("book")
        assert installs == [".[book]"]

    def test_a_broken_environment_is_made_again_whole(self, tasks, installs, monkeypatch, tmp_path):
        tasks.need("book", "run")
        monkeypatch.setattr(tasks, "venv_works", lambda: False)
        monkeypatch.setattr(tasks, "make_venv", lambda folder: installs.append("made"))
        tasks.need("book")
        assert installs == [".[book,run]", "made", ".[book,run]"]

    def test_a_foreign_broken_environment_is_left_alone(self, tasks, installs, monkeypatch, tmp_path):
        (tmp_path / ".venv").mkdir()
        monkeypatch.setattr(tasks, "venv_works", lambda: False)
        with pytest.raises(SystemExit, match="remove the folder"):
            tasks.need("book")
        assert installs == []

    def test_torch_index(self, tasks, monkeypatch, tmp_path):
        seen = tmp_path / "seen.py"
        seen.write_text("import sys; print(' '.join(sys.argv[1:]))")
        log = tmp_path / "log"
        monkeypatch.setattr(tasks.subprocess, "Popen", lambda command, **more: Popen(command, seen, **more))
        monkeypatch.setenv("TORCH_INDEX", "file:///wheels")
        tasks.pip_install(sys.executable, [".[run]"], str(log))
        assert "--extra-index-url file:///wheels" in log.read_text()

    def test_a_python_that_does_not_run(self, tasks, monkeypatch):
        monkeypatch.setenv("PYTHON", "no-such-python")
        with pytest.raises(SystemExit, match="does not run"):
            tasks.base_python()


def Popen(command, script, **more):
    """Run a script in place of pip, with pip's arguments."""
    return real_popen([command[0], str(script), *command[3:]], **more)


real_popen = subprocess.Popen


class TestChapters:
    def test_no_name(self, tasks, chapter):
        with pytest.raises(
            SystemExit, match=r"Name a chapter: `make run CHAPTER=ID`.* Chapters: a_chapter\."
        ):
            tasks.main(["run"])

    def test_an_unknown_name(self, tasks, chapter):
        with pytest.raises(SystemExit, match=r"There is no chapter 'b'\. Chapters: a_chapter\."):
            tasks.main(["run", "b"])

    def test_commands_of_the_package(self, tasks, chapter, installs, monkeypatch):
        called = []
        monkeypatch.setenv("CLAIMBOOK_SEED", "7")
        monkeypatch.setattr(tasks, "call", lambda command, env: called.append((command[3:], env)) or 0)
        for line in (
            "run a_chapter",
            "freeze a_chapter --seeds 30",
            "trust --seeds 20 --chapter a_chapter",
            "trust",
            "machines --chapter a_chapter",
            "chapter an_open_row",
        ):
            with pytest.raises(SystemExit) as ended:
                tasks.main(line.split())
            assert ended.value.code == 0
        assert [" ".join(words) for words, _ in called] == [
            "run a_chapter",
            "freeze a_chapter --seeds 30",
            "trust --seeds 20 --chapter a_chapter",
            "trust",
            "machines --chapter a_chapter",
            "chapter an_open_row",
        ]
        assert all(env["OMP_NUM_THREADS"] == "1" for _, env in called[:-1])
        assert "CLAIMBOOK_SEED" not in called[0][1]  # what is stored is always the book's own seed

    def test_the_newest_packages_get_an_environment_of_their_own(self, tasks, chapter, installs, monkeypatch):
        called, made, wanted = [], [], []
        monkeypatch.setattr(tasks, "call", lambda command, env: called.append((command, env)) or 0)
        monkeypatch.setattr(tasks, "make_venv", made.append)
        monkeypatch.setattr(tasks, "requirements", lambda extras: ["torch==2.13.0", "numpy>=2"])
        monkeypatch.setattr(tasks, "pip_install", lambda python, words, log: wanted.extend(words))
        with pytest.raises(SystemExit):
            tasks.main(["machines", "--newest"])
        (venv,), ((command, env),) = made, called
        assert wanted == ["--upgrade", "torch", "numpy>=2"]  # no constraints, and no exact version
        assert command[0].startswith(venv) and command[3:] == ["machines", "--as", "as it is"]
        assert env["PYTHONPATH"].endswith("src")

    def test_a_new_chapter_is_named(self, tasks, chapter):
        with pytest.raises(SystemExit, match=r"Name an open row of the map: `make chapter ID=\.\.\.`"):
            tasks.main(["chapter"])

    def test_printing_builds_first_and_tells_what_failed(self, tasks, installs, monkeypatch):
        called = []
        monkeypatch.setattr(tasks, "call", lambda command, env=None, stdout=None: called.append(command) or 0)
        with pytest.raises(SystemExit) as ended:
            tasks.main(["pdf"])
        assert ended.value.code == 0 and installs == [".[book,test]"]
        assert "build" in called[0] and called[1][2:] == ["claimbook", "pdf"]
        monkeypatch.setattr(tasks, "call", lambda command, env=None, stdout=None: 2)
        with pytest.raises(SystemExit, match="did not build"):
            tasks.main(["pdf"])


class TestText:
    @pytest.fixture(autouse=True)
    def jupytext(self, tasks, monkeypatch):
        pytest.importorskip("jupytext")
        monkeypatch.setattr(tasks, "need", lambda *extras: sys.executable)

    def test_back_unchanged(self, tasks, chapter):
        before = chapter.read_bytes()
        tasks.main(["text", "a_chapter"])
        tasks.main(["notebook", "a_chapter"])
        assert chapter.read_bytes() == before

    def test_an_edit_arrives_and_the_rest_stays(self, tasks, chapter, tmp_path):
        tasks.main(["text", "a_chapter"])
        path = tmp_path / "text" / "a_chapter.py"
        path.write_text(path.read_text().replace("# # Title", "# # A title"))
        before = json.loads(chapter.read_text())
        tasks.main(["notebook", "a_chapter"])
        after = json.loads(chapter.read_text())
        assert after["cells"][0]["source"] == ["# A title"]
        assert after["cells"][1] == before["cells"][1] and after["metadata"] == before["metadata"]
        assert [cell["id"] for cell in after["cells"]] == ["a", "b"]

    def test_edited_text_is_not_overwritten(self, tasks, chapter, tmp_path):
        tasks.main(["text", "a_chapter"])
        path = tmp_path / "text" / "a_chapter.py"
        path.write_text(path.read_text() + "# more\n")
        with pytest.raises(SystemExit, match="holds edits"):
            tasks.main(["text", "a_chapter"])
        assert path.read_text().endswith("# more\n")
        tasks.main(["text", "a_chapter", "--force"])
        assert not path.read_text().endswith("# more\n")

    def test_an_edited_notebook_is_not_overwritten(self, tasks, chapter):
        tasks.main(["text", "a_chapter"])
        chapter.write_text(chapter.read_text().replace("print(1)", "print(2)"))
        with pytest.raises(SystemExit, match="was edited since"):
            tasks.main(["notebook", "a_chapter"])
        assert "print(2)" in chapter.read_text()

    def test_running_the_notebook_is_no_edit(self, tasks, chapter):
        tasks.main(["text", "a_chapter"])
        chapter.write_text(chapter.read_text().replace('"1\\n"', '"3\\n"'))
        tasks.main(["notebook", "a_chapter"])
        assert '"3\\n"' in chapter.read_text()

    def test_without_text(self, tasks, chapter):
        with pytest.raises(SystemExit, match="make text"):
            tasks.main(["notebook", "a_chapter"])


class TestTesting:
    @pytest.fixture
    def steps(self, tasks, monkeypatch):
        """Pretend to run the five steps; return {name: (exit code, passed, failed)}, to be changed."""
        results = {"lint": (0, 0, 0), "unit": (0, 100, 0), "notebooks": (0, 20, 0), "site": (0, 3, 0)}
        results["build"] = 0
        monkeypatch.setattr(tasks, "need", lambda *extras: sys.executable)
        monkeypatch.setattr(tasks, "lint_step", lambda python: results["lint"])
        monkeypatch.setattr(tasks, "build", lambda python, fresh: results["build"])
        monkeypatch.setattr(tasks, "pytest", lambda python, name, arguments, env: results[name])
        return results

    def run(self, tasks, capsys):
        with pytest.raises(SystemExit) as ended:
            tasks.main(["test"])
        return ended.value.code, capsys.readouterr().out.splitlines()

    def test_all_pass(self, tasks, steps, capsys):
        code, lines = self.run(tasks, capsys)
        assert code == 0 and lines[-1] == "123 passed, 0 failed"

    def test_a_failing_test_ends_it(self, tasks, steps, capsys):
        steps["notebooks"] = (1, 18, 2)
        code, lines = self.run(tasks, capsys)
        assert code == 1 and lines[-1] == "118 passed, 2 failed"
        assert lines[-2] == "The step `notebooks` failed; not run: build, site."

    @pytest.mark.parametrize(("name", "total"), [("lint", 0), ("build", 120)])
    def test_a_failing_step_without_tests_counts(self, tasks, steps, capsys, name, total):
        steps[name] = 1 if name == "build" else (1, 0, 0)
        code, lines = self.run(tasks, capsys)
        assert code == 1 and lines[-1] == f"{total} passed, 1 failed"

    def test_a_step_that_finds_no_tests_fails(self, tasks, steps, capsys):
        steps["site"] = (5, 0, 0)
        code, lines = self.run(tasks, capsys)
        assert code == 1 and lines[-1] == "120 passed, 1 failed"

    def test_counting(self, tasks, tmp_path):
        path = tmp_path / "unit.xml"
        path.write_text(
            '<testsuites><testsuite errors="1" failures="2" skipped="3" tests="10"/></testsuites>'
        )
        assert tasks.counts(str(path)) == (4, 3)
        assert tasks.counts(str(tmp_path / "none.xml")) == (0, 0)


class TestMutants:
    @pytest.fixture
    def run(self, tasks, installs, monkeypatch, tmp_path):
        """Return a function that counts, with mutmut pretending to have written these exit codes."""
        codes = {}

        def mutmut(command, env=None, stdout=None):
            assert command[1:] == ["-m", "mutmut", "run"] and "PYTHONPATH" not in env
            assert not (tmp_path / "mutants").exists()
            for module, found in codes.items():
                path = tmp_path / "mutants" / "src" / "claimbook" / (module + ".py.meta")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps({"exit_code_by_key": dict(enumerate(found))}))
            return 0 if codes else 1

        monkeypatch.setattr(tasks, "call", mutmut)
        monkeypatch.setenv("PYTHONPATH", "elsewhere")
        (tmp_path / "mutants").mkdir()  # of an earlier run
        return lambda **found: codes.update(found) or tasks.mutants(None)

    @pytest.mark.parametrize("code", [0, 2, 5, 33, 34, 35, -11, None])
    def test_the_floor(self, run, tasks, capsys, code):
        run(
            **{"evidence/band": [1] * 18 + [36], "evidence/draw": [code], "evidence/errors": [], "seeds": [3]}
        )
        assert capsys.readouterr().out.splitlines()[-5:] == [
            "evidence.band            19 of   19 killed",
            "evidence.draw             0 of    1 killed",
            "seeds                     1 of    1 killed",
            "evidence: 95.0% killed, at least 95% wanted",
            "seeds: 100.0% killed, at least 85% wanted",
        ]

    def test_below_the_floor(self, run, tasks):
        with pytest.raises(SystemExit, match="Too many survive in evidence: `mutmut results` names them"):
            run(**{"evidence/band": [1] * 18 + [0], "seeds": [1] * 17 + [0] * 3})
        with pytest.raises(SystemExit, match="Too many survive in seeds:"):
            run(**{"evidence/band": [1] * 19 + [0], "seeds": [1] * 16 + [0] * 3})

    def test_without_a_result(self, run, tasks):
        with pytest.raises(SystemExit, match=r"did not get through: .*mutants\.log says why"):
            run()


class TestHousekeeping:
    def test_pins(self, tasks):
        found = {"torch": "2.13.0+cpu", "PyYAML": "6.0.3", "nvidia-cudnn-cu12": "9.1", "alabaster": "0.7.16"}
        found |= {"triton": "3.0", "pip": "25.0", "claimbook": "0.1.0", "setuptools": "80"}
        report = {"install": [{"metadata": {"name": n, "version": v}} for n, v in found.items()]}
        assert tasks.pins(report) == ["alabaster==0.7.16", "PyYAML==6.0.3", "torch==2.13.0"]

    def test_clean_keeps_what_someone_wrote(self, tasks, tmp_path, chapter):
        for name in ("_build/html", ".venv/bin", "src/claimbook/__pycache__", "text", ".pytest_cache"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "text" / "a_chapter.py").write_text("")
        tasks.main(["clean"])
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
        assert {"text/a_chapter.py", "book/part/a_chapter.ipynb", "src/claimbook", ".venv/bin"} <= left
        assert not left & {"_build", "src/claimbook/__pycache__", ".pytest_cache"}
        tasks.main(["clean", "--all"])
        assert not (tmp_path / ".venv").exists()
