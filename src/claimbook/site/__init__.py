"""A Sphinx extension that draws the book's pages from the registry and from stored evidence.

Needs neither torch nor NumPy. Roles and directives, for pages in MyST:

* ``{measured}`name` ``: a number of the same chapter, as it was stored when the chapter ran;
* ``{count}`papers` ``: a count of the registry, see `claimbook.site.contents.Contents.counts`;
* ``{least}`20/20` ``: the exact lower bound of a chance of which so many trials succeeded;
* ``{ledger}``: the table of all written chapters;
* ``{chapter-cards}``: the written chapters as cards, and ``{gallery}``: their headline figures with captions;
* ``{headline} id``: the headline figure of one chapter;
* ``{paper-map}``: all rows of the registry, by part;
* ``{reading-path}``: the written chapters in learning order, with the primers and chapters that each needs;
* ``{status}``: what each chapter costs, how often it held, and what grew;
* ``{machines}``: what came out when chapters were run as other machines;
* ``{assignments}``: the assignments with their points, minutes and notebooks;
* ``{concept-glossary}``: the registry's concepts, as a glossary;
* ``{how-often-held} id``: how often the checks of a chapter held. It is put after every chapter's verdict by
  itself, see `claimbook.site.chapters`.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from functools import cache
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from claimbook.claims import RegistryError
from claimbook.evidence import records
from claimbook.site import chapters, coursework, draw, explorables, pictures
from claimbook.site.contents import Contents

HERE = Path(__file__).resolve().parent
LOGGER = logging.getLogger(__name__)
DRAWN_FROM = "claimbook drawn from"  # a notebook's own metadata may hold "claimbook"


def warn(message: str, location=None) -> None:
    """Warn, so that a build with warnings as errors fails."""
    LOGGER.warning(message, location=location, type="claimbook")


def contents(app) -> Contents:
    """Return what the book holds, for one application."""
    config = app.config
    citation = {
        "author": config.author,
        "book": config.html_title or config.project,
        "year": config.copyright,
        "version": importlib.metadata.version("claimbook"),
    }
    return Contents(
        Path(app.srcdir) / config.claimbook_book,
        registry=config.claimbook_registry,
        records=Path(config.claimbook_records) if config.claimbook_records else None,
        prefix=prefix(app),
        citation=citation,
    )


def prefix(app) -> str:
    """Return what precedes a chapter's path in the name of its page."""
    return f"{config.strip('/')}/" if (config := app.config.claimbook_book) not in ("", ".") else ""


def note(env, book: Contents, chapter: str = "") -> None:
    """Remember what the page under way was drawn from, one chapter or all, to draw it again when that changes."""
    env.metadata[env.docname].setdefault(DRAWN_FROM, {})[chapter] = book.state(chapter)


class Measured(SphinxRole):
    """``{measured}`name` ``: a named measurement of the chapter in which it stands."""

    def run(self):
        path = Path(self.env.doc2path(self.env.docname))
        found = records.numbers(chapters.read(path)) if path.suffix == ".ipynb" else {}
        if self.text not in found:
            known = ", ".join(sorted(found)) or "none"
            warn(
                f"No number {self.text!r} is stored in {path.name}; known are: {known}.", self.get_location()
            )
        return [draw.text(found.get(self.text, "?"), "cb-measured")], []


class Count(SphinxRole):
    """``{count}`papers` ``: a count of the registry."""

    def run(self):
        book = contents(self.env.app)
        note(self.env, book)
        counts = book.counts()
        if self.text not in counts:
            warn(f"Nothing is counted as {self.text!r}; known are: {', '.join(counts)}.", self.get_location())
        return [draw.text(str(counts.get(self.text, "?")))], []


class Least(SphinxRole):
    """``{least}`20/20` ``: what so many successes show."""

    def run(self):
        try:
            successes, trials = map(int, self.text.split("/"))
        except ValueError:
            warn(f"{self.text!r} is not of the form 20/20.", self.get_location())
            return [], []
        return [draw.text(draw.percent(records.least_chance(successes, trials)))], []


class FromContents(SphinxDirective):
    """A directive that draws something from the whole book."""

    def run(self):
        book = contents(self.env.app)
        note(self.env, book)
        return self.nodes(book, prefix(self.env.app))

    def nodes(self, book: Contents, prefix: str) -> list:
        raise NotImplementedError


class Ledger(FromContents):
    """``{ledger}``: the written chapters with their verdicts."""

    def nodes(self, book, prefix):
        return draw.ledger([book.chapter(claim.id) for claim in book.written()], prefix)


