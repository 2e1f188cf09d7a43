import numpy as np
import pytest

from claimbook.claims import RegistryError
from claimbook.evidence import Band, Chapter, EvidenceError, MovedBand, NotFrozen, lock
from claimbook.evidence.chapter import Verdict, verdict_expected

ABOVE = Band(above=0.5, why="the smallest effect worth asserting")
INTACT = ("the rest", np.linspace(0.9, 1.1, 10), Band(within=(0.8, 1.2), why="w"))


@pytest.fixture(autouse=True)
def records(tmp_path, monkeypatch):
    """Keep the locks of made-up chapters away from the package's."""
    monkeypatch.setattr(lock, "RECORDS", tmp_path)
    monkeypatch.delenv("CLAIMBOOK_MODE", raising=False)
    return tmp_path


def values(centre, seed=0, cells=()):
    return centre + 0.1 * np.random.default_rng(seed).normal(size=(10, *cells))


def write(chapter, effect=1.0, expect="holds", band=ABOVE, control=0.0):
    """Write the evidence of a small chapter."""
    check = chapter.check("It works", values(effect), band, unit="draw", expect=expect)
    check.control("without it", values(control, 1), intact=INTACT)
    if expect == "fails":
        check.planted("put in by hand", values(1.0, 2))
    return chapter


def freeze(chapter):
    definitions = [check.definition() for check in chapter._parts.values()]
    parts = [
        {"definition": d, "calibration": {"chances": {d["name"]: 1.0}, "shown": {}, "seeds": 20}}
        for d in definitions
    ]
    verdict = verdict_expected(definitions, chapter._untested)
    return lock.append(chapter.claim.id, parts, chapter._untested, verdict, list(range(1_000_000, 1_000_020)))


def test_unknown_chapter_is_refused_with_a_suggestion():
    with pytest.raises(RegistryError, match="Did you mean 'long_tail'"):
        Chapter("long_tale")


def test_a_frozen_chapter_earns_its_verdict_again(capsys):
    freeze(write(Chapter("long_tail")))
    chapter = write(Chapter("long_tail"))
    chapter.verdict()
    assert chapter.evidence()["verdict"] == "supported"


def test_without_a_lock_there_is_no_verdict():
    with pytest.raises(NotFrozen, match="make freeze CHAPTER=long_tail"):
        write(Chapter("long_tail")).verdict()


def test_a_flipped_state_fails_and_speaks():
    freeze(write(Chapter("long_tail")))
    with pytest.raises(EvidenceError, match=r"“It works”.*band at least 0.5.*Run the cells above"):
        write(Chapter("long_tail"), effect=0.0).verdict()


def test_a_moved_band_fails():
    freeze(write(Chapter("long_tail")))
    with pytest.raises(MovedBand, match="band is"):
        write(Chapter("long_tail"), band=Band(above=0.4, why=ABOVE.why)).verdict()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.check("It works", values(1.0), ABOVE, unit="other").control(
            "without it", values(0), intact=INTACT
        ),
        lambda c: c.check("It works", values(1.0), ABOVE, unit="draw", core=False).control(
            "without it", values(0), intact=INTACT
        ),
        lambda c: c.check("It works", values(1.0), ABOVE, unit="draw").control(
            "another", values(0), intact=INTACT
        ),
        lambda c: c.check("It works", values(1.0)[:8], ABOVE, unit="draw").control(
            "without it", values(0), intact=INTACT
        ),
        lambda c: (
            write(c)
            .check("More", values(1.0), ABOVE, unit="draw")
            .control("without it", values(0), intact=INTACT)
        ),
    ],
)
def test_whatever_was_frozen_cannot_move(change):
    freeze(write(Chapter("long_tail")))
    chapter = Chapter("long_tail")
    change(chapter)
    with pytest.raises(MovedBand):
        chapter.verdict()


def test_a_part_that_is_left_out_fails():
    full = write(Chapter("long_tail"))
    full.check("Second", values(1.0), ABOVE, unit="draw").control("c", values(0.0), intact=INTACT)
    freeze(full)
    with pytest.raises(EvidenceError, match="Second"):
        write(Chapter("long_tail")).verdict()


def test_a_check_without_control_earns_no_verdict():
    freeze(write(Chapter("long_tail")))
    chapter = Chapter("long_tail")
    chapter.check("It works", values(1.0), ABOVE, unit="draw")
    assert "no control" in chapter.evidence()["problem"]
    with pytest.raises(EvidenceError):
        chapter.verdict()


def test_a_failing_part_needs_a_planted_effect():
    chapter = Chapter("long_tail")
    check = chapter.check("It works", values(-1.0), ABOVE, unit="draw", expect="fails")
    check.control("without it", values(0.0), intact=INTACT)
    assert "planted" in chapter.evidence()["problem"]
    check.planted("put in by hand", values(1.0))
    assert chapter.evidence()["verdict"] == "not seen at this scale"
    assert "comes out the opposite way" in Verdict(chapter.evidence())._markdown()


def test_an_effect_is_planted_only_for_failing_parts():
    with pytest.raises(EvidenceError, match="expected to fail"):
        Chapter("long_tail").check("It works", values(1.0), ABOVE, unit="draw").planted("x", values(1.0))


def test_untested_parts_make_it_partly_supported():
    chapter = write(Chapter("long_tail"))
    chapter.untested("At scale", why="needs a large model")
    chapter.untested("At scale", why="needs a large model")
    assert chapter.evidence()["verdict"] == "partly supported"
    assert len(chapter.evidence()["untested"]) == 1


