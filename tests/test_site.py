"""The pages that are drawn from the registry and from stored evidence, on a small made-up book."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from claimbook.evidence import lock, records
from claimbook.site import chapters
from claimbook.site.contents import Contents

ROOT = Path(__file__).resolve().parents[1]
BAND = {"low": 0.1, "high": None, "null": 0.0, "why": "made up", "kind": "effect"}
INTACT = {"low": -0.1, "high": 0.1, "null": 0.0, "why": "made up", "kind": "equivalence"}


def row(identifier: str, **changes) -> dict:
    """Return a row of the registry."""
    source = {
        "authors": ["Ada Byron"],
        "year": 1843,
        "venue": "Memoirs",
        "doi": "10.1/" + identifier,
        "arxiv": None,
    }
    plain = {
        "id": identifier,
        "paper": f"The paper of {identifier}",
        "from": ["G"],
        "part": "first",
        "kind": "direct",
    }
    rest = {
        "claim": f"{identifier} holds.",
        "setting": "s",
        "control": "c",
        "needs": ["ridge"],
        "level": 1,
        "tier": "core",
    }
    return {**plain, **rest, "source": {**source, "verified": True}, **changes}


REGISTRY = {
    "parts": {"first": "First: what comes first", "second": "Second"},
    "concepts": {"ridge": "Ridge regression — least squares with a penalty"},
    "primers": {"shrinking": ["ridge"]},
    "claims": [
        row("alpha"),
        row("beta", tier="further", needs=["alpha"], level=3),
        row("survey", kind="context", part="second", needs=[], tier="further"),
    ],
}


def definition(name: str, core: bool = True, band: dict = BAND) -> dict:
    """Return what the lock freezes of a part."""
    control = {"name": "no mechanism", "intact": {"name": "the loss", "band": INTACT}}
    fixed = {"summary": "mean", "trials": None, "unit": "draw", "fixed": "", "units": 10, "cells": 1}
    return {
        "name": name,
        **fixed,
        "band": band,
        "core": core,
        "expect": "holds",
        "controls": [control],
        "planted": None,
    }


def measured(value: float, state: str) -> dict:
    """Return a measurement as it is stored."""
    return {"summary": "mean", "trials": None, "units": 10, "cells": 1, "state": state, "margin": 0.1} | {
        "worst": [value, value - 0.01, value + 0.01],
        "values": [value] * 10,
    }


def evidence(identifier: str, revision: dict | None, names: tuple[str, ...]) -> dict:
    """Return the evidence of a stored run in which everything came out as it should."""
    control = {
        "name": "no mechanism",
        **measured(0, "fails"),
        "intact": {"name": "the loss", "band": INTACT, **measured(0, "holds")},
    }
    parts = [
        {
            "name": name,
            "slug": name.lower().replace(" ", "-"),
            "core": k == 0,
            "expect": "holds",
            "band": BAND,
        }
        | {"unit": "draw", "fixed": "", "controls": [control], "planted": None, **measured(0.2, "holds")}
        for k, name in enumerate(names)
    ]
    known = {
        "chapter": identifier,
        "seed": 0,
        "lock": revision and revision["hash"],
        "parts": parts,
        "untested": [],
    }
    return {**known, "verdict": "supported", "problem": None}


def notebook(*cells: dict) -> dict:
    """Return a notebook."""
    kernel = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python"},
    }
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": kernel, "cells": list(cells)}


def markdown(text: str) -> dict:
    return {"cell_type": "markdown", "id": f"m{abs(hash(text)) % 10**6}", "metadata": {}, "source": text}


def code(text: str, drawn: str | None = None, metadata: dict | None = None) -> dict:
    data = {"text/markdown": drawn, "text/plain": drawn}
    output = {
        "output_type": "display_data",
        "data": data,
        "metadata": {"claimbook": metadata} if metadata else {},
    }
    cell = {"cell_type": "code", "id": f"c{abs(hash(text)) % 10**6}", "metadata": {}, "source": text}
    return {**cell, "execution_count": 1, "outputs": [output] if drawn else []}


def chapter(identifier: str, found: dict | None) -> dict:
    """Return a chapter's executed notebook."""
    number = {"number": {"name": "gain", "text": "≈ 0.21 ± 0.02"}}
    return notebook(
        markdown(f"# The chapter *{identifier}*\n\nIt gains {{measured}}`gain`."),
        code("chapter", "| **Claim** | x |\n| --- | --- |\n| **Know first** | y |\n| **Level** | 1 |"),
        code("chapter.number('gain', values, says='gain')", "gain: ≈ 0.21 ± 0.02", number),
        markdown("## Verdict\n\n```python\n# no heading\n```"),
        code(
            "chapter.verdict()",
            "| part of the claim | state |\n| --- | --- |\n| x | holds |",
            found and {"evidence": found},
        ),
        markdown("## What comes after"),
    )


