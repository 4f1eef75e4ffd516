"""PARC: how the correlation distances of features rank the pairs of samples, and how those of labels do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats, Indices
from gapkit.errors import DataError, UndefinedError
from gapkit.labels import Task, encode_labels
from gapkit.options import check_least
from gapkit.scores.checks import check_features
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.pair_ranks import LabelRanks, PairRanks, rank_labels, rank_pairs, unit_rows
from gapkit.scores.subsample import canonical_order, subsample
from gapkit.statistics.scaling import fit_scaling
from gapkit.types import Traits

PARC_STREAM = 60
SAMPLES = 5000
"""12.5 million pairs, whose ranks take 100 MB, and four times that while they are found."""
BLOCK_ROWS = 256
LEAST_SAMPLES = 3
"""Two have a single pair."""


def parc(
    features: Array,
    labels: Array,
    *,
    task: Task | None = None,
    components: int | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
) -> float:
    """Pairwise annotation representation comparison: 100 times a Spearman correlation (Bolya et al., NeurIPS 2021).

    Correlated are, over the n (n - 1) / 2 pairs of samples, ``1 - corr(x_i, x_j)`` of their standardised features and
    ``1 - corr(y_i, y_j)`` of their labels, one-hot. In [-100, 100]; higher where samples that are alike have the same
    labels.

    One-hot rows are at one of two distances, so that the correlation follows from the sum of the features' ranks over
    the pairs inside classes, exactly and with ties at their average rank. Several labels (zeros and ones) are compared
    as rows. Numbers have no correlation of single entries: a regression target's distance is ``|y_i - y_j|``, gapkit's
    own choice.

    Deviations from the original code: constant features are left out instead of counting as zeros; correlations
    that agree to 2^-36 are ties, so that rounding breaks none; a sample whose standardised features are all the same
    number has no correlation and gets the distance 1 from all others (0 from its like) instead of NaN, and likewise
    samples with none or all of several labels; principal components without variance are left out instead of being
    blown up, and get the sign that makes their third moment positive, which matters as rows are centred.

    Args:
        features: (n, d), at least two of them varying.
        labels: (n,) integers, strings or, with ``task="regression"``, numbers; (n, k) zeros and ones.
        task: overrides the guess.
        components: of a principal component analysis of the features, whose coordinates are standardised in their
            place; the paper's experiments use 32. None takes the features themselves, as in the definition.
        samples: the most that are compared; of more a subsample is drawn, class by class.
        seed: of the subsample.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: an unknown task, no component, fewer than three samples, or a seed that is none.
        UndefinedError: all pairs are at the same distance, by features or by labels.

    Example:
        >>> features = np.array([[0.0, 1.0, 0.0], [0.1, 1.0, 0.0], [1.0, 0.0, 0.0], [1.1, 0.0, 0.2]])
        >>> round(parc(features, np.array([0, 0, 1, 1])), 1)
        82.8
    """
    x = check_features(features)
    encoded = encode_labels(labels, task=task, name="labels")
    if len(encoded.values) != len(x):
        raise DataError(
            f"labels has {len(encoded.values)} rows beside {len(x)} samples",
            expected="one for each sample",
            remedy="give labels and features the same first axis",
        )
    estimator = PARC(components=components, samples=samples)
    return estimator.on(ScoreInputs(features=x, labels=encoded.values, seed=seed))(encoded.values)


@dataclass(frozen=True, kw_only=True)
class PARC:
    """Estimator of ``parc``: integers (n,) are classes, floats (n,) a regression target, (n, k) several labels.

    Attributes:
        components: of a principal component analysis; None takes the features themselves.
        samples: the most that are compared. The subsample is the same for all labellings; it is drawn class by class
            of the labels in the inputs, and does not depend on the order of the samples.
    """

    components: int | None = None
    samples: int = SAMPLES

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: no component, or fewer samples than pairs can be ranked of.
        """
        if self.components is not None:
            check_least("components", self.components, 1)
        check_least("samples", self.samples, LEAST_SAMPLES)

    traits: ClassVar[Traits] = Traits(
        name="parc",
        title="PARC",
        formula="100 Spearman(1 - corr(x_i, x_j), 1 - corr(y_i, y_j)) over pairs, x standardised, y one-hot",
        paper="Bolya et al., Scalable Diverse Model Selection for Accessible Transfer Learning, NeurIPS 2021",
        needs=("features", "labels"),
        lowest=-100.0,
        highest=100.0,
        better="higher",
        conditional=True,
        invariant=("sample_order", "class_names", "shift", "scale"),
        tasks=("classification", "multilabel", "regression"),
        cost="O(n^2 (d + log n)) once, O(n^2 / C) for each labelling, n at most 5000",
        subsample=SAMPLES,
        fast=False,
        avoids="NaN of constant rows, principal components of noise, 3 GB at 5000 samples",
    )

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        """Rank the pairs by their features, once.

        Raises:
            UndefinedError: all pairs are at the same distance by features; the function, by labels.
        """
        index = self._drawn(inputs)
        points = self._standardised(inputs.take(index))
        ranks = rank_pairs(unit_rows(points)) if points.shape[1] > 1 else None
        if ranks is None or ranks.norm == 0:
            raise UndefinedError(
                "the features of all pairs of samples correlate alike",
                expected="at least three samples and two features that vary",
                remedy="give more samples or features",
            )
        if inputs.labels.ndim == 1 and inputs.labels.dtype.kind != "f":
            return lambda labels: _by_classes(ranks, labels[index])
        known = _ranked_labels(inputs.labels[index])
        return lambda labels: _by_distances(ranks, labels[index], known)

    def _drawn(self, inputs: ScoreInputs) -> Indices:
        """The samples that are compared."""
        n, labels = len(inputs.features), inputs.labels
        if n <= self.samples:
            return np.arange(n, dtype=np.int64)
        order = canonical_order(inputs.features)
        strata = labels[order] if labels.ndim == 1 and labels.dtype.kind != "f" else None
        return order[subsample(n, self.samples, seed=inputs.seed, stream=PARC_STREAM, labels=strata)]

    def _standardised(self, inputs: ScoreInputs) -> Floats:
        """The features, or their principal coordinates, with unit variance; what does not vary is left out."""
        if self.components is None:
            features = inputs.whole
            return fit_scaling(features).apply(features)
        points = inputs.spectrum.coordinates(self.components)
        points = points / np.sqrt(np.square(points).mean(axis=0))
        return points * np.where((points**3).sum(axis=0) < 0, -1.0, 1.0)


