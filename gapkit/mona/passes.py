"""The passes that a hypergradient is made of: gradients at theta and at points near it, with the model held still."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gapkit.mona.problem import Problem, pieces
from gapkit.tensors import flagged_evaluating

Tensors = list[Tensor]


def _average_nothing(tensors: Tensors) -> None:
    """One process is its own mean."""


def _gather_nothing(features: Tensor) -> Tensor:
    """One process has all features."""
    return features


@dataclass(frozen=True, kw_only=True, eq=False)
class Exchange:
    """How processes that hold parts of the batches act as one.

    Attributes:
        reduce: averages a list of tensors over the processes, in place.
        gather: the features of all processes, from this one's (n, d), in the same order everywhere. L_src is then
            computed everywhere, and the backward pass must *sum* the processes' gradients, as that of
            ``torch.distributed.nn.functional.all_gather`` does; averaged by ``reduce`` they are the gradient of L_src.
    """

    reduce: Callable[[Tensors], None] = _average_nothing
    gather: Callable[[Tensor], Tensor] = _gather_nothing

    @property
    def several(self) -> bool:
        """Whether there may be other processes."""
        return self.reduce is not _average_nothing or self.gather is not _gather_nothing


def held_still(problem: Problem) -> AbstractContextManager[None]:
    """Dropout and drop-path off, BatchNorm by its running statistics and without moving them; modes are restored."""
    return flagged_evaluating(problem)


def same_draw(problem: Problem) -> AbstractContextManager[None]:
    """A pass begins with the random state that the step began with, and leaves it so."""
    devices = {tensor.device for tensor in problem.parameters() if tensor.device.type == "cuda"}
    return torch.random.fork_rng(sorted(device.index or 0 for device in devices))


class Place:
    """Parameters that can be moved in place and come back to the last bit."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        """Keep a copy of where they are."""
        self.parameters = parameters
        self.origin = [tensor.detach().clone() for tensor in parameters]

    @torch.no_grad()
    def move(self, direction: Sequence[Tensor], factor: float) -> None:
        """Put them at ``origin + factor * direction``."""
        for tensor, origin, along in zip(self.parameters, self.origin, direction, strict=True):
            torch.add(origin, along, alpha=factor, out=tensor)

    @torch.no_grad()
    def back(self) -> None:
        """Put them where they were."""
        for tensor, origin in zip(self.parameters, self.origin, strict=True):
            tensor.copy_(origin)


@contextmanager
def movable(parameters: Sequence[Tensor]) -> Generator[Place]:
    """Parameters that may be moved inside the block; afterwards they are back, whatever happened in it."""
    place = Place(parameters)
    try:
        yield place
    finally:
        place.back()


@contextmanager
def constant(parameters: Sequence[Tensor]) -> Generator[None]:
    """Parameters that need no gradient inside the block, so that nothing is kept or computed for one."""
    try:
        for tensor in parameters:
            tensor.requires_grad_(False)
        yield
    finally:
        for tensor in parameters:
            tensor.requires_grad_(True)


@contextmanager
def full_precision(device: torch.device) -> Generator[None]:
    """No autocast, and matrix products and convolutions of float32 with all its digits, not TensorFloat-32's."""
    found: Any = torch.backends
    places = (found.cuda.matmul, found.cudnn.conv, found.mkldnn.matmul, found.mkldnn.conv)
    fewer = [(place, place.fp32_precision) for place in places if place.fp32_precision in ("tf32", "bf16")]
    try:
        for place, _ in fewer:
            place.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for place, precision in fewer:
            place.fp32_precision = precision


def gradients(value: Tensor, wanted: Tensors, along: Tensor | None = None) -> Tensors:
    """Gradients of ``value``, zeros where it does not depend on a tensor; ``.grad`` is left alone."""
    if not value.requires_grad or not wanted:
        return [torch.zeros_like(tensor) for tensor in wanted]
    return list(torch.autograd.grad(value, wanted, along, allow_unused=True, materialize_grads=True))


def target_pass(problem: Problem, wanted: Tensors, microbatches: int) -> tuple[Tensor, Tensors]:
    """L_target and its gradients; of a mean over samples those of pieces, weighted by their sizes, add up."""
    size = problem.target_size
    value, sums = None, None
    with same_draw(problem):
        for rows in pieces(size, microbatches):
            share = (rows.stop - rows.start) / size
            loss = problem.target_loss(rows)
            if share != 1:
                loss = loss * share
            found = gradients(loss, wanted)
            value = loss.detach() if value is None else value + loss.detach()
            sums = found if sums is None else _add(sums, found)
    if value is None or sums is None:
        raise ValueError("an empty target batch")
    return value, sums


def source_pass(problem: Problem, theta: Tensors, microbatches: int, exchange: Exchange) -> tuple[Tensor, Tensors]:
    """L_src and its gradient by theta, which is not a mean over samples.

    In pieces it takes the features of all of them first, without graph, then the gradient of the loss by the features,
    and each piece again with its part of that gradient: the same by the chain rule, with one more forward pass.
    """
    rows = pieces(problem.source_size, microbatches)
    if len(rows) == 1:
        with same_draw(problem):
            loss = problem.source_loss(exchange.gather(problem.source_features(rows[0])))
            return loss.detach(), gradients(loss, theta)
    with same_draw(problem), torch.no_grad():
        features = torch.cat([problem.source_features(piece) for piece in rows])
    features.requires_grad_()
    loss = problem.source_loss(exchange.gather(features))
    (by_features,) = gradients(loss, [features])
    sums = None
    with same_draw(problem):
        for piece in rows:
            found = gradients(problem.source_features(piece), theta, by_features[piece])
            sums = found if sums is None else _add(sums, found)
    return loss.detach(), sums or []


def _add(sums: Tensors, found: Tensors) -> Tensors:
    """The first list with the second added in place."""
    for total, part in zip(sums, found, strict=True):
        total.add_(part)
    return sums
