"""Training: one call, whatever runs underneath."""

from __future__ import annotations

import copy
import math
import numbers
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbook.ensemble import losses, optimizers
from claimbook.ensemble.forward import METHODS, forward, predict
from claimbook.ensemble.forward import method as usual_method
from claimbook.ensemble.parameters import (
    Model,
    Params,
    Seed,
    check_fit,
    check_inputs,
    count,
    generators_of,
    initialize,
    is_whole,
    refuse,
    template_of,
)

Record = Callable[[int, Params, slice], Mapping[str, Tensor]]
_NUMBERS_IN_A_GROUP = 1_000_000  # parameters trained side by side: many hide overhead, few fit in a cache


@dataclass(frozen=True)
class Ensemble:
    """What `train` returns.

    Attributes
    ----------
    model : the architecture; its own weights are of no use
    params : trained parameters, each (members, ...)
    losses : training loss of every step on its own batch, (steps, members)
    recorded : what `record` returned, each (recorded steps, members, ...)
    recorded_at : number of steps taken at each record
    diverged : (members,), True where the loss or a parameter stopped being finite
    """

    model: nn.Module
    params: Params
    losses: Tensor
    recorded: dict[str, Tensor]
    recorded_at: list[int]
    diverged: Tensor

    def predict(self, inputs: Tensor, *, per_member: bool = False) -> Tensor:
        """Outputs of every member; see `predict`."""
        return predict(self.model, self.params, inputs, per_member=per_member)


