"""``make chapter``: lay out a chapter from its row of the map, so that nothing but the content is missing.

What is laid out cannot pass for a chapter: its check and its control hold the same values, nothing is frozen,
and the verdict's cell raises.
"""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from claimbook import claims
from claimbook.evidence import lock

TODO = "TODO"  # what the author replaces; a review finds each one that is left


class CannotLayOut(ValueError):
    """A chapter cannot be laid out; the message says why."""


def lay_out(identifier: str, root: Path = Path(".")) -> str:
    """Write a notebook, a broken twin and a line of the contents, all or none; return what to do next.

    Raises
    ------
    claimbook.claims.RegistryError
        If the map has no such row.
    CannotLayOut
        If the row has a chapter or no claim to test, or the table of contents is not as expected.
    """
    claim = claims.registry()[identifier]
    if claim.kind == "context":
        raise CannotLayOut(
            f"{identifier!r} is a survey or a position (kind: context): it has no claim to test, so no chapter. "
            "Cite it where it frames others."
        )
    toc = root / "_toc.yml"
    if not toc.is_file():
        raise CannotLayOut("There is no _toc.yml here: run this from the top of the book.")
    notebook, broken = root / "book" / claim.notebook, root / "tests" / "broken" / f"{identifier}.py"
    for path in (notebook, broken):
        if path.exists():
            raise CannotLayOut(f"{path.relative_to(root)} exists already; nothing was changed.")
    line = f"book/{claim.part}/{identifier}"
    before = toc.read_text("utf8")
    texts = {notebook: _notebook(claim), broken: BROKEN, toc: with_line(before, claim.part, line)}
    try:
        for path, text in texts.items():
            lock.write_atomically(path, text)
    except BaseException:
        notebook.unlink(missing_ok=True)
        broken.unlink(missing_ok=True)
        if toc.read_text("utf8") != before:
            lock.write_atomically(toc, before)
        raise
    return NEXT.format(id=identifier, notebook=f"book/{claim.notebook}", part=claim.part, line=line)


def with_line(toc: str, part: str, page: str) -> str:
    """Return the table of contents with a page at the end of a part, every comment kept.

    Raises
    ------
    CannotLayOut
        If the part is not there, or the line could not be put where it belongs.
    """
    lines = toc.splitlines()
    own = [k for k, line in enumerate(lines) if line.strip().startswith(f"- file: book/{part}/")]
    if not own:
        raise CannotLayOut(f"_toc.yml does not list book/{part}/index: add the part first.")
    end = own[-1] + 1
    indent = lines[own[-1]].index("-")
    while end < len(lines) and lines[end].strip() and len(lines[end]) - len(lines[end].lstrip()) > indent:
        end += 1  # what belongs to the last page, such as its title
    lines.insert(end, f"{' ' * indent}- file: {page}")
    text = "\n".join(lines) + "\n"
    if not _only_added(yaml.safe_load(toc), yaml.safe_load(text), page):
        raise CannotLayOut(f"_toc.yml is not as expected: add the line “- file: {page}” by hand.")
    return text


def _only_added(old: dict, new: dict, page: str) -> bool:
    """Tell whether two tables of contents differ by one page only."""
    for part in new["parts"]:
        part["chapters"] = [entry for entry in part["chapters"] if entry != {"file": page}]
    return old == new


def _notebook(claim: claims.Claim) -> str:
    """Return the notebook's text: every section of a chapter, each with what belongs there."""
    values = {
        "<id>": claim.id,
        "<dashed>": claim.id.replace("_", "-"),
        "<claim>": claim.claim,
        "<setting>": claim.setting,
        "<control>": claim.control,
        "<paper>": claim.paper,
    }
    cells = []
    for number, (kind, metadata, text) in enumerate(LAYOUT):
        cell = {"cell_type": kind, "id": f"cell-{number:02d}"}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cell["metadata"] = json.loads(_filled(json.dumps(metadata), values))
        cell["source"] = _filled(text.strip("\n"), values).splitlines(keepends=True)
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    return text


