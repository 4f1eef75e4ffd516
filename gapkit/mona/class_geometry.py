"""Labelled features as tensors, and distances between their classes that gradients flow through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array
from gapkit.errors import OptionError
from gapkit.scores.coupling import exact_plan, squared_distances
from gapkit.scores.otdd_options import OTDDOptions

Stacks = tuple[tuple[list[int], Tensor], ...]
"""Roots of equal numbers of rows as one tensor (count, r, d), with their positions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorSide:
    """One labelled sample about its own mean; see ``gapkit.scores.otdd_labels.LabelledSide``.

    Attributes:
        features: (n, d) centred.
        mean: (d,) what was subtracted.
        labels: (n,) class codes, a numpy array; every class has a sample.
        means: (K, d) of the classes, about ``mean``.
        roots: K tensors (r, d), ``C = R' R``.
    """

    features: Tensor
    mean: Tensor
    labels: Array
    means: Tensor
    roots: tuple[Tensor, ...]

    def members(self, code: int) -> Tensor:
        """The samples of one class, about its mean."""
        index = torch.from_numpy(np.flatnonzero(self.labels == code)).to(self.features.device)
        return self.features[index] - self.means[code]


def tensor_side(features: Tensor, labels: Tensor, options: OTDDOptions) -> TensorSide:
    """Centre a batch and take its classes apart; classes that are not in it have no mass and no place.

    Args:
        features: (n, d), with or without gradient.
        labels: (n,) integers.
        options: the correction of covariances.
    """
    codes = np.unique(labels.detach().cpu().numpy(), return_inverse=True)[1].reshape(-1)
    mean = features.mean(dim=0)
    centred = features - mean
    groups = [torch.from_numpy(np.flatnonzero(codes == code)).to(features.device) for code in range(codes.max() + 1)]
    means = torch.stack([centred[group].mean(dim=0) for group in groups])
    roots = tuple(
        (centred[group] - means[code]) / float(np.sqrt(max(len(group) - options.correction, 1)))
        for code, group in enumerate(groups)
    )
    return TensorSide(features=centred, mean=mean, labels=codes, means=means, roots=roots)


def stack_by_rank(roots: Sequence[Tensor]) -> Stacks:
    """Roots of each number of rows as one constant tensor."""
    ranks = sorted({len(root) for root in roots})
    positions = [[index for index, root in enumerate(roots) if len(root) == rank] for rank in ranks]
    return tuple((index, torch.stack([roots[i].detach() for i in index])) for index in positions)


def class_distances(first: TensorSide, second: TensorSide, stacks: Stacks, options: OTDDOptions) -> Tensor:
    """W^2 (K1, K2) between classes about the sides' own means, by the options' inner distance.

    Gradients flow to both sides, but for full covariances to the first side only, whose second roots are the constants
    ``stacks``.
    """
    means = torch.stack([(second.means - mean).square().sum(dim=1) for mean in first.means])
    if options.inner == "means":
        return means
    if options.inner == "exact":
        return means + _sample_distances(first, second)
    if options.inner == "upper":
        return means + _traces(first)[:, None] + _traces(second)
    if options.covariance == "diagonal":
        left, right = (torch.stack([root.norm(dim=0) for root in side.roots]) for side in (first, second))
        return means + torch.stack([(right - row).square().sum(dim=1) for row in left])
    return means + torch.stack([squared_bures(root, stacks) for root in first.roots])


def own_distances(side: TensorSide, options: OTDDOptions) -> Tensor:
    """W^2 (K, K) between the classes of one side, with the gradient of both places that a class has in it."""
    full = options.inner == "gaussian" and options.covariance == "full"
    if not full:
        return class_distances(side, side, (), options)
    constant = TensorSide(
        features=side.features, mean=side.mean, labels=side.labels, means=side.means.detach(), roots=side.roots
    )
    half = class_distances(side, constant, stack_by_rank(side.roots), options)
    # W^2 is symmetric: its derivative by the second place is that of the transpose by the first one.
    return half + half.T - half.detach()