class Book:
    """A book in a temporary folder."""

    def __init__(self, folder: Path):
        self.folder, self.records, self.out = folder / "source", folder / "records", folder / "out"
        self.folder.mkdir()
        self.records.mkdir()
        (self.folder / "claims.yml").write_text(yaml.safe_dump(REGISTRY), "utf8")
        self.page("index", "# Home\n\n```{toctree}\n:glob:\n*/**\n```\n\n```{ledger}\n```")
        self.page("guide/read", "# How to read\n\nNothing is counted here.")
        self.names = ("It gains", "It also gains")

    def page(self, name: str, text: str) -> None:
        path = self.folder / f"{name}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf8")

    def freeze(self, identifier: str = "alpha", band: dict = BAND) -> dict:
        parts = [
            {"definition": definition(name, core=k == 0, band=band), "calibration": {"chances": {name: 1.0}}}
            for k, name in enumerate(self.names)
        ]
        return lock.append(identifier, parts, [], "supported", [1], self.records)

    def store(self, identifier: str = "alpha", place: str = "first/alpha", **changes) -> None:
        revisions = lock.revisions(identifier, self.records)
        found = evidence(identifier, revisions[-1] if revisions else None, self.names)
        path = self.folder / "book" / f"{place}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps(chapter(identifier, {**found, **changes} if changes.pop("keep", True) else None)),
            "utf8",
        )

    def primer(self) -> None:
        path = self.folder / "book" / "primers" / "shrinking.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(notebook(markdown("# Shrinking"))), "utf8")

    def run(self, seed: int, identifier: str = "alpha", **states: str) -> None:
        revision = lock.revisions(identifier, self.records)[-1]
        frozen = {f"{kind}: {name}": state for name, kind, state in records.frozen_states(revision)}
        line = {
            "seed": seed,
            "lock": revision["hash"],
            "code": "x",
            "versions": {"python": "3.11.2", "machine": "x86_64"},
        }
        line |= {"states": {**frozen, **states}, "cpu_seconds": 12.3, "peak_kilobytes": 204800}
        line |= {"measured": {name: [0.2 + seed / 1000, 0.1, 0.3] for name in frozen}}
        self.add(line, identifier)
        records.time_path(identifier, self.records).write_text('{"cpu_seconds": 12.3}')

    def add(self, line: dict, identifier: str = "alpha") -> None:
        with records.runs_path(identifier, self.records).open("a", encoding="utf8") as file:
            file.write(json.dumps(line) + "\n")

    def build(self, parallel: int = 0, fresh: bool = False, **changes) -> tuple[str, list[str]]:
        """Return what was warned of and the pages that were read."""
        from sphinx.application import Sphinx
        from sphinx.util.docutils import docutils_namespace

        warnings, read = io.StringIO(), []
        settings = {
            "extensions": ["myst_nb", "claimbook.site"],
            "html_theme": "basic",
            "nb_execution_mode": "off",
            "nb_render_markdown_format": "gfm",
            "claimbook_registry": str(self.folder / "claims.yml"),
            "claimbook_records": str(self.records),
            **changes,
        }
        source, out = str(self.folder), str(self.out / "html")
        with docutils_namespace():
            quiet = {"status": None, "warning": warnings, "freshenv": fresh, "parallel": parallel}
            app = Sphinx(source, None, out, str(self.out / "doctrees"), "html", settings, **quiet)
            app.connect("env-before-read-docs", lambda app, env, names: read.extend(names))
            app.build()
        plain = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue())
        return plain, sorted(read)

    def html(self, name: str) -> str:
        return (self.out / "html" / f"{name}.html").read_text("utf8")

    def text(self, name: str) -> str:
        """Return a page without tags, white space folded."""
        body = re.sub(r"<(script|style).*?</\1>", " ", self.html(name), flags=re.DOTALL)
        return (
            re.sub(r"\s+", " ", re.sub(r"<[^>]+>|[¶]|&#182;", " ", body))
            .replace(" .", ".")
            .replace(" ,", ",")
        )


