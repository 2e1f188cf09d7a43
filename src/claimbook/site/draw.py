"""The ledger, the map and the counts as document nodes."""

from __future__ import annotations

import statistics
from collections import Counter
from html import escape

from docutils import nodes
from sphinx import addnodes

from claimbook.claims import KINDS, Claim
from claimbook.evidence import draw
from claimbook.evidence.band import describe
from claimbook.evidence.records import least_chance, peak

LABELS = {
    "numpy": "NumPy",
    "scipy": "SciPy",
    "scikit-learn": "scikit-learn",
    "torch": "PyTorch",
    "python": "Python",
    "blas": "BLAS",
}


def text(content: str, *classes: str) -> nodes.Node:
    """Return text, in a span if it has classes."""
    return nodes.inline(content, content, classes=list(classes)) if classes else nodes.Text(content)


def paragraph(*children, classes=()) -> nodes.paragraph:
    """Return a paragraph of nodes and strings."""
    return nodes.paragraph("", "", *map(_node, children), classes=list(classes))


def _node(child) -> nodes.Node:
    return nodes.Text(child) if isinstance(child, str) else child


def percent(share: float) -> str:
    """Return a lower bound in whole percent, rounded down, so that it stays one."""
    return f"{int(share * 100)}%"


def badge(content: str, kind: str) -> nodes.inline:
    """Return a small label."""
    return text(content, "cb-badge", f"cb-{kind.replace(' ', '-')}")


def external(content: str, url: str | None) -> nodes.Node:
    """Return a link to somewhere else, or the text alone."""
    return nodes.reference("", content, refuri=url, internal=False) if url else nodes.Text(content)


def to_notebook(content: str, notebook: str, prefix: str, *classes: str) -> nodes.inline:
    """Return a link to a chapter or a primer, named as in `claimbook.claims.Registry.notebook`."""
    return _link(content, "doc", "/" + prefix + notebook.removesuffix(".ipynb"), *classes)


def to_label(content: str, label: str, *classes: str) -> nodes.inline:
    """Return a link to a labelled section of any page."""
    return _link(content, "ref", label, *classes)


def _link(content: str, kind: str, target: str, *classes: str) -> nodes.inline:
    options = {"refdomain": "std", "reftype": kind, "refexplicit": True, "refwarn": True, "reftarget": target}
    pending = addnodes.pending_xref("", nodes.inline("", content), **options)
    return nodes.inline("", "", pending, classes=list(classes))


def table(head: list, rows: list[list], kind: str, widths: list[int]) -> nodes.container:
    """Return a table in a box of the classes ``kind``; a cell is a node, a string, or a list of block nodes."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *map(_row, rows))
    return nodes.container("", nodes.table("", group), classes=kind.split())


def _row(cells: list) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        row += nodes.entry("", *(cell if isinstance(cell, list) else [paragraph(cell)]))
    return row


def details(summary: str, content: list[nodes.Node], opened: bool = False) -> list[nodes.Node]:
    """Return content that a reader can unfold; ``summary`` is plain text."""
    start = f"<details class='cb-details'{' open' if opened else ''}><summary>{escape(summary)}</summary>"
    return [nodes.raw("", start, format="html"), *content, nodes.raw("", "</details>", format="html")]


def plural(number: int, word: str) -> str:
    """Return a count with its word."""
    return f"{number} {word}" + ("" if number == 1 else "s")


# The ledger


def ledger(chapters: list, prefix: str) -> list[nodes.Node]:
    """Draw the table of all written chapters."""
    if not chapters:
        return [paragraph("No chapter is written yet.")]
    head = ["Claim", "Verdict", "Parts that hold", "Held under fresh seeds", "Seconds"]
    rows = [
        [
            _claim_cell(chapter, prefix),
            badge(chapter.verdict, chapter.verdict) if chapter.verdict else badge("not frozen yet", "none"),
            "{} of {}".format(*chapter.parts_holding),
            _held_cell(chapter),
            "–" if chapter.seconds is None else draw.number(chapter.seconds),
        ]
        for chapter in chapters
    ]
    return [table(head, rows, "cb-rows cb-ledger", widths=[56, 14, 9, 13, 8])]


def _claim_cell(chapter, prefix: str) -> list[nodes.Node]:
    claim = chapter.claim
    cell = [
        paragraph(to_notebook(chapter.title, claim.notebook, prefix, "cb-title")),
        paragraph(external(claim.source.short or claim.paper, claim.source.url), classes=["cb-small"]),
    ]
    means = chapter.core_means()
    if means:
        items = [
            nodes.list_item(
                "",
                paragraph(
                    f"{row['name']}: {draw.number(row['mean'], row['spread'])}; band: {describe(row['band'])}"
                ),
            )
            for row in means
        ]
        summary = f"Core parts, mean over {plural(max(row['seeds'] for row in means), 'seed')}"
        cell += details(summary, [nodes.bullet_list("", *items)])
    return cell


def _held_cell(chapter) -> list[nodes.Node]:
    seeds, held = len(chapter.by_seed), chapter.seeds_held
    if not seeds:
        cell = [paragraph("not run yet")]
    else:
        counted = to_label(f"{held} of {plural(seeds, 'seed')}", f"held-{chapter.claim.id}", "cb-whole")
        cell = [paragraph(counted, f", at least {percent(least_chance(held, seeds))}")]
    if chapter.times_set > 1:
        cell.append(paragraph(f"band set {times(chapter.times_set)}", classes=["cb-small"]))
    return cell


def times(number: int) -> str:
    """Return how often, in words."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


