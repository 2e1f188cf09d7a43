"""One root seed from which every generator of the book is spawned, by name.

A stream depends on the root, on its name and on the unit it serves, and on nothing else: adding a cell, a
chapter or a unit changes no other stream. The root is the environment variable ``CLAIMBOOK_SEED`` (default 0).
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch as _torch


def root() -> int:
    """Return the book's root seed, a non-negative integer.

    Raises
    ------
    ValueError
        If ``CLAIMBOOK_SEED`` is set to anything but a non-negative integer.
    """
    text = os.environ.get("CLAIMBOOK_SEED", "0").strip() or "0"
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"CLAIMBOOK_SEED must be a non-negative integer, not {text!r}.")
    return int(text)


def sequence(name: str, *key: int) -> np.random.SeedSequence:
    """Return the seed sequence of the stream ``name``, for the unit (or units) ``key``.

    Parameters
    ----------
    name : str
        What the stream is for, for example ``"long_tail/training set"``.
    *key : int
        Non-negative integers below 2**32, most often the index of the unit.
    """
    if not isinstance(name, str) or not name:
        raise ValueError("A stream needs a name, a non-empty string.")
    if any(not isinstance(k, (int, np.integer)) or not 0 <= k < 2**32 for k in key):
        # SeedSequence would cut a larger one in two, and take it for the key of another unit
        raise ValueError(f"The key of a stream consists of non-negative integers below 2**32, not {key!r}.")
    words = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=np.uint32)
    return np.random.SeedSequence([root(), *words.tolist()], spawn_key=tuple(int(k) for k in key))


def numpy(name: str, *key: int) -> np.random.Generator:
    """Return a NumPy generator for the stream ``name`` and the unit ``key``; see `sequence`."""
    return np.random.default_rng(sequence(name, *key))


def torch(name: str, *key: int) -> _torch.Generator:
    """Return a CPU torch generator for the stream ``name`` and the unit ``key``; see `sequence`."""
    import torch as pytorch

    seed = int(sequence(name, *key).generate_state(1, np.uint64)[0] >> np.uint64(1))
    return pytorch.Generator().manual_seed(seed)


def units(count: int = 10) -> range:
    """Return the indices of ``count`` units; ten is the book's default, five the least that a check takes."""
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool):
        raise ValueError(f"The count of units is an integer, not {count!r}.")
    if count < 1:
        raise ValueError(f"At least one unit is needed, not {count}.")
    return range(count)
