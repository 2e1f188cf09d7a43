"""Plain data as text: what passes between a test and a student's function, and nothing that can run.

Numbers, strings, truth values, None, lists, tuples, dictionaries with string keys, NumPy arrays and tensors of
numbers. The type of every object must be exactly one of these: an object of a class of the student's own, which
could answer "equal" to everything, does not pass.
"""

from __future__ import annotations

import base64
import json
import math
from types import EllipsisType

import numpy as np

DTYPES = ("bool", "uint8", "int32", "int64", "float32", "float64")
LARGEST = 20_000_000  # characters
DEEPEST = 20


class NotPlain(TypeError):
    """An object that is not plain data."""


def encode(value) -> str:
    """Return ``value`` as one line of JSON; raise `NotPlain` if it is not plain data or too large."""
    text = json.dumps(_pack(value, 0))
    if len(text) > LARGEST:
        raise NotPlain("the answer is too large")
    return text


def decode(text: str):
    """Return the value that `encode` wrote; raise `NotPlain` for anything else. Tensors come back as arrays."""
    if len(text) > LARGEST:
        raise NotPlain("the answer is too large")
    try:
        return _unpack(json.loads(text), 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise NotPlain("the answer is not plain data") from problem


def _pack(value, depth: int):
    kind = type(value)
    if depth > DEEPEST:
        raise NotPlain("the answer is nested too deeply")
    if value is None or kind in (bool, str):
        return value
    if kind is int:
        return value if abs(value) < 2**63 else {"?": "int", "text": str(value)[:1000]}
    if kind is float:
        return value if math.isfinite(value) else {"?": "float", "text": repr(value)}
    if kind is EllipsisType:
        return {"?": "..."}
    if kind in (list, tuple):
        return {"?": kind.__name__, "items": [_pack(item, depth + 1) for item in value]}
    if kind is dict:
        if any(type(key) is not str for key in value):
            raise NotPlain("a dictionary's keys should be strings")
        return {"?": "dict", "items": [[key, _pack(item, depth + 1)] for key, item in value.items()]}
    module = kind.__module__.partition(".")[0]
    if module == "torch" and hasattr(value, "detach"):
        return _pack(np.asarray(value.detach().cpu().numpy()), depth)
    if isinstance(value, np.generic):
        return _pack(value.item(), depth)
    if kind is np.ndarray:
        if value.dtype.name not in DTYPES:
            value = _nearest(value)
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {"?": "array", "dtype": value.dtype.name, "shape": list(value.shape), "data": data}
    raise NotPlain(
        f"an object of type {kind.__name__}, where numbers, arrays, strings, lists or dictionaries can pass"
    )


def _nearest(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind in "iu":
        return array.astype("int64")
    if array.dtype.kind == "f":
        return array.astype("float64")
    raise NotPlain(f"an array of {array.dtype}")


def _unpack(value, depth: int):
    if depth > 2 * DEEPEST:
        raise NotPlain("nested too deeply")
    if not isinstance(value, dict):
        if isinstance(value, list):
            raise NotPlain("not written by encode")
        return value
    kind = value["?"]
    if kind == "int":
        return int(value["text"])
    if kind == "float":
        return float(value["text"])
    if kind == "...":
        return ...
    if kind in ("list", "tuple"):
        items = [_unpack(item, depth + 1) for item in value["items"]]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {str(key): _unpack(item, depth + 1) for key, item in value["items"]}
    if kind == "array" and value["dtype"] in DTYPES:
        data = np.frombuffer(base64.b64decode(value["data"]), dtype=value["dtype"])
        return data.reshape([int(size) for size in value["shape"]]).copy()
    raise NotPlain("not written by encode")
