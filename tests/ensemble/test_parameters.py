"""Stacking, picking and averaging parameters."""

import pytest
import torch
from torch import nn

from claimbook import ensemble


def perceptron():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


def test_average():
    params = ensemble.initialize(perceptron, range(4))
    weight = params["2.weight"]
    mean = ensemble.average(params)
    torch.testing.assert_close(mean["2.weight"], weight.mean(0, keepdim=True))
    two = ensemble.average(params, [[0.5, 0.5, 0, 0], [0, 0, 0, 1]])
    torch.testing.assert_close(two["2.weight"], torch.stack([weight[:2].mean(0), weight[3]]))
    assert ensemble.count(two) == 2


def test_pick_repeats():
    params = ensemble.initialize(perceptron, range(2))
    assert torch.equal(ensemble.pick(params, [1, 1, 0])["0.bias"], params["0.bias"][[1, 1, 0]])


def test_counts_and_shapes():
    params = ensemble.initialize(perceptron, range(3))
    with pytest.raises(ValueError, match="at least one member"):
        ensemble.stack([])
    with pytest.raises(ValueError, match="member 1 has parameters"):
        ensemble.stack([perceptron(), nn.Sequential(nn.Linear(6, 3))])
    with pytest.raises(ValueError, match="same number of members"):
        ensemble.count(params | {"0.bias": params["0.bias"][:2]})
    with pytest.raises(ValueError, match="at least one member"):
        ensemble.count(ensemble.pick(params, torch.empty(0, dtype=torch.long)))
    with pytest.raises(ValueError, match="weights must end in 3 members"):
        ensemble.average(params, [0.5, 0.5])
    with pytest.raises(ValueError, match="sum to one"):
        ensemble.average(params, [1.0, 1.0, 1.0])
