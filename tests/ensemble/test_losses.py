"""Losses of all members at once: those that are written out, and all others."""

import pytest
import torch
from torch.nn import functional as F

from claimbook.ensemble import losses


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


CLASSES = torch.tensor([[0, 2, 1, 1], [2, 2, 0, 1], [1, 0, 0, 2]])


def one_by_one(loss, outputs, targets, settings=None):
    own = [{name: value[k] for name, value in (settings or {}).items()} for k in range(len(outputs))]
    return torch.stack([loss(o, t, **s) for o, t, s in zip(outputs, targets, own, strict=True)])


@pytest.mark.parametrize(
    ("loss", "outputs", "targets"),
    [
        (F.cross_entropy, draws(3, 4, 5), CLASSES),
        (F.cross_entropy, draws(3, 4, 5), draws(3, 4, 5, seed=1).softmax(-1)),  # probabilities as targets
        (F.cross_entropy, draws(3, 4, 5), CLASSES.masked_fill(CLASSES == 2, -100)),  # left out of the mean
        (F.mse_loss, draws(3, 4, 5), draws(3, 4, 5, seed=1)),
        (F.mse_loss, draws(3, 4, 5, 2), draws(3, 4, 5, 2, seed=1)),
        (F.l1_loss, draws(3, 4, 5), draws(3, 4, 5, seed=1)),
    ],
)
def test_a_stack_s_losses_are_those_of_its_members(loss, outputs, targets):
    whole = targets.flatten(0, 1)  # all targets, from which batches are drawn
    found = losses.stacked(loss, whole, {})(outputs, targets, {})
    assert found.shape == (3,)
    torch.testing.assert_close(found, one_by_one(loss, outputs, targets))


def test_settings_are_the_members_own():
    def smooth(outputs, targets, strength):
        return F.cross_entropy(outputs, targets) + strength * outputs.square().mean()

    def scaled(outputs, targets, reduction):
        return reduction * (outputs - targets).abs().mean()

    outputs, own = draws(3, 4, 5), {"strength": torch.tensor([0.0, 1.0, 2.0])}
    found = losses.stacked(smooth, CLASSES.flatten(), own)(outputs, CLASSES, own)
    torch.testing.assert_close(found, one_by_one(smooth, outputs, CLASSES, own))
    own = {"weight": draws(3, 5, seed=2).exp()}
    found = losses.stacked(F.cross_entropy, CLASSES.flatten(), own)(outputs, CLASSES, own)
    torch.testing.assert_close(found, one_by_one(F.cross_entropy, outputs, CLASSES, own))
    goals, own = draws(3, 4, 5, seed=1), {"weight": draws(3, 4, 5, seed=3).exp()}
    found = losses.stacked(F.mse_loss, goals, own)(outputs, goals, own)
    torch.testing.assert_close(found, one_by_one(F.mse_loss, outputs, goals, own))


@pytest.mark.parametrize(
    ("loss", "targets", "written_out"),
    [
        (F.cross_entropy, torch.tensor([0, 1]), losses._cross_entropy),
        (F.cross_entropy, torch.tensor([0, -100]), None),
        (F.cross_entropy, torch.tensor([0.0, 1.0]), None),
        (F.cross_entropy, torch.tensor([[0], [1]]), None),
        (F.nll_loss, torch.tensor([0, 1]), None),
        (F.mse_loss, torch.tensor([0, 1]), losses._mse),
        (F.mse_loss, torch.tensor([[0.0], [-1.0]]), losses._mse),
    ],
)
def test_the_two_commonest_are_written_out(loss, targets, written_out):
    found = losses.stacked(loss, targets, {})
    assert found is written_out if written_out else found not in (losses._cross_entropy, losses._mse)
    own = losses.stacked(loss, targets, {"weight": torch.ones(1)})
    assert own not in (losses._cross_entropy, losses._mse)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"^outputs \(3, 4, 1\) do not fit \(3, 4\)$"):
        losses.stacked(F.mse_loss, torch.zeros(9), {})(torch.zeros(3, 4, 1), torch.zeros(3, 4), {})

    def each(outputs, targets):
        return (outputs - targets).square()

    with pytest.raises(
        ValueError, match=r"^loss must return one number per member, got shape \(4, 5\) for each$"
    ):
        losses.stacked(each, torch.zeros(9), {})(torch.zeros(3, 4, 5), torch.zeros(3, 4, 5), {})
    with pytest.raises(ValueError, match=r"got shape \(4,\) for each$"):
        losses.stacked(each, torch.zeros(9), {})(torch.zeros(3, 4), torch.zeros(3, 4), {})
