"""Parameters of many networks, stacked: name -> (members, *shape)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

Params = dict[str, Tensor]
Seed = int | torch.Generator
Model = nn.Module | Callable[[], nn.Module]


def initialize(factory: Callable[[], nn.Module], seeds: Sequence[Seed]) -> Params:
    """Stacked parameters of fresh networks, each (members, ...): one network for each seed.

    Member k depends on seed k only. A generator among the seeds is advanced by one draw.
    """
    networks = []
    for generator in generators_of(seeds):
        with torch.random.fork_rng(devices=[]):  # layers draw their weights from the global generator
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            networks.append(factory())
    return stack(networks)


def stack(networks: Sequence[nn.Module | Mapping[str, Tensor]]) -> Params:
    """Stack the parameters of single networks (or their dicts) into those of an ensemble.

    Raises ValueError if there is no network, or if they differ in names or shapes.
    """
    refuse(len(networks) == 0, "an ensemble needs at least one member, got none")
    states = [dict(n.named_parameters()) if isinstance(n, nn.Module) else dict(n) for n in networks]
    shapes = [{name: tuple(p.shape) for name, p in state.items()} for state in states]
    for k, shape in enumerate(shapes):
        refuse(shape != shapes[0], f"member {k} has parameters {shape}, but member 0 has {shapes[0]}")
    return {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}


def count(params: Mapping[str, Tensor]) -> int:
    """Number of members in stacked parameters. Raises ValueError if it is zero or the parameters disagree."""
    sizes = {name: len(p) for name, p in params.items()}
    refuse(len(set(sizes.values())) != 1, f"parameters must have the same number of members, got {sizes}")
    members = next(iter(sizes.values()))
    refuse(members == 0, "an ensemble needs at least one member, got none")
    return members


def pick(params: Mapping[str, Tensor], members: Sequence[int] | Tensor) -> Params:
    """Members by index, in that order, as often as named: `pick(params, [0] * 12)` makes twelve copies."""
    index = torch.as_tensor(members)
    return {name: p[index] for name, p in params.items()}


def average(params: Mapping[str, Tensor], weights: Tensor | Sequence | None = None) -> Params:
    """Weighted averages of the members' parameters.

    Parameters
    ----------
    params : stacked parameters, each (members, ...)
    weights : (members,) for one average, (averages, members) for several at once. Rows sum to one; negative
        weights extrapolate. Default: one average with equal weights.

    Returns
    -------
    Stacked parameters, each (averages, ...); one average is an ensemble of one.
    """
    members = count(params)
    weights = torch.full((members,), 1 / members) if weights is None else torch.as_tensor(weights)
    rows = torch.atleast_2d(weights.to(torch.float32))
    shape, sums = tuple(weights.shape), rows.sum(-1)
    refuse(rows.shape[1:] != (members,), f"weights must end in {members} members, got {shape}")
    refuse(bool(((sums - 1).abs() > 1e-4).any()), f"weights must sum to one, got {sums.tolist()}")
    return {name: torch.tensordot(rows.to(p.dtype), p, dims=1) for name, p in params.items()}


def refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise ValueError(message)


def generators_of(seeds: Sequence[Seed]) -> list[torch.Generator]:
    refuse(len(seeds) == 0, "an ensemble needs at least one member, got no seeds")
    shared = [s for s in seeds if isinstance(s, torch.Generator)]
    refuse(len({id(s) for s in shared}) < len(shared), "each member needs a generator of its own")
    return [s if isinstance(s, torch.Generator) else torch.Generator().manual_seed(int(s)) for s in seeds]


def template_of(model: Model) -> nn.Module:
    """The architecture, checked for layers that cannot be trained in a stack."""
    if not isinstance(model, nn.Module):
        with torch.random.fork_rng(devices=[]):
            model = model()
    names = [len(list(model.named_parameters(remove_duplicate=once))) for once in (True, False)]
    refuse(names[0] != names[1], "layers that share a parameter cannot be stacked")
    for layer in model.modules():
        wrong = isinstance(layer, nn.Dropout | nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
        refuse(wrong, f"{type(layer).__name__} keeps state or draws noise: it cannot be stacked")
    return model


def check_fit(template: nn.Module, params: Mapping[str, Tensor]) -> None:
    needed = {name: tuple(p.shape) for name, p in template.named_parameters()}
    found = {name: tuple(p.shape[1:]) for name, p in params.items()}
    refuse(needed != found, f"parameters do not fit the network: needs (members,) + {needed}, got {found}")
