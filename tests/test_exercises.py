import numpy as np
import pytest

from claimbook.exercises import compare


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (..., "No answer yet"),
        (2.0, "Right."),
        (2.01, "Right."),
        (2.5, "Not yet. Think."),
        ([2.0, 2.0], "shape"),
        ("two", "number"),
        (float("nan"), "Not yet."),
    ],
)
def test_compare(capsys, answer, says):
    compare(answer, lambda: 2.0, hint="Think.")
    assert says in capsys.readouterr().out


def test_the_truth_is_not_computed_before_there_is_an_answer(capsys):
    compare(..., lambda: pytest.fail("computed"))


INFINITY = float("inf")


@pytest.mark.parametrize(
    ("answer", "truth", "says"),
    [
        (3.0, INFINITY, "Not yet."),  # within any share of infinity
        (-INFINITY, INFINITY, "Not yet."),
        (INFINITY, INFINITY, "Right."),
        ([1.0, INFINITY], [1.0, INFINITY], "Right."),
        (np.array([2 + 5j]), [2.0], "number"),
        (np.ma.masked_array([2.0, 3.0], [False, True]), [2.0, 3.0], "number"),
        (10**400, 2.0, "number"),
        (None, 2.0, "Not yet."),
        ([[1], [1, 2]], 2.0, "number"),
        ({2.0}, 2.0, "number"),
    ],
)
def test_answers_of_every_kind(capsys, recwarn, answer, truth, says):
    compare(answer, lambda: truth)
    assert says in capsys.readouterr().out
    assert not recwarn


def test_a_tensor_with_a_gradient_is_told_so(capsys):
    torch = pytest.importorskip("torch")
    compare(torch.tensor(2.0, requires_grad=True), lambda: 2.0)
    assert "not Tensor" in capsys.readouterr().out


@pytest.mark.parametrize("tolerance", [-1, float("nan"), "a", None])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance"):
        compare(2.0, lambda: 2.0, tolerance=tolerance)


def test_a_truth_that_no_answer_can_meet_is_refused():
    with pytest.raises(ValueError, match="truth"):
        compare(2.0, lambda: float("nan"))