@pytest.fixture
def book(tmp_path):
    return Book(tmp_path)


@pytest.fixture
def written(book):
    """A book whose chapter alpha is frozen for the second time and held in 19 of 20 runs."""
    book.freeze(band={**BAND, "low": 0.15})
    book.freeze()
    book.store()
    for seed in range(20):
        book.run(seed, **({"control: no mechanism / It gains": "unsettled"} if seed == 3 else {}))
    return book


def test_the_site_needs_neither_torch_nor_numpy():
    program = "import sys, claimbook.site; sys.exit(str({'torch', 'numpy'} & set(sys.modules)).replace('set()', ''))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_a_chapter_without_faults_gives_no_warning_and_its_numbers(written):
    warned, _ = written.build()
    assert not warned
    assert "It gains ≈ 0.21 ± 0.02" in written.text("book/first/alpha")


def test_the_ledger_tells_what_was_found(written):
    written.build()
    text = written.text("index")
    for words in (
        "The chapter alpha",
        "Byron (1843)",
        "supported 2 of 2 19 of 20 seeds, at least 78% band set twice ≈ 12.3",
        "Core parts, mean over 20 seeds It gains: ≈ 0.2095 ± 0.0059; band: at least 0.1",
    ):
        assert words in text
    assert "It also gains: " not in text, "only core parts are quoted"
    assert 'href="book/first/alpha.html#held-alpha"' in written.html("index")
    assert 'href="https://doi.org/10.1/alpha"' in written.html("index")


def test_the_mean_is_that_of_the_verification_runs_and_not_of_the_stored_one(written):
    written.build()
    assert "≈ 0.2095" in written.text("index")
    stored = records.stored(chapters.read(written.folder / "book/first/alpha.ipynb"))
    assert stored["parts"][0]["worst"][0] == 0.2


def test_before_freezing_nothing_is_claimed(book):
    book.store()
    warned, _ = book.build()
    assert not warned
    assert "not frozen yet 2 of 2 not run yet –" in book.text("index")
    assert "not frozen yet, so nothing has been verified" in book.text("book/first/alpha")


def test_before_any_run_the_page_says_so(book):
    book.freeze()
    book.store()
    book.build()
    assert "supported 2 of 2 not run yet –" in book.text("index")
    assert "No run under verification seeds has been made yet" in book.text("book/first/alpha")
    assert 'id="check-it-gains"' in book.html("book/first/alpha")


def test_a_ledger_of_nothing(book):
    warned, _ = book.build()
    assert not warned and "No chapter is written yet." in book.text("index")


def test_how_often_it_held_follows_the_verdict(written):
    written.build()
    html, text = written.html("book/first/alpha"), written.text("book/first/alpha")
    assert html.index("part of the claim") < html.index("How often it held") < html.index("What comes after")
    assert "came out as frozen under 19 of them, so the chance that they do is at least 78%" in text
    assert (
        "It gains (band set twice) holds 20 of 20 86% 0.13 control: no mechanism rejected 19 of 20 78% –"
        in text
    )
    assert "intact: the loss intact 20 of 20 86% – It also gains (not core, band set twice)" in text
    assert "The whole chapter takes ≈ 12.3 s of processor time. It needs ≈ 200 MB" in text
    assert "Made with Python 3.11.2 on x86_64." in text
    assert html.count('id="check-it-gains"') == html.count('id="check-it-also-gains"') == 1