def test_running_a_cell_twice_replaces_the_part():
    chapter = write(write(Chapter("long_tail")))
    assert len(chapter.evidence()["parts"]) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": ""}, "name the unit"),
        ({"unit": "draw", "expect": "maybe"}, "holds or fails"),
        ({"unit": "draw", "band": (0, 1)}, "must be a Band"),
        ({"unit": "draw", "values": np.ones(10)}, "identical"),
        ({"unit": "draw", "values": np.arange(4)}, "at least 5 units"),
    ],
)
def test_bad_checks_are_refused_at_the_door(options, message):
    options = {"values": values(1.0), "band": ABOVE, **options}
    with pytest.raises(EvidenceError, match=message):
        Chapter("long_tail").check("It works", **options)


def test_a_control_has_the_cells_of_its_check():
    check = Chapter("long_tail").check("It works", values(1.0, cells=(3,)), ABOVE, unit="draw")
    with pytest.raises(EvidenceError, match=r"shape \(2,\).*\(3,\)"):
        check.control("without it", values(0.0, cells=(2,)), intact=INTACT)


def test_modes(monkeypatch):
    monkeypatch.setenv("CLAIMBOOK_MODE", "calibrate")
    write(Chapter("long_tail")).verdict()  # no lock is needed
    monkeypatch.setenv("CLAIMBOOK_MODE", "verify")
    freeze(write(Chapter("long_tail")))
    monkeypatch.setenv("CLAIMBOOK_MODE", "observe")
    write(Chapter("long_tail"), effect=0.0).verdict()  # recorded, not raised
    with pytest.raises(MovedBand):
        write(Chapter("long_tail"), band=Band(above=0.4, why="w")).verdict()
    monkeypatch.setenv("CLAIMBOOK_MODE", "guess")
    with pytest.raises(EvidenceError, match="CLAIMBOOK_MODE"):
        Chapter("long_tail")


def test_values_of_every_unit_go_to_the_output_metadata():
    chapter = write(Chapter("long_tail"))
    data, metadata = Verdict(chapter.evidence())._repr_mimebundle_()
    part = metadata["claimbook"]["evidence"]["parts"][0]
    np.testing.assert_allclose(part["values"], values(1.0), rtol=1e-5)
    assert "**Verdict: supported.**" in data["text/markdown"]


def test_numbers_carry_their_text():
    _, metadata = (
        Chapter("long_tail").number("best", np.array([0.94, 0.95, 0.96]), "best accuracy")._repr_mimebundle_()
    )
    assert metadata == {"claimbook": {"number": {"name": "best", "text": "≈ 0.950 ± 0.010"}}}
    with pytest.raises(EvidenceError, match="nan"):
        Chapter("long_tail").number("best", [np.nan], "x")


def test_the_card_names_claim_paper_and_needs():
    text = Chapter("long_tail")._markdown()
    assert "**Claim**" in text and "Feldman (2020)" in text and "not frozen yet" in text
    freeze(write(Chapter("long_tail")))
    assert "**supported**" in Chapter("long_tail")._markdown()


def check(name="It works", data=None, band=ABOVE, **options):
    data = values(1.0) if data is None else data
    return Chapter("long_tail").check(name, data, band, **{"unit": "draw", **options})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: check(name=""), "name of a part is a sentence"),
        (lambda: check(name=None), "name of a part is a sentence"),
        (lambda: check(name="–"), "name of a part is a sentence"),  # nothing to link to
        (lambda: check(band={"above": 1}), "must be a Band, not dict"),
        (lambda: check(core="no"), "core= is True or False"),
        (lambda: check().control("", values(0), intact="the same runs"), "a control needs a name"),
        (lambda: check().control(None, values(0), intact="the same runs"), "a control needs a name"),
        (lambda: check().control("c", values(0), intact=" "), "intact= is a sentence"),
        (lambda: check().control("c", values(0), intact=None), "intact= is a sentence"),
        (lambda: check().control("c", values(0), intact=("rest", values(1))), "intact= is a sentence"),
        (
            lambda: check().control("c", values(0), intact=("rest", values(1), (0, 2))),
            "rest: the band must be a Band",
        ),
        (lambda: check().control("c", values(0, cells=(2,)), intact="the same runs"), r"shape \(2,\)"),
    ],
)
def test_parts_and_controls_are_refused_at_the_door(make, message):
    with pytest.raises(EvidenceError, match=message):
        make()


def test_running_a_control_twice_replaces_it():
    part = (
        check()
        .control("c", values(0.4), intact="the same runs")
        .control("d", values(0), intact="the same runs")
    )
    part.control("c", values(0.0), intact="the same runs")
    assert [control["name"] for control in part.record()["controls"]] == ["d", "c"]
    assert part.record()["controls"][1]["worst"][0] < 0.2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([np.inf, -np.inf], "have no mean"),
        (np.array([1 + 1j]), "must be numbers, not complex"),
        ("abc", "must be numbers"),
        (None, "must be numbers"),
        (np.ma.masked_array([1.0, 100.0], [False, True]), "masked"),
        ([], "without nan"),
    ],
)
def test_numbers_that_are_none_are_refused(data, message):
    with pytest.raises(EvidenceError, match=message):
        Chapter("long_tail").number("n", data, "It measured")


def test_a_number_beyond_the_grid_needs_no_warning(recwarn):
    assert Chapter("long_tail").number("n", [1.0, np.inf], "It took").text == "beyond the grid"
    assert not recwarn
