import numpy as np
import pytest
import torch

from claimbook.coursework import plain


@pytest.mark.parametrize(
    "value",
    [None, True, 3, -(2**70), 2.5, float("inf"), "é\n", [1, [2.0]], (1, (True,)), {"a": [1], "b": None}, ...],
)
def test_there_and_back(value):
    back = plain.decode(plain.encode(value))
    assert back == value and type(back) is type(value)


def test_nan():
    assert np.isnan(plain.decode(plain.encode(float("nan"))))


@pytest.mark.parametrize("dtype", plain.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_arrays(dtype, shape):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    back = plain.decode(plain.encode(array))
    assert back.dtype == array.dtype and back.shape == shape and np.array_equal(back, array)
    assert back.flags.writeable


def test_what_becomes_plain():
    assert np.array_equal(plain.decode(plain.encode(torch.ones(2, requires_grad=True))), [1, 1])
    assert type(plain.decode(plain.encode(np.float32(1)))) is float
    assert plain.decode(plain.encode(np.arange(3, dtype="int8"))).dtype == np.int64
    assert np.array_equal(
        plain.decode(plain.encode(np.arange(6).reshape(2, 3).T)), np.arange(6).reshape(2, 3).T
    )


class Same(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__


class Fake(np.ndarray):
    pass


@pytest.mark.parametrize(
    "value",
    [
        Same(1),
        object(),
        len,
        {1, 2},
        {1: 2},
        b"x",
        1j,
        np.array(["a"]),
        np.array([object()]),
        np.zeros(2).view(Fake),
    ],
)
def test_what_is_not_plain(value):
    with pytest.raises(plain.NotPlain):
        plain.encode([value])


def test_too_deep_and_too_large():
    nested = []
    for _ in range(100):
        nested = [nested]
    with pytest.raises(plain.NotPlain, match="deeply"):
        plain.encode(nested)
    with pytest.raises(plain.NotPlain, match="large"):
        plain.encode(np.zeros(plain.LARGEST))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        "nonsense",
        '{"?": "all"}',
        "{}",
        '{"?": "array", "dtype": "object", "shape": [1], "data": ""}',
        '{"?": "array", "dtype": "float64", "shape": [9], "data": "AAAA"}',
        '{"?": "list", "items": 3}',
        "[" * 100_000,
        '{"?": "dict", "items": [1]}',
        "x" * (plain.LARGEST + 1),
    ],
)
def test_what_encode_never_writes_is_refused(text):
    with pytest.raises(plain.NotPlain):
        plain.decode(text)