def test_runs_that_broke_off_count_as_not_held(written):
    broken = {"seed": 99, "code": "x", "versions": {"python": "3.12.1"}, "failed": "MemoryError"}
    written.add({**broken, "lock": lock.revisions("alpha", written.records)[-1]["hash"]})
    written.build()
    text = written.text("book/first/alpha")
    assert (
        "frozen under 19 of them" in text
        and "under 21 seeds" in text
        and "1 run broke off and counts as not held." in text
    )
    assert "20 runs with Python 3.11.2 on x86_64. 1 run with Python 3.12.1." in text


def test_a_seed_counts_once_and_holds_only_if_all_its_runs_did(written):
    for seed in range(20):
        written.run(seed, **({"part: It also gains": "unsettled"} if seed == 5 else {}))
    written.build()
    assert "18 of 20 seeds, at least 71%" in written.text("index")
    text = written.text("book/first/alpha")
    assert "under 20 seeds that nobody had looked at (40 runs, some seeds more than once)" in text
    assert "control: no mechanism rejected 19 of 20 78%" in text
    assert "It also gains (not core, band set twice) holds 19 of 20 78%" in text


def test_a_run_of_the_same_seed_can_mend_nothing_but_the_mean(written):
    broken = {"seed": 0, "code": "x", "versions": {}, "failed": "MemoryError"}
    written.add({**broken, "lock": lock.revisions("alpha", written.records)[-1]["hash"]})
    written.run(0)
    facts = Contents(written.folder / "book", written.folder / "claims.yml", written.records).chapter("alpha")
    assert facts.seeds_held == 18 and facts.core_means()[0]["seeds"] == 20


def test_runs_of_an_older_lock_do_not_count(written):
    written.freeze(band={**BAND, "low": 0.12})
    written.store()
    written.build()
    assert "not run yet" in written.text("index") and "band set 3 times" in written.text("index")


def test_the_evidences_cells_are_known_to_the_style_sheet(written):
    written.build()
    html = written.html("book/first/alpha")
    assert "tag_claim-card" in html and "tag_verdict-table" in html


def test_the_map_holds_every_row_with_its_status(written):
    written.page("book/map", "# Map\n\n```{paper-map}\n```")
    warned, _ = written.build()
    assert not warned
    text = written.text("book/map")
    assert "First: what comes first 2 1 1 – Second 1 – – 1 All 3 1 1 1" in text
    assert "2 papers: 1 written, 1 open" in text and "1 paper: 1 discussed" in text
    assert "written: read the chapter core direct · level 1 · know first: Ridge regression" in text
    assert "open direct · level 3 · know first: Byron (1843)" in text
    html = written.html("book/map")
    assert 'href="first/alpha.html"' in html and 'id="paper-survey"' in html and 'href="#part-second"' in html
    assert 'href="https://doi.org/10.1/beta"' in html


def test_counts_and_bounds(written):
    counts = "{count}`papers` {count}`written` {count}`core` {count}`calibration-seeds`"
    written.page("book/text", f"# Text\n\n{counts}; {{least}}`20/20`.")
    warned, _ = written.build()
    assert not warned and "3 1 1 20; 86%" in written.text("book/text")


def test_concepts_become_terms(written):
    written.page("book/glossary", "# Glossary\n\n{term}`Ridge regression`\n\n```{concept-glossary}\n```")
    warned, _ = written.build()
    assert not warned
    assert "Ridge regression Least squares with a penalty." in written.text("book/glossary")
    assert 'href="#term-Ridge-regression"' in written.html("book/glossary")


