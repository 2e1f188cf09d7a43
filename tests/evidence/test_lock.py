import json

import pytest

from claimbook.evidence import EvidenceError, MovedBand, NotFrozen, lock


def part(name="It works", low=0.5, chance=1.0, **changes):
    band = {"low": low, "high": None, "null": 0.0, "kind": "effect", "why": "w"}
    definition = {"name": name, "band": band, "expect": "holds", "controls": [], "planted": None, **changes}
    shown = {name: {"mean": [0.6], "sd_between_units": [0.2], "repeated": 19}}
    return {"definition": definition, "calibration": {"chances": {name: chance}, "shown": shown, "seeds": 20}}


def append(folder, *parts):
    return lock.append("c", list(parts) or [part()], [], "supported", list(range(20)), folder)


def test_revisions_are_only_ever_added(tmp_path):
    first = append(tmp_path)
    second = append(tmp_path, part(low=0.6))
    assert [r["revision"] for r in lock.revisions("c", tmp_path)] == [1, 2]
    assert second["previous"] == first["hash"]
    assert second["parts"][0]["band_set"] == 2
    assert append(tmp_path, part(low=0.6), part("Another"))["parts"][0]["band_set"] == 2


def test_freezing_twice_without_a_change_is_refused(tmp_path):
    append(tmp_path)
    with pytest.raises(EvidenceError, match="nothing changed"):
        append(tmp_path)


def test_an_unsafe_part_is_not_frozen(tmp_path):
    with pytest.raises(EvidenceError, match=r"chance of 0\.9900 only \(mean \[0\.6\], standard dev"):
        append(tmp_path, part(chance=0.99))
    assert lock.revisions("c", tmp_path) == []


@pytest.mark.parametrize("edit", [("verdict", "partly supported"), ("calibration_seeds", [1])])
def test_an_edited_lock_is_noticed(tmp_path, edit):
    append(tmp_path)
    path = lock.path_of("c", tmp_path)
    data = json.loads(path.read_text())
    data["revisions"][0][edit[0]] = edit[1]
    path.write_text(json.dumps(data))
    with pytest.raises(EvidenceError, match="edited"):
        lock.revisions("c", tmp_path)


def test_a_removed_revision_is_noticed(tmp_path):
    append(tmp_path)
    append(tmp_path, part(low=0.6))
    path = lock.path_of("c", tmp_path)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "revisions": data["revisions"][1:]}))
    with pytest.raises(EvidenceError, match="edited"):
        lock.current("c", tmp_path)


def test_no_lock(tmp_path):
    with pytest.raises(NotFrozen):
        lock.current("c", tmp_path)


def test_seeds_of_the_three_kinds_never_meet(tmp_path):
    first = lock.calibration_seeds("c", 30, tmp_path)
    revision = append(tmp_path)
    second = lock.calibration_seeds("c", 30, tmp_path)
    verification = lock.verification_seeds(revision, 200)
    assert len(set(verification)) == 200
    assert not set(first) & set(second)
    assert min(first) > 100_000 and max(second) < min(verification)
    with pytest.raises(EvidenceError, match="at least 20"):
        lock.calibration_seeds("c", 5, tmp_path)


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
    revision = append(tmp_path)
    assert lock.compare(part()["definition"], revision, "c")["band_set"] == 1
    with pytest.raises(MovedBand, match="expect is 'fails', frozen as 'holds'"):
        lock.compare(part(expect="fails")["definition"], revision, "c")
    with pytest.raises(MovedBand, match="not in the lock"):
        lock.compare(part("Other")["definition"], revision, "c")


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
