import datetime
import hashlib
import json
from types import SimpleNamespace

import pytest

from claimbook.evidence import EvidenceError, MovedBand, NotFrozen, lock


def part(name="It works", low=0.5, chance=1.0, **changes):
    band = {"low": low, "high": None, "null": 0.0, "kind": "effect", "why": "w"}
    definition = {"name": name, "band": band, "expect": "holds", "controls": [], "planted": None, **changes}
    shown = {name: {"mean": [0.6], "sd_between_units": [0.2], "repeated": 19}}
    return {"definition": definition, "calibration": {"chances": {name: chance}, "shown": shown, "seeds": 20}}


def append(folder, *parts):
    return lock.append("c", list(parts) or [part()], [], "supported", list(range(20)), folder)


@pytest.fixture
def today(monkeypatch):
    """Let it be the second of January."""
    day = SimpleNamespace(today=lambda: datetime.date(2026, 1, 2))
    monkeypatch.setattr(lock, "datetime", SimpleNamespace(date=day))


def refused(call, *arguments, **options):
    """Return the message with which a call is refused."""
    with pytest.raises(EvidenceError) as raised:
        call(*arguments, **options)
    return str(raised.value)


def test_the_digest_is_that_of_canonical_json():
    text = '{"a":[1,null],"b":{"c":"é"}}'
    assert lock.digest({"b": {"c": "é"}, "a": [1, None]}) == hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(ValueError, match="not JSON compliant"):
        lock.digest({"a": float("nan")})


def test_a_revision_holds_all_that_was_fixed(tmp_path, today):
    first = append(tmp_path / "new" / "folder", part("“é”"))
    stored = {"revision": 1, "frozen": "2026-01-02", "verdict": "supported"}
    stored["parts"] = [{**part("“é”"), "band_set": 1}]
    stored |= {"untested": [], "calibration_seeds": list(range(20)), "previous": None}
    assert first == {**stored, "hash": lock.digest(stored)}
    text = lock.path_of("c", tmp_path / "new" / "folder").read_text(encoding="utf-8")
    data = {"chapter": "c", "revisions": [first], "refused": []}
    assert text == json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def test_the_last_of_several_revisions_is_the_current_one(tmp_path):
    for low in (0.1, 0.2, 0.3):
        last = append(tmp_path, part(low=low))
    assert lock.current("c", tmp_path) == last and last["revision"] == 3
    assert [r["previous"] for r in lock.revisions("c", tmp_path)] == [
        None,
        *(r["hash"] for r in lock.revisions("c", tmp_path)[:2]),
    ]


def test_revisions_are_only_ever_added(tmp_path):
    first = append(tmp_path)
    second = append(tmp_path, part(low=0.6))
    assert [r["revision"] for r in lock.revisions("c", tmp_path)] == [1, 2]
    assert second["previous"] == first["hash"]
    assert second["parts"][0]["band_set"] == 2
    assert append(tmp_path, part(low=0.6), part("Another"))["parts"][0]["band_set"] == 2


def test_freezing_twice_without_a_change_is_refused(tmp_path):
    append(tmp_path)
    assert refused(append, tmp_path) == "Not frozen: nothing changed since revision 1 of 'c'."


def test_an_unsafe_part_is_not_frozen(tmp_path):
    weak, other = part(chance=0.99), part("Other")
    other["calibration"]["chances"] |= {"without it / Other": 0.5}
    other["calibration"]["shown"] |= {"without it / Other": {"mean": [0.1], "sd_between_units": [0.3]}}
    assert refused(append, tmp_path, weak, other) == (
        "Not frozen, below 0.999: "
        "“It works” would come out as frozen with a chance of 0.9900 only "
        "(mean [0.6], standard deviation [0.2] over units); "
        "“without it / Other”, of “Other”, would come out as frozen with a chance of 0.5000 only "
        "(mean [0.1], standard deviation [0.3] over units)."
    )
    assert lock.revisions("c", tmp_path) == []
    assert append(tmp_path, part(chance=0.999))["revision"] == 1  # just safe enough


@pytest.mark.parametrize("edit", [("verdict", "partly supported"), ("calibration_seeds", [1])])
def test_an_edited_lock_is_noticed(tmp_path, edit):
    append(tmp_path)
    path = lock.path_of("c", tmp_path)
    data = json.loads(path.read_text())
    data["revisions"][0][edit[0]] = edit[1]
    path.write_text(json.dumps(data))
    told = "Revision 1 of c.lock.json was edited after it was frozen."
    assert refused(lock.revisions, "c", tmp_path) == told


