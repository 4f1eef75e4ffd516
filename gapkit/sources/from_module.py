"""Any ``nn.Module`` as a source without token space."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gapkit.errors import SourceError, did_you_mean
from gapkit.sources.checkpoint import first_line
from gapkit.sources.cut import generic_names
from gapkit.sources.linear_head import WholeCut, caught_input, find_head, tensor_of
from gapkit.types import InputSpec, Target

PROBE_BATCH = 2
PROBE_TOKENS = 8
# What a forward pass raises on inputs that a module is not made for.
FORWARD_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, AttributeError, AssertionError, KeyError)


def adapt_module(
    module: nn.Module,
    *,
    input: InputSpec,
    head: str | None = None,
    class_names: Sequence[str] | None = None,
    surrogate: Target | None = None,
) -> WholeCut:
    """Run the module once on a made-up batch, find its head, and wrap it; see ``Source.from_module``.

    Raises:
        SourceError: the module does not run on such inputs, or the head is not what it should be.
    """
    module.eval()
    name = type(module).__name__
    _check_head_name(module, head, name)
    x = probe_batch(input).to(next((p.device for p in module.parameters()), torch.device("cpu")))
    try:
        with torch.inference_mode():
            found = find_head(module, lambda: tensor_of(module(x))) if head is None else head or None
            logits = None if found is None else _logits(module, found, x)
    except FORWARD_ERRORS as error:
        raise SourceError(
            f"{name} does not run on a batch of shape {tuple(x.shape)} ({first_line(error)})",
            expected="a module that maps (B, *input.shape) to one tensor",
            remedy="correct the shape in input=InputSpec(...)",
        ) from error
    names = _names(name, logits, class_names)
    return WholeCut(name=name, module=module, input=input, class_names=names, surrogate=surrogate, head_name=found)


def probe_batch(input: InputSpec) -> Tensor:
    """A batch of inputs that is the same every time: a ramp from -1 to 1, or the first token ids."""
    if input.kind == "text":
        return torch.arange(1, PROBE_TOKENS + 1).repeat(PROBE_BATCH, 1)
    shape = (PROBE_BATCH, *input.shape)
    count = int(torch.Size(shape).numel())
    return torch.linspace(-1, 1, count).reshape(shape)


def _check_head_name(module: nn.Module, head: str | None, name: str) -> None:
    """Refuse a head that is no linear map of the module."""
    if not head:
        return
    linear = [key for key, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    if head not in linear:
        raise SourceError(
            f"{name} has no linear layer {head!r}",
            expected="the name of the nn.Linear that gives the logits",
            remedy=did_you_mean(head, linear) if linear else "pass head='' for a source without a head",
        )


def _logits(module: nn.Module, head: str, x: Tensor) -> Tensor:
    """What the head makes of its input."""
    layer = module.get_submodule(head)
    with caught_input(layer) as caught:
        module(x)
    if not caught or caught[-1].ndim != 2:
        raise SourceError(
            f"layer {head!r} of {type(module).__name__} "
            + (f"takes {tuple(caught[-1].shape)}" if caught else "is not run in the forward pass"),
            expected="a head with inputs (B, d)",
            remedy="name another layer, or pass head='' for a source without a head",
        )
    return layer(caught[-1])


def _names(name: str, logits: Tensor | None, class_names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Class names for the head's outputs; None for a headless module, which a single output is too."""
    count = 0 if logits is None else logits.shape[1]
    if class_names is None:
        return generic_names(count) if count > 1 else None
    if len(class_names) != count:
        raise SourceError(
            f"{len(class_names)} class names for {name}, whose head has {count} outputs",
            expected="one name for each output",
            remedy="correct class_names or head",
        )
    return tuple(class_names)