# Cards and gallery


def cards(contents, prefix: str, picture) -> list[nodes.Node]:
    """Draw every written chapter as a card, in the registry's order; ``picture`` links a chapter's small figure."""
    boxes = []
    for claim in contents.written():
        facts = contents.chapter(claim.id)
        part = contents.registry.parts[claim.part].partition(":")[0]
        about = contents.book / claim.part / "index.md"
        label = _link(part, "doc", f"/{prefix}{claim.part}/index") if about.is_file() else nodes.Text(part)
        boxes.append(
            nodes.container(
                "",
                paragraph(label, classes=["cb-part-name"]),
                *([paragraph(picture(facts))] if facts.figure else []),
                paragraph(to_notebook(facts.title, claim.notebook, prefix), classes=["cb-title"]),
                paragraph(claim.claim, classes=["cb-claim"]),
                _labels(facts),
                classes=["cb-card"],
            )
        )
    return [nodes.container("", *boxes, classes=["cb-cards"])]


def gallery(contents, prefix: str, picture, caption) -> list[nodes.Node]:
    """Draw the headline figures with their captions; ``caption`` turns Markdown into nodes."""
    boxes = []
    for claim in contents.written():
        facts = contents.chapter(claim.id)
        if facts.figure:
            title = paragraph(to_notebook(facts.title, claim.notebook, prefix), classes=["cb-title"])
            what = caption(facts.figure.caption)
            boxes.append(
                nodes.container(
                    "", title, paragraph(picture(facts)), *what, _labels(facts), classes=["cb-card"]
                )
            )
    return [nodes.container("", *boxes, classes=["cb-cards", "cb-gallery"])]


def _labels(facts) -> nodes.paragraph:
    labels = paragraph(classes=["cb-labels"])
    if facts.verdict:
        labels += [badge(facts.verdict, facts.verdict), nodes.Text(" ")]
    time = f"{draw.number(facts.seconds)} s on one core · " if facts.seconds else ""
    labels += text(f"{time}level {facts.claim.level}", "cb-small")
    return labels


# The path


def reading_path(contents, prefix: str) -> list[nodes.Node]:
    """Draw the written chapters in learning order, each with the primers and chapters that it needs."""
    path = contents.path()
    if not path:
        return [paragraph("No chapter is written yet.")]
    rows = []
    for number, claim in enumerate(path, 1):
        facts = contents.chapter(claim.id)
        links = [to_notebook(title, page, prefix) for title, page in contents.prepared_by(claim)]
        before = [node for link in links for node in (nodes.Text("; "), link)][1:]
        part = contents.registry.parts[claim.part].partition(":")[0]
        rows.append(
            [
                str(number),
                [
                    paragraph(to_notebook(facts.title, claim.notebook, prefix, "cb-title")),
                    paragraph(part, classes=["cb-small"]),
                ],
                [paragraph(*before) if before else paragraph("–")],
                str(claim.level),
                badge(facts.verdict, facts.verdict) if facts.verdict else "–",
            ]
        )
    head = ["", "Chapter", "Read before", "Level", "Verdict"]
    return [table(head, rows, "cb-rows cb-path", widths=[4, 40, 36, 8, 14])]


