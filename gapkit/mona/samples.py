"""The samples that a target model is trained on and chosen by, as tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array, Floats, Rows
from gapkit.errors import DataError
from gapkit.labels import NUMBERS, Task
from gapkit.mona.fields import Field, field_of
from gapkit.scores.otdd_labels import pseudo_classes as clusters
from gapkit.statistics.binning import quantile_bins, rarest_labels
from gapkit.statistics.folds import inner_folds
from gapkit.types import Target

KEPT_BYTES = 1 << 29
"""Prepared inputs up to this size are kept; more are prepared anew for every batch."""
LARGEST_PARTS = 20


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Some samples.

    Attributes:
        inputs: (B, ...) what the embedder's module takes.
        labels: (B,) int64 codes, (B,) float32 standardised values, (B, K) float32 zeros and ones, or fields
            (B, C, ...) float32 in units of their spread.
        classes: (B,) int64, for distances between classes: the codes, or what stands for them in other tasks.
    """

    inputs: Tensor
    labels: Tensor
    classes: Tensor

    def like(self, weight: Tensor) -> Batch:
        """The same on the device of a weight, numbers that are no codes in its precision."""
        labels = self.labels.to(weight if self.labels.is_floating_point() else weight.device)
        return Batch(inputs=self.inputs.to(weight), labels=labels, classes=self.classes.to(weight.device))


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSamples:
    """A target's training samples, split into those that are fitted on and those that models are chosen by.

    Attributes:
        target: the samples; no test sample is among them.
        prepare: from samples to what the embedder's module takes.
        fit: positions that are trained on.
        validation: positions that models are chosen by.
        classes: (n,) of all samples, see ``pseudo_classes``.
        centre: of regression values on ``fit``; 0 else.
        spread: likewise, of fields too; 1 else.
        layout: of a dense target; None else.
        kept: prepared inputs of all samples, where they are small.
    """

    target: Target
    prepare: Callable[[Array], Tensor]
    fit: Rows
    validation: Rows
    classes: Rows
    centre: float = 0.0
    spread: float = 1.0
    layout: Field | None = None
    kept: Tensor | None = field(default=None, repr=False)

    @property
    def task(self) -> Task:
        """What is learned."""
        return self.target.task or "classification"

    @property
    def outputs(self) -> int:
        """Of a linear head: classes, labels, or one value."""
        return 1 if self.task == "regression" else self.target.n_classes

    def batch(self, rows: Rows) -> Batch:
        """The samples at ``rows``."""
        classes = torch.from_numpy(self.classes[rows])
        return Batch(inputs=self.inputs(rows), labels=self.labels(rows), classes=classes)

    def inputs(self, rows: Rows) -> Tensor:
        """Prepared inputs."""
        return self.prepare(self.target.x[rows]) if self.kept is None else self.kept[torch.from_numpy(rows)]

    def labels(self, rows: Rows) -> Tensor:
        """Labels as the loss takes them."""
        y = self.target.y[rows]
        if self.task == "classification":
            return torch.from_numpy(y)
        values = ((y - self.centre) / self.spread).astype(np.float32)
        return torch.from_numpy(values if self.layout is None else self.layout.channels_first(values))

    def in_units(self, outputs: Floats) -> Floats:
        """Outputs of the model in the units, and in the layout, of the target's own y."""
        if self.task not in NUMBERS:
            return outputs
        values = outputs * self.spread + self.centre
        return values if self.layout is None else self.layout.as_given(values, self.target.y.shape[1:])


def training_samples(
    target: Target, prepare: Callable[[Array], Tensor], *, validation: float = 0.2, seed: int = 0
) -> TrainingSamples:
    """Cut validation samples off, class by class, groups kept together.

    Args:
        target: training samples alone.
        prepare: from samples to what the embedder's module takes.
        validation: about this share is cut off: one of 1 / share parts, at most 20.
        seed: of the cut.

    Raises:
        DataError: fewer than four samples, or one class alone.
    """
    if len(target) < 4 or (target.task == "classification" and len(np.unique(target.y)) < 2):
        raise DataError(
            f"{target.name}: {len(target)} training samples of {len(np.unique(target.y))} classes",
            expected="at least four samples, of two classes",
            remedy="give more samples",
        )
    parts = int(np.clip(round(1 / validation), 2, LARGEST_PARTS))
    cut = inner_folds(_strata(target), parts, groups=target.groups, seed=seed) == 0
    fit, held_out = np.flatnonzero(~cut), np.flatnonzero(cut)
    centre, spread = 0.0, 1.0
    if target.task in NUMBERS:
        values: Floats = target.y[fit].astype(np.float64)
        # Relative errors of fields are about 0, not about the mean.
        centre = float(values.mean()) if target.task == "regression" else 0.0
        spread = float(np.sqrt(np.square(values - centre).mean())) or 1.0
    first = prepare(target.x[:1])
    small = first.nbytes * len(target) <= KEPT_BYTES
    return TrainingSamples(
        target=target,
        prepare=prepare,
        fit=fit,
        validation=held_out,
        classes=pseudo_classes(target),
        centre=centre,
        spread=spread,
        layout=field_of(target) if target.task == "dense" else None,
        kept=_prepare_all(target, prepare) if small else None,
    )


def _strata(target: Target) -> Rows:
    """What the cut keeps in proportion: classes; of several labels, whether a sample has its rarest; else nothing."""
    if target.task == "classification":
        return target.y
    if target.task == "multilabel":
        return target.y[:, int(target.y.sum(axis=0).argmin())]
    return np.zeros(len(target), dtype=np.int64)


def _prepare_all(target: Target, prepare: Callable[[Array], Tensor], *, size: int = 256) -> Tensor:
    """All samples, block by block."""
    return torch.cat([prepare(target.x[start : start + size]) for start in range(0, len(target), size)])


def pseudo_classes(target: Target, *, count: int = 10) -> Rows:
    """Classes for targets of any task: their own, quantiles of a value, clusters of fields, the rarest label.

    Args:
        target: the samples.
        count: quantile bins of a regression target, clusters of a dense one.
    """
    if target.task == "classification":
        return target.y
    if target.task == "regression":
        return quantile_bins(target.y, count)[0]
    if target.task == "dense":
        return clusters(target.y, n_clusters=count)
    return rarest_labels(target.y)
