import numpy as np
import pytest

from claimbook import seeds


def test_a_stream_depends_on_root_name_and_unit_alone(monkeypatch):
    first = seeds.numpy("a", 1).random(4)
    seeds.numpy("b", 1).random(100)
    assert (seeds.numpy("a", 1).random(4) == first).all()
    others = [seeds.numpy("b", 1), seeds.numpy("a", 2), seeds.numpy("a"), seeds.numpy("a", 1, 0)]
    assert all((other.random(4) != first).all() for other in others)
    monkeypatch.setenv("CLAIMBOOK_SEED", "7")
    assert (seeds.numpy("a", 1).random(4) != first).all()


def test_torch_streams_too(monkeypatch):
    torch = pytest.importorskip("torch")
    first = torch.rand(4, generator=seeds.torch("a", 1))
    assert torch.equal(torch.rand(4, generator=seeds.torch("a", 1)), first)
    assert not torch.equal(torch.rand(4, generator=seeds.torch("a", 2)), first)
    monkeypatch.setenv("CLAIMBOOK_SEED", "7")
    assert not torch.equal(torch.rand(4, generator=seeds.torch("a", 1)), first)


def test_streams_of_many_names_and_units_differ():
    states = {tuple(seeds.sequence(name, k).generate_state(2)) for name in "abcdefgh" for k in range(100)}
    assert len(states) == 800


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "٣"])
def test_a_bad_root_is_refused(monkeypatch, text):
    monkeypatch.setenv("CLAIMBOOK_SEED", text)
    with pytest.raises(ValueError, match="non-negative integer"):
        seeds.root()


def test_bad_names_and_keys_are_refused():
    with pytest.raises(ValueError, match="name"):
        seeds.numpy("")
    for key in (-1, 0.5, "x", 2**32 + 5):  # numpy would take the last for the key (5, 1)
        with pytest.raises(ValueError, match="key"):
            seeds.numpy("a", key)
    assert seeds.sequence("a", np.int64(3)).spawn_key == (3,)


def test_units():
    assert list(seeds.units(5)) == [0, 1, 2, 3, 4] and len(seeds.units()) == 10
    with pytest.raises(ValueError, match="unit"):
        seeds.units(0)
    for count in (2.5, 3.0, "3", None, True, float("nan")):
        with pytest.raises(ValueError, match="count of units is an integer"):
            seeds.units(count)
    assert seeds.units(np.int64(3)) == range(3)