# How often it held

SPREAD = (
    "Spread: how much the estimate varies between seeds, against what the units within one run let expect (for single "
    "means). Near 1 the units are independent; above 1.5 they would share randomness."
)


def how_often_held(chapter) -> list[nodes.Node]:
    """Draw how often each part and control of a chapter repeated its frozen state."""
    if not chapter.revisions:
        return [
            _anchors(chapter),
            paragraph("The bands of this chapter are not frozen yet, so nothing has been verified."),
        ]
    if not chapter.runs:
        return [
            _anchors(chapter),
            paragraph(
                "No run under verification seeds has been made yet: only the stored run above speaks so far."
            ),
        ]
    seeds, held, runs = len(chapter.by_seed), chapter.seeds_held, len(chapter.runs)
    often = f" ({plural(runs, 'run')}, some seeds more than once)" if runs > seeds else ""
    of_them = "all" if held == seeds else str(held)
    intro = (
        f"We repeated the whole chapter under {plural(seeds, 'seed')} that nobody had looked at{often}, each derived "
        f"from the hash of what was frozen. All parts and controls came out as frozen under {of_them} of them, so the "
        f"chance that they do is at least {percent(least_chance(held, seeds))} (exact 95% bound)."
    )
    head = ["What was checked", "Frozen as", "Held", "At least", "Spread"]
    found = table(head, _held_rows(chapter), "cb-rows cb-held", widths=[54, 13, 13, 10, 10])
    return [
        paragraph(intro),
        found,
        paragraph(SPREAD, classes=["cb-small"]),
        paragraph(_made_with(chapter), classes=["cb-small"]),
    ]


def _held_rows(chapter) -> list[list]:
    slugs = {part["name"]: part["slug"] for part in (chapter.evidence or {"parts": []})["parts"]}
    frozen = {part["definition"]["name"]: part for part in chapter.revisions[-1]["parts"]}
    rows, part = [], ""
    for row in chapter.held:
        counts = [f"{row['held']} of {row['seeds']}", percent(row["least"])]
        counts.append("–" if row["spread"] is None else f"{row['spread']:.2f}")
        if row["kind"] == "part":
            part = row["name"]
            definition = frozen[part]["definition"]
            cell = paragraph(nodes.strong("", part), classes=["cb-part"])
            cell["ids"].append(f"check-{slugs.get(part) or draw.slug(part)}")
            extra = [] if definition["core"] else ["not core"]
            if frozen[part]["band_set"] > 1:
                extra.append(f"band set {times(frozen[part]['band_set'])}")
            if extra:
                cell += text(f" ({', '.join(extra)})", "cb-small")
            rows.append([[cell], definition["expect"], *counts])
        else:
            name = row["name"].removesuffix(f" / {part}")
            if row["kind"] == "intact":
                name = name.rpartition(" / ")[0] or name
            state = {"control": "rejected", "intact": "intact", "planted": "seen"}[row["kind"]]
            cell = paragraph(text(f"{row['kind']}: ", "cb-kind"), name, classes=["cb-under"])
            rows.append([[cell], state, *counts])
    return rows


def _anchors(chapter) -> nodes.container:
    """Return the places of the checks while there is no table that holds them."""
    parts = (chapter.evidence or {"parts": []})["parts"]
    return nodes.container("", *(nodes.target("", "", ids=[f"check-{part['slug']}"]) for part in parts))


