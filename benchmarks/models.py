"""The four networks that `make bench` trains, and how much faster than a plain loop they should be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Case:
    """A network, its batch, and what is asked of an ensemble of it.

    Attributes
    ----------
    factory : builds one network
    batch : examples in a batch
    members : networks in the ensemble
    steps : training steps of a measurement
    shape : of one input
    floor, ambition : times faster than the loop, with two processes
    says : its name in the table
    """

    factory: Callable[[], nn.Module]
    batch: int
    members: int
    steps: int
    shape: tuple[int, ...] = (64,)
    floor: float = 0.0
    ambition: float = 0.0
    says: str = ""


def perceptron(*widths: int) -> Callable[[], nn.Module]:
    """What builds a chain of linear layers with ReLUs between."""

    def build() -> nn.Module:
        layers = []
        for n_in, n_out in itertools.pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    return build


class Block(nn.Module):
    """A block of a transformer: attention, then a perceptron, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        split = self.mix(self.first(x)).view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind()
        weights = (query @ key.mT / (width // self.heads) ** 0.5).softmax(-1)
        x = x + self.out((weights @ value).transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(F.gelu(self.up(self.second(x))))


class Transformer(nn.Module):
    """Two blocks of width 32 over 16 tokens, each token 16 numbers; the last token is classified."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Linear(16, 32), nn.Parameter(0.02 * torch.randn(16, 32))
        self.blocks = nn.Sequential(Block(32, heads=4), Block(32, heads=4))
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.embed(x) + self.place))[:, -1])


def convnet() -> nn.Module:
    """Two convolutions over images of 8 by 8 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 64, 10),
    )


MODELS = {
    "narrow": Case(
        perceptron(64, 32, 32, 10),
        32,
        32,
        100,
        floor=10,
        ambition=30,
        says="perceptron 64-32-32-10, batch 32",
    ),
    "wide": Case(
        perceptron(64, 128, 128, 10),
        128,
        32,
        40,
        floor=2.5,
        ambition=4,
        says="perceptron 64-128-128-10, batch 128",
    ),
    "transformer": Case(
        Transformer, 64, 16, 40, (16, 16), floor=2, ambition=3.5, says="transformer, 2 blocks of 32, batch 64"
    ),
    "convnet": Case(
        convnet, 32, 16, 80, (1, 8, 8), floor=1.6, ambition=2.5, says="convnet, 16 and 32 channels, batch 32"
    ),
}


@cache
def examples(case: Case) -> tuple[Tensor, Tensor]:
    """Inputs and labels without meaning: only the time counts."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(512, *case.shape, generator=generator), torch.randint(10, (512,), generator=generator)
