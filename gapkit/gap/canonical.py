"""One order of samples, source classes and target classes that depends on what they hold, not on how they came.

Folds, inner folds, random starts and resamples are drawn by position. In the canonical order the same data give the
same draws, so permuting samples, source classes or target classes changes nothing but names. Samples are ordered by a
fixed random projection of their features, not by a hash: features that differ by rounding (another device, another
batch size) keep their places, but for a few neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Indices, Labels
from gapkit.gap.inputs import ConditionalInputs
from gapkit.gap.label_maps.ordering import order_columns, order_samples
from gapkit.gap.label_maps.tempering import LOG_FLOOR
from gapkit.statistics.folds import Folds


@dataclass(frozen=True, kw_only=True)
class Canonical:
    """Inputs in canonical order, without target classes that have no sample.

    Attributes:
        inputs: the inputs without class names; classes and groups are numbered as they first occur, absent classes are
            left out, log-probabilities are floored.
        order: (n,) sample j of ``inputs`` is the given sample ``order[j]``.
        source_classes: (K_s,) source class j is the given ``source_classes[j]``.
        target_classes: target class k is the given ``target_classes[k]``.
        n_classes: K_t of the given inputs, with classes that have no sample.
    """

    inputs: ConditionalInputs
    order: Indices
    source_classes: Array
    target_classes: Array
    n_classes: int

    def folds(self, given: Folds) -> Folds:
        """The folds in canonical order; unscored classes keep their given codes."""
        return replace(given, ids=given.ids[self.order], home=given.home[self.order])


def canonicalise(inputs: ConditionalInputs) -> Canonical:
    """Order samples by a projection of features, then of sorted log p, then by their class and group.

    Target classes are numbered as they first occur in that order; source classes are ordered by a projection of their
    column. Only samples that are equal in features and in p can tie; then the multiset of the samples of their class,
    and of their group, decides.
    """
    log_p = np.maximum(inputs.log_probabilities, LOG_FLOOR)
    order = order_samples(inputs.features, log_p, inputs.labels, inputs.groups)
    classes, labels = _by_first_occurrence(inputs.labels[order])
    columns = order_columns(log_p[order])
    ordered = replace(
        inputs,
        log_probabilities=log_p[order][:, columns],
        features=inputs.features[order],
        labels=labels,
        n_classes=len(classes),
        groups=None if inputs.groups is None else _by_first_occurrence(inputs.groups[order])[1],
        class_names=(),
        values=None if inputs.values is None else inputs.values[order],
        tuned=None if inputs.tuned is None else inputs.tuned[order][:, classes],
    )
    return Canonical(
        inputs=ordered,
        order=order,
        source_classes=columns,
        target_classes=classes,
        n_classes=inputs.n_classes,
    )


def _by_first_occurrence(labels: Labels) -> tuple[Indices, Labels]:
    """The classes (or groups) that are present, as they first occur, and the samples coded by that."""
    present, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return present[order].astype(np.int64), rank[codes.reshape(-1)]
