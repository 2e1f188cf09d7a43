"""Stacking, picking and averaging parameters."""

import numpy as np
import pytest
import torch
from torch import nn

from claimbook import ensemble
from claimbook.ensemble import parameters


def refused(call, *arguments):
    """Return the message with which a call is refused."""
    with pytest.raises(ValueError) as raised:
        call(*arguments)
    return str(raised.value)


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


def test_a_member_depends_on_its_seed_alone():
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(7)
    params = ensemble.initialize(perceptron, [3, generator, 7])
    assert torch.equal(torch.get_rng_state(), before)
    for name, p in ensemble.initialize(perceptron, [7, 3]).items():
        assert torch.equal(p, params[name][[1, 0]]) and torch.equal(params[name][1], params[name][2])
        assert not p.requires_grad
    once = torch.Generator().manual_seed(7)
    seed = int(torch.randint(2**62, (), generator=once))
    assert torch.equal(generator.get_state(), once.get_state())  # advanced by one draw
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weight = perceptron()[0].weight
    assert torch.equal(params["0.weight"][1], weight)


def test_stacking_takes_networks_and_their_parameters():
    networks = [perceptron() for _ in range(2)]
    params = ensemble.stack([networks[0], dict(networks[1].named_parameters())])
    assert list(params) == [name for name, _ in networks[0].named_parameters()]
    for name, p in params.items():
        assert torch.equal(p, torch.stack([dict(n.named_parameters())[name] for n in networks]))
    assert ensemble.count(params) == 2


def test_averages_keep_the_type_and_allow_rounding():
    params = {"a": torch.arange(6, dtype=torch.float64).view(3, 2)}
    found = ensemble.average(params, [0.5, 0.75, -0.25])["a"]
    assert found.dtype == torch.float64 and found.tolist() == [[0.5, 1.5]]
    ensemble.average(params, [0.5, 0.5, 0.00005])
    assert ensemble.average(params, torch.eye(3, dtype=torch.long))["a"].tolist() == params["a"].tolist()


class Twice(nn.Module):
    """A module whose two layers may share their weight, with a buffer."""

    def __init__(self, shared=False, extra=None):
        super().__init__()
        self.one, self.two, self.extra = nn.Linear(3, 3), nn.Linear(3, 3), extra
        if shared:
            self.two.weight = self.one.weight


TOLD_SHARED = "layers that share a parameter cannot be stacked"
STATE = "{} keeps state or draws noise: it cannot be stacked"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Twice(shared=True), TOLD_SHARED),
        (lambda: Twice(shared=True), TOLD_SHARED),
        (Twice(extra=nn.Dropout()), STATE.format("Dropout")),
        (Twice(extra=nn.BatchNorm1d(3)), STATE.format("BatchNorm1d")),
        (Twice(extra=nn.Sequential(nn.BatchNorm2d(3))), STATE.format("BatchNorm2d")),
        (Twice(extra=nn.BatchNorm3d(3)), STATE.format("BatchNorm3d")),
    ],
)
def test_what_cannot_be_stacked(model, message):
    assert refused(parameters.template_of, model) == message


def test_the_template():
    network = Twice(extra=nn.LayerNorm(3))
    assert parameters.template_of(network) is network
    before = torch.get_rng_state()
    assert isinstance(parameters.template_of(Twice), Twice)
    assert torch.equal(torch.get_rng_state(), before)


def test_counts_and_shapes():
    params = {"a": torch.zeros(3, 2), "b": torch.zeros(3)}
    nobody = "an ensemble needs at least one member, got none"
    assert refused(ensemble.stack, []) == nobody
    assert refused(ensemble.count, {"a": torch.zeros(0, 2)}) == nobody
    seeds = "an ensemble needs at least one member, got no seeds"
    assert refused(ensemble.initialize, perceptron, []) == seeds
    shared = torch.Generator()
    own = "each member needs a generator of its own"
    assert refused(ensemble.initialize, perceptron, [shared, 1, shared]) == own
    assert refused(ensemble.stack, [{"a": torch.zeros(2)}, {"a": torch.zeros(2)}, {"a": torch.zeros(3)}]) == (
        "member 2 has parameters {'a': (3,)}, but member 0 has {'a': (2,)}"
    )
    assert refused(ensemble.stack, [{"a": torch.zeros(2)}, {"b": torch.zeros(2)}]) == (
        "member 1 has parameters {'b': (2,)}, but member 0 has {'a': (2,)}"
    )
    assert refused(ensemble.count, {**params, "b": torch.zeros(2)}) == (
        "parameters must have the same number of members, got {'a': 3, 'b': 2}"
    )
    assert refused(ensemble.average, params, [0.5, 0.5]) == "weights must end in 3 members, got (2,)"
    assert refused(ensemble.average, params, [[0.5, 0.5]]) == "weights must end in 3 members, got (1, 2)"
    assert refused(ensemble.average, params, [[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]) == (
        "weights must sum to one, got [1.0, 3.0]"
    )
    assert refused(ensemble.average, params, [0.25, 0.25, 0.25]) == "weights must sum to one, got [0.75]"
    assert refused(ensemble.average, params, [1, 1, 0]) == "weights must sum to one, got [2.0]"
    assert refused(parameters.check_fit, nn.Linear(2, 1, bias=False), params) == (
        "parameters do not fit the network: needs (members,) + {'weight': (1, 2)}, got {'a': (2,), 'b': ()}"
    )
    parameters.check_fit(nn.Linear(2, 1, bias=False), {"weight": torch.zeros(5, 1, 2)})


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ([0.5, 0.6], "integers or generators, got 0.5"),  # rounded, they would give two members of one start
        ([float("nan")], "integers or generators"),
        (["1"], "integers or generators"),
        ([None], "integers or generators"),
        ([2**64], "64 bits"),
        ([-(2**63) - 1], "64 bits"),
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
        [-3, 2],
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


def test_the_largest_and_the_smallest_seeds_that_there_are():
    for seed in (2**64 - 1, -(2**63)):
        started = ensemble.initialize(perceptron, [seed, seed])
        assert torch.equal(started["0.weight"][0], started["0.weight"][1])
