"""The trainable halves of learned embedders: prepared values to tokens, each built from a value that says its sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Grid = tuple[int, int]
Option = int | bool | float | str | tuple[int, ...]
GAIN = "gain"
"""A buffer that scales what is learned of a sample to the tokens of the source. Adam moves every weight by about its
rate: weights that were scaled themselves would hardly move in proportion."""
LAYERS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "Conv2d": (
        nn.Conv2d,
        ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"),
    ),
    "MaxPool2d": (nn.MaxPool2d, ("kernel_size", "stride", "padding")),
    "BatchNorm2d": (nn.BatchNorm2d, ("num_features", "eps", "momentum", "affine")),
    "GELU": (nn.GELU, ("approximate",)),
    "ReLU": (nn.ReLU, ()),
}
"""Layers that a source's own embedder may be made of, with the attributes that build them again."""


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """How one axis is cut into patches.

    Attributes:
        length: steps of the axis.
        size: steps in a patch.
        count: patches.
        spread: whether patches stand evenly from end to end, overlapping or repeated where they do not fit exactly;
            otherwise they stand side by side, with zeros behind the last step.
    """

    length: int
    size: int
    count: int
    spread: bool = False

    def apply(self, x: Tensor, axis: int) -> Tensor:
        """``length`` steps along ``axis`` to ``count * size``, patch after patch."""
        whole = self.count * self.size
        if whole == self.length:
            return x
        if not self.spread:
            behind = list(x.shape)
            behind[axis] = whole - self.length
            return torch.cat([x, x.new_zeros(behind)], dim=axis)
        first = torch.arange(self.count, device=x.device) * (self.length - self.size) // max(1, self.count - 1)
        steps = first[:, None] + torch.arange(self.size, device=x.device)
        return x.index_select(axis, steps.flatten())


@dataclass(frozen=True, kw_only=True)
class PatchSizes:
    """Sizes of ``Patches``.

    Attributes:
        channels: C of the values.
        axes: how each of the one or two axes behind the channels is cut.
        dim: width of a token.
        positions: whether learned positions are added.
        grid: rows and columns that the tokens are laid out in, row by row; None leaves them in a sequence.
    """

    channels: int
    axes: tuple[Cuts, ...]
    dim: int
    positions: bool
    grid: Grid | None = None

    @property
    def count(self) -> int:
        """Tokens of a sample."""
        return torch.Size([axis.count for axis in self.axes]).numel()

    @property
    def words(self) -> str:
        """Patches, in words."""
        sizes, counts = ("x".join(str(getattr(axis, key)) for axis in self.axes) for key in ("size", "count"))
        placed = ", learned positions" if self.positions else ""
        unit = "steps" if len(self.axes) == 1 else "cells"
        return f"patches of {sizes} {unit}, {counts} tokens of width {self.dim}{placed}"