def train(
    model: Model,
    loss: losses.Loss,
    data: tuple[Tensor, Tensor],
    *,
    seeds: Sequence[Seed],
    steps: int,
    batch_size: int | None,
    learning_rate: float | Sequence[float] | Tensor,
    weight_decay: float | Sequence[float] | Tensor = 0.0,
    optimizer: str = "adamw",
    momentum: float = 0.9,
    betas: tuple[float, float] = (0.9, 0.999),
    schedule: Callable[[int], float] | None = None,
    gradient_noise: float | Sequence[float] | Tensor = 0.0,
    masks: Mapping[str, Tensor] | None = None,
    init: Mapping[str, Tensor] | None = None,
    rows: Tensor | None = None,
    settings: Mapping[str, Sequence[float] | Tensor] | None = None,
    record: Record | None = None,
    record_at: Sequence[int] = (),
    method: str | None = None,
    group: int | None = None,
    n_jobs: int | None = None,
    progress: str | None = None,
) -> Ensemble:
    """Train one network for each seed.

    Parameters
    ----------
    model : what builds one network (each member then starts from its own seed, unless `init` is given), or a
        network that shows the architecture (then `init` is needed). Parameters with `requires_grad=False` stay
        as they are. No dropout, no batch normalization.
    loss : `loss(outputs, targets, **settings)` of ONE member, (batch, ...) and (batch, ...) to a scalar, in
        operations that `torch.func.vmap` can batch
    data : inputs (examples, ...) and targets (examples, ...), one pool from which all members draw. For data of
        their own, put the members' examples one after the other and name each member's `rows`.
    seeds : an integer or a generator for each member: for its start (without `init`), its order of batches and
        its noise. Generators are advanced: pass fresh ones to get the same result.
    steps : optimizer steps, at least one
    batch_size : examples per step and member, drawn without replacement within an epoch (what is left of an
        epoch is dropped); None for all rows in every step
    learning_rate, weight_decay : one number, or one for each member
    optimizer : "adamw" (decoupled decay), "adam" or "sgd" (heavy-ball `momentum`), as in `torch.optim`; with the
        last two the decay is added to the gradient
    schedule : factor on all learning rates at step 0, 1, ...
    gradient_noise : standard deviation of Gaussian noise added to every entry of the gradient, one number or one
        for each member
    masks : for some parameters, by name, a mask (members, ...) of zeros and ones: where it is zero the parameter
        starts at zero and stays there
    init : stacked start, each (members, ...); it is copied
    rows : (members, n) indices into `data`, the examples that each member owns. Default: all.
    settings : keyword arguments of `loss`, each (members, ...); a member gets its own entry
    record : `record(step, params, who)` returns a dict of tensors, each with a leading member axis; `params`
        holds the members in the slice `who` only
    record_at : numbers of steps taken at which to record; 0 is the start
    method : "stack", "vmap" or "loop"; default: what `ensemble.method` says
    group : members trained side by side, for speed only. Default: as many as fit in a cache.
    n_jobs : processes to share the members among, as in joblib: by default one, or what an enclosing
        `joblib.parallel_config` says. `model`, `loss` and `record` must then be what cloudpickle can send.
    progress : a label; draws a progress bar in a terminal, and nothing elsewhere

    Raises ValueError for shapes, counts or settings that do not fit. Warns (RuntimeWarning) if a member diverged,
    which leaves the others untouched.
    """
    generators, template = generators_of(seeds), template_of(model)
    pair = isinstance(data, tuple | list) and len(data) == 2 and all(isinstance(d, Tensor) for d in data)
    refuse(not pair, "data must be two tensors, inputs and targets")
    members, (inputs, targets) = len(generators), data
    refuse(not callable(loss), f"loss must be a function, got {loss!r}")
    if init is None:
        refuse(isinstance(model, nn.Module), "one network cannot start an ensemble: init is needed")
        init = initialize(model, generators)
    refuse(not isinstance(init, Mapping), f"init must be stacked parameters, got {type(init).__name__}")
    refuse(count(init) != members, f"init has {count(init)} members, but there are {members} seeds")
    check_fit(template, init)
    check_inputs(template, inputs, init)
    refuse(len(inputs) != len(targets), f"{len(inputs)} inputs but {len(targets)} targets")
    rows = torch.arange(len(inputs)).expand(members, -1) if rows is None else torch.as_tensor(rows)
    wrong = rows.ndim != 2 or len(rows) != members or rows.shape[1] == 0
    refuse(wrong, f"rows must have shape ({members}, examples), got {tuple(rows.shape)}")
    batch = rows.shape[1] if batch_size is None else batch_size
    wrong = rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool
    refuse(wrong, f"rows must be whole numbers, got {rows.dtype}")
    rows = rows.long()  # bytes would be taken for yes and no
    refuse(rows.min() < 0 or rows.max() >= len(inputs), f"rows must be between 0 and {len(inputs) - 1}")
    refuse(not is_whole(steps) or steps < 1, f"steps must be at least 1, a whole number, got {steps!r}")
    refuse(not is_whole(batch), f"batch_size must be a whole number or None, got {batch!r}")
    refuse(not 1 <= batch <= rows.shape[1], f"batch_size must be between 1 and {rows.shape[1]}, got {batch}")
    known = list(optimizers.STACKED)
    refuse(optimizer not in known, f"optimizer must be one of {known}, got {optimizer!r}")
    good = _number(momentum) and 0 <= momentum < math.inf
    refuse(not good, f"momentum must be one finite number, not negative, got {momentum!r}")
    pair = isinstance(betas, tuple | list) and len(betas) == 2
    good = pair and all(_number(beta) and 0 <= beta < 1 for beta in betas)
    refuse(not good, f"betas must be two numbers, each at least 0 and below 1, got {betas!r}")
    for name, function in (("schedule", schedule), ("record", record)):
        refuse(
            function is not None and not callable(function), f"{name} must be a function, got {function!r}"
        )
    refuse(not hasattr(record_at, "__len__"), f"record_at must be a list of steps, got {record_at!r}")
    late = [step for step in record_at if not 0 <= step <= steps or step != int(step)]
    refuse(len(late) > 0, f"record_at must lie between 0 and {steps}, whole numbers, got {late}")
    refuse(record is None and len(record_at) > 0, "record_at names steps, but there is no record to make")
    good = settings is None or isinstance(settings, Mapping)
    refuse(not good, f"settings must be a dict, by name, got {type(settings).__name__}")
    refuse(
        group is not None and not (is_whole(group) and group >= 1), f"group must be at least 1, got {group!r}"
    )
    settings = {name: torch.as_tensor(value) for name, value in (settings or {}).items()}
    for name, value in settings.items():
        refuse(value.shape[:1] != (members,), f"setting {name!r} must have {members} members, got {value}")
    way = usual_method(template, inputs[0], batch) if method is None else method
    refuse(way not in METHODS, f"method must be one of {list(METHODS)}, got {way!r}")
    plan = _Plan(
        template=template,
        loss=loss,
        inputs=inputs,
        targets=targets,
        init=_masked(init, masks),
        rows=rows,
        settings=settings,
        masks=dict(masks or {}),
        rate=_per_member("learning_rate", learning_rate, members),
        decay=_per_member("weight_decay", weight_decay, members),
        noise=_per_member("gradient_noise", gradient_noise, members),
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        momentum=float(momentum),
        betas=(float(betas[0]), float(betas[1])),  # PyTorch's own optimizers refuse whole numbers
        schedule=schedule,
        record=record,
        record_at=sorted(set(record_at)) if record is not None else [],
        way=way,
    )
    refuse(len(plan.learned) == 0, "the network has no parameter that requires a gradient")
    size = sum(init[name][0].numel() for name in plan.learned)
    group = 1 if way == "loop" else group or max(1, _NUMBERS_IN_A_GROUP // size)
    parts = _run(plan, generators, group, n_jobs, progress)
    return _joined(plan, parts)


@dataclass(frozen=True)
class _Plan:
    """All that does not change while an ensemble is trained; per-member entries have a leading member axis."""

    template: nn.Module
    loss: losses.Loss
    inputs: Tensor
    targets: Tensor
    init: Params
    rows: Tensor
    settings: dict[str, Tensor]
    masks: dict[str, Tensor]
    rate: Tensor
    decay: Tensor
    noise: Tensor
    steps: int
    batch_size: int | None
    optimizer: str
    momentum: float
    betas: tuple[float, float]
    schedule: Callable[[int], float] | None
    record: Record | None
    record_at: list[int]
    way: str

    @property
    def learned(self) -> list[str]:
        return [name for name, p in self.template.named_parameters() if p.requires_grad]

    def of(self, who: slice) -> _Plan:
        """The plan of some members."""
        per_member = {name: getattr(self, name)[who] for name in ("rows", "rate", "decay", "noise")}
        for name in ("init", "settings", "masks"):
            per_member[name] = {key: value[who] for key, value in getattr(self, name).items()}
        return replace(self, **per_member)

    def factor(self, step: int) -> float:
        if self.schedule is None:
            return 1.0
        factor = self.schedule(step)
        try:
            good = 0 <= float(factor) < math.inf
        except (TypeError, ValueError):
            good = False
        refuse(not good, f"schedule must give a finite number, not negative, got {factor!r} at step {step}")
        return float(factor)


@dataclass(frozen=True)
class _Part:
    """What the training of some members gave."""

    params: Params
    losses: Tensor
    recorded: list[Mapping[str, Tensor]]
    states: list[Tensor]  # of the generators, at the end


def _run(
    plan: _Plan, generators: list[torch.Generator], group: int, n_jobs: int | None, progress: str | None
) -> list[_Part]:
    """Train the members group by group, in this process or in several."""
    import joblib

    members = len(generators)
    processes = min(joblib.effective_n_jobs(n_jobs), members)
    group = min(group, -(-members // processes))
    slices = [slice(first, min(first + group, members)) for first in range(0, members, group)]
    with _bar(progress, len(slices) * plan.steps) as bar:
        if processes == 1:
            return [_train(plan.of(who), generators[who], who, bar.update) for who in slices]
        send = joblib.delayed(_train_elsewhere)
        states = [[g.get_state() for g in generators[who]] for who in slices]
        jobs = (send(plan.of(who), s, who) for who, s in zip(slices, states, strict=True))
        parts = []
        for part in joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
            parts.append(part)
            bar.update(plan.steps)
    for generator, state in zip(generators, (s for part in parts for s in part.states), strict=True):
        generator.set_state(state)
    return parts


def _train_elsewhere(plan: _Plan, states: list[Tensor], who: slice) -> _Part:
    """`_train` in another process, where generators arrive as their states."""
    torch.set_num_threads(1)
    generators = [torch.Generator() for _ in states]
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
    return _train(plan, generators, who, lambda steps: None)


def _train(
    plan: _Plan, generators: list[torch.Generator], who: slice, tick: Callable[[int], object]
) -> _Part:
    """Train the members of one group."""
    batches = _batches(plan.rows, generators, plan.batch_size)
    noise = _noise(plan, generators)
    step_of = _loop if plan.way == "loop" else _stacked
    params, step_once = step_of(plan)
    history, recorded = torch.empty(plan.steps, len(generators)), []
    for step in range(plan.steps + 1):
        if step in plan.record_at:
            now = plan.record(step, {name: p.detach() for name, p in params().items()}, who)
            _refuse_record(now, recorded[0] if recorded else now, len(generators))
            recorded.append({name: value.detach().clone() for name, value in now.items()})
        if step < plan.steps:
            history[step] = step_once(next(batches), plan.factor(step), next(noise))
            tick(1)
    trained = {name: p.detach().clone() for name, p in params().items()}
    return _Part(trained, history, recorded, [g.get_state() for g in generators])


def _refuse_record(now: Mapping[str, Tensor], first: Mapping[str, Tensor], members: int) -> None:
    """Refuse what cannot be put together with the records of other steps and members."""
    refuse(not isinstance(now, Mapping), f"record must return a dict of tensors, got {type(now).__name__}")
    refuse(
        set(now) != set(first),
        f"record must return the same names at every step, got {set(now)}, {set(first)}",
    )
    for name, value in now.items():
        good = isinstance(value, Tensor) and value.shape[:1] == (members,)
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        refuse(not good, f"record {name!r} must be a tensor that begins with {members} members, got {shape}")


Step = Callable[[Tensor, float, Params | None], Tensor]


def _stacked(plan: _Plan) -> tuple[Callable[[], Params], Step]:
    """One forward pass, one backward pass and one update for all members."""
    params = {name: p.detach().clone().requires_grad_(name in plan.learned) for name, p in plan.init.items()}
    leaves = [params[name] for name in plan.learned]
    update = optimizers.STACKED[plan.optimizer](leaves, plan.momentum, plan.betas)
    loss = losses.stacked(plan.loss, plan.targets, plan.settings)

    def step(index: Tensor, factor: float, noise: Params | None) -> Tensor:
        outputs = forward(plan.template, params, plan.inputs[index])
        each = loss(outputs, plan.targets[index], plan.settings)
        gradients = torch.autograd.grad(each.sum(), leaves)  # of a sum: each sees its own loss only
        with torch.no_grad():
            if noise is not None or plan.masks:
                gradients = [
                    _changed(plan, n, g, noise) for n, g in zip(plan.learned, gradients, strict=True)
                ]
            update(gradients, plan.rate * factor, plan.decay)
        return each.detach()

    return lambda: params, step


def _loop(plan: _Plan) -> tuple[Callable[[], Params], Step]:
    """The same for a group of one: an ordinary network and PyTorch's own fused optimizer."""
    network = copy.deepcopy(plan.template)
    network.load_state_dict({name: p[0] for name, p in plan.init.items()}, strict=False)
    leaves = {name: p for name, p in network.named_parameters() if p.requires_grad}
    rate, decay = float(plan.rate[0]), float(plan.decay[0])
    update = optimizers.fused(plan.optimizer, list(leaves.values()), rate, decay, plan.momentum, plan.betas)
    own = {name: value[0] for name, value in plan.settings.items()}

    def step(index: Tensor, factor: float, noise: Params | None) -> Tensor:
        outputs, goals = network(plan.inputs[index[0]]), plan.targets[index[0]]
        if plan.loss is F.mse_loss:
            losses.refuse_broadcast(outputs, goals)
        loss = plan.loss(outputs, goals, **own)
        refuse(
            loss.ndim > 0, f"loss must return one number per member, got shape {tuple(loss.shape)} for each"
        )
        update.zero_grad()
        loss.backward()
        if noise is not None or plan.masks:
            for name, p in leaves.items():
                p.grad = _changed(plan, name, p.grad.unsqueeze(0), noise)[0]
        for options in update.param_groups:
            options["lr"] = rate * factor
        update.step()
        return loss.detach()

    return lambda: {name: p.detach().unsqueeze(0) for name, p in network.named_parameters()}, step


def _changed(plan: _Plan, name: str, gradient: Tensor, noise: Params | None) -> Tensor:
    """A gradient with its noise and its mask."""
    gradient = gradient if noise is None else gradient + noise[name]
    return gradient * plan.masks[name] if name in plan.masks else gradient


def _noise(plan: _Plan, generators: list[torch.Generator]) -> Iterator[Params | None]:
    """Gradient noise of every step, each (members, ...); each member draws from a stream of its own."""
    while not plan.noise.any():
        yield None
    streams = [torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=g))) for g in generators]
    shapes = {name: plan.init[name].shape[1:] for name in plan.learned}
    sizes = [shape.numel() for shape in shapes.values()]
    while True:
        flat = torch.stack([torch.randn(sum(sizes), generator=s) for s in streams]) * plan.noise[:, None]
        pieces = flat.split(sizes, dim=1)
        yield {
            name: piece.view(-1, *shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)
        }