def squared_bures(root: Tensor, stacks: Stacks) -> Tensor:
    """Squared Bures distances (K2,) of ``C = R' R`` to constant covariances, differentiable by R.

    ``tr C + tr C' - 2 |R R2'|_*`` is the least ``|R - Q R2|^2`` over orthogonal Q, so its derivative by R is
    ``2 (R - Q R2)`` at the minimiser, the polar factor Q of ``R R2'``. This is the closed form
    ``dB^2 / dC = I - C2^(1/2) (C2^(1/2) C C2^(1/2))^(-1/2) C2^(1/2)`` carried over to roots, where no inverse is left:
    it is bounded by ``2 |R| + 2 |R2|`` whatever the ranks are, while automatic differentiation of singular vectors
    divides by differences of singular values. Singular values below ``max(r) * machine epsilon`` of the largest one are
    left out of Q: at deficient ranks this is the subgradient of least norm, and directions that are rounding have no
    say. A second derivative, which Q has a part in, is refused.
    """
    size = sum(len(index) for index, _ in stacks)
    order = [position for index, _ in stacks for position in index]
    found: Any = _SquaredBures.apply(first_derivative_only(root), *(stack for _, stack in stacks))
    values = root.new_zeros(size)
    return values.index_copy(0, torch.tensor(order, device=root.device), found)


def first_derivative_only(tensor: Tensor) -> Tensor:
    """The tensor itself; what is computed from it can be differentiated by it once.

    Derivatives at a fixed minimiser are right and those of these derivatives wrong, as the minimiser moves. Autograd
    would return them without a word.
    """
    passed: Any = _Gate.apply(tensor)
    return passed


class _Gate(torch.autograd.Function):
    """The identity, whose gradient has no gradient."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        """The tensor."""
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradient, with a barrier behind it."""
        return _Barrier.apply(gradient)


class _Barrier(torch.autograd.Function):
    """The identity, which cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        """The tensor."""
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Refuse."""
        raise OptionError(
            "a second derivative of OTDD with outer='sinkhorn' or full covariances",
            expected="first derivatives",
            remedy="use outer='exact' with inner='means', inner='exact' or covariance='diagonal'",
        )


class _SquaredBures(torch.autograd.Function):
    """Distances of one root to stacks of constant roots, and their derivative by the one."""

    @staticmethod
    def forward(ctx: Any, root: Tensor, *stacks: Tensor) -> Tensor:
        """Values in the order of the stacks; what is matched to the root, Q R2, is kept."""
        matched = torch.cat([_matched(root, stack) for stack in stacks])
        traces = torch.cat([stack.square().sum(dim=(1, 2)) for stack in stacks])
        ctx.save_for_backward(root, matched)
        # What Q leaves out of C2 is added: it cannot be matched by a root of lower rank.
        return (root - matched).square().sum(dim=(1, 2)) + traces - matched.square().sum(dim=(1, 2))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """``2 (R - Q R2)``, summed over the constant roots; these get none."""
        root, matched = ctx.saved_tensors
        summed = 2 * (gradient.sum() * root - torch.einsum("k,krd->rd", gradient, matched))
        return summed, *(None for _ in ctx.needs_input_grad[1:])


def _matched(root: Tensor, stack: Tensor) -> Tensor:
    """``Q R2`` (count, r, d) with the polar factors Q of ``R R2'``."""
    u, values, v = torch.linalg.svd(root @ stack.mT, full_matrices=False)
    floor = max(root.shape[0], stack.shape[1]) * torch.finfo(root.dtype).eps * values[:, :1]
    return (u * (values > floor)[:, None, :]) @ (v @ stack)


def _traces(side: TensorSide) -> Tensor:
    """``tr C`` (K,)."""
    return torch.stack([root.square().sum() for root in side.roots])


def _sample_distances(first: TensorSide, second: TensorSide) -> Tensor:
    """Squared 2-Wasserstein distances of the classes' samples; couplings are held fixed, as the outer one is."""
    left, right = ([side.members(code) for code in range(len(side.means))] for side in (first, second))
    return torch.stack([torch.stack([_wasserstein(x, y) for y in right]) for x in left])


def _wasserstein(x: Tensor, y: Tensor) -> Tensor:
    """Squared 2-Wasserstein distance of two samples."""
    plan, _ = exact_plan(squared_distances(as_float64(x), as_float64(y)))
    return mean_squared_difference(x, y, plan.rows, plan.columns, plan.mass)


def mean_squared_difference(x: Tensor, y: Tensor, rows: Array, columns: Array, mass: Array) -> Tensor:
    """``sum_k mass_k |x_rows_k - y_columns_k|^2``."""
    left, right = (torch.from_numpy(index).to(x.device) for index in (rows, columns))
    return torch.from_numpy(mass).to(x) @ (x[left] - y[right]).square().sum(dim=1)


def as_float64(tensor: Tensor) -> Any:
    """A tensor's numbers, off its graph and device, as numpy float64."""
    return tensor.detach().to("cpu", torch.float64).numpy()
