"""Streams against numpy.random.SeedSequence, from which they are made."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from claimbook import seeds

from .settings import few, many

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
KEYS = st.lists(st.sampled_from([0, 1, 2**16, 2**32 - 1]) | st.integers(0, 1000), max_size=3)


@many
@given(name=NAMES, key=KEYS)
def test_a_unit_is_a_child_that_numpy_spawns(name, key):
    """Against SeedSequence.spawn: unit k of a stream is the k-th child, unit (k, l) that child's l-th."""
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32).tolist()
    key = [k % 5 for k in key]
    expected = np.random.SeedSequence([0, *words])
    for k in key:
        expected = expected.spawn(k + 1)[k]
    found = seeds.sequence(name, *key)
    assert (found.generate_state(8) == expected.generate_state(8)).all()
    assert (seeds.numpy(name, *key).random(3) == np.random.default_rng(expected).random(3)).all()


@many
@given(streams=st.lists(st.tuples(NAMES, KEYS.map(tuple)), min_size=2, max_size=6, unique=True))
@example(streams=[("a", ()), ("a", (0,)), ("a", (0, 0)), ("a ", ()), ("A", ()), ("a0", ())])
@example(streams=[("a/1", (1,)), ("a", (1, 1)), ("a/11", ())])
def test_different_streams_have_different_states(streams):
    """Against counting: 128 bits of each stream, and the seeds that torch gets, are all distinct."""
    states = {tuple(seeds.sequence(name, *key).generate_state(4)) for name, key in streams}
    starts = {seeds.torch(name, *key).initial_seed() for name, key in streams}
    assert len(states) == len(starts) == len(streams)


@few
@given(root=st.sampled_from([1, 2**31, 2**32 - 1, 2**32, 2**64 + 5, 10**40]) | st.integers(1, 2**40))
def test_a_root_of_any_size_is_used_whole(root):
    """Against SeedSequence's own reading of an integer: roots that agree in their last 32 bits differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLAIMBOOK_SEED", str(root))
        found = seeds.sequence("a").generate_state(4)
        patch.setenv("CLAIMBOOK_SEED", str(root % 2**32))
        low = seeds.sequence("a").generate_state(4)
    assert (found == low).all() == (root < 2**32)


def test_streams_of_neighbouring_units_are_uncorrelated():
    """Against numpy.corrcoef of the draws, of NumPy's and of torch's generators."""
    draws = np.stack([seeds.numpy("correlation", k).normal(size=2000) for k in range(20)])
    normal = torch.stack([torch.randn(2000, generator=seeds.torch("correlation", k)) for k in range(20)])
    for table in (draws, normal.numpy(), np.concatenate([draws, normal.numpy()])):
        between = [abs(np.corrcoef(a, b)[0, 1]) for a, b in combinations(table, 2)]
        assert max(between) < 5 / 2000**0.5
