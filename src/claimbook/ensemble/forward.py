"""Which way an ensemble is run, and its outputs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from claimbook.ensemble.parameters import (
    Model,
    Params,
    check_fit,
    check_inputs,
    count,
    is_whole,
    refuse,
    template_of,
)

METHODS = ("stack", "vmap", "loop")
STACK_BELOW = 60e6  # floating-point operations of one step of one member
VMAP_BELOW = 30e6
_ELEMENTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Softplus, nn.Identity)


def method(model: Model, example: Tensor, batch_size: int) -> str:
    """How `train` runs this network unless told otherwise.

    The rule: a chain of linear layers and elementwise functions is stacked by hand ("stack") up to 60 million
    floating-point operations a step; any other module goes through `torch.vmap` ("vmap") up to 30 million; the
    rest is trained one member after the other with a fused optimizer ("loop"). Below these sizes a step is
    mostly overhead, which stacking shares among the members; above them it is mostly arithmetic. The Performance
    page of the book shows the measurements behind the two numbers.

    Parameters
    ----------
    model : the architecture, or what builds it
    example : one input, without the batch axis
    batch_size : examples per step and member
    """
    template = template_of(model)
    check_inputs(template, example)
    refuse(not is_whole(batch_size) or batch_size < 1, f"batch_size must be at least 1, got {batch_size!r}")
    if is_perceptron(template) and example.ndim == 1:
        weights = sum(layer.weight.numel() for layer in template if isinstance(layer, nn.Linear))
        return "stack" if 6 * weights * batch_size <= STACK_BELOW else "loop"
    return "vmap" if 3 * _operations(template, example) * batch_size <= VMAP_BELOW else "loop"


def _operations(template: nn.Module, example: Tensor) -> int:
    """Floating-point operations of one forward pass for one example; a backward pass takes twice as many."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        template(example.unsqueeze(0))
    return counter.get_total_flops()


def is_perceptron(template: nn.Module) -> bool:
    """Whether the network is a plain chain of linear layers and elementwise functions, no layer used twice."""
    if type(template) is not nn.Sequential or len(set(template)) < len(template):
        return False
    return all(type(layer) in (nn.Linear, *_ELEMENTWISE) for layer in template)


def forward(template: nn.Module, params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Outputs (members, batch, ...) for inputs (members, batch, ...)."""
    if is_perceptron(template) and inputs.ndim == 3:
        return _forward_stacked(template, params, inputs)
    constants = dict(template.named_buffers())
    return vmap(lambda p, x: functional_call(template, p | constants, (x,)))(params, inputs)


def _forward_stacked(template: nn.Module, params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    # (members, features, batch): the gradient of a weight then lies in memory as the weight does
    x = inputs.mT
    for name, layer in template.named_children():
        if isinstance(layer, nn.Linear):
            weight, bias = params[f"{name}.weight"], params.get(f"{name}.bias")
            x = weight @ x if bias is None else torch.baddbmm(bias.unsqueeze(2), weight, x)
        else:
            x = layer(x)
    return x.mT


def predict(model: Model, params: Params, inputs: Tensor, *, per_member: bool = False) -> Tensor:
    """Outputs of every member, (members, examples, ...), without gradients.

    Parameters
    ----------
    model : the architecture, or what builds it
    params : stacked parameters, each (members, ...)
    inputs : (examples, ...), seen by all members; with `per_member`, (members, examples, ...)
    """
    template, members = template_of(model), count(params)
    check_fit(template, params)
    check_inputs(template, inputs, params)
    wrong = per_member and inputs.shape[:1] != (members,)
    refuse(wrong, f"inputs per member must begin with {members} members, got {tuple(inputs.shape)}")
    with torch.no_grad():
        if is_perceptron(template) and inputs.ndim == (3 if per_member else 2):
            inputs = inputs if per_member else inputs.expand(members, *inputs.shape)
            return _forward_stacked(template, params, inputs)
        constants = dict(template.named_buffers())
        each = [
            functional_call(
                template,
                {name: p[k] for name, p in params.items()} | constants,
                (inputs[k] if per_member else inputs,),
            )
            for k in range(members)
        ]
        return torch.stack(each)