class Patches(nn.Module):
    """Convolution over patches, layer norm, positions: (B, C, L) or (B, C, H, W) to tokens.

    token_n = g LayerNorm(W patch_n + b) + position_n, with a fixed gain g, see ``GAIN``.
    """

    def __init__(self, sizes: PatchSizes) -> None:
        """Build the layers with torch's own initial values and without positions (zeros)."""
        super().__init__()
        self.sizes = sizes
        kernel = tuple(axis.size for axis in sizes.axes)
        convolution: Any = nn.Conv1d if len(kernel) == 1 else nn.Conv2d
        self.convolution = convolution(sizes.channels, sizes.dim, kernel, stride=kernel)
        self.norm = nn.LayerNorm(sizes.dim)
        self.position = nn.Parameter(torch.zeros(1, sizes.count, sizes.dim)) if sizes.positions else None
        self.register_buffer(GAIN, torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Values (B, C, L) or (B, C, H, W) to tokens (B, N, dim) or (B, rows, columns, dim)."""
        for axis, cuts in enumerate(self.sizes.axes):
            x = cuts.apply(x, 2 + axis)
        tokens = self.get_buffer(GAIN) * self.norm(self.convolution(x).flatten(2).transpose(1, 2).contiguous())
        tokens = tokens if self.position is None else tokens + self.position
        return tokens if self.sizes.grid is None else tokens.unflatten(1, self.sizes.grid)


@dataclass(frozen=True, kw_only=True)
class TableSizes:
    """Sizes of ``FeatureTokens``.

    Attributes:
        cuts: how the row of features is cut into groups; groups of 1 where there are no more features than tokens.
        dim: width of a token.
        grid: rows and columns that the tokens are laid out in; None leaves them in a sequence.
    """

    cuts: Cuts
    dim: int
    grid: Grid | None = None

    @property
    def count(self) -> int:
        """Tokens of a sample."""
        return self.cuts.count

    @property
    def words(self) -> str:
        """Features in tokens, in words."""
        each = "feature" if self.cuts.size == 1 else f"{self.cuts.size} features"
        return f"one token for each {each}, {self.count} tokens of width {self.dim}"


class FeatureTokens(nn.Module):
    """Features (B, 1, d) to tokens: token_n = g (sum over the features k of group n of x_k w_nk, plus b_n).

    The tokenizer of FT-Transformer (Gorishniy et al., NeurIPS 2021), for groups too. The bias tells a feature from the
    others, so that no positions are needed. The gain g is fixed, see ``GAIN``.
    """

    def __init__(self, sizes: TableSizes) -> None:
        """Build vectors of unit length in expectation."""
        super().__init__()
        self.sizes = sizes
        scale = sizes.dim**-0.5
        self.weight = nn.Parameter(torch.randn(sizes.count, sizes.cuts.size, sizes.dim) * scale)
        self.bias = nn.Parameter(torch.randn(sizes.count, sizes.dim) * scale)
        self.register_buffer(GAIN, torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, 1, d) to tokens (B, N, dim) or (B, rows, columns, dim)."""
        groups = self.sizes.cuts.apply(x, 2).unflatten(2, (self.sizes.count, self.sizes.cuts.size))[:, 0]
        tokens = self.get_buffer(GAIN) * (torch.einsum("bng,ngd->bnd", groups, self.weight) + self.bias)
        return tokens if self.sizes.grid is None else tokens.unflatten(1, self.sizes.grid)


@dataclass(frozen=True, kw_only=True)
class LayerSizes:
    """One layer of a source's embedder.

    Attributes:
        kind: a key of ``LAYERS``.
        options: what builds it, in the order of ``LAYERS``.
    """

    kind: str
    options: tuple[Option, ...]

    def build(self) -> nn.Module:
        """The layer with torch's own initial values."""
        build, names = LAYERS[self.kind]
        return build(**dict(zip(names, self.options, strict=True)))

    @classmethod
    def of(cls, layer: nn.Module) -> LayerSizes | None:
        """Of a layer of the kinds that are known, else None."""
        kind = type(layer).__name__
        if kind not in LAYERS or type(layer) is not LAYERS[kind][0]:
            return None
        values = (getattr(layer, name) for name in LAYERS[kind][1])
        return cls(kind=kind, options=tuple(value is not None if _is_bias(value) else value for value in values))


def _is_bias(value: object) -> bool:
    """Whether an attribute is a bias, of which only the presence is told; only a bias is a tensor or None."""
    return value is None or isinstance(value, Tensor)


@dataclass(frozen=True, kw_only=True)
class CopySizes:
    """Sizes of ``CopiedEmbedding``.

    Attributes:
        layers: one after the other.
        dim: width of a token.
        count: tokens of a sample.
        grid: rows and columns of the tokens, None for a sequence.
        norm: epsilon of the layer norm, None without one.
        positions: whether positions are added.
    """

    layers: tuple[LayerSizes, ...]
    dim: int
    count: int
    grid: Grid | None
    norm: float | None
    positions: bool

    @property
    def words(self) -> str:
        """Tokens, in words."""
        return f"the source's own embedding, trainable, {self.count} tokens of width {self.dim}"


class CopiedEmbedding(nn.Module):
    """A source's own layers, norm and positions as a module of its own: pictures (B, C, H, W) to tokens."""

    def __init__(self, sizes: CopySizes) -> None:
        """Build the layers with torch's own initial values and without positions (zeros)."""
        super().__init__()
        self.sizes = sizes
        self.layers = nn.Sequential(*(layer.build() for layer in sizes.layers))
        self.norm = nn.Identity() if sizes.norm is None else nn.LayerNorm(sizes.dim, eps=sizes.norm)
        self.position = nn.Parameter(torch.zeros(1, sizes.count, sizes.dim)) if sizes.positions else None

    def forward(self, x: Tensor) -> Tensor:
        """Pictures, as the source takes them, to tokens (B, N, dim) or (B, rows, columns, dim)."""
        if len(self.layers) > 1:  # a stem, which runs channels last in the bundled source too
            x = x.contiguous(memory_format=torch.channels_last)
        tokens = self.norm(self.layers(x).flatten(2).transpose(1, 2).contiguous())
        tokens = tokens if self.position is None else tokens + self.position
        return tokens if self.sizes.grid is None else tokens.unflatten(1, self.sizes.grid)


Sizes = PatchSizes | TableSizes | CopySizes


def build_module(sizes: Sizes) -> Patches | FeatureTokens | CopiedEmbedding:
    """The module of these sizes; its initial values come from torch's global generator (see ``seeded_torch``)."""
    if isinstance(sizes, PatchSizes):
        return Patches(sizes)
    return FeatureTokens(sizes) if isinstance(sizes, TableSizes) else CopiedEmbedding(sizes)
