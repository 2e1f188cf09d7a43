"""A loss of one member, applied to all members of a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from claimbook.ensemble.parameters import refuse

Loss = Callable[..., Tensor]


def stacked(loss: Loss, targets: Tensor, settings: Mapping[str, Tensor]) -> Loss:
    """Return the loss of every member, `f(outputs, targets, settings)` to (members,).

    The two commonest losses, cross-entropy of class indices and mean squared error, are written out for a stack,
    because `vmap` would take a third of a small network's step for them. All others go through `vmap`.

    Parameters
    ----------
    loss : `loss(outputs, targets, **settings)` of one member, (batch, ...) and (batch, ...) to a scalar
    targets : all targets, (examples, ...)
    settings : keyword arguments of `loss`, each (members, ...)
    """
    indices = targets.ndim == 1 and not targets.is_floating_point() and bool((targets >= 0).all())
    if loss is F.cross_entropy and indices and not settings:
        return _cross_entropy
    if loss is F.mse_loss and not settings:
        return _mse
    return lambda outputs, goals, own: _mapped(loss, outputs, goals, own)


def _cross_entropy(outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
    by_class = outputs.mT  # the batch last, as stacked layers leave it: quick to go over
    return -by_class.log_softmax(1).gather(1, targets.unsqueeze(1).long()).mean((1, 2))


def _mse(outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
    refuse_broadcast(outputs, targets)
    return (outputs - targets).square().flatten(1).mean(1)


def refuse_broadcast(outputs: Tensor, targets: Tensor) -> None:
    """Refuse outputs and targets of different shapes, which `F.mse_loss` would pair all with all."""
    refuse(
        outputs.shape != targets.shape, f"outputs {tuple(outputs.shape)} do not fit {tuple(targets.shape)}"
    )


def _mapped(loss: Loss, outputs: Tensor, targets: Tensor, settings: Mapping[str, Tensor]) -> Tensor:
    each = vmap(lambda o, t, s: loss(o, t, **s))(outputs, targets, dict(settings))
    shape = tuple(each.shape[1:])
    refuse(len(shape) > 0, f"loss must return one number per member, got shape {shape} for each")
    return each
