"""Optimizers of stacked parameters, with a rate and a decay for each member."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def _like(rate: Tensor, p: Tensor) -> Tensor:
    """One number per member, shaped to multiply a stacked parameter."""
    return rate.view(-1, *[1] * (p.ndim - 1))


class AdamW:
    """AdamW (Loshchilov and Hutter 2019, Algorithm 2), as `torch.optim.AdamW`: the decay is decoupled."""

    decoupled = True

    def __init__(self, leaves: Sequence[Tensor], momentum: float, betas: tuple[float, float]) -> None:
        self.state = [(p, *(torch.zeros_like(p) for _ in range(3))) for p in leaves]
        self.betas, self.step = betas, 0

    def __call__(self, gradients: Sequence[Tensor], rate: Tensor, decay: Tensor) -> None:
        self.step += 1
        first, second = self.betas
        unbias = math.sqrt(1 - second**self.step)
        decays = bool(decay.any())
        for (p, mean, square, scale), gradient in zip(self.state, gradients, strict=True):
            if decays and self.decoupled:
                p.mul_(_like(1 - rate * decay, p))
            elif decays:
                gradient = gradient.addcmul(p, _like(decay, p))
            mean.lerp_(gradient, 1 - first)
            square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
            torch.add(square, 1e-30, out=scale).sqrt_()  # the root of exact zeros is ten times slower
            torch.div(mean, scale.div_(unbias).add_(1e-8), out=scale)
            p.addcmul_(scale, _like(rate, p), value=-1 / (1 - first**self.step))


class Adam(AdamW):
    """Adam (Kingma and Ba 2015, Algorithm 1), as `torch.optim.Adam`: the decay is added to the gradient."""

    decoupled = False


class SGD:
    """SGD with heavy-ball momentum, as `torch.optim.SGD`: the decay is added to the gradient."""

    def __init__(self, leaves: Sequence[Tensor], momentum: float, betas: tuple[float, float]) -> None:
        self.state, self.momentum = [(p, torch.zeros_like(p)) for p in leaves], momentum

    def __call__(self, gradients: Sequence[Tensor], rate: Tensor, decay: Tensor) -> None:
        for (p, velocity), gradient in zip(self.state, gradients, strict=True):
            velocity.mul_(self.momentum).add_(gradient).addcmul_(p, _like(decay, p))
            p.addcmul_(velocity, _like(rate, p), value=-1)


STACKED = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def fused(
    name: str,
    leaves: Sequence[Tensor],
    rate: float,
    decay: float,
    momentum: float,
    betas: tuple[float, float],
) -> torch.optim.Optimizer:
    """The same optimizer for one member, from PyTorch, one kernel for each parameter."""
    if name == "sgd":
        return torch.optim.SGD(leaves, lr=rate, weight_decay=decay, momentum=momentum, fused=True)
    kind = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return kind(leaves, lr=rate, weight_decay=decay, betas=betas, fused=True)
