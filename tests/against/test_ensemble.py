"""Stacks of networks against torch.nn, torch.optim and torch.nn.functional, one network at a time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn import functional as F

from claimbook import ensemble
from claimbook.ensemble import forward as stacks
from claimbook.ensemble import losses, optimizers

from .settings import few, many

SEEDS = st.integers(0, 2**31)
ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Softplus, nn.Identity]


def normal(*shape, seed, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@many
@given(
    seed=SEEDS,
    members=st.integers(1, 4),
    batch=st.integers(1, 9),
    classes=st.integers(1, 6),
    scale=st.sampled_from([0.0, 1.0, 100.0, 1e5]),
)
@example(seed=0, members=1, batch=1, classes=1, scale=1.0)
def test_cross_entropy_and_its_gradient(seed, members, batch, classes, scale):
    """Against torch.nn.functional.cross_entropy, also for logits so far apart that a softmax is 0 or 1."""
    outputs = normal(members, batch, classes, seed=seed, scale=scale).requires_grad_()
    labels = torch.randint(classes, (members, batch), generator=torch.Generator().manual_seed(seed))
    written = losses.stacked(F.cross_entropy, labels.flatten(), {})
    expected = torch.stack([F.cross_entropy(o, t) for o, t in zip(outputs, labels, strict=True)])
    found = written(outputs, labels, {})
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(each.sum(), outputs)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)


@many
@given(seed=SEEDS, members=st.integers(1, 4), shape=st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_mean_squared_error_and_its_gradient(seed, members, shape):
    """Against torch.nn.functional.mse_loss, for outputs of one to three axes."""
    outputs, goals = (normal(members, *shape, seed=seed + k, scale=10.0) for k in range(2))
    outputs.requires_grad_()
    found = losses.stacked(F.mse_loss, goals[0], {})(outputs, goals, {})
    expected = torch.stack([F.mse_loss(o, t) for o, t in zip(outputs, goals, strict=True)])
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(each.sum(), outputs)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients)


@few
@given(seed=SEEDS, smoothing=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=4))
def test_losses_with_settings_of_each_member(seed, smoothing):
    """Against torch.nn.functional.cross_entropy with probabilities, smoothed for each member on its own."""
    members = len(smoothing)
    outputs, labels = normal(members, 7, 3, seed=seed), torch.arange(7) % 3

    def loss(outputs, goals, share):
        return F.cross_entropy(outputs, F.one_hot(goals, 3) * (1 - share) + share / 3)

    own = {"share": torch.tensor(smoothing)}
    found = losses.stacked(loss, labels, own)(outputs, labels.expand(members, -1), own)
    expected = [
        F.cross_entropy(o, labels, label_smoothing=s) for o, s in zip(outputs, smoothing, strict=True)
    ]
    torch.testing.assert_close(found, torch.stack(expected))


@st.composite
def perceptrons(draw):
    """Draw what builds a chain of linear layers, of any depth, some without a bias."""
    widths = draw(st.lists(st.integers(1, 8), min_size=2, max_size=5))
    biased = draw(st.lists(st.booleans(), min_size=len(widths), max_size=len(widths)))
    kinds = draw(st.lists(st.sampled_from(ACTIVATIONS), min_size=len(widths), max_size=len(widths)))
    linear_last = draw(st.booleans())

    def build():
        layers = []
        for n_in, n_out, bias, kind in zip(widths, widths[1:], biased, kinds, strict=False):
            layers += [nn.Linear(n_in, n_out, bias=bias), kind()]
        return nn.Sequential(*layers[: len(layers) - linear_last])

    return build, widths[0]


@many
@given(model=perceptrons(), members=st.integers(1, 4), batch=st.integers(1, 6), seed=SEEDS)
def test_a_forward_pass_is_each_network_s(model, members, batch, seed):
    """Against calling the torch.nn.Sequential itself, all ways of going through a stack."""
    build, width = model
    torch.manual_seed(seed % 1000)
    networks = [build() for _ in range(members)]
    params, inputs = ensemble.stack(networks), normal(members, batch, width, seed=seed)
    expected = torch.stack([network(x) for network, x in zip(networks, inputs, strict=True)]).detach()
    assert stacks.is_perceptron(build())
    torch.testing.assert_close(stacks.forward(build(), params, inputs), expected)
    torch.testing.assert_close(ensemble.predict(build, params, inputs, per_member=True), expected)
    shared = torch.stack([network(inputs[0]) for network in networks]).detach()
    torch.testing.assert_close(ensemble.predict(build, params, inputs[0]), shared)


MODULES = {
    "layer norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3, padding=1), nn.Flatten()
    ),
    "softmax": lambda: nn.Sequential(nn.Linear(6, 3), nn.Softmax(-1)),
    "slope of its own": lambda: nn.Sequential(nn.Linear(6, 3), nn.PReLU()),
    "bilinear": lambda: nn.Sequential(nn.Linear(6, 8), nn.GLU(), nn.Linear(4, 3)),
    "group norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.GroupNorm(2, 8), nn.ReLU()),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_of_another_kind_is_each_network_s(name):
    """Against calling the torch.nn module itself."""
    build, inputs = MODULES[name], normal(3, 5, 6, seed=1)
    networks = [build() for _ in range(3)]
    expected = torch.stack([network(x) for network, x in zip(networks, inputs, strict=True)]).detach()
    params = ensemble.stack(networks)
    assert not stacks.is_perceptron(networks[0])
    torch.testing.assert_close(stacks.forward(networks[0], params, inputs), expected)
    torch.testing.assert_close(ensemble.predict(build, params, inputs, per_member=True), expected)


THEIRS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@st.composite
def courses(draw):
    """Draw an optimizer's settings, and the scale of the gradients that it meets."""
    return dict(
        name=draw(st.sampled_from(list(THEIRS))),
        rate=draw(st.sampled_from([1e-4, 1e-2, 0.5])),
        decay=draw(st.sampled_from([0.0, 0.01, 0.3])),
        momentum=draw(st.sampled_from([0.0, 0.5, 0.9])),
        betas=draw(st.sampled_from([(0.9, 0.999), (0.9, 0.98), (0.0, 0.9), (0.5, 0.5)])),
        scale=draw(st.sampled_from([0.0, 1e-4, 1.0, 1e4])),
        seed=draw(SEEDS),
    )