FIGURE = {
    "tags": ["figure", "hide-input"],
    "mystnb": {
        "figure": {"caption": "**TODO.** How to read the figure.", "name": "fig-<dashed>"},
        "image": {"alt": "TODO: what is seen, for a reader who cannot see it."},
    },
}
LAYOUT = [
    (
        "markdown",
        {},
        """
# TODO: the claim's subject in plain words

TODO: one or two sentences that make a reader curious. They cite the paper: {cite:t}`<id>`.
""",
    ),
    (
        "code",
        {"tags": ["hide-input"]},
        """
import numpy as np
from matplotlib import pyplot as plt

from claimbook import exercises, figures, seeds
from claimbook.evidence import Band, Chapter

figures.use()
chapter = Chapter("<id>")
chapter
""",
    ),
    (
        "markdown",
        {},
        """
## The question

TODO: why anyone would doubt it, what was believed before, one concrete picture. Two or three paragraphs.
""",
    ),
    (
        "markdown",
        {},
        """
```{admonition} Predict first
:class: tip
TODO: what the reader decides before the next cell runs.
```
""",
    ),
    (
        "markdown",
        {},
        """
## The smallest setting

TODO: the model in equations, every symbol defined on first use, then the same in code.

The map's first idea, which a better one beats: <setting>
""",
    ),
    (
        "code",
        {"tags": ["mechanism"]},
        """
def mechanism(rng):
    \"\"\"TODO: what the claim is about, written out in a few lines. As laid out, it does nothing.\"\"\"
    return 0.0
""",
    ),
    (
        "markdown",
        {},
        """
## What theory says

TODO: the statement, its reason, and a prediction with no free parameter that the figure draws as a line.
Remove this section if the paper proves nothing.

## Experiment

TODO: what one unit is, what is drawn anew in it, and what is held fixed.
""",
    ),
    (
        "code",
        {},
        """
UNITS = seeds.units()


def measure(unit, world, change):
    \"\"\"Return one unit's value of the statistic. TODO: the experiment.\"\"\"
    rng = seeds.numpy(f"<id>/{world}", unit)
    return change(rng) + rng.normal(scale=0.1)


effect = np.array([measure(unit, "with", mechanism) for unit in UNITS])
nothing = np.array([measure(unit, "without", lambda rng: 0.0) for unit in UNITS])
""",
    ),
    (
        "code",
        FIGURE,
        """
fig, ax = figures.subplots(size="single")
figures.points(ax, [0], effect[:, None], "test")
figures.points(ax, [1], nothing[:, None], "control")
ax.set(xlabel="TODO", ylabel="TODO, with its unit")
plt.show()
""",
    ),
    (
        "markdown",
        {},
        """
TODO: read the figure aloud.

## The checks

TODO: the parts of the claim, split before any result was seen. The claim: <claim>

The map's idea of a control: <control>
""",
    ),
    (
        "code",
        {},
        """
part = chapter.check(
    "TODO: a sentence that could be false",
    effect,
    Band(above=0.5, why="TODO: the smallest effect worth asserting, and why"),
    unit="TODO: the smallest thing redrawn whole",
)
part.control(
    "TODO: what was taken away",
    nothing,
    intact="TODO: what shows that nothing else broke, measured or by construction",
)
""",
    ),
    ("markdown", {}, "## Verdict"),
    ("code", {}, "chapter.verdict()"),
    (
        "markdown",
        {},
        """
## What the paper did, and what we did

| | {cite:t}`<id>` | this chapter |
| --- | --- | --- |
| model | TODO | TODO |
| data | TODO | TODO |
| result | TODO, with the number of its table or figure | TODO |

TODO: why they differ.

**What this chapter does not show.** TODO

**Work that disagrees.** TODO
""",
    ),
    (
        "markdown",
        {},
        """
## Break it

```{exercise}
:label: ex-<id>-1

TODO: change something, and ask for a prediction first.
```

```{solution} ex-<id>-1
:class: dropdown

TODO
```
""",
    ),
    (
        "code",
        {"tags": ["exercise"]},
        """
my_answer = ...

exercises.compare(my_answer, lambda: effect.mean(), hint="TODO")
""",
    ),
    (
        "markdown",
        {},
        """
```{exercise}
:label: ex-<id>-2

TODO: a second one. There are two to four.
```

```{solution} ex-<id>-2
:class: dropdown

TODO
```
""",
    ),
    (
        "markdown",
        {},
        """
## References

```{bibliography}
:filter: docname in docnames
```
""",
    ),
]
BROKEN = """# TODO: say what is broken. It takes the place of the cell tagged mechanism, and must change the verdict.
raise NotImplementedError("TODO: the mechanism's cell again, with the mechanism broken and nothing else")
"""
NEXT = """\
Laid out:
  {notebook}
  tests/broken/{id}.py
  _toc.yml, under its part: - file: {line}

It fails as it stands, and should: every TODO is yours. What to do next (CONTRIBUTING.md says it in full):
  1. Cite the paper: an entry {id} at the end of book/references.bib, looked up, not from memory.
  2. Write it: make lab, or make text CHAPTER={id} and make notebook CHAPTER={id}.
  3. Once its parts, bands and controls are settled: make freeze CHAPTER={id}
     (a refused freeze stays in the record for ever, so look at development seeds 0, 1, 2 first)
  4. make run CHAPTER={id}, make trust CHAPTER={id} SEEDS=20, make run CHAPTER={id} again.
  5. Break its mechanism in tests/broken/{id}.py, then make test."""
