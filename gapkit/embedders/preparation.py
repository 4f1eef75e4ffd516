"""The parameter-free halves of learned embedders: samples to what their modules take."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array
from gapkit.embedders.choice import choose
from gapkit.embedders.fixed import fit
from gapkit.embedders.fold import Fold
from gapkit.embedders.modality import image_layout, is_codes, is_text
from gapkit.embedders.resize import Resize
from gapkit.embedders.spectrogram import Spectrogram
from gapkit.embedders.training import summarise, train_blocks, train_words
from gapkit.embedders.values import OneHot, Standardised, as_rows, fit_onehot, fit_standardised, varying_std
from gapkit.errors import DataError
from gapkit.types import InputSpec, Target, TokenSpec

Kind = Literal["codes", "table", "series", "field"]
Picture = Resize | Spectrogram | Fold


@dataclass(frozen=True, kw_only=True, eq=False)
class ValuePreparation:
    """Samples to standardised values or one-hot rows.

    Attributes:
        kind: "codes" and "series" give (C, L), "table" (1, d), "field" (C, H, W).
        sample: shape of one sample as it comes.
        values: samples to (C, L), with the statistics of train; fields are laid in rows for it.
        shape: of one prepared sample.
        statistics_from: the samples that the statistics were taken from, in words.
    """

    kind: Kind
    sample: tuple[int, ...]
    values: Standardised | OneHot
    shape: tuple[int, ...]
    statistics_from: str = field(compare=False)

    @property
    def words(self) -> str:
        """What is done, in words."""
        size = "" if self.kind != "field" else f" ({'x'.join(map(str, self.shape[1:]))})"
        return f"{self.values.words}{size}"

    def __call__(self, x: Array) -> Tensor:
        """Samples (B, *sample) to float32 (B, *shape) on the CPU.

        Raises:
            DataError: samples of another shape.
        """
        check_samples_fit(x, self.sample)
        rows = self.values(as_lines(x, self.values) if self.kind == "field" else x)
        return torch.from_numpy(np.ascontiguousarray(rows)).reshape(len(x), *self.shape)

    def problem(self, target: Target) -> str | None:
        """Why a target cannot be prepared, in words; None where it can."""
        return "are no integer codes" if self.kind == "codes" and not is_codes(target) else None


@dataclass(frozen=True, kw_only=True, eq=False)
class PicturePreparation:
    """Samples to the picture that a fixed embedder makes of them for an image source.

    Attributes:
        sample: shape of one sample as it comes.
        embedder: the fixed embedder with its statistics.
    """

    sample: tuple[int, ...]
    embedder: Picture

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of the picture."""
        return self.embedder.frame.channels, *self.embedder.frame.size

    @property
    def words(self) -> str:
        """What is done, in words."""
        return self.embedder.description.rpartition("; statistics of ")[0]

    @property
    def statistics_from(self) -> str:
        """The samples that the statistics were taken from, in words."""
        return self.embedder.statistics_from

    def __call__(self, x: Array) -> Tensor:
        """Samples (B, *sample) to float32 pictures (B, C, H, W) on the CPU.

        Raises:
            DataError: samples of another shape.
        """
        check_samples_fit(x, self.sample)
        return self.embedder(x)

    def problem(self, target: Target) -> str | None:
        """Why a target cannot be prepared, in words; None where it can."""
        if isinstance(self.embedder, Spectrogram):
            rate = self.embedder.bands.sample_rate
            if target.sample_rate != rate:
                given = "no sample rate" if target.sample_rate is None else f"{target.sample_rate:g} Hz"
                return f"have {given} instead of {rate:g} Hz"
        codes = isinstance(self.embedder, Fold) and isinstance(self.embedder.values, OneHot)
        return "are no integer codes" if codes and not is_codes(target) else None


Preparation = ValuePreparation | PicturePreparation


