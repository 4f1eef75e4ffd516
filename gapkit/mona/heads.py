"""Target heads and their losses: a linear map for labels, a decoder for fields."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2, prod
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError
from gapkit.options import check_choice, check_least

HeadTask = Literal["classification", "multilabel", "regression"]
TASKS = ("classification", "multilabel", "regression", "dense")
WEIGHT_STD = 0.01
"""Of a new head: its first outputs are near 0, so that the first loss is that of the uniform guess, or of the mean."""
LEAST_WIDTH = 16
"""Channels that a decoder does not go below before the last convolution."""
DEEPEST = 6
"""Doublings at most; what is left of the size is interpolated."""

Loss = Callable[[Tensor, Tensor], Tensor]


def build_head(task: str, features: int, outputs: int, seed: int) -> nn.Linear:
    """A linear head on features (B, d), with weights N(0, 0.01^2) and bias 0.

    Args:
        task: "classification" (outputs = K_t logits), "multilabel" (one logit for each label) or "regression" (one
            value for each quantity).
        features: d.
        outputs: of the head.
        seed: of its weights.

    Raises:
        OptionError: another task, which dense targets are (see ``DenseDecoder``), or no outputs.
    """
    check_choice("task", task, TASKS[:3])
    check_least("features", features, 1)
    check_least("outputs", outputs, 2 if task == "classification" else 1)
    with seeded_torch(seed):
        head = nn.Linear(features, outputs)
        nn.init.normal_(head.weight, std=WEIGHT_STD)
        nn.init.zeros_(head.bias)
    return head


def task_loss(task: str) -> Loss:
    """The loss of outputs against truth, a mean over the batch.

    * classification: cross-entropy (nats) of logits (B, K) and codes (B,).
    * multilabel: binary cross-entropy of logits (B, K) and 0 or 1 (B, K).
    * regression: squared error of values (B, outputs) and standardised truth (B,) or (B, outputs).
    * dense: relative L2 of fields, see ``relative_l2``.

    Raises:
        OptionError: another task.
    """
    check_choice("task", task, TASKS)
    losses: dict[str, Loss] = {
        "classification": F.cross_entropy,
        "multilabel": _binary,
        "regression": _squared,
        "dense": relative_l2,
    }
    return losses[task]


def _binary(outputs: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy with logits, of truth of any dtype."""
    return F.binary_cross_entropy_with_logits(outputs, truth.to(outputs.dtype))


def _squared(outputs: Tensor, truth: Tensor) -> Tensor:
    """Mean squared error; (B, 1) against (B,) would be broadcast to all pairs of samples."""
    _check_same_size(outputs, truth)
    return F.mse_loss(outputs, truth.reshape(outputs.shape).to(outputs.dtype))


def relative_l2(outputs: Tensor, truth: Tensor) -> Tensor:
    """Mean over samples of ||outputs - truth|| / ||truth||; without dimension, 0 is perfect, 1 what zeros have.

    A truth that is 0 everywhere has no scale: its error counts as it is.

    Args:
        outputs: (B, ...).
        truth: with as many values for each sample.

    Raises:
        OptionError: the sizes differ.
    """
    _check_same_size(outputs, truth)
    wanted = truth.reshape(outputs.shape).to(outputs.dtype).flatten(1)
    scale = wanted.norm(dim=1)
    error = (outputs.flatten(1) - wanted).norm(dim=1)
    return (error / torch.where(scale > 0, scale, torch.ones_like(scale))).mean()


def _check_same_size(outputs: Tensor, truth: Tensor) -> None:
    """Refuse truth with another number of samples or values.

    Raises:
        OptionError: names both shapes.
    """
    if len(outputs) != len(truth) or outputs.numel() != truth.numel():
        raise OptionError(
            f"outputs {tuple(outputs.shape)} for truth {tuple(truth.shape)}",
            expected="as many values for each sample",
            remedy="build the head with as many outputs as the target has values",
        )