def _batches(rows: Tensor, generators: list[torch.Generator], batch_size: int | None) -> Iterator[Tensor]:
    """Indices (members, batch), for ever. Each member shuffles with its own generator."""
    n = rows.shape[1]
    while batch_size is None:
        yield rows
    while True:
        order = rows.gather(1, torch.stack([torch.randperm(n, generator=g) for g in generators]))
        yield from order[:, : n - n % batch_size].split(batch_size, dim=1)


def _joined(plan: _Plan, parts: list[_Part]) -> Ensemble:
    """Put the groups together, and say who diverged."""
    params = {name: torch.cat([part.params[name] for part in parts]) for name in plan.init}
    history = torch.cat([part.losses for part in parts], dim=1)
    recorded = {}
    for name in parts[0].recorded[0] if parts[0].recorded else ():
        times = zip(*(part.recorded for part in parts), strict=True)
        recorded[name] = torch.stack([torch.cat([now[name] for now in time]) for time in times])
    finite = [history.isfinite().all(0)]
    finite += [params[name].isfinite().reshape(len(params[name]), -1).all(1) for name in plan.learned]
    diverged = ~torch.stack(finite).all(0)
    if diverged.any():
        which = diverged.nonzero().flatten().tolist()
        text = f"{len(which)} of {len(diverged)} members diverged: {which}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return Ensemble(plan.template, params, history, recorded, plan.record_at, diverged)