def _made_with(chapter) -> str:
    sentences = []
    if chapter.seconds is not None:
        sentences.append(f"The whole chapter takes {draw.number(chapter.seconds)} s of processor time.")
    if (most := peak(chapter.runs)) is not None:
        sentences.append(f"It needs {draw.number(most)} MB of memory at most.")
    broken = sum("states" not in run for run in chapter.runs)
    if broken:
        sentences.append(
            f"{plural(broken, 'run')} broke off and counts as not held.".replace(
                "runs broke off and counts", "runs broke off and count"
            )
        )
    versions = Counter(_versions(run) for run in chapter.runs if run.get("versions"))
    for made_with, number in versions.most_common():
        sentences.append(
            f"{plural(number, 'run')} with {made_with}." if len(versions) > 1 else f"Made with {made_with}."
        )
    return " ".join(sentences)


def _versions(run: dict) -> str:
    found = dict(run["versions"])
    machine = found.pop("machine", None)
    return ", ".join(f"{LABELS.get(name, name)} {version}" for name, version in found.items()) + (
        f" on {machine}" if machine else ""
    )


# Status


def status(chapters: list, prefix: str) -> list[nodes.Node]:
    """Draw what each chapter costs, how often it held, and what grew since its first runs."""
    rows = []
    for facts in chapters:
        timed = [run for run in facts.runs if run.get("cpu_seconds")]
        peaks = [run["peak_kilobytes"] / 1024 for run in facts.runs if run.get("peak_kilobytes")]
        spreads = [row["spread"] for row in facts.held if row["spread"] is not None]
        rows.append(
            [
                [paragraph(to_notebook(facts.title, facts.claim.notebook, prefix, "cb-title"))],
                f"{facts.seeds_held} of {len(facts.by_seed)}",
                percent(least_chance(facts.seeds_held, len(facts.by_seed))) if facts.runs else "–",
                f"{max(spreads):.2f}" if spreads else "–",
                "–" if facts.seconds is None else draw.number(facts.seconds),
                "–" if (most := peak(facts.runs)) is None else f"{most:.0f} MB",
                _grown([run["cpu_seconds"] for run in timed]),
                _grown(peaks),
            ]
        )
    head = ["Chapter", "Seeds held", "At least", "Spread", "Seconds", "Memory", "Seconds grew", "Memory grew"]
    return [table(head, rows, "cb-rows cb-status", widths=[30, 11, 9, 9, 10, 11, 10, 10])]


def machines(chapters: list, runs: list[dict]) -> list[nodes.Node]:
    """Draw what came out when chapters were run as other machines: a row for each machine and set of packages."""
    current = {facts.claim.id: facts.revisions[-1]["hash"] for facts in chapters if facts.revisions}
    found: dict[tuple, dict] = {}
    for run in runs:  # the newest run of a chapter counts
        if run["lock"] == current.get(run["chapter"]):
            found.setdefault((run["machine"], _versions(run)), {})[run["chapter"]] = run
    if not found:
        return [paragraph("No chapter has been run as another machine yet.")]
    rows = []
    for (name, packages), of in found.items():
        moves = [run["moved"] for run in of.values() if run["moved"] is not None]
        rows.append(
            [
                [paragraph(name), paragraph(text(packages, "cb-small"))],
                f"{sum(not run['lost'] for run in of.values())} of {len(of)}",
                f"{sum(run['same'] for run in of.values())} of {len(of)}",
                f"{max(moves):.2g}" if moves else "–",
            ]
        )
    head = ["Run as", "States kept", "Same digits", "Largest move"]
    return [table(head, rows, "cb-rows cb-machines", widths=[55, 15, 15, 15])]


def _grown(values: list[float]) -> str:
    """Return by how much the median of the last five values exceeds that of the first five."""
    if len(values) < 10:
        return "–"
    first, last = statistics.median(values[:5]), statistics.median(values[-5:])
    return f"{100 * (last / first - 1):+.0f}%".replace("-", "−")


# The map


FILTERS = (
    ("status", ("written", "open", "discussed")),
    ("kind", KINDS),
    ("level", ("1", "2", "3")),
    ("tier", ("core", "further")),
)


