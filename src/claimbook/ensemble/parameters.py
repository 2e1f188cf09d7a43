"""Parameters of many networks, stacked: name -> (members, *shape)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

_STATEFUL = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm, nn.RReLU)

Params = dict[str, Tensor]
Seed = int | torch.Generator
Model = nn.Module | Callable[[], nn.Module]


def initialize(factory: Callable[[], nn.Module], seeds: Sequence[Seed]) -> Params:
    """Stacked parameters of fresh networks, each (members, ...): one network for each seed.

    Member k depends on seed k only. A generator among the seeds is advanced by one draw.
    """
    refuse(isinstance(factory, nn.Module) or not callable(factory), "factory must be what builds a network")
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
    single = isinstance(networks, nn.Module | Mapping) and not isinstance(networks, nn.ModuleList)
    refuse(
        single or not hasattr(networks, "__len__"), "networks must be a list of networks, one for each member"
    )
    refuse(len(networks) == 0, "an ensemble needs at least one member, got none")
    for k, n in enumerate(networks):
        right = isinstance(n, nn.Module) or (
            isinstance(n, Mapping) and all(isinstance(p, Tensor) for p in n.values())
        )
        refuse(not right, f"member {k} must be a network or its parameters, got {type(n).__name__}")
    states = [dict(n.named_parameters()) if isinstance(n, nn.Module) else dict(n) for n in networks]
    shapes = [{name: tuple(p.shape) for name, p in state.items()} for state in states]
    for k, shape in enumerate(shapes):
        refuse(shape != shapes[0], f"member {k} has parameters {shape}, but member 0 has {shapes[0]}")
    return {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}


def count(params: Mapping[str, Tensor]) -> int:
    """Number of members in stacked parameters. Raises ValueError if it is zero or the parameters disagree."""
    refuse(len(params) == 0, "there are no parameters, so that nobody knows the number of members")
    scalars = [name for name, p in params.items() if p.ndim == 0]
    refuse(len(scalars) > 0, f"parameters must have the shape (members, ...), but {scalars} have none")
    sizes = {name: len(p) for name, p in params.items()}
    refuse(len(set(sizes.values())) != 1, f"parameters must have the same number of members, got {sizes}")
    members = next(iter(sizes.values()))
    refuse(members == 0, "an ensemble needs at least one member, got none")
    return members


def pick(params: Mapping[str, Tensor], members: Sequence[int] | Tensor) -> Params:
    """Members by index, in that order, as often as named: `pick(params, [0] * 12)` makes twelve copies."""
    among, index = count(params), torch.as_tensor(members)
    refuse(index.ndim != 1, f"members must be a list of indices, got the shape {tuple(index.shape)}")
    if index.dtype == torch.bool:
        refuse(len(index) != among, f"members must say yes or no to each of {among}, got {len(index)}")
        index = index.nonzero().flatten()
    index = index.long() if len(index) == 0 else index
    refuse(
        index.is_floating_point() or index.is_complex(), f"members must be whole numbers, got {index.dtype}"
    )
    index = index.long()  # bytes would be taken for yes and no
    wrong = bool(((index < -among) | (index >= among)).any())
    refuse(wrong, f"members must be between 0 and {among - 1}, got {index.tolist()}")
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
    refuse(weights.is_complex(), "weights must be real numbers")
    whole = [name for name, p in params.items() if not p.is_floating_point()]
    refuse(len(whole) > 0, f"parameters must be floating-point numbers to be averaged, but {whole} are not")
    rows = torch.atleast_2d(weights.to(torch.float32))
    shape, sums = tuple(weights.shape), rows.sum(-1)
    refuse(rows.shape[1:] != (members,), f"weights must end in {members} members, got {shape}")
    refuse(len(rows) == 0, "weights must have at least one row")
    refuse(not bool(((sums - 1).abs() <= 1e-4).all()), f"weights must sum to one, got {sums.tolist()}")
    return {name: torch.tensordot(rows.to(p.dtype), p, dims=1) for name, p in params.items()}


def refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise ValueError(message)


def generators_of(seeds: Sequence[Seed]) -> list[torch.Generator]:
    refuse(not hasattr(seeds, "__len__"), f"seeds must be a list, one for each member, got {seeds!r}")
    refuse(len(seeds) == 0, "an ensemble needs at least one member, got no seeds")
    shared = [s for s in seeds if isinstance(s, torch.Generator)]
    refuse(len({id(s) for s in shared}) < len(shared), "each member needs a generator of its own")
    return [s if isinstance(s, torch.Generator) else torch.Generator().manual_seed(_whole(s)) for s in seeds]


def _whole(seed: int) -> int:
    """A seed that torch takes. Rounding one would give several members the same."""
    try:
        number = operator.index(seed)
    except TypeError:
        raise ValueError(f"seeds must be integers or generators, got {seed!r}") from None
    refuse(not -(2**63) <= number < 2**64, f"seeds must fit in 64 bits, got {number}")
    return number


def is_whole(value: object) -> bool:
    """Whether a value is an integer, of Python or NumPy; True and False are none."""
    return hasattr(value, "__index__") and not isinstance(value, bool)


def template_of(model: Model) -> nn.Module:
    """The architecture, checked for layers that cannot be trained in a stack."""
    if not isinstance(model, nn.Module):
        with torch.random.fork_rng(devices=[]):
            refuse(not callable(model), f"model must be a network or what builds one, got {model!r}")
            model = model()
    refuse(not isinstance(model, nn.Module), f"model must build a network, got {type(model).__name__}")
    names = [len(list(model.named_parameters(remove_duplicate=once))) for once in (True, False)]
    refuse(names[0] != names[1], "layers that share a parameter cannot be stacked")
    for layer in model.modules():
        wrong = isinstance(layer, _STATEFUL) or getattr(layer, "track_running_stats", False)
        refuse(wrong, f"{type(layer).__name__} keeps state or draws noise: it cannot be stacked")
    return model


def check_inputs(template: nn.Module, inputs: Tensor, params: Mapping[str, Tensor] | None = None) -> None:
    """Refuse inputs that a network whose first layer is linear cannot take, with these parameters if they are known."""
    refuse(not isinstance(inputs, Tensor), f"inputs must be a tensor, got {type(inputs).__name__}")
    first = next(iter(template.children()), None) if type(template) is nn.Sequential else template
    if type(first) is nn.Linear:
        width, kind = inputs.shape[-1:], next(iter((params or dict(first.named_parameters())).values())).dtype
        wrong = width != (first.in_features,)
        refuse(wrong, f"inputs must end in {first.in_features} features, got the shape {tuple(inputs.shape)}")
        wrong = inputs.dtype != kind if params else not inputs.is_floating_point()
        refuse(wrong, f"inputs must be floating-point numbers such as {kind}, got {inputs.dtype}")


def check_fit(template: nn.Module, params: Mapping[str, Tensor]) -> None:
    needed = {name: tuple(p.shape) for name, p in template.named_parameters()}
    found = {name: tuple(p.shape[1:]) for name, p in params.items()}
    refuse(needed != found, f"parameters do not fit the network: needs (members,) + {needed}, got {found}")