def _masked(init: Mapping[str, Tensor], masks: Mapping[str, Tensor] | None) -> Params:
    """The start, zero where a mask is zero."""
    params = dict(init)
    refuse(masks is not None and not isinstance(masks, Mapping), "masks must be a dict, by name")
    for name, mask in (masks or {}).items():
        refuse(not isinstance(mask, Tensor), f"mask {name!r} must be a tensor, got {type(mask).__name__}")
        refuse(name not in params, f"there is no parameter {name!r} to mask, only {list(params)}")
        shape = tuple(params[name].shape)
        refuse(tuple(mask.shape) != shape, f"mask {name!r} must have shape {shape}, got {tuple(mask.shape)}")
        refuse(not bool(((mask == 0) | (mask == 1)).all()), f"mask {name!r} must consist of zeros and ones")
        params[name] = params[name] * mask
    return params


def _per_member(name: str, value: float | Sequence[float] | Tensor, members: int) -> Tensor:
    """A number for each member, (members,)."""
    try:
        tensor = torch.as_tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"{name} must be one number or one for each member, got {value!r}") from None
    wrong = tensor.shape not in {(), (members,)}
    refuse(wrong, f"{name} must be one number or one for each of {members} members, got {value}")
    good = tensor.isfinite() & (tensor >= 0)
    refuse(not bool(good.all()), f"{name} must be finite and not negative, got {value}")
    return tensor.expand(members)


def _number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _bar(label: str | None, total: int):
    """A progress bar, if it has a label and somebody sits at a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=label, disable=True if label is None else None, leave=False)