@many
@given(course=courses())
def test_an_optimizer_walks_torch_s_way(course):
    """Against torch.optim.SGD, Adam and AdamW on one member, gradient by gradient, in double precision."""
    generator = torch.Generator().manual_seed(course["seed"])
    start = torch.randn(3, 4, generator=generator, dtype=torch.double)
    ours, theirs = start.clone().unsqueeze(0), nn.Parameter(start.clone())
    own = optimizers.STACKED[course["name"]]([ours], course["momentum"], course["betas"])
    options = {"momentum": course["momentum"]} if course["name"] == "sgd" else {"betas": course["betas"]}
    other = THEIRS[course["name"]]([theirs], lr=course["rate"], weight_decay=course["decay"], **options)
    rate, decay = (torch.tensor([course[key]], dtype=torch.double) for key in ("rate", "decay"))
    for step in range(20):
        gradient = course["scale"] * torch.randn(3, 4, generator=generator, dtype=torch.double)
        gradient[0] = 0.0  # what never gets a gradient moves by its decay alone
        theirs.grad = gradient.clone()
        own([gradient.clone().unsqueeze(0)], rate, decay)
        other.step()
        torch.testing.assert_close(
            ours[0], theirs.detach(), rtol=1e-7, atol=1e-9, msg=f"step {step}: {course}"
        )


