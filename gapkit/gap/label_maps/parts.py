"""What a map is fitted on: one part for each fold, and one for all samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels, LogProbabilities, Mask
from gapkit.gap.label_maps.mixing import class_prior
from gapkit.gap.label_maps.ordering import order_columns, order_samples
from gapkit.gap.label_maps.tempering import Samples, sort_samples
from gapkit.statistics.folds import Folds, inner_folds

OUTSIDE = -1
VALIDATION = 0


@dataclass(frozen=True, kw_only=True)
class Part:
    """The fitting side of one fold, with its inner folds.

    Attributes:
        fit: (n,) the samples to fit on.
        inner: (n,) inner fold of each of them, -1 for the others; inner fold 0 is the validation split.
        scored: (n,) the samples that the fold scores.
        prior: (K_t,) class prior pi of the fitting samples.
    """

    fit: Mask
    inner: Labels
    scored: Mask
    prior: Floats

    @property
    def validation(self) -> Mask:
        """The samples that temperature and pseudo-count are chosen on."""
        return self.inner == VALIDATION

    @property
    def inner_fit(self) -> Mask:
        """The samples that are fitted on for that choice."""
        return self.without(VALIDATION)

    @property
    def n_inner(self) -> int:
        """Number of inner folds."""
        return int(self.inner.max()) + 1

    def without(self, inner_fold: int) -> Mask:
        """The fitting samples outside one inner fold."""
        return self.fit & (self.inner != inner_fold)

    def take(self, order: Indices) -> Part:
        """The part with its samples in another order."""
        return replace(self, fit=self.fit[order], inner=self.inner[order], scored=self.scored[order])


def make_part(labels: Labels, fit: Mask, scored: Mask, *, groups: Labels | None, n_classes: int, seed: int) -> Part:
    """A part with stratified, grouped inner folds."""
    rows = np.flatnonzero(fit)
    inner = np.full(len(labels), OUTSIDE, dtype=np.int64)
    inner[rows] = inner_folds(labels[rows], groups=None if groups is None else groups[rows], seed=seed)
    counts = np.bincount(labels[rows], minlength=n_classes).astype(np.float64)
    return Part(fit=fit, inner=inner, scored=scored, prior=class_prior(counts))


def fold_parts(labels: Labels, folds: Folds, *, groups: Labels | None, n_classes: int, seed: int) -> list[Part]:
    """One part for each fold and, last, one that fits on all samples and scores none."""
    everything, nothing = np.ones(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
    masks = [(folds.home != fold, folds.ids == fold) for fold in range(folds.n_folds)] + [(everything, nothing)]
    return [make_part(labels, fit, scored, groups=groups, n_classes=n_classes, seed=seed) for fit, scored in masks]


def canonical_part(
    log_p: LogProbabilities, labels: Labels, *, n_classes: int, seed: int
) -> tuple[Samples, Part, Array]:
    """Samples sorted by class, the part that fits on all of them, and the order of source classes in them.

    Samples and source classes are ordered by what they hold first, so that how they came changes nothing.
    """
    order = order_samples(np.zeros((len(labels), 0)), log_p, labels, None)
    columns = order_columns(log_p[order])
    labels = labels[order]
    samples, by_class = sort_samples(log_p[order][:, columns], labels, n_classes)
    return samples, whole_part(labels, n_classes=n_classes, seed=seed).take(by_class), columns


def whole_part(labels: Labels, *, n_classes: int, seed: int) -> Part:
    """The part that fits on all samples."""
    everything = np.ones(len(labels), dtype=bool)
    return make_part(labels, everything, ~everything, groups=None, n_classes=n_classes, seed=seed)
