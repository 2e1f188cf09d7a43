import numpy as np
import pytest

from claimbook import seeds

# Of the stream "a", unit 1, under the root 0.
SEQUENCE = [131691621, 1269558625]
NUMPY = [516, 818, 741]
TORCH = 2726356387430709810


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


def test_the_streams_are_the_books_for_ever(monkeypatch):
    """Other streams would make every stored result another one."""
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("CLAIMBOOK_SEED", raising=False)
    assert seeds.sequence("a", 1).generate_state(2).tolist() == SEQUENCE
    assert seeds.numpy("a", 1).integers(1000, size=3).tolist() == NUMPY
    assert seeds.torch("a", 1).initial_seed() == TORCH
    assert torch.equal(
        torch.rand(3, generator=seeds.torch("a", 1)),
        torch.rand(3, generator=torch.Generator().manual_seed(TORCH)),
    )


@pytest.mark.parametrize(
    ("text", "root"), [(None, 0), ("", 0), ("  ", 0), (" 7 ", 7), ("007", 7), ("0", 0), (str(2**70), 2**70)]
)
def test_roots(monkeypatch, text, root):
    monkeypatch.delenv("CLAIMBOOK_SEED", raising=False)
    if text is not None:
        monkeypatch.setenv("CLAIMBOOK_SEED", text)
    assert seeds.root() == root


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "٣"])
def test_a_bad_root_is_refused(monkeypatch, text):
    monkeypatch.setenv("CLAIMBOOK_SEED", text)
    with pytest.raises(ValueError) as raised:
        seeds.root()
    assert str(raised.value) == f"CLAIMBOOK_SEED must be a non-negative integer, not {text!r}."


def test_bad_names_and_keys_are_refused():
    for name in ("", 3, None):
        with pytest.raises(ValueError, match=r"^A stream needs a name, a non-empty string\.$"):
            seeds.numpy(name)
    for key in (-1, 0.5, "x"):
        with pytest.raises(ValueError) as raised:
            seeds.numpy("a", 0, key)
        assert str(raised.value) == (
            f"The key of a stream consists of non-negative integers below 2**32, not {(0, key)!r}."
        )
    with pytest.raises(ValueError, match="name"):
        seeds.numpy("")
    for key in (-1, 0.5, "x", 2**32, 2**32 + 5):  # numpy would take the last for the key (5, 1)
        with pytest.raises(ValueError, match="key"):
            seeds.numpy("a", key)
    assert seeds.sequence("a", np.int64(3)).spawn_key == (3,)
    assert seeds.sequence("a", 2**32 - 1).spawn_key == (2**32 - 1,)
    assert type(seeds.sequence("a", np.int64(3)).spawn_key[0]) is int


def test_units():
    assert list(seeds.units(5)) == [0, 1, 2, 3, 4] and len(seeds.units()) == 10
    assert seeds.units(1) == range(1)
    with pytest.raises(ValueError, match=r"^At least one unit is needed, not 0\.$"):
        seeds.units(0)
    for count in (2.5, 3.0, "3", None, True, float("nan")):
        with pytest.raises(ValueError, match="count of units is an integer"):
            seeds.units(count)
    assert seeds.units(np.int64(3)) == range(3)
