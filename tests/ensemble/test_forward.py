"""Outputs of an ensemble, and the rule that says how it is trained."""

import pytest
import torch
from torch import nn

from claimbook import ensemble
from claimbook.ensemble import forward

INPUTS = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))


def perceptron():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


def convolution():
    return nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)
    )


@pytest.mark.parametrize("model", [perceptron, convolution])
def test_predict_is_each_network_s_output(model):
    networks = [model() for _ in range(3)]
    params = ensemble.stack(networks)
    expected = torch.stack([n(INPUTS) for n in networks])
    torch.testing.assert_close(ensemble.predict(model, params, INPUTS), expected)
    own = torch.stack([INPUTS + k for k in range(3)])
    expected = torch.stack([n(x) for n, x in zip(networks, own, strict=True)])
    found = ensemble.predict(model, params, own, per_member=True)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad


def test_predict_takes_inputs_of_any_shape():
    params = ensemble.initialize(perceptron, range(2))
    tokens = INPUTS.view(4, 5, 6)
    found = ensemble.predict(perceptron, params, tokens)
    torch.testing.assert_close(found, ensemble.predict(perceptron, params, INPUTS).view(2, 4, 5, 3))


def test_an_activation_used_twice():
    relu = nn.ReLU()
    network = nn.Sequential(nn.Linear(6, 16), relu, nn.Linear(16, 16), relu, nn.Linear(16, 3))
    out = ensemble.predict(network, ensemble.stack([network]), INPUTS)
    torch.testing.assert_close(out[0], network(INPUTS))


def test_inputs_per_member_must_fit():
    params = ensemble.initialize(perceptron, range(3))
    told = r"^inputs per member must begin with 3 members, got \(2, 5, 6\)$"
    with pytest.raises(ValueError, match=told):
        ensemble.predict(perceptron, params, torch.zeros(2, 5, 6), per_member=True)
    with pytest.raises(ValueError, match="do not fit the network"):
        ensemble.predict(convolution, params, INPUTS)


