"""The registry: every paper that the book answers for, validated when it is loaded.

Knows nothing of the other rooms and needs PyYAML only, so that the site can be drawn from it without torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import yaml

KINDS = ("direct", "mechanism", "context")
TIERS = ("core", "further")
LEVELS = (1, 2, 3)
READING_LISTS = ("W", "T", "P", "G")
PRIMERS = "primers"  # the folder of the primers, beside the parts
REQUIRED = (
    "id",
    "paper",
    "from",
    "part",
    "kind",
    "claim",
    "setting",
    "control",
    "source",
    "needs",
    "level",
    "tier",
)


class RegistryError(ValueError):
    """The registry is not sound; the message names the row."""


@dataclass(frozen=True)
class Source:
    """Where a paper appeared. ``verified`` says that authors, year and identifier were looked up."""

    authors: tuple[str, ...]
    year: int | None
    venue: str | None
    doi: str | None = None
    arxiv: str | None = None
    verified: bool = False

    @property
    def url(self) -> str | None:
        """The DOI's address, else arXiv's, else None."""
        if self.doi:
            return f"https://doi.org/{self.doi}"
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else None

    @property
    def short(self) -> str:
        """The citation in a few words, such as ``Advani et al. (2020)``."""
        surnames = [_surname(name) for name in self.authors if name != "et al."]
        if not surnames:
            return str(self.year or "")
        if len(surnames) > 2 or "et al." in self.authors:
            who = f"{surnames[0]} et al."
        else:
            who = " and ".join(surnames)
        return f"{who} ({self.year})" if self.year else who


def _surname(name: str) -> str:
    """Return the last word of a name, or what stands in braces: ``Stefano {Sarao Mannelli}``."""
    before, brace, after = name.partition("{")
    return after.partition("}")[0] if brace else before.split()[-1]


@dataclass(frozen=True)
class Claim:
    """One row of the map."""

    id: str
    paper: str
    part: str
    kind: str
    claim: str
    setting: str
    control: str
    source: Source
    needs: tuple[str, ...]
    level: int
    tier: str
    reading_lists: tuple[str, ...] = field(default=())
    moved_from: tuple[str, ...] = field(default=())  # parts in which the chapter stood before

    @property
    def notebook(self) -> str:
        """Where the chapter stands, relative to the book's folder."""
        return f"{self.part}/{self.id}.ipynb"

    def status(self, book: Path) -> str:
        """What stands in the book: ``written``, ``open``, or ``discussed`` for rows without a claim to test."""
        if self.kind == "context":
            return "discussed"
        return "written" if (Path(book) / self.notebook).is_file() else "open"


@dataclass(frozen=True)
class Registry:
    """Parts, concepts and claims, in reading order; primers, with the concepts that each teaches."""

    parts: dict[str, str]
    concepts: dict[str, str]
    claims: dict[str, Claim]
    primers: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __getitem__(self, identifier: str) -> Claim:
        try:
            return self.claims[identifier]
        except KeyError:
            raise RegistryError(
                f"The registry has no chapter {identifier!r}.{self._nearest(identifier)}"
            ) from None

    def _nearest(self, identifier: str) -> str:
        from difflib import get_close_matches

        if identifier in self.primers:
            return " It is a primer, which asserts no claim."
        close = get_close_matches(str(identifier), self.claims, n=1)
        return f" Did you mean {close[0]!r}?" if close else ""

    def primer_of(self, concept: str) -> str | None:
        """Return the primer that teaches a concept, or None."""
        return next((primer for primer, taught in self.primers.items() if concept in taught), None)

    def notebook(self, identifier: str) -> str:
        """Return where a chapter or a primer stands, relative to the book's folder."""
        if identifier in self.primers:
            return f"{PRIMERS}/{identifier}.ipynb"
        return self[identifier].notebook

    def of_part(self, part: str) -> list[Claim]:
        """Return the rows of one part, in order."""
        if part not in self.parts:
            raise RegistryError(f"The registry has no part {part!r}; known are {', '.join(self.parts)}.")
        return [claim for claim in self.claims.values() if claim.part == part]


def load(path: Path | None = None) -> Registry:
    """Load and validate a registry, the package's own by default.

    Raises
    ------
    RegistryError
        For an unknown part, kind, level, tier or need, a duplicate id, a missing field, a cycle of needs, or a
        primer that teaches what is no concept or what another teaches.
    """
    text = (
        (files("claimbook") / "claims.yml").read_text("utf8")
        if path is None
        else Path(path).read_text("utf8")
    )
    return parse(yaml.safe_load(text))


@cache
def registry() -> Registry:
    """Return the package's registry, loaded once."""
    return load()


