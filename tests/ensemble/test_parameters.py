"""Stacking, picking and averaging parameters."""

import numpy as np
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


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([0.5, 0.6], "integers or generators, got 0.5"),  # rounded, they would give two members of one start
        ([float("nan")], "integers or generators"),
        (["1"], "integers or generators"),
        ([None], "integers or generators"),
        ([2**70], "64 bits"),
        (3, "must be a list"),
        (torch.Generator(), "must be a list"),
    ],
)
def test_seeds_that_are_none(seeds, message):
    with pytest.raises(ValueError, match=message):
        ensemble.initialize(perceptron, seeds)


def test_seeds_of_every_kind_of_integer():
    plain = ensemble.initialize(perceptron, [0, 1])
    for seeds in (np.arange(2), torch.arange(2), [np.int8(0), True]):
        assert torch.equal(ensemble.initialize(perceptron, seeds)["0.weight"], plain["0.weight"])


@pytest.mark.parametrize("factory", [perceptron(), None, "perceptron"])
def test_what_builds_no_network(factory):
    with pytest.raises(ValueError, match="factory must be what builds a network"):
        ensemble.initialize(factory, [0])


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)),
            "a list of networks",
        ),  # else: its layers are the members
        ({"w": torch.zeros(2)}, "a list of networks"),
        (None, "a list of networks"),
        ([None], "member 0 must be a network"),
        ([perceptron(), "w"], "member 1 must be a network"),
        ([{"w": [1.0]}], "member 0 must be a network"),
    ],
)
def test_what_is_no_list_of_networks(networks, message):
    with pytest.raises(ValueError, match=message):
        ensemble.stack(networks)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "no parameters"),
        ({"w": torch.tensor(1.0)}, "'w'"),
        ({"w": torch.zeros(0, 2)}, "at least one member"),
    ],
)
def test_what_has_no_members(params, message):
    with pytest.raises(ValueError, match=message):
        ensemble.count(params)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (1, "a list of indices"),  # else the axis of members is lost, and the next one taken for it
        ([[0, 1]], "a list of indices"),
        ([0.5], "whole numbers"),
        ([3], "between 0 and 2"),
        ([-4], "between 0 and 2"),
        ([True, False], "yes or no to each of 3"),
    ],
)
def test_members_that_there_are_not(members, message):
    with pytest.raises(ValueError, match=message):
        ensemble.pick(ensemble.initialize(perceptron, range(3)), members)


def test_members_by_every_kind_of_index():
    bias = {"b": torch.arange(3.0)}
    for members in (
        [0, 2],
        range(0, 3, 2),
        [True, False, True],
        [0, -1],
        torch.tensor([0, 2], dtype=torch.uint8),
    ):
        assert ensemble.pick(bias, members)["b"].tolist() == [0.0, 2.0]
    assert ensemble.pick(bias, [])["b"].shape == (0,)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([float("nan"), 0.5, 0.5], "sum to one"),
        ([float("inf"), -float("inf"), 1.0], "sum to one"),
        (torch.tensor([1 + 1j, 0, 0]), "real"),
        (torch.empty(0, 3), "at least one row"),
        (1.0, "end in 3 members"),
        (torch.full((2, 2, 3), 1 / 3), "end in 3 members"),
    ],
)
def test_weights_that_make_no_average(weights, message):
    with pytest.raises(ValueError, match=message):
        ensemble.average(ensemble.initialize(perceptron, range(3)), weights)


def test_whole_numbers_have_no_average():
    with pytest.raises(ValueError, match="floating-point"):
        ensemble.average({"steps": torch.tensor([1, 2])})
