"""What runs elsewhere: workflows with no more rights than they need, and buttons that lead to the book."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = {path.stem: path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}


def workflow(name: str) -> dict:
    """Return a workflow; its key `on` is a truth value to YAML."""
    data = yaml.safe_load(WORKFLOWS[name].read_text("utf8"))
    return {"on" if key is True else key: value for key, value in data.items()}


def steps(name: str) -> list[dict]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def test_there_are_three():
    assert set(WORKFLOWS) == {"test", "publish", "newest"}


@pytest.mark.parametrize("name", WORKFLOWS)
class TestEveryWorkflow:
    def test_grants_nothing_beyond_its_jobs(self, name):
        data = workflow(name)
        assert data["permissions"] == {}
        for job in data["jobs"].values():
            assert "permissions" in job and "timeout-minutes" in job

    def test_never_gives_a_stranger_its_rights(self, name):
        triggers = workflow(name)["on"]
        assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(triggers)
        assert "secrets." not in WORKFLOWS[name].read_text("utf8")

    def test_leaves_no_token_where_code_could_find_it(self, name):
        checkouts = [step for step in steps(name) if step.get("uses", "").startswith("actions/checkout@")]
        assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)

    def test_runs_nothing_that_somebody_else_wrote_into_it(self, name):
        for step in steps(name):
            assert "${{" not in step.get("run", "")  # such text would be run as code

    def test_uses_githubs_own_actions_of_a_known_version(self, name):
        for step in steps(name):
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@(v\d+|[0-9a-f]{40})", step["uses"])


def test_pull_requests_can_only_read():
    data = workflow("test")
    assert "pull_request" in data["on"]
    assert [job["permissions"] for job in data["jobs"].values()] == [{"contents": "read"}]
    assert ".ci/run" in [step.get("run") for step in steps("test")]


def test_only_main_is_published_and_the_job_that_may_write_runs_no_code():
    data = workflow("publish")
    assert set(data["on"]) == {"push", "workflow_dispatch"} and data["on"]["push"] == {"branches": ["main"]}
    assert data["jobs"]["build"]["if"] == "github.ref == 'refs/heads/main'"
    assert data["jobs"]["build"]["permissions"] == {"contents": "read"}
    deploy = data["jobs"]["deploy"]
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"} and deploy["needs"] == "build"
    assert all("run" not in step and "checkout" not in step["uses"] for step in deploy["steps"])


def test_the_newest_packages_are_tried_every_week_and_can_only_read():
    data = workflow("newest")
    assert set(data["on"]) == {"schedule", "workflow_dispatch"}
    assert [job["permissions"] for job in data["jobs"].values()] == [{"contents": "read"}]
    assert "make machines NEWEST=1" in [step.get("run") for step in steps("newest")]


# Launch buttons

ADDRESS = "https://github.com/somebody/a-book"
NOTEBOOK = """\
{"cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# One"]},
{"cell_type": "code", "id": "b", "metadata": {}, "execution_count": 1, "outputs": [], "source": ["1;"]}],
"metadata": {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
"nbformat": 4, "nbformat_minor": 5}
"""
BUILD = "from jupyter_book.cli.main import main; main(prog_name='jupyter-book')"


def with_address() -> dict:
    """Return the configuration as it is when the comment signs that it speaks of are removed."""
    text = (ROOT / "_config.yml").read_text("utf8")
    opened = re.sub(r"^# (repository:|  [a-z_]+: )", r"\1", text, flags=re.MULTILINE)
    assert opened != text
    return yaml.safe_load(opened.replace("https://github.com/OWNER/NAME", ADDRESS))


def built(folder: Path, config: dict) -> str:
    """Build a book of one notebook with the book's own settings on where it is and how it is launched."""
    pytest.importorskip("jupyter_book")
    kept = {key: config[key] for key in ("launch_buttons", "repository", "execute", "html") if key in config}
    (folder / "book").mkdir(parents=True)
    (folder / "_config.yml").write_text(
        yaml.safe_dump({"title": "T", "only_build_toc_files": True, **kept}), "utf8"
    )
    (folder / "_toc.yml").write_text("format: jb-book\nroot: book/one\n", "utf8")
    (folder / "book" / "one.ipynb").write_text(NOTEBOOK, "utf8")
    command = [sys.executable, "-c", BUILD, "build", str(folder), "-W", "--keep-going", "-q"]
    subprocess.run(command, check=True, capture_output=True)
    return (folder / "_build" / "html" / "book" / "one.html").read_text("utf8")


@pytest.mark.slow
def test_without_an_address_there_is_no_button(tmp_path):
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf8"))
    assert "repository" in config or set(config["launch_buttons"]) == {"notebook_interface"}
    config.pop("repository", None)  # Jupyter Book would take its own
    config["launch_buttons"] = {"notebook_interface": "jupyterlab"}
    page = built(tmp_path, config)
    assert "mybinder.org" not in page and "colab.research" not in page


@pytest.mark.slow
def test_with_an_address_each_chapter_has_two(tmp_path):
    page = built(tmp_path, with_address())
    assert "https://mybinder.org/v2/gh/somebody/a-book/main?urlpath=lab/tree/book/one.ipynb" in page
    assert "https://colab.research.google.com/github/somebody/a-book/blob/main/book/one.ipynb" in page