class Shifted(nn.Module):
    """A layer and a buffer, which is the template's for all members."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3, bias=False)
        self.register_buffer("shift", torch.arange(3.0))

    def forward(self, x):
        return self.layer(x) + self.shift


def bare():
    return nn.Sequential(nn.Linear(6, 5, bias=False), nn.GELU(), nn.Linear(5, 3))


@pytest.mark.parametrize("shape", [(20, 6), (4, 5, 6)])
@pytest.mark.parametrize("model", [perceptron, bare, Shifted])
def test_forward_is_each_network_s_output(model, shape):
    networks = [model() for _ in range(3)]
    own = torch.stack([INPUTS.view(shape) + k for k in range(3)])
    params = ensemble.stack(networks)
    expected = torch.stack([n(x) for n, x in zip(networks, own, strict=True)])
    torch.testing.assert_close(forward.forward(model(), params, own), expected)
    torch.testing.assert_close(ensemble.predict(model, params, own, per_member=True), expected)
    shared = torch.stack([n(own[0]) for n in networks])
    torch.testing.assert_close(ensemble.predict(model, params, own[0]), shared)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_perceptrons_are_stacked_and_all_others_are_not(monkeypatch, dimensions):
    stacked = []
    monkeypatch.setattr(forward, "_forward_stacked", lambda *arguments: stacked.append(arguments[2].shape))
    for model in (perceptron, Shifted):
        params = ensemble.initialize(model, range(2))
        ensemble.predict(model, params, INPUTS if dimensions == 2 else INPUTS.view(4, 5, 6))
        own = INPUTS.view(2, 10, 6) if dimensions == 2 else INPUTS.view(2, 2, 5, 6)
        ensemble.predict(model, params, own, per_member=True)
        forward.forward(model(), params, own)
    assert stacked == ([(2, 20, 6), (2, 10, 6), (2, 10, 6)] if dimensions == 2 else [])


class Subclass(nn.Sequential):
    pass


RELU = nn.ReLU()


@pytest.mark.parametrize(
    ("network", "is_one"),
    [
        (perceptron(), True),
        (nn.Sequential(nn.Linear(2, 2)), True),
        (nn.Sequential(nn.Linear(2, 2), nn.Softplus(), nn.Identity()), True),
        (nn.Sequential(nn.Linear(2, 2), nn.Softmax(1)), False),
        (nn.Sequential(nn.Linear(2, 2), RELU, nn.Linear(2, 2), RELU), False),
        (Subclass(nn.Linear(2, 2)), False),
        (nn.Linear(2, 2), False),
    ],
)
def test_what_is_a_perceptron(network, is_one):
    assert forward.is_perceptron(network) is is_one


def test_the_rule_to_the_edge(monkeypatch, capsys):
    operations = 6 * (6 * 16 + 16 * 16 + 16 * 3) * 25
    monkeypatch.setattr(forward, "STACK_BELOW", operations)
    assert ensemble.method(perceptron, INPUTS[0], 25) == "stack"
    monkeypatch.setattr(forward, "STACK_BELOW", operations - 1)
    assert ensemble.method(perceptron, INPUTS[0], 25) == "loop"
    assert ensemble.method(perceptron, INPUTS, 1) == "vmap"  # of sequences
    once = 2 * (4 * 4 * 3) + 2 * 16 * 3  # four places, four filters of three; then 16 times 3
    monkeypatch.setattr(forward, "VMAP_BELOW", 3 * once * 10)
    assert ensemble.method(convolution, INPUTS[0], 10) == "vmap"
    monkeypatch.setattr(forward, "VMAP_BELOW", 3 * once * 10 - 1)
    assert ensemble.method(convolution, INPUTS[0], 10) == "loop"
    assert capsys.readouterr().out == ""  # counting operations is nobody's business


def test_the_rule():
    def wide():
        return nn.Sequential(nn.Linear(6, 1000), nn.ReLU(), nn.Linear(1000, 1000))

    def convnet():
        return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1))

    assert ensemble.method(perceptron, INPUTS[0], 128) == "stack"
    assert ensemble.method(wide, INPUTS[0], 128) == "loop"
    assert ensemble.method(convolution, INPUTS[0], 16) == "vmap"
    assert ensemble.method(convnet, torch.zeros(1, 8, 8), 32) == "loop"
    assert ensemble.method(convnet, torch.zeros(1, 8, 8), 2) == "vmap"


@pytest.mark.parametrize("batch_size", [0, -5, 2.5, float("nan"), None, "3", True])
def test_a_batch_that_there_is_not(batch_size):
    with pytest.raises(ValueError, match="batch_size"):
        ensemble.method(perceptron, INPUTS[0], batch_size)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(5, 7), r"must end in 6 features, got the shape \(5, 7\)"),
        (torch.tensor(1.0), "must end in 6 features"),
        (torch.zeros(5, 6, dtype=torch.int), "floating-point numbers such as torch.float32, got torch.int32"),
        (torch.zeros(5, 6, dtype=torch.double), "torch.float32, got torch.float64"),
        (INPUTS.numpy(), "must be a tensor, got ndarray"),
        (INPUTS.tolist(), "must be a tensor, got list"),
    ],
)
def test_inputs_that_do_not_fit(inputs, message):
    params = ensemble.initialize(perceptron, range(3))
    for per_member in (False, True):
        with pytest.raises(ValueError, match=message):
            ensemble.predict(perceptron, params, inputs, per_member=per_member)


def test_parameters_of_double_precision_take_inputs_of_double_precision():
    params = {name: p.double() for name, p in ensemble.initialize(perceptron, range(2)).items()}
    assert ensemble.predict(perceptron, params, INPUTS.double()).dtype == torch.double


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: nn.Dropout2d(), "Dropout2d"),
        (lambda: nn.AlphaDropout(), "AlphaDropout"),
        (lambda: nn.SyncBatchNorm(3), "SyncBatchNorm"),
        (lambda: nn.InstanceNorm1d(3, track_running_stats=True), "InstanceNorm1d"),
        (lambda: nn.RReLU(), "RReLU"),
    ],
)
def test_layers_of_every_kind_that_draw_or_keep_state(layer, name):
    """Trained one by one they would draw from the global generator, and nothing would repeat."""
    network = nn.Sequential(nn.Linear(6, 3), layer())
    with pytest.raises(ValueError, match=f"{name} keeps state or draws noise"):
        ensemble.predict(network, ensemble.stack([network]), INPUTS)


@pytest.mark.parametrize("model", [None, "perceptron", lambda: None])
def test_what_is_no_network(model):
    with pytest.raises(ValueError, match="model must"):
        ensemble.method(model, INPUTS[0], 5)
