"""Stacked optimizers do to each member what PyTorch's own do to it alone, to the last digits."""

import pytest
import torch

from claimbook.ensemble import optimizers

RATES, MOMENTUM, BETAS = torch.tensor([0.1, 0.01, 0.3], dtype=torch.float64), 0.7, (0.8, 0.95)


def draws(*shape, seed):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("decays", [(0.0, 0.0, 0.0), (0.0, 0.2, 0.5)])
@pytest.mark.parametrize("name", list(optimizers.STACKED))
def test_each_member_is_what_it_is_alone(name, decays):
    """Over ten steps, with gradients from large to so small that the constant in Adam's denominator counts."""
    leaves = [draws(3, seed=0), draws(3, 4, seed=1), draws(3, 2, 5, seed=2)]
    alone = [[leaf[k].clone().requires_grad_() for leaf in leaves] for k in range(3)]
    stacked = optimizers.STACKED[name](leaves, MOMENTUM, BETAS)
    singles = [
        optimizers.fused(name, own, rate, decay, MOMENTUM, BETAS)
        for own, rate, decay in zip(alone, RATES.tolist(), decays, strict=True)
    ]
    for step in range(10):
        gradients = [draws(*leaf.shape, seed=10 + step) * 10.0 ** -(k * 4) for k, leaf in enumerate(leaves)]
        gradients[1][:, 0] = 0.0
        for k, single in enumerate(singles):
            for p, gradient in zip(alone[k], gradients, strict=True):
                p.grad = gradient[k].clone()
            single.step()
        stacked([g.clone() for g in gradients], RATES, torch.tensor(decays, dtype=torch.float64))
    for leaf, *own in zip(leaves, *alone, strict=True):
        torch.testing.assert_close(leaf, torch.stack([p.detach() for p in own]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", list(optimizers.STACKED))
def test_every_leaf_needs_its_gradient(name):
    stacked = optimizers.STACKED[name]([torch.zeros(3), torch.zeros(3, 2)], MOMENTUM, BETAS)
    with pytest.raises(ValueError, match="zip"):
        stacked([torch.zeros(3)], torch.ones(3), torch.zeros(3))


@pytest.mark.parametrize(
    ("name", "kind", "own"),
    [
        ("sgd", torch.optim.SGD, {"momentum": MOMENTUM}),
        ("adam", torch.optim.Adam, {"betas": BETAS}),
        ("adamw", torch.optim.AdamW, {"betas": BETAS}),
    ],
)
def test_one_member_s_optimizer_is_pytorch_s_fused_one(name, kind, own):
    found = optimizers.fused(name, [torch.zeros(3, requires_grad=True)], 0.1, 0.2, MOMENTUM, BETAS)
    assert type(found) is kind
    told = {"lr": 0.1, "weight_decay": 0.2, "fused": True, **own}
    assert {key: found.defaults[key] for key in told} == told