class Pictured(FromContents):
    """A directive that shows headline figures, made small."""

    def picture(self, facts) -> nodes.reference:
        """Return a chapter's headline figure as a link to the chapter; the small picture lies beside the built site."""
        folder = Path(self.env.app.doctreedir).parent / "claimbook_figures"
        path = pictures.store_small(facts.figure, facts.claim.id, folder)
        uri = "/" + os.path.relpath(path, self.env.app.srcdir).replace(os.sep, "/")
        page = prefix(self.env.app) + facts.claim.notebook.removesuffix(".ipynb")
        address = self.env.app.builder.get_relative_uri(self.env.docname, page)
        image = nodes.image(uri=uri, alt=f"{facts.title}. {facts.figure.alt}")
        return nodes.reference("", "", image, refuri=address, internal=True, classes=["cb-picture"])

    def caption(self, markdown: str) -> list[nodes.Node]:
        """Return a caption's Markdown as nodes."""
        box = nodes.container(classes=["cb-caption"])
        self.state.nested_parse(StringList(markdown.splitlines(), "caption"), self.content_offset, box)
        return [box]


class ChapterCards(Pictured):
    """``{chapter-cards}``: the written chapters as cards."""

    def nodes(self, book, prefix):
        return draw.cards(book, prefix, self.picture)


class Gallery(Pictured):
    """``{gallery}``: the headline figures."""

    def nodes(self, book, prefix):
        return draw.gallery(book, prefix, self.picture, self.caption)


class Headline(Pictured):
    """``{headline} id``: the headline figure of one chapter, with the directive's content as caption."""

    required_arguments = 1
    has_content = True

    def nodes(self, book, prefix):
        facts = book.chapter(self.arguments[0])
        if facts.figure is None:
            raise self.error(f"The chapter {self.arguments[0]!r} has no figure.")
        box = nodes.container("", draw.paragraph(self.picture(facts)), classes=["cb-headline"])
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


class PaperMap(FromContents):
    """``{paper-map}``: every paper of the registry, by part."""

    def nodes(self, book, prefix):
        return draw.paper_map(book, prefix)


class ReadingPath(FromContents):
    """``{reading-path}``: the written chapters in learning order."""

    def nodes(self, book, prefix):
        return draw.reading_path(book, prefix)


class Status(FromContents):
    """``{status}``: costs and repetitions of the written chapters."""

    def nodes(self, book, prefix):
        return draw.status([book.chapter(claim.id) for claim in book.written()], prefix)


class Machines(FromContents):
    """``{machines}``: the written chapters on other machines."""

    def nodes(self, book, prefix):
        chapters = [book.chapter(claim.id) for claim in book.written()]
        return draw.machines(chapters, records.machines(book.records))


class Assignments(FromContents):
    """``{assignments}``: what students can be set."""

    def nodes(self, book, prefix):
        folder = book.book.parent / "assignments"
        for path in folder.glob("*.ipynb"):
            self.env.note_dependency(str(path))
        found, chapters = coursework.read(folder), {}
        for claim in book.written():
            title = book.chapter(claim.id).title
            chapters[claim.id] = draw.to_notebook(title, claim.notebook, prefix)
        if not found:
            return [draw.paragraph("There are no assignments yet.")]
        return coursework.table(found, "../" * self.env.docname.count("/"), chapters)


class ConceptGlossary(FromContents):
    """``{concept-glossary}``: what readers should know first, from the registry."""

    def nodes(self, book, prefix):
        lines = ["```{glossary}", ":sorted:", ""]
        for name, meaning, page in book.concepts():
            more = f" [Primer](/{prefix}{page})." if page else ""
            lines += [name, f"  {meaning[0].upper()}{meaning[1:]}.{more}", ""]
        box = nodes.container(classes=["cb-concepts"])
        self.state.nested_parse(StringList([*lines, "```"], "claims.yml"), self.content_offset, box)
        return [box]


class HowOftenHeld(SphinxDirective):
    """``{how-often-held} id``: how often a chapter's checks and controls held under verification seeds."""

    required_arguments = 1

    def run(self):
        book = contents(self.env.app)
        note(self.env, book, self.arguments[0])
        try:
            return draw.how_often_held(book.chapter(self.arguments[0]))
        except (RegistryError, FileNotFoundError) as problem:
            raise self.error(str(problem)) from None


def complete(app, docname: str, text: list[str]) -> None:
    """Put the section "How often it held" into a chapter before it is parsed; tell what is wrong with it."""
    if not docname.startswith(prefix(app)) or Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    book = contents(app)
    note(app.env, book, docname.rpartition("/")[2])
    text[0], problems = chapters.complete(text[0], docname.removeprefix(prefix(app)), book)
    for problem in problems:
        warn(problem, docname)