def test_what_to_know_first_leads_somewhere(written):
    written.page("book/map", "# The map\n\n```{paper-map}\n```")
    written.page("book/glossary", "# Glossary\n\n```{concept-glossary}\n```")
    written.store("beta", "first/beta")
    assert not written.build()[0]
    assert "Know first Ridge regression" in written.text("book/first/alpha")  # as long as there is no primer
    assert 'href="../first/alpha.html"' in written.html("book/first/beta")
    written.primer()
    (written.folder / "book/first/alpha.ipynb").unlink()
    written.build(fresh=True)
    assert 'href="../map.html#paper-alpha"' in written.html("book/first/beta")
    assert 'href="primers/shrinking.html"' in written.html("book/glossary")
    written.store()
    written.build(fresh=True)
    assert 'href="../primers/shrinking.html"' in written.html("book/first/alpha")


def test_the_path_puts_first_what_is_needed(written):
    text = yaml.safe_load((written.folder / "claims.yml").read_text("utf8"))
    text["claims"] = [row("easy", part="second"), *text["claims"]]
    text["claims"][1] = row("alpha", level=2)
    (written.folder / "claims.yml").write_text(yaml.safe_dump(text), "utf8")
    written.page("book/path", "# A path\n\n```{reading-path}\n```")
    assert "No chapter is written yet." not in written.build()[0]
    for identifier, place in (("beta", "first/beta"), ("alpha", "first/alpha"), ("easy", "second/easy")):
        written.store(identifier, place)
    written.primer()
    written.build(fresh=True)
    rows = re.findall(r"<tr.*?</tr>", written.html("book/path"), flags=re.DOTALL)[1:]
    links = [re.findall(r'href="(\w+/\w+)\.html"', line) for line in rows]
    assert links == [
        ["second/easy", "primers/shrinking"],
        ["first/alpha", "primers/shrinking"],
        ["first/beta", "first/alpha"],
    ]


def test_assignments_are_listed_with_points_and_minutes(written):
    written.page("book/course", "# Coursework\n\n```{assignments}\n```")
    (written.folder / "assignments").mkdir()
    assert "There are no assignments yet." in (written.build(fresh=True), written.html("book/course"))[1]
    graded = markdown("Why?") | {"metadata": {"nbgrader": {"points": 4}}}
    card = markdown(
        "## Problem 1. A thing\n\n| points | difficulty | minutes | x |\n| --- | --- | --- | --- |\n| 4 | 2 | 25 | y |"
    )
    for name, title in (("alpha", "Two alphas"), ("capstone", "Any row")):
        text = json.dumps(notebook(markdown(f"# Assignment: {title}"), card, graded))
        (written.folder / "assignments" / f"{name}.ipynb").write_text(text, "utf8")
    written.build(fresh=True)
    rows = re.findall(r"<tr.*?</tr>", written.html("book/course"), flags=re.DOTALL)[1:]
    assert ["Two alphas" in rows[0], "A thing" in rows[0], "25 min" in rows[0], "<p>4</p>" in rows[0]] == [
        True
    ] * 4
    assert 'href="first/alpha.html"' in rows[0] and 'href="../_static/coursework/alpha.ipynb"' in rows[0]
    assert "Any row" in rows[1] and "any open row" in rows[1]


