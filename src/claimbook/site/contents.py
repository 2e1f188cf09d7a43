"""What the pages tell: the registry, the stored notebooks and the runs under verification seeds, read together."""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from claimbook import claims
from claimbook.claims import Claim, Registry
from claimbook.evidence import lock, records
from claimbook.site import chapters, pictures


@dataclass(frozen=True)
class ChapterFacts:
    """All that is known of one written chapter.

    Attributes
    ----------
    claim : Claim
    title : str
        The notebook's first heading.
    evidence : dict or None
        The evidence of the stored run.
    revisions : list of dict
        The chapter's lock.
    runs : list of dict
        Runs under verification seeds of the current revision, oldest first.
    seconds : float or None
        Median processor seconds.
    held : list of dict
        How often each part and control repeated its frozen state; see `claimbook.evidence.records.held`.
    figure : claimbook.site.pictures.Figure or None
        The headline figure.
    """

    claim: Claim
    title: str
    evidence: dict | None
    revisions: list[dict]
    runs: list[dict]
    seconds: float | None
    held: list[dict]
    figure: pictures.Figure | None = None

    @property
    def verdict(self) -> str | None:
        """The verdict, or None while nothing is frozen: without a lock there is none."""
        return self.evidence["verdict"] if self.evidence and self.revisions else None

    @property
    def parts_holding(self) -> tuple[int, int]:
        """How many parts of the claim hold in the stored run, and how many there are, untested ones included."""
        if not self.evidence:
            return 0, 0
        parts = self.evidence["parts"]
        return sum(part["state"] == "holds" for part in parts), len(parts) + len(self.evidence["untested"])

    @property
    def by_seed(self) -> list[list[dict]]:
        """The runs of each seed."""
        return records.by_seed(self.runs)

    @property
    def seeds_held(self) -> int:
        """Under how many seeds every part and control repeated its frozen state in every run."""
        frozen = records.frozen_states(self.revisions[-1]) if self.revisions else []
        return sum(all(records.repeated(runs, *state) for state in frozen) for runs in self.by_seed)

    @property
    def times_set(self) -> int:
        """How often the most revised band was set."""
        return (
            max((part["band_set"] for part in self.revisions[-1]["parts"]), default=0)
            if self.revisions
            else 0
        )

    def core_means(self) -> list[dict]:
        """Return, for each core part, what the runs under verification seeds measured on average.

        Returns
        -------
        list of dict
            ``name``, ``band``, ``mean``, ``spread`` (the standard deviation over seeds, None for a single one),
            ``seeds`` and ``cells``. Of several cells it is the one that decides, nearest to the band's edge; of
            several runs under one seed, the newest that finished.
        """
        rows, newest = [], {run["seed"]: run for run in self.runs if "measured" in run}
        for part in (p["definition"] for p in self.revisions[-1]["parts"]) if self.revisions else ():
            key = f"part: {part['name']}"
            estimates = [run["measured"][key][0] for run in newest.values() if key in run["measured"]]
            if part["core"] and estimates:
                rows.append(
                    {
                        "name": part["name"],
                        "band": part["band"],
                        "cells": part["cells"],
                        "seeds": len(estimates),
                        "mean": statistics.fmean(estimates),
                        "spread": statistics.stdev(estimates) if len(estimates) > 1 else None,
                    }
                )
        return rows