def map_filters(parts: dict[str, str]) -> nodes.raw:
    """Return the choices by which a script narrows the map; hidden as long as no script runs."""
    choices = [("part", [(part, title.partition(":")[0]) for part, title in parts.items()])]
    choices += [(name, [(value, value) for value in values]) for name, values in FILTERS]
    boxes = []
    for name, values in choices:
        options = "".join(f'<option value="{escape(v)}">{escape(label)}</option>' for v, label in values)
        boxes.append(
            f'<label>{name} <select name="{name}"><option value="">all</option>{options}</select></label>'
        )
    form = f'<form class="cb-filters" hidden>{"".join(boxes)} <output aria-live="polite"></output></form>'
    return nodes.raw("", form, format="html")


def paper_map(contents, prefix: str) -> list[nodes.Node]:
    """Draw every row of the registry, by part: counts first, then a section for each part."""
    status = {claim.id: claim.status(contents.book) for claim in contents.registry.claims.values()}
    parts = {part: contents.registry.of_part(part) for part in contents.registry.parts}
    order = ("written", "open", "discussed")
    counted = {part: Counter(status[claim.id] for claim in rows) for part, rows in parts.items()}
    overview = [
        [nodes.reference("", title, refid=f"part-{part}", internal=True), str(len(parts[part]))]
        + [str(counted[part][name] or "–") for name in order]
        for part, title in contents.registry.parts.items()
    ]
    total = Counter(status.values())
    overview.append([nodes.strong("", "All"), str(len(status)), *(str(total[name] or "–") for name in order)])
    drawn = [
        table(
            ["Part", "Papers", "Written", "Open", "Discussed"],
            overview,
            "cb-overview",
            widths=[60, 10, 10, 10, 10],
        ),
        map_filters(contents.registry.parts),
    ]
    for part, title in contents.registry.parts.items():
        section = nodes.section("", nodes.title("", title), ids=[f"part-{part}"])
        numbers = ", ".join(f"{counted[part][name]} {name}" for name in order if counted[part][name])
        items = [_paper(claim, status[claim.id], prefix, contents) for claim in parts[part]]
        entries = nodes.bullet_list("", *items, classes=["cb-papers"])
        if (contents.book / part / "index.md").is_file():
            section += paragraph(_link("About this part", "doc", f"/{prefix}{part}/index"))
        section += details(
            f"{plural(len(items), 'paper')}: {numbers}", [entries], opened=counted[part]["written"] > 0
        )
        drawn.append(section)
    return drawn


def _paper(claim: Claim, status: str, prefix: str, contents) -> nodes.list_item:
    source = claim.source
    first = paragraph(external(claim.paper, source.url), classes=["cb-paper"])
    if source.short:
        first += nodes.Text(f" – {source.short}")
    label = badge(status, status)
    if status == "written":
        label = to_notebook("written: read the chapter", claim.notebook, prefix, "cb-badge", "cb-written")
    labels = paragraph(label, " ", classes=["cb-labels"])
    if claim.tier == "core":
        labels += [badge("core", "core"), nodes.Text(" ")]
    labels += text(" · ".join([claim.kind, f"level {claim.level}", *_needs(claim, contents)]), "cb-small")
    how = details("How to begin", _begin(claim)) if status == "open" else []
    facets = (status, claim.kind, f"level-{claim.level}", claim.tier, f"part-{claim.part}")
    return nodes.list_item(
        "",
        first,
        paragraph(claim.claim, classes=["cb-claim"]),
        labels,
        *how,
        ids=[f"paper-{claim.id}"],
        classes=[f"cb-is-{facet}" for facet in facets],
    )


def _begin(claim: Claim) -> list[nodes.Node]:
    """Return a first idea for an open row, its control, and the command that lays out a chapter."""
    return [
        paragraph(nodes.strong("", "First idea. "), claim.setting),
        paragraph(nodes.strong("", "Control. "), claim.control),
        paragraph(nodes.strong("", "Begin. "), nodes.literal("", f"make chapter ID={claim.id}")),
    ]


def _needs(claim: Claim, contents) -> list[str]:
    names = [contents.name_of(need) for need in claim.needs]
    return [f"know first: {'; '.join(names)}"] if names else []


__all__ = ["KINDS", "cards", "gallery", "how_often_held", "ledger", "paper_map", "reading_path"]