class DenseDecoder(nn.Module):
    """Hidden tokens to a field: doublings by transposed convolution, exact size by interpolation, two convolutions.

    Tokens (B, N, dim) are laid out in ``grid``; tokens before them (a class token) are left out. Each axis is doubled
    until it is as long as the field, at most 64-fold, while the width is halved down to 16 channels; the rest is
    linear or bilinear interpolation to exactly ``size``. A 3-wide convolution refines the result, another one gives
    the channels. All of it is trained, unlike pooling of hidden states to the field, which cannot learn anything.
    """

    def __init__(
        self, dim: int, out_channels: int, size: tuple[int, ...], grid: tuple[int, ...], *, seed: int = 0
    ) -> None:
        """Build the layers.

        Args:
            dim: width of a hidden token.
            out_channels: C of the field.
            size: (L,) or (H, W) of the field.
            grid: how the N hidden tokens are laid out: (N,) for a series, (rows, columns) for a plane.
            seed: of the weights.

        Raises:
            OptionError: sizes of which one is below 1, or a grid with other axes than the field.
        """
        super().__init__()
        _check_sizes(dim, out_channels, size, grid)
        self.size, self.grid, self.dim = tuple(size), tuple(grid), dim
        flat = len(size) == 1
        convolution: Any = nn.Conv1d if flat else nn.Conv2d
        transposed: Any = nn.ConvTranspose1d if flat else nn.ConvTranspose2d
        width, layers = dim, []
        with seeded_torch(seed):
            for doubled in doublings(self.size, self.grid):
                narrower = max(LEAST_WIDTH, width // 2)
                # Kernels that the stride divides: others paint a chequered pattern (Odena et al., Distill 2016).
                kernel, stride = (tuple(own[one] for one in doubled) for own in ((3, 4), (1, 2)))
                layers += [transposed(width, narrower, kernel, stride=stride, padding=1), nn.GELU()]
                width = narrower
            self.enlarge = nn.Sequential(*layers)
            inner = max(LEAST_WIDTH, min(width, 4 * LEAST_WIDTH))
            self.refine = nn.Sequential(
                convolution(width, inner, 3, padding=1), nn.GELU(), convolution(inner, out_channels, 3, padding=1)
            )

    def forward(self, hidden: Tensor) -> Tensor:
        """Hidden tokens (B, N, dim) or (B, rows, columns, dim) to (B, C, L) or (B, C, H, W).

        Raises:
            OptionError: other tokens than ``grid`` says.
        """
        tokens = hidden.flatten(1, -2) if hidden.ndim == 4 else hidden
        count = prod(self.grid)
        if tokens.ndim != 3 or tokens.shape[1] < count or tokens.shape[2] != self.dim:
            raise OptionError(
                f"hidden states {tuple(hidden.shape)}",
                expected=f"{count} tokens of width {self.dim}",
                remedy="use a source whose encoder gives tokens, with the grid that it gives",
            )
        plane = tokens[:, -count:].transpose(1, 2).unflatten(2, self.grid)
        way = "linear" if len(self.size) == 1 else "bilinear"
        enlarged = F.interpolate(self.enlarge(plane), size=self.size, mode=way, align_corners=False)
        return self.refine(enlarged)


def doublings(size: tuple[int, ...], grid: tuple[int, ...]) -> list[tuple[bool, ...]]:
    """For each stage, which axes are doubled, so that each is at least as long as the field at the end, or 64-fold.

    Example:
        >>> doublings((100, 16), (8, 8))
        [(True, True), (True, False), (True, False), (True, False)]
    """
    wanted = [max(0, min(DEEPEST, ceil(log2(long / short)))) for long, short in zip(size, grid, strict=True)]
    return [tuple(stage < own for own in wanted) for stage in range(max(wanted))]


def _check_sizes(dim: int, out_channels: int, size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    """Refuse sizes of which no decoder can be built.

    Raises:
        OptionError: says which.
    """
    for name, values in (("dim", (dim,)), ("out_channels", (out_channels,)), ("size", size), ("grid", grid)):
        for value in values:
            check_least(name, value, 1)
    if len(size) not in (1, 2) or len(grid) != len(size):
        raise OptionError(
            f"a field of size {tuple(size)} from tokens in a grid {tuple(grid)}",
            expected="(length,) from (tokens,), or (height, width) from (rows, columns)",
            remedy="give both as many axes",
        )