def check_samples_fit(x: Array, sample: tuple[int, ...]) -> None:
    """Refuse samples that the preparation was not fitted for.

    Raises:
        DataError: strings, or another shape.
    """
    if x.dtype.kind == "U" or tuple(x.shape[1:]) != sample:
        what = "strings" if x.dtype.kind == "U" else f"samples of shape {tuple(x.shape[1:])}"
        raise DataError(
            f"the learned embedder is given {what}",
            expected=f"samples of shape {sample}, as it was made for",
            remedy="make an embedder for this target, or use --embedder auto",
        )


def read_kind(target: Target) -> Kind:
    """What the numbers of a target are: codes (with an alphabet), table (n, d), series (n, C, L) or field.

    Vectors with a sample rate are series. Fields are pictures, and everything else of rank 4.

    Raises:
        DataError: strings, single numbers, or rank 5 and more.
    """
    if is_text(target) or target.x.ndim not in (2, 3, 4):
        raise DataError(
            f"{target.name}: x has shape {target.x.shape} and dtype {target.x.dtype}, which no learned embedder takes",
            expected="numbers (n, d), (n, channels, length), (n, H, W), (n, H, W, C) or (n, C, H, W)",
            remedy="save single numbers as (n, 1), reshape what has more axes, and give strings to measure",
        )
    if target.alphabet is not None and is_codes(target):
        return "codes"
    if target.x.ndim == 4 or image_layout(target) is not None:
        return "field"
    return "series" if target.x.ndim == 3 or target.sample_rate is not None else "table"


def fit_values(target: Target) -> ValuePreparation:
    """Standardised values or one-hot rows with the statistics of the train split.

    Raises:
        DataError: no learned embedder takes such samples.
    """
    kind = read_kind(target)
    values = _fit_field(target) if kind == "field" else fit_onehot(target) if kind == "codes" else None
    values = fit_standardised(target) if values is None else values
    sample = tuple(target.x.shape[1:])
    return ValuePreparation(
        kind=kind,
        sample=sample,
        values=values,
        shape=(values.shape[0], *_plane(sample, values)) if kind == "field" else values.shape,
        statistics_from=train_words(target),
    )


def _fit_field(target: Target) -> Standardised:
    """Mean and deviation of each channel.

    Channels come first, or last where that axis is the shorter one: 57x512x512 has 57 channels, 64x64x3 has 3.
    """
    shape = target.x.shape[1:]
    known = image_layout(target)
    last = len(shape) == 3 and (known.channel_axis == "last" if known else shape[2] < shape[0])
    layout: Literal["channels last", "channels first"] = "channels last" if last else "channels first"
    channels = 1 if len(shape) == 2 else shape[2 if last else 0]
    empty = Standardised(layout=layout, shape=(channels, prod(shape) // channels), mean=np.zeros(1), std=np.ones(1))
    rows = (as_rows(as_lines(block, empty), layout) for block in train_blocks(target))
    summary = summarise(rows, axis=(0, 2), name=target.name)
    return Standardised(layout=layout, shape=empty.shape, mean=summary.mean, std=varying_std(summary))


def as_lines(x: Array, values: Standardised | OneHot) -> Array:
    """Fields (B, H, W), (B, C, H, W) or (B, H, W, C) to (B, C, H W) or (B, H W, C), as ``Standardised`` takes them."""
    channels, cells = values.shape
    last = isinstance(values, Standardised) and values.layout == "channels last"
    return x.reshape(len(x), cells, channels) if last else x.reshape(len(x), channels, cells)


def _plane(sample: tuple[int, ...], values: Standardised | OneHot) -> tuple[int, ...]:
    """Height and width of a field."""
    last = isinstance(values, Standardised) and values.layout == "channels last"
    return sample[:2] if last or len(sample) == 2 else sample[1:]


def fit_picture(target: Target, input: InputSpec, token: TokenSpec | None) -> PicturePreparation:
    """The picture of the fixed embedder that an image source would have by itself.

    Raises:
        DataError: no fixed embedder takes such samples.
    """
    fixed = fit(choose(target, input, token), target, input, token)
    if not isinstance(fixed, Picture):
        raise DataError(
            f"{target.name} gets the embedder {fixed.name!r}, which makes no picture",
            expected="an image source",
            remedy="use kind='patch'",
        )
    return PicturePreparation(sample=tuple(target.x.shape[1:]), embedder=fixed)