def _by_classes(ranks: PairRanks, labels: Array) -> float:
    """100 rho where pairs are at one of two distances, from the sum of ranks over those inside classes."""
    members = [np.flatnonzero(labels == code) for code in np.unique(labels)]
    inside = sum(int(ranks.table[np.ix_(rows, rows)].sum()) for rows in members) / 2
    alike = sum(len(rows) * (len(rows) - 1) // 2 for rows in members)
    pairs = len(labels) * (len(labels) - 1) // 2
    if alike in (0, pairs):
        raise _alike("no two samples have" if alike == 0 else "all samples have")
    return _percent(-inside / (ranks.norm * np.sqrt(alike * (1 - alike / pairs))))


def _by_distances(ranks: PairRanks, labels: Array, known: LabelRanks) -> float:
    """100 rho for label distances of many values."""
    values, codes, counts = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
    codes = codes.reshape(-1)
    by_label = known if known.fits(values, counts) else _ranked_labels(labels)
    total = 0.0
    for start in range(0, len(codes), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        total += float(np.einsum("ij,ij->", ranks.table[rows], by_label.table[codes[rows]][:, codes], dtype=np.float64))
    return _percent(total / 2 / (ranks.norm * by_label.norm))


def _ranked_labels(labels: Array) -> LabelRanks:
    """Ranks of the distances between the labels of pairs of samples."""
    values, counts = np.unique(labels, axis=0, return_counts=True)
    found = rank_labels(values, counts) if len(values) > 1 else None
    if found is None or found.norm == 0:
        raise _alike("all samples have" if found is None else "no two samples have")
    return found


def _alike(what: str) -> UndefinedError:
    """The error where label distances of all pairs are equal."""
    return UndefinedError(
        f"{what} the same label",
        expected="pairs of samples with the same label and with different ones",
        remedy="take samples of other classes in" if what.startswith("all") else "give more samples of each class",
    )


def _percent(correlation: float) -> float:
    """In [-100, 100], rounding apart."""
    return float(np.clip(100 * correlation, -100.0, 100.0))