def parse(data: dict) -> Registry:
    """Validate the registry's data as YAML gives it; see `load`."""
    if not isinstance(data, dict) or not {"parts", "concepts", "claims"} <= data.keys():
        raise RegistryError("The registry needs the three blocks parts, concepts and claims.")
    for block, kind in (("parts", dict), ("concepts", dict), ("claims", list), ("primers", dict)):
        if not isinstance(data.get(block) or kind(), kind):
            raise RegistryError(f"The block {block} must be a {'list' if kind is list else 'table'}.")
        if block != "primers" and not data[block]:
            raise RegistryError(f"The block {block} is empty.")
    parts, concepts = data["parts"], data["concepts"]
    claims: dict[str, Claim] = {}
    for number, row in enumerate(data["claims"], 1):
        claim = _row(row, number, parts)
        if claim.id in claims:
            raise RegistryError(f"Row {number}: the id {claim.id!r} stands twice.")
        claims[claim.id] = claim
    for claim in claims.values():
        for need in claim.needs:
            if need not in concepts and need not in claims:
                raise RegistryError(
                    f"Row {claim.id!r} needs {need!r}, which is neither a concept nor a chapter."
                )
    _refuse_cycles(claims)
    for primer, taught in (data.get("primers") or {}).items():
        if not _is_list_of_words(taught):
            raise RegistryError(f"Primer {primer!r}: what it teaches must be a list of concepts.")
    primers = {primer: tuple(taught) for primer, taught in (data.get("primers") or {}).items()}
    _refuse_primers(primers, concepts, claims)
    return Registry(parts=dict(parts), concepts=dict(concepts), claims=claims, primers=primers)


def _refuse_primers(primers: dict, concepts: dict, claims: dict) -> None:
    teacher: dict[str, str] = {}
    for primer, taught in primers.items():
        if primer in claims or not str(primer).isidentifier():
            raise RegistryError(f"Primer {primer!r}: an id is a word of its own, and no row's.")
        for concept in taught:
            if concept not in concepts:
                raise RegistryError(f"Primer {primer!r} teaches {concept!r}, which is no concept.")
            if concept in teacher:
                raise RegistryError(f"Primers {teacher[concept]!r} and {primer!r} both teach {concept!r}.")
            teacher[concept] = primer


def _is_list_of_words(value) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value)


def _row(row: dict, number: int, parts: dict) -> Claim:
    name = f"Row {number}" + (f" ({row['id']!r})" if isinstance(row, dict) and "id" in row else "")
    missing = [key for key in REQUIRED if not isinstance(row, dict) or row.get(key) in (None, "")]
    if missing:
        raise RegistryError(f"{name}: missing {', '.join(missing)}.")
    unknown = [str(key) for key in row if key not in (*REQUIRED, "moved_from")]
    if unknown:
        raise RegistryError(
            f"{name}: unknown {', '.join(unknown)}; known are {', '.join(REQUIRED)}, moved_from."
        )
    for key in ("from", "needs", "moved_from"):
        if not _is_list_of_words(row.get(key, [])):  # a word alone would be taken for a list of letters
            raise RegistryError(f"{name}: {key} must be a list of words.")
    if not str(row["id"]).isidentifier():
        raise RegistryError(f"{name}: an id consists of letters, digits and underscores.")
    for key, allowed in (("part", tuple(parts)), ("kind", KINDS), ("level", LEVELS), ("tier", TIERS)):
        if row[key] not in allowed or isinstance(row[key], bool | float):
            raise RegistryError(
                f"{name}: unknown {key} {row[key]!r}; known are {', '.join(map(str, allowed))}."
            )
    unknown = [letter for letter in row["from"] if letter not in READING_LISTS]
    if unknown:
        raise RegistryError(
            f"{name}: unknown reading list {unknown[0]!r}; known are {', '.join(READING_LISTS)}."
        )
    source = row["source"]
    known = {"authors", "year", "venue", "doi", "arxiv", "verified"}
    complete = isinstance(source, dict) and {"authors", "year", "venue"} <= source.keys() <= known
    if not complete or not (source["authors"] == [] or _is_list_of_words(source["authors"])):
        raise RegistryError(
            f"{name}: a source has authors (a list), year, venue, doi or arxiv, and verified."
        )
    arxiv = source.get("arxiv")
    return Claim(
        **{
            key: row[key]
            for key in ("id", "paper", "part", "kind", "claim", "setting", "control", "level", "tier")
        },
        source=Source(
            **{**source, "authors": tuple(source["authors"]), "arxiv": None if arxiv is None else str(arxiv)}
        ),
        needs=tuple(row["needs"]),
        reading_lists=tuple(row["from"]),
        moved_from=tuple(row.get("moved_from", ())),
    )


def _refuse_cycles(claims: dict[str, Claim]) -> None:
    done: set[str] = set()

    def visit(identifier: str, path: tuple[str, ...]) -> None:
        if identifier in path:
            loop = " -> ".join((*path[path.index(identifier) :], identifier))
            raise RegistryError(f"Row {identifier!r}: the needs run in a circle, {loop}.")
        if identifier not in done:
            for need in claims[identifier].needs:
                if need in claims:
                    visit(need, (*path, identifier))
            done.add(identifier)

    for identifier in claims:
        visit(identifier, ())