class Contents:
    """The book as its pages tell it.

    Parameters
    ----------
    book : Path
        The folder that holds the parts.
    registry, records : path, optional
        Another registry and another folder of records than the package's own.
    prefix : str
        What precedes a chapter's path in the name of its page.
    citation : dict, optional
        What a citation of the book says: author, book, year, version.
    """

    def __init__(
        self,
        book: Path,
        registry=None,
        records: Path | None = None,
        prefix: str = "",
        citation: dict[str, str] | None = None,
    ):
        self.book, self.records = Path(book), records
        self.prefix = prefix
        self.citation = citation or dict.fromkeys(("author", "book", "year", "version"), "")
        self._registry = registry

    @cached_property
    def registry(self) -> Registry:
        return claims.load(Path(self._registry)) if self._registry else claims.registry()

    def written(self) -> list[Claim]:
        """Return the rows that have a chapter, in the registry's order."""
        return [claim for claim in self.registry.claims.values() if claim.status(self.book) == "written"]

    def path(self) -> list[Claim]:
        """Return the written chapters in learning order: what a chapter needs first, else the easier first."""
        left = {claim.id: claim for claim in self.written()}
        ordered: list[Claim] = []
        while left:
            ready = [claim for claim in left.values() if not left.keys() & set(claim.needs)]
            first = min(ready, key=lambda claim: claim.level)  # of equals, the first of the registry
            ordered.append(left.pop(first.id))
        return ordered

    def counts(self) -> dict[str, int]:
        """Return what the pages count, by name."""
        rows = list(self.registry.claims.values())
        status = Counter(claim.status(self.book) for claim in rows)
        return {
            "papers": len(rows),
            "parts": len(self.registry.parts),
            "concepts": len(self.registry.concepts),
            **{name: status[name] for name in ("written", "open", "discussed")},
            **{kind: sum(claim.kind == kind for claim in rows) for kind in claims.KINDS},
            **{tier: sum(claim.tier == tier for claim in rows) for tier in claims.TIERS},
            **self._tested(),
            "calibration-seeds": lock.LEAST_CALIBRATION_SEEDS,
            "least-chance": lock.LEAST_CHANCE,
        }

    def _tested(self) -> dict[str, int]:
        """Return what all stored evidence amounts to: parts and controls checked, seeds tried, processor minutes."""
        chapters = [self.chapter(claim.id) for claim in self.written()]
        parts = [part for facts in chapters if facts.evidence for part in facts.evidence["parts"]]
        return {
            "parts-checked": len(parts),
            "controls": sum(len(part["controls"]) for part in parts),
            "seeds-tried": sum(len(facts.by_seed) for facts in chapters),
            "seeds-held": sum(facts.seeds_held for facts in chapters),
            "seconds": round(sum(facts.seconds or 0 for facts in chapters)),
        }

    def concepts(self) -> list[tuple[str, str, str | None]]:
        """Return name and meaning of each concept of the registry, and where its primer stands, if it has one."""
        rows = []
        for concept, text in self.registry.concepts.items():
            name, _, meaning = text.partition(" — ")
            rows.append((name, meaning, self.primer_page(concept)))
        return rows

    def primer_page(self, concept: str) -> str | None:
        """Return where the primer on a concept stands, relative to the book's folder; None if nowhere."""
        primer = self.registry.primer_of(concept)
        path = primer and self.registry.notebook(primer)
        return path if path and (self.book / path).is_file() else None

    def prepared_by(self, claim: Claim) -> list[tuple[str, str]]:
        """Return title and notebook of each primer and written chapter that prepares for a chapter."""
        pages = {}
        for need in claim.needs:
            if need in self.registry.concepts:
                page, name = self.primer_page(need), self.registry.primer_of(need)
            else:
                page, name = self.registry[need].notebook, need
            if page and (self.book / page).is_file():
                pages[page] = self.title(name)
        return [(title, page) for page, title in pages.items()]

    def link_to(self, need: str) -> str:
        """Return what another row needs, in Markdown for an output on a page of a part.

        A concept links to its primer, a row to its chapter, or to its place in the map while it is open. Outputs are
        drawn without looking links up, so these name built pages.
        """
        if need in self.registry.concepts:
            name, page = self.name_of(need), self.primer_page(need)
            return f"[{name}]({_built(page)})" if page else name
        claim = self.registry[need]
        if claim.status(self.book) == "written":
            return f"[{self.title(need)}]({_built(claim.notebook)})"
        return f"[{claim.paper}](../map.html#paper-{need})"

    def name_of(self, need: str) -> str:
        """Return the readable name of a concept, or the short citation of a row, that another row needs."""
        if need in self.registry.concepts:
            return self.registry.concepts[need].partition(" — ")[0]
        source = self.registry[need].source
        return source.short or self.registry[need].paper

    def title(self, identifier: str) -> str:
        """Return the first heading of a chapter or a primer that stands in the book."""
        notebook = chapters.read(self.book / self.registry.notebook(identifier))
        return chapters.title(notebook) or identifier

    def chapter(self, identifier: str) -> ChapterFacts:
        """Return all that is known of a written chapter."""
        claim = self.registry[identifier]
        notebook = chapters.read(self.book / claim.notebook)
        revisions = lock.revisions(identifier, self.records)
        runs = records.runs(identifier, self.records)
        return ChapterFacts(
            claim=claim,
            title=self.title(identifier),
            evidence=records.stored(notebook),
            revisions=revisions,
            runs=[run for run in runs if revisions and run["lock"] == revisions[-1]["hash"]],
            seconds=records.seconds(identifier, self.records),
            held=records.held(identifier, self.records),
            figure=pictures.headline(notebook),
        )

    def state(self, chapter: str = "") -> str:
        """Return a hash that changes when the evidence does: that of one chapter, or of the whole book."""
        folder = self.records or lock.RECORDS
        if chapter:
            paths = [lock.path_of(chapter, folder), records.runs_path(chapter, folder)]
        else:
            paths = [*self.book.glob("*/*.ipynb"), *folder.glob("*.json*")]
        seen = [(path.name, path.stat().st_mtime_ns) for path in sorted(paths) if path.is_file()]
        linked = sorted(path.name for path in self.book.glob("*/*.ipynb"))  # a chapter's page links to others
        return hashlib.sha256(repr((seen, linked, claims_digest(self._registry))).encode()).hexdigest()[:16]


def _built(notebook: str) -> str:
    return f"../{notebook.removesuffix('.ipynb')}.html"


def claims_digest(registry=None) -> str:
    """Return a hash of a registry's text."""
    path = Path(registry) if registry else Path(claims.__file__).with_name("claims.yml")
    return hashlib.sha256(path.read_bytes()).hexdigest()
