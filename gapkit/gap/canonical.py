"""One order of samples, source classes and target classes that depends on what they hold, not on how they came.

Folds, inner folds, random starts and resamples are drawn by position. In the canonical order the same data give the
same draws, so permuting samples, source classes or target classes changes nothing but names. Samples are ordered by a
fixed random projection of their features, not by a hash: features that differ by rounding (another device, another
batch size) keep their places, but for a few neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels, PerSample, generator
from gapkit.gap.inputs import ConditionalInputs
from gapkit.gap.label_maps.tempering import LOG_FLOOR
from gapkit.statistics.folds import Folds

CANONICAL_STREAM = 21


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
    marks = _marks(inputs.features, log_p)
    groups = inputs.labels if inputs.groups is None else inputs.groups
    order = np.lexsort((_held(marks, groups), _held(marks, inputs.labels), marks)).astype(np.int64)
    classes, labels = _by_first_occurrence(inputs.labels[order])
    columns = np.argsort(_column_keys(log_p[order]), kind="stable").astype(np.int64)
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


def _project(rows: Array) -> PerSample:
    """A fixed random projection (n,) of rows (n, k); a row's result does not depend on where it stands."""
    weights = np.asarray(generator(0, CANONICAL_STREAM).normal(size=rows.shape[1]), dtype=np.float64)
    return np.sum(np.ascontiguousarray(rows, dtype=np.float64) * weights, axis=1)


def _column_keys(log_p: Floats) -> Floats:
    """A fixed random projection (K_s,) of columns (n, K_s), row by row, so that places of columns do not matter."""
    weights = np.asarray(generator(0, CANONICAL_STREAM, 1).normal(size=log_p.shape[0]), dtype=np.float64)
    return np.sum(log_p * weights[:, None], axis=0)


def _marks(features: Features, log_p: Floats) -> Indices:
    """Dense ranks (n,) by the features' projection; among equals by that of sorted log p, which few samples need."""
    _, ranks, counts = np.unique(_project(features), return_inverse=True, return_counts=True)
    tied = counts[ranks.reshape(-1)] > 1
    second = np.zeros(len(ranks))
    # Sorted, so that places of source classes do not matter; in float32, so that rounding of log p does not.
    second[tied] = _project(np.sort(log_p[tied], axis=1).astype(np.float32))
    order = np.lexsort((second, ranks.reshape(-1)))
    steps = (np.diff(ranks.reshape(-1)[order]) != 0) | (np.diff(second[order]) != 0)
    marks = np.empty(len(order), dtype=np.int64)
    marks[order] = np.concatenate([[0], np.cumsum(steps)])
    return marks


def _held(marks: Indices, codes: Labels) -> Indices:
    """For each sample a number that stands for the multiset of marks in its class or group."""
    _, codes = np.unique(codes, return_inverse=True)
    weights = generator(0, CANONICAL_STREAM, 2).integers(1 << 62, size=int(marks.max(initial=0)) + 1)
    sums = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.int64)
    # Integers wrap around, so the sum does not depend on the order of the samples.
    np.add.at(sums, codes.reshape(-1), weights[marks])
    return sums[codes.reshape(-1)]


def _by_first_occurrence(labels: Labels) -> tuple[Indices, Labels]:
    """The classes (or groups) that are present, as they first occur, and the samples coded by that."""
    present, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return present[order].astype(np.int64), rank[codes.reshape(-1)]
