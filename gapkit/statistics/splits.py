"""Who fits, who chooses and who is scored when probes are cross-fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Labels, Mask
from gapkit.statistics.folds import Folds, inner_folds


@dataclass(frozen=True, kw_only=True)
class Split:
    """One fold: masks (n,) of the samples.

    Attributes:
        fit: the fitting side.
        validation: the part of it that hyper-parameters are chosen on.
        scored: the samples that the fold scores, none of them on the fitting side.
    """

    fit: Mask
    validation: Mask
    scored: Mask

    @property
    def inner_fit(self) -> Mask:
        """The rest of the fitting side, which is fitted on for that choice."""
        return self.fit & ~self.validation


def fold_splits(labels: Labels, folds: Folds, *, groups: Labels | None = None, seed: int = 0) -> list[Split]:
    """The split of each fold; the validation samples are the first of its stratified, grouped inner folds."""
    splits: list[Split] = []
    for fold in range(folds.n_folds):
        rows = folds.fitting(fold)
        inner = inner_folds(labels[rows], groups=None if groups is None else groups[rows], seed=seed)
        validation = np.zeros(len(labels), dtype=bool)
        validation[rows[inner == 0]] = True
        splits.append(Split(fit=folds.home != fold, validation=validation, scored=folds.ids == fold))
    return splits


def class_shares(labels: Labels, n_classes: int) -> Floats:
    """``(n_y + 1/2) / (n + K / 2)`` (K,): class shares that are never zero.

    Example:
        >>> class_shares(np.array([0, 0, 0]), 2).tolist()
        [0.875, 0.125]
    """
    counts = np.bincount(labels, minlength=n_classes).astype(np.float64)
    return (counts + 0.5) / (len(labels) + n_classes / 2)