def test_status_tells_what_grew(written):
    written.page("book/status", "# Status\n\n```{status}\n```")
    path = records.runs_path("alpha", written.records)
    run = records.runs("alpha", written.records)[-1]
    lines = [
        run | {"seed": k, "cpu_seconds": 10 + (k >= 7) * 2, "peak_kilobytes": 1024 * 300} for k in range(12)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf8")
    written.build(fresh=True)
    (row,) = re.findall(r"<tr.*?</tr>", written.html("book/status"), flags=re.DOTALL)[1:]
    assert all(word in row for word in ("of 12", "300 MB", "+20%", "+0%"))


def test_other_machines_are_grouped_and_old_revisions_left_out(written):
    written.page("book/status", "# Status\n\n```{machines}\n```")
    written.build()
    assert "No chapter has been run as another machine yet." in written.text("book/status")
    revision = lock.current("alpha", written.records)["hash"]
    run = {"machine": "two threads", "chapter": "alpha", "lock": revision, "lost": [], "same": False}
    lines = [
        run | {"moved": 0.5},
        run | {"moved": 0.25, "versions": {"torch": "1"}},
        run | {"machine": "old", "moved": 9.0, "lock": "other"},
        run | {"machine": "broken", "moved": None, "lost": ["It gains came out unsettled"]},
        run | {"moved": 0.125, "versions": {"torch": "1"}},
    ]
    lines = [{"versions": {"torch": "2"}} | line for line in lines]
    records.machines_path(written.records).write_text(
        "".join(json.dumps(line) + "\n" for line in lines), "utf8"
    )
    written.build()
    rows = re.findall(r"<tr.*?</tr>", written.html("book/status"), flags=re.DOTALL)[1:]
    rows = [" ".join(re.sub("<[^>]+>", " ", row).split()) for row in rows]
    assert rows == [
        "two threads PyTorch 2 1 of 1 0 of 1 0.5",
        "two threads PyTorch 1 1 of 1 0 of 1 0.12",
        "broken PyTorch 2 0 of 1 0 of 1 –",
    ]


def pixel() -> str:
    """Return a small picture as a notebook stores it."""
    from PIL import Image

    stored = io.BytesIO()
    Image.new("RGB", (900, 600), "red").save(stored, "PNG")
    return base64.b64encode(stored.getvalue()).decode()


def with_figures(path: Path, *tags: list[str]) -> None:
    """Add figures to a stored notebook, one for each list of tags."""
    stored = json.loads(path.read_text("utf8"))
    for k, tagged in enumerate(tags):
        cell = code(f"plt.show()  # {k}")
        cell["outputs"] = [{"output_type": "display_data", "data": {"image/png": pixel()}, "metadata": {}}]
        about = {"image": {"alt": f"Picture {k}"}, "figure": {"caption": f"**Caption {k}.** Read $x_{k}$."}}
        cell["metadata"] = {"tags": ["figure", *tagged], "mystnb": about}
        stored["cells"].append(cell)
    path.write_text(json.dumps(stored), "utf8")


def test_cards_and_gallery_show_the_headline_figure(written):
    written.page("book/cards", "# Cards\n\n```{chapter-cards}\n```\n\n```{headline} alpha\nIts *words*.\n```")
    written.page("book/gallery", "# Gallery\n\n```{gallery}\n```")
    with_figures(written.folder / "book/first/alpha.ipynb", [], ["headline"])
    assert not written.build()[0]
    for page in ("book/cards", "book/gallery"):
        text = written.html(page)
        assert 'alt="The chapter alpha. Picture 1"' in text and "Picture 0" not in text
        assert 'href="first/alpha.html"><img' in re.sub(r"\s+<img", "<img", text)
    assert "alpha holds." in written.text("book/cards")
    assert "supported ≈ 12.3 s on one core · level 1" in written.text("book/cards")
    assert "Its words." in written.text("book/cards")
    assert "Caption 1. Read" in written.text("book/gallery")
    (small,) = (written.out / "html" / "_images").glob("alpha*.png")
    before = small.read_bytes()
    assert len(before) < 5000
    written.build(fresh=True)
    assert small.read_bytes() == before


def test_a_headline_without_a_figure_is_told(written):
    written.page("book/cards", "# Cards\n\n```{headline} alpha\n```")
    assert "The chapter 'alpha' has no figure." in written.build()[0]


def test_a_chapter_leads_on(written):
    written.store("beta", "first/beta")
    assert not written.build()[0]
    alpha, beta = written.text("book/first/alpha"), written.text("book/first/beta")
    assert "Held under 19 of 20 fresh seeds · run it, cite it · read on" in alpha
    assert "After. The chapter beta. In this part. The chapter beta." in alpha
    assert "Before. The chapter alpha. In this part. The chapter alpha." in beta
    assert "make notebooks CHAPTER =alpha" in alpha.replace("CHAPTER=", "CHAPTER =").replace("= ", "=")
    assert "Chapter alpha, version" in alpha


def test_pages_that_move_leave_a_redirect(written):
    text = yaml.safe_load((written.folder / "claims.yml").read_text("utf8"))
    text["claims"][0]["moved_from"] = ["second"]
    (written.folder / "claims.yml").write_text(yaml.safe_dump(text), "utf8")
    written.build()
    for old, target in (("alpha", "book/first/alpha.html"), ("book/second/alpha", "../first/alpha.html")):
        assert f'content="0; url={target}"' in written.html(old)


def test_previous_and_next_follow_the_path(written):
    written.store("beta", "first/beta")
    written.page("book/guide/path", "# A path\n\n```{reading-path}\n```")
    written.build(html_theme="alabaster", html_sidebars={"**": ["relations.html"]})
    around = re.findall(r"(?:Previous|Next): <a href=\"([^\"]*)", written.html("book/first/alpha"))
    assert around == ["../guide/path.html", "beta.html"]


def test_a_primer_that_no_page_lists(written):
    written.primer()
    written.page("index", "# Home\n\n```{toctree}\nbook/first/alpha\n```")
    warned = written.build(exclude_patterns=["book/primers/*"])[0]
    assert "The primer 'shrinking' is written, but _toc.yml does not list" in warned


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{measured}`gane`", "No number 'gane' is stored in text.md; known are: none."),
        ("{count}`pages`", "Nothing is counted as 'pages'; known are: papers, parts"),
        ("{least}`all`", "'all' is not of the form 20/20."),
        ("```{how-often-held} gamma\n```", "The registry has no chapter 'gamma'."),
    ],
)
def test_what_is_written_wrong_is_told(book, text, complaint):
    book.page("book/text", f"# Text\n\n{text}")
    assert complaint in book.build()[0]