def test_a_removed_revision_is_noticed(tmp_path):
    append(tmp_path)
    append(tmp_path, part(low=0.6))
    path = lock.path_of("c", tmp_path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "revisions": data["revisions"][1:]}))
    told = "Revision 2 of c.lock.json was edited after it was frozen."
    assert refused(lock.current, "c", tmp_path) == told


def test_no_lock(tmp_path):
    with pytest.raises(NotFrozen) as raised:
        lock.current("c", tmp_path)
    assert str(raised.value) == (
        "Chapter 'c' is not frozen: fix its bands with `make freeze CHAPTER=c` first."
    )


def test_seeds_of_the_three_kinds_never_meet(tmp_path):
    first = lock.calibration_seeds("c", 30, tmp_path)
    revision = append(tmp_path)
    second = lock.calibration_seeds("c", 30, tmp_path)
    verification = lock.verification_seeds(revision, 200)
    assert len(set(verification)) == 200
    assert not set(first) & set(second)
    assert min(first) > 100_000 and max(second) < min(verification)
    told = "Freezing takes at least 20 calibration seeds, not 19."
    assert refused(lock.calibration_seeds, "c", 19, tmp_path) == told


def test_the_seeds_are_the_books_for_ever(tmp_path):
    """Others would make every stored run one of another lock."""
    assert lock.calibration_seeds("c", 20, tmp_path) == list(range(1_000_000, 1_000_020))
    append(tmp_path)
    assert lock.calibration_seeds("c", 21, tmp_path) == list(range(1_010_000, 1_010_021))
    words = [hashlib.sha256(f"abc/{k}".encode()).hexdigest()[:8] for k in range(3)]
    expected = [2**31 + int(word, 16) % 2**31 for word in words]
    assert lock.verification_seeds({"hash": "abc"}, 3) == expected


def test_every_refused_attempt_is_written_down(tmp_path, today):
    lock.refuse("c", [1, 2], "too weak", tmp_path)
    lock.refuse("c", [3], "weaker", tmp_path)
    data = json.loads(lock.path_of("c", tmp_path).read_text(encoding="utf-8"))
    assert data == {
        "chapter": "c",
        "revisions": [],
        "refused": [
            {"date": "2026-01-02", "calibration_seeds": [1, 2], "problem": "too weak"},
            {"date": "2026-01-02", "calibration_seeds": [3], "problem": "weaker"},
        ],
    }


def test_a_refused_attempt_spends_its_seeds(tmp_path):
    first = lock.calibration_seeds("c", 20, tmp_path)
    lock.refuse("c", first, "too weak", tmp_path)
    assert not set(first) & set(lock.calibration_seeds("c", 20, tmp_path))
    append(tmp_path)
    assert json.loads(lock.path_of("c", tmp_path).read_text())["refused"][0]["problem"] == "too weak"
    assert lock.calibration_seeds("c", 20, tmp_path)[0] == first[0] + 20_000


def test_a_moved_band_moves_the_verification_seeds(tmp_path):
    first, second = append(tmp_path), append(tmp_path, part(low=0.6))
    assert not set(lock.verification_seeds(first, 50)) & set(lock.verification_seeds(second, 50))
    assert lock.verification_seeds(first, 20) == lock.verification_seeds(first, 50)[:20]


def test_compare_names_what_moved(tmp_path):
    revision = append(tmp_path, part(), part("Second"))
    assert lock.compare(part()["definition"], revision, "c")["band_set"] == 1
    for definition, told in [
        (
            part(expect="fails", core=True)["definition"],
            "“It works” differs from its lock: expect is 'fails', frozen as 'holds'; core is True, frozen as None. "
            "A new band needs `make freeze CHAPTER=c`.",
        ),
        (
            part("Other")["definition"],
            "The part “Other” is not in the lock of 'c', whose parts are: It works; Second.",
        ),
    ]:
        with pytest.raises(MovedBand) as raised:
            lock.compare(definition, revision, "c")
        assert str(raised.value) == told


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    lock.write_atomically(path, "old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        lock.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_so_many_calibration_seeds_that_attempts_would_share_some_are_refused(tmp_path):
    assert len(lock.calibration_seeds("c", 10_000, tmp_path)) == 10_000
    with pytest.raises(EvidenceError, match="at most 10000"):
        lock.calibration_seeds("c", 10_001, tmp_path)