def turn(app, pagename: str, template: str, context: dict, doctree) -> None:
    """Let a chapter's previous and next page follow the learning order instead of the contents."""
    book, root = contents(app), prefix(app)
    path = [root + claim.notebook.removesuffix(".ipynb") for claim in book.path()]
    if pagename not in path or template != "page.html":
        return
    place = path.index(pagename)
    neighbours = {
        "prev": path[place - 1] if place else f"{root}guide/path",
        "next": path[place + 1] if place + 1 < len(path) else f"{root}gallery",
    }
    for side, name in neighbours.items():
        if name in app.env.titles:
            context[side] = {
                "link": app.builder.get_relative_uri(pagename, name),
                "title": app.builder.render_partial(app.env.titles[name])["title"],
            }


def mend_roles(app, pagename: str, template: str, context: dict, doctree) -> None:
    """Take away a role that Sphinx gives to lists of references and whose children do not fit it."""
    if "body" in context:
        wrong, right = '<div role="list" class="citation-list">', '<div class="citation-list">'
        context["body"] = context["body"].replace(wrong, right)


REDIRECT = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta http-equiv="refresh" content="0; url={target}">
<link rel="canonical" href="{target}">
</head>
<body><p>This page stands at <a href="{target}">{title}</a>.</p></body>
</html>
"""


def redirect(app, exception) -> None:
    """Give each chapter an address for ever, its id, and let the places where it stood lead to it."""
    if exception or app.builder.format != "html" or not hasattr(app.builder, "get_outfilename"):
        return
    book, root = contents(app), prefix(app)
    for claim in book.written():
        page = root + claim.notebook.removesuffix(".ipynb")
        if page not in app.env.found_docs:
            continue
        for old in (claim.id, *(f"{root}{part}/{claim.id}" for part in claim.moved_from)):
            path = Path(app.builder.get_outfilename(old))
            target = os.path.relpath(app.builder.get_outfilename(page), path.parent).replace(os.sep, "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(REDIRECT.format(title=escape(book.title(claim.id)), target=target), "utf8")


def outdated(app, env, added, changed, removed) -> list[str]:
    """Return the pages whose evidence changed since they were drawn."""
    state = cache(contents(app).state)
    pages = {
        docname: env.metadata.get(docname, {}).get(DRAWN_FROM, {})
        for docname in env.found_docs - added - changed
    }
    return [
        docname
        for docname, seen in pages.items()
        if any(state(chapter) != old for chapter, old in seen.items())
    ]


def missing_from_toc(app, env) -> None:
    """Warn of chapters and primers that stand in the book and that no reader would find."""
    book = contents(app)
    pages = [("chapter", claim.id, claim.notebook) for claim in book.written()]
    pages += [("primer", name, book.registry.notebook(name)) for name in book.registry.primers]
    for kind, name, page in pages:
        if (book.book / page).is_file() and prefix(app) + page.removesuffix(".ipynb") not in env.found_docs:
            warn(f"The {kind} {name!r} is written, but _toc.yml does not list {prefix(app)}{page}.")


def setup(app):
    """Register everything with Sphinx."""
    app.add_config_value("claimbook_book", "book", "env", [str])  # the book's folder in the source folder
    app.add_config_value("claimbook_registry", None, "env", [str, type(None)])  # another registry, for tests
    app.add_config_value("claimbook_records", None, "env", [str, type(None)])  # other records, for tests
    app.add_role("measured", Measured())
    app.add_role("count", Count())
    app.add_role("least", Least())
    app.add_directive("ledger", Ledger)
    app.add_directive("chapter-cards", ChapterCards)
    app.add_directive("gallery", Gallery)
    app.add_directive("headline", Headline)
    app.add_directive("paper-map", PaperMap)
    app.add_directive("reading-path", ReadingPath)
    app.add_directive("status", Status)
    app.add_directive("machines", Machines)
    app.add_directive("assignments", Assignments)
    app.add_directive("concept-glossary", ConceptGlossary)
    app.add_directive("how-often-held", HowOftenHeld)
    app.connect("source-read", complete)
    app.connect("html-page-context", explorables.load)
    app.connect("env-get-outdated", outdated)
    app.connect("env-check-consistency", missing_from_toc)
    app.connect("html-page-context", turn, priority=900)
    app.connect("html-page-context", mend_roles)
    app.connect("build-finished", redirect)
    return {
        # Pages drawn by other code are not kept.
        "env_version": int(code_digest(), 16),
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }


def code_digest() -> str:
    """Return a hash of the code that draws pages."""
    files = sorted([*HERE.glob("*.py"), *HERE.parent.glob("evidence/*.py"), HERE.parent / "claims.py"])
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:12]