def test_a_schedule_is_torch_s():
    """Against torch.optim.lr_scheduler.LambdaLR over AdamW, whose decay follows the rate."""
    inputs, labels = normal(20, 4, seed=0), torch.arange(20) % 3

    def build():
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))

    def factor(step):
        return 0.5 * (1 + math.cos(math.pi * step / 30))

    init = ensemble.initialize(build, [0])
    for method in ("stack", "vmap", "loop"):
        ours = ensemble.train(
            build, F.cross_entropy, (inputs, labels), seeds=[0], steps=30, batch_size=None, init=init,
            learning_rate=0.05, weight_decay=0.1, schedule=factor, method=method,
        )  # fmt: skip
        network = build()
        network.load_state_dict({name: p[0] for name, p in init.items()})
        theirs = torch.optim.AdamW(network.parameters(), lr=0.05, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.LambdaLR(theirs, factor)
        for _ in range(30):
            theirs.zero_grad()
            F.cross_entropy(network(inputs), labels).backward()
            theirs.step()
            schedule.step()
        for name, p in network.named_parameters():
            torch.testing.assert_close(ours.params[name][0], p.detach(), rtol=0, atol=2e-5)


@few
@given(
    model=perceptrons(),
    rates=st.lists(st.sampled_from([0.0, 1e-3, 1e-2]), min_size=1, max_size=3),
    name=st.sampled_from(list(THEIRS)),
    decay=st.sampled_from([0.0, 0.1]),
    method=st.sampled_from(["stack", "vmap", "loop"]),
    seed=st.integers(0, 1000),
)
def test_a_trained_stack_is_its_members_trained_alone_with_torch(model, rates, name, decay, method, seed):
    """Against a training loop in plain torch, one network after the other, each with its own rate and its own data."""
    build, width = model
    members = len(rates)
    inputs = normal(8 * members, width, seed=seed)
    init = ensemble.initialize(build, [seed + k for k in range(members)])
    goals = ensemble.predict(build, ensemble.pick(init, [0]), inputs)[0] + normal(1, seed=seed + 1)
    rows = torch.arange(8 * members).view(members, 8)
    ours = ensemble.train(
        build, F.mse_loss, (inputs, goals), seeds=range(members), init=init, rows=rows, steps=6, batch_size=None,
        learning_rate=rates, weight_decay=decay, optimizer=name, method=method,
    )  # fmt: skip
    for k, rate in enumerate(rates):
        network = build()
        network.load_state_dict({key: p[k] for key, p in init.items()})
        options = {"momentum": 0.9} if name == "sgd" else {}
        theirs = THEIRS[name](network.parameters(), lr=rate, weight_decay=decay, **options)
        for step in range(6):
            loss = F.mse_loss(network(inputs[rows[k]]), goals[rows[k]])
            torch.testing.assert_close(ours.losses[step, k], loss.detach(), rtol=1e-4, atol=1e-5)
            theirs.zero_grad()
            loss.backward()
            theirs.step()


@pytest.mark.parametrize(
    "layer",
    [lambda: nn.Linear(30, 40), lambda: nn.Conv1d(4, 40, 5), lambda: nn.Sequential(nn.Linear(30, 40))],
)
def test_a_start_has_the_moments_that_torch_promises(layer):
    """Against the law that torch.nn documents: weights and biases uniform within 1 / sqrt(fan in)."""
    params = ensemble.initialize(layer, range(20))
    weight = next(p for name, p in params.items() if name.endswith("weight"))
    bound = weight[0][0].numel() ** -0.5
    for p in params.values():
        assert stats.kstest(p.flatten().numpy(), stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3
        pairs = np.corrcoef(p.reshape(20, -1).numpy())[np.triu_indices(20, 1)]
        assert abs(pairs).max() < 5 / p[0].numel() ** 0.5  # members are drawn independently


@few
@given(seed=SEEDS)
def test_a_start_is_what_torch_draws_from_the_same_state(seed):
    """Against seeding torch's global generator and building the network oneself."""
    drawn = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(seed)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(drawn)
        network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    found = ensemble.initialize(lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), [seed])
    for name, p in network.named_parameters():
        assert torch.equal(found[name][0], p.detach())


@few
@given(seed=SEEDS, members=st.integers(1, 5), rows=st.integers(1, 3))
def test_averages_are_numpy_s(seed, members, rows):
    """Against numpy.average, with negative weights among them."""
    params = {"w": normal(members, 3, 2, seed=seed), "scale": normal(members, seed=seed + 1)}
    weights = normal(rows, members, seed=seed + 2).double()
    weights[:, 0] += 1 - weights.sum(1)
    found = ensemble.average(params, weights)
    for name, p in params.items():
        expected = [np.average(p.numpy(), axis=0, weights=w) for w in weights.numpy()]
        np.testing.assert_allclose(found[name].numpy(), np.array(expected), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(ensemble.average(params)["w"][0], params["w"].mean(0))


@few
@given(units=st.integers(2, 50), batch=st.integers(1, 50), seed=SEEDS)
def test_batches_are_those_of_a_data_loader(units, batch, seed):
    """Against torch.utils.data.DataLoader(shuffle=True, drop_last=True): as many batches, no example twice."""
    batch = min(batch, units)
    loader = torch.utils.data.DataLoader(range(units), batch, shuffle=True, drop_last=True)

    def record(step, params, who):
        return {"w": params["weight"][:, 0]}

    def loss(outputs, goals):
        return (outputs.squeeze(-1) * goals).sum()

    # one-hot inputs, a start of zero and a rate of one: the change of the weights says who was in the batch
    ours = ensemble.train(
        lambda: nn.Linear(units, 1, bias=False), loss, (torch.eye(units), torch.ones(units)), seeds=[seed],
        init={"weight": torch.zeros(1, 1, units)}, steps=len(loader), batch_size=batch, learning_rate=1.0,
        optimizer="sgd", momentum=0.0, record=record, record_at=range(len(loader) + 1),
    )  # fmt: skip
    seen = -ours.recorded["w"][:, 0].diff(dim=0)
    assert set(seen.unique().tolist()) <= {0.0, 1.0}
    assert (seen.sum(1) == batch).all() and (seen.sum(0) <= 1).all()


def test_gradient_noise_is_gaussian():
    """Against scipy.stats.kstest of a normal with the spread asked for, through one SGD step of rate one."""

    def build():
        return nn.Linear(30, 20)

    data, init = (torch.zeros(4, 30), torch.zeros(4, 20)), ensemble.initialize(build, [0, 1])
    options = dict(seeds=[5, 6], init=init, steps=1, batch_size=None, learning_rate=1.0, optimizer="sgd")
    moved = [
        ensemble.train(build, F.mse_loss, data, gradient_noise=noise, **options).params["weight"]
        for noise in (0.0, [0.5, 2.0])
    ]
    for spread, change in zip((0.5, 2.0), moved[1] - moved[0], strict=True):
        assert stats.kstest(change.flatten().numpy(), stats.norm(0, spread).cdf).pvalue > 1e-3


def test_a_frozen_layer_is_frozen_as_in_torch():
    """Against torch.optim given the parameters that require a gradient, weight decay and all."""
    inputs, goals = normal(12, 4, seed=0), normal(12, 2, seed=1)

    def build():
        network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
        network[0].weight.requires_grad_(False)
        return network

    init = ensemble.initialize(build, [3])
    network = build()
    network.load_state_dict({name: p[0] for name, p in init.items()})
    theirs = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    for _ in range(10):
        theirs.zero_grad()
        F.mse_loss(network(inputs), goals).backward()
        theirs.step()
    for method in ("stack", "vmap", "loop"):
        ours = ensemble.train(
            build, F.mse_loss, (inputs, goals), seeds=[0], init=init, steps=10, batch_size=None,
            learning_rate=0.1, weight_decay=0.5, method=method,
        )  # fmt: skip
        for name, p in network.named_parameters():
            torch.testing.assert_close(ours.params[name][0], p.detach(), rtol=0, atol=1e-5)
