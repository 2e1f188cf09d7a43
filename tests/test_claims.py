import copy

import pytest

from claimbook import claims
from claimbook.claims import RegistryError

SOURCE = {
    "authors": ["Ada Lovelace", "Alan Turing"],
    "year": 1950,
    "venue": "Mind",
    "doi": "10/x",
    "arxiv": None,
    "verified": True,
}
ROW = {
    "id": "first",
    "paper": "A paper",
    "from": ["G"],
    "part": "bias",
    "kind": "direct",
    "claim": "It is so.",
    "setting": "Small.",
    "control": "None of it.",
    "source": SOURCE,
    "needs": ["ridge"],
    "level": 1,
    "tier": "core",
}


def data(*rows):
    rows = rows or ({},)
    return {
        "parts": {"bias": "Bias"},
        "concepts": {"ridge": "Ridge — shrinks"},
        "claims": [{**copy.deepcopy(ROW), **row} for row in rows],
    }


def test_the_books_own_registry_is_sound():
    registry = claims.registry()
    assert len(registry.claims) == 149
    assert sum(claim.tier == "core" for claim in registry.claims.values()) == 25
    assert {claim.part for claim in registry.claims.values()} == set(registry.parts)
    assert registry["model_soups"].source.verified


def test_needs_come_first():
    """Nobody is sent to a harder chapter in order to read an easier one."""
    registry = claims.registry()
    for claim in registry.claims.values():
        assert all(registry[need].level <= claim.level for need in claim.needs if need in registry.claims)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"part": "nowhere"}], r"Row 1 \('first'\): unknown part 'nowhere'"),
        ([{"kind": "odd"}], "unknown kind"),
        ([{"level": 4}], "unknown level"),
        ([{"tier": "top"}], "unknown tier"),
        ([{"from": ["X"]}], "unknown reading list"),
        ([{}, {}], r"Row 2: the id 'first' stands twice"),
        ([{"claim": ""}], "missing claim"),
        ([{"needs": None}], "missing needs"),
        ([{"id": "a-b"}], "letters, digits"),
        ([{"needs": ["unknown"]}], "Row 'first' needs 'unknown'"),
        ([{"source": {"author": "x"}}], "a source has authors"),
        ([{"id": "a", "needs": ["b"]}, {"id": "b", "needs": ["a"]}], "in a circle, a -> b -> a"),
        ([{"id": "a", "needs": ["a"]}], "in a circle"),
        ([{"needs": "ridge"}], r"Row 1 \('first'\): needs must be a list"),  # else letters
        ([{"moved_from": "bias"}], "moved_from must be a list"),
        ([{"from": "WG"}], "from must be a list"),
        ([{"from": 3}], "from must be a list"),
        ([{"needs": [["ridge"]]}], "needs must be a list"),
        ([{"moved_form": ["bias"]}], "unknown moved_form"),
        ([{"level": True}], "unknown level"),
        ([{"level": 1.0}], "unknown level"),
        ([{"part": ["bias"]}], "unknown part"),
        ([{"source": ["authors"]}], "a source has authors"),
        ([{"source": {"authors": ["A"]}}], "a source has authors"),
        ([{"source": {**SOURCE, "authors": [None]}}], "a source has authors"),
        ([{"source": {**SOURCE, "authors": [""]}}], "a source has authors"),
    ],
)
def test_errors_name_the_row(rows, message):
    with pytest.raises(RegistryError, match=message):
        claims.parse(data(*rows))


@pytest.mark.parametrize(
    ("primers", "message"),
    [
        ({"shrinking": ["ridges"]}, "Primer 'shrinking' teaches 'ridges', which is no concept"),
        ({"shrinking": ["ridge"], "again": ["ridge"]}, "Primers 'shrinking' and 'again' both teach 'ridge'"),
        ({"first": ["ridge"]}, "Primer 'first': an id is a word of its own, and no row's"),
    ],
)
def test_errors_name_the_primer(primers, message):
    with pytest.raises(RegistryError, match=message):
        claims.parse({**data(), "primers": primers})


def test_primers_have_a_place_and_assert_nothing():
    registry = claims.parse({**data(), "primers": {"shrinking": ["ridge"]}})
    assert registry.primer_of("ridge") == "shrinking"
    assert registry.primer_of("unknown") is None
    assert registry.notebook("shrinking") == "primers/shrinking.ipynb"
    assert registry.notebook("first") == "bias/first.ipynb"
    with pytest.raises(RegistryError, match="It is a primer, which asserts no claim"):
        registry["shrinking"]


def test_no_blocks():
    with pytest.raises(RegistryError, match="three blocks"):
        claims.parse({"claims": []})


@pytest.mark.parametrize(
    ("block", "value", "message"),
    [
        ("claims", None, "block claims is empty"),
        ("claims", {"a": 1}, "block claims must be a list"),
        ("parts", ["bias"], "block parts must be a table"),
        ("concepts", None, "block concepts is empty"),
        ("primers", ["a"], "block primers must be a table"),
        ("primers", {"a": "ridge"}, "Primer 'a': what it teaches must be a list"),
        ("primers", {"a": None}, "Primer 'a': what it teaches must be a list"),
    ],
)
def test_blocks_of_another_shape(block, value, message):
    with pytest.raises(RegistryError, match=message):
        claims.parse({**data(), block: value})


def test_an_unknown_part_has_no_rows_to_give():
    registry = claims.parse(data())
    assert [claim.id for claim in registry.of_part("bias")] == ["first"]
    with pytest.raises(RegistryError, match="no part 'biases'; known are bias"):
        registry.of_part("biases")


def test_load_reads_a_file(tmp_path):
    import yaml

    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump(data()), "utf8")
    assert claims.load(path)["first"].source.short == "Lovelace and Turing (1950)"


def test_status_is_computed_from_what_stands_in_the_book(tmp_path):
    registry = claims.parse(data({}, {"id": "second", "kind": "context"}))
    assert registry["first"].status(tmp_path) == "open"
    (tmp_path / "bias").mkdir()
    (tmp_path / "bias" / "first.ipynb").touch()
    assert registry["first"].status(tmp_path) == "written"
    assert registry["second"].status(tmp_path) == "discussed"


@pytest.mark.parametrize(
    ("changes", "short", "url"),
    [
        ({}, "Lovelace and Turing (1950)", "https://doi.org/10/x"),
        ({"doi": None, "arxiv": "1.2"}, "Lovelace and Turing (1950)", "https://arxiv.org/abs/1.2"),
        ({"authors": ["A B", "C D", "E F"]}, "B et al. (1950)", "https://doi.org/10/x"),
        ({"authors": ["A B"], "year": None, "doi": None}, "B", None),
        ({"authors": []}, "1950", "https://doi.org/10/x"),
        ({"authors": ["A {B C}"]}, "B C (1950)", "https://doi.org/10/x"),
    ],
)
def test_sources(changes, short, url):
    source = claims.parse(data({"source": {**SOURCE, **changes}}))["first"].source
    assert (source.short, source.url) == (short, url)