def test_an_unknown_number_names_the_known_ones(written):
    path = written.folder / "book/first/alpha.ipynb"
    path.write_text(path.read_text("utf8").replace("{measured}`gain`", "{measured}`gian`"), "utf8")
    assert "No number 'gian' is stored in alpha.ipynb; known are: gain." in written.build()[0]


def test_a_notebook_that_the_registry_does_not_know(written):
    written.store(place="first/gamma")
    assert "first/gamma.ipynb is no chapter: the registry has no row 'gamma'." in written.build()[0]


def test_a_chapter_in_the_wrong_part(book):
    book.store(place="second/alpha")
    assert "second/alpha.ipynb should stand at first/alpha.ipynb" in book.build()[0]


def test_a_chapter_that_was_not_run(book):
    book.store(keep=False)
    warned = book.build()[0]
    assert "The chapter 'alpha' is stored without evidence: run it with `make run CHAPTER=alpha`." in warned


def test_a_run_that_belongs_to_another_lock(written):
    written.freeze(band={**BAND, "low": 0.12})
    assert "belongs to another lock than its last one" in written.build()[0]


def test_evidence_of_another_chapter(book):
    book.store("beta", place="first/alpha")
    assert "holds the evidence of 'beta'" in book.build()[0]


def test_a_chapter_without_a_verdict(written):
    path = written.folder / "book/first/alpha.ipynb"
    path.write_text(path.read_text("utf8").replace("chapter.verdict()", "pass"), "utf8")
    assert "no cell that calls chapter.verdict()" in written.build()[0]


def test_a_chapter_that_no_page_lists(written):
    warned, _ = written.build(exclude_patterns=["book/first/alpha.ipynb"])
    assert "The chapter 'alpha' is written, but _toc.yml does not list book/first/alpha.ipynb." in warned


@pytest.mark.parametrize(
    ("headings", "level"), [("# A", 2), ("# A\n\n## B\n\n### C", 4), ("# A\n\n### C\n\n## B", 3), ("", 2)]
)
def test_the_section_stands_one_level_below_the_one_before(written, headings, level):
    cells = notebook(markdown(headings), code("chapter.verdict()"))
    contents = Contents(
        written.folder / "book", registry=written.folder / "claims.yml", records=written.records
    )
    text, _ = chapters.complete(json.dumps(cells), "first/alpha", contents)
    added = json.loads(text)["cells"][-1]
    assert added["source"].splitlines()[1] == "#" * level + " How often it held" and added["id"]


