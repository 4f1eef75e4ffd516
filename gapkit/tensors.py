"""What every part that runs models does with them: eval mode for a while, and bytes that tell weights apart."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def evaluating(module: nn.Module) -> Generator[None]:
    """Eval mode inside the block; every submodule has its own mode back after it."""
    with _modes_kept(module):
        module.eval()
        yield


@contextmanager
def flagged_evaluating(module: nn.Module) -> Generator[None]:
    """Eval mode by its flag alone: ``eval()`` itself may do work, such as merging adapters into weights."""
    with _modes_kept(module):
        for part in module.modules():
            part.training = False
        yield


@contextmanager
def _modes_kept(module: nn.Module) -> Generator[None]:
    """The mode of every submodule is what it was after the block."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def tensor_bytes(tensor: Tensor) -> bytes:
    """A tensor's dtype, shape and values, also for dtypes that numpy lacks."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return f"{tensor.dtype}{tuple(tensor.shape)}".encode() + flat.view(torch.uint8).numpy().tobytes()
