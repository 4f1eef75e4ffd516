"""Activations computed again in the backward pass in place of being kept: less memory for one more forward pass."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from gapkit.sources.blocks import innermost_blocks

FORWARD = "forward"


class Recomputed:
    """A block's forward pass that keeps what goes into the block; all else is computed again, with the same dropout.

    Attributes:
        own: the block's forward pass.
        plain: whether activations are kept all the same.
    """

    def __init__(self, own: Callable[..., Any]) -> None:
        """Wrap a forward pass."""
        self.own, self.plain = own, False

    def __call__(self, *given: Any, **named: Any) -> Any:
        """The block's output."""
        if self.plain or not torch.is_grad_enabled():
            return self.own(*given, **named)
        return checkpoint(partial(self.own, **named), *given, use_reentrant=False)


@contextmanager
def recomputing(module: nn.Module, *, enabled: bool = True) -> Generator[None]:
    """Inside the block no activation within a block of the encoder outlives its forward pass.

    The blocks are wrapped here and not by the switches of timm and transformers: those of timm lie in passes that start
    at the image, those of transformers work in training mode alone. Blocks with BatchNorm keep their activations: it
    would count every batch twice. Gradients must be taken while the weights are where the forward pass found them.

    Args:
        module: of the source.
        enabled: False leaves it as it is.
    """
    names = innermost_blocks(module) if enabled else ()
    blocks = [block for block in map(module.get_submodule, names) if not _counts_batches(block)]
    before = [vars(block).get(FORWARD) for block in blocks]
    try:
        for block in blocks:
            vars(block)[FORWARD] = Recomputed(block.forward)
        yield
    finally:
        for block, own in zip(blocks, before, strict=True):
            if own is None:
                vars(block).pop(FORWARD, None)
            else:
                vars(block)[FORWARD] = own


@contextmanager
def activations_kept(module: nn.Module) -> Generator[None]:
    """Plain passes inside the block: ``torch.func`` has no hooks for tensors, and puts other weights in for a while."""
    found = [vars(part).get(FORWARD) for part in module.modules()]
    wrapped = [one for one in found if isinstance(one, Recomputed)]
    try:
        for one in wrapped:
            one.plain = True
        yield
    finally:
        for one in wrapped:
            one.plain = False


def _counts_batches(block: nn.Module) -> bool:
    """Whether a forward pass moves running statistics."""
    return any(isinstance(part, _BatchNorm) for part in block.modules())