def test_notebooks_of_an_older_format_get_no_cell_id(written):
    old = {**notebook(code("chapter.verdict()")), "nbformat_minor": 4}
    contents = Contents(
        written.folder / "book", registry=written.folder / "claims.yml", records=written.records
    )
    assert "id" not in json.loads(chapters.complete(json.dumps(old), "first/alpha", contents)[0])["cells"][-1]


def test_only_what_changed_is_read_again(written):
    assert written.build()[1] == ["book/first/alpha", "guide/read", "index"]
    assert written.build()[1] == []
    written.run(20)
    assert written.build()[1] == ["book/first/alpha", "index"]
    assert "20 of 21 seeds" in written.text("index") and "20 of 21" in written.text("book/first/alpha")


def test_a_second_chapter_enters_the_ledger(written):
    written.build()
    written.store("beta", place="first/beta")
    assert "index" in written.build()[1]
    assert "The chapter beta" in written.text("index")


def test_reading_in_parallel_gives_the_same_pages(written):
    for k in range(6):
        written.page(f"book/text{k}", f"# Text {k}\n\n{{count}}`papers`")
    written.build()
    serial = {name: written.text(name) for name in ("index", "book/first/alpha", "book/text3")}
    warned, read = written.build(parallel=2, fresh=True)
    assert not warned and len(read) == 9
    assert {name: written.text(name) for name in serial} == serial
    written.run(20)
    assert written.build()[1] == ["book/first/alpha", *(f"book/text{k}" for k in range(6)), "index"]


def test_how_to_run_names_every_command():
    page = (ROOT / "book/guide/how_to_run.md").read_text("utf8")
    targets = re.findall(r"^(\w+): ##", (ROOT / "Makefile").read_text("utf8"), re.MULTILINE)
    assert len(targets) > 5
    for target in set(targets) - {"list"}:
        assert f"`make {target}" in page and f"tasks.py {target}" in page, target


EXPLORABLE = {
    "alt": 'A line that "rises"',
    "caption": "Move it & see </script>.",
    "sliders": [{"name": "k", "label": "Time", "positions": ["a", "<b>"], "start": 1}],
    "reading": "low\nhigh </script>",
    "specs": ['{"mark":"line"}'],
}


def test_an_explorable_is_drawn_with_its_slider_and_its_data(book):
    book.freeze()
    book.store()
    path = book.folder / "book" / "first" / "alpha.ipynb"
    stored = json.loads(path.read_text("utf8"))
    cell = code("explorable", "Explorable", {"explorable": EXPLORABLE})
    cell["outputs"][0]["data"] = {"text/plain": "Explorable, drawn on the book's page"}
    stored["cells"].insert(2, cell)
    path.write_text(json.dumps(stored), "utf8")
    assert book.build()[0] == ""
    page = book.html("book/first/alpha")
    assert '<label for="explorable-1-k">Time</label>' in page
    assert 'type="range" min="0" max="1" step="1" value="1" aria-valuetext="&lt;b&gt;"' in page
    assert 'aria-label="A line that &quot;rises&quot;"' in page
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', page)
    parts = {"reading": ["low", "high </script>"], "specs": [{"mark": "line"}]}
    assert json.loads(data) == {"sliders": EXPLORABLE["sliders"], **parts}
    (library,) = re.findall(r'src="[^"]*_static/(vega-embed-[^"?]*\.js)', page)
    text = (book.out / "html" / "_static" / library).read_text("utf8")
    assert text.startswith("(() => {") and "window.vegaEmbed=" in text
    assert "vega-embed" not in book.html("index")
    old = (book.out / "html" / "_static" / library).stat().st_mtime_ns
    book.build()
    assert (book.out / "html" / "_static" / library).stat().st_mtime_ns == old
