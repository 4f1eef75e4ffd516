"""Accuracy of cross-fitted probes: what nearest neighbours, or a linear model, read off the features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Labels
from gapkit.errors import DataError, UndefinedError
from gapkit.estimates import Interval
from gapkit.scores.checks import check_features, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.ridge_accuracy import ridge_accuracy
from gapkit.statistics.folds import Folds, stratified_folds
from gapkit.statistics.neighbours import make_neighbourhood
from gapkit.statistics.probes import Probe, knn_probe, linear_probe
from gapkit.statistics.splits import fold_splits
from gapkit.statistics.uncertainty import ratio_intervals
from gapkit.types import Traits

N_FOLDS = 5
RIDGE = "accuracy of a cross-fitted ridge classifier"


def knn_accuracy(
    features: Array, labels: Array, *, groups: Array | None = None, n_folds: int = N_FOLDS, seed: int = 0
) -> float:
    """Share of samples whose class gets most votes of their k nearest neighbours in the other folds.

    Euclidean distances of standardised features; k is 1, 3, 10, 30 or 100, in every fold the one of least log loss on
    a part of its fitting side. In [0, 1]; higher is better; labels that tell nothing reach about the share of the most
    frequent class. Equal distances are ordered by a seeded order of the samples; of classes with equally many votes
    the one that is more frequent on the fitting side wins, then the one that comes first among the samples.

    A class with fewer samples (with groups: that occurs in fewer groups) than there are folds is never scored, but its
    samples may still be neighbours.

    Deviations from the public code: not leave-one-out and not one random split, but stratified folds; k is chosen.

    Args:
        features: (n, d).
        labels: (n,) integers or strings.
        groups: (n,) integers or strings: samples that belong together and share a fold.
        n_folds: at least 2.
        seed: of folds, and of the order that breaks ties.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: fewer than two folds.
        UndefinedError: fewer than two classes with at least as many samples, or groups, as folds.

    Example:
        >>> features = np.array([[0.0], [10.0]]) + np.arange(10)[:, None, None] / 10
        >>> knn_accuracy(features.reshape(20, 1), np.tile(["a", "b"], 10))
        1.0
    """
    inputs = _inputs(features, labels, groups, seed)
    return KnnAccuracy(n_folds=n_folds).on(inputs)(inputs.labels)


def linear_probe_accuracy(
    features: Array, labels: Array, *, groups: Array | None = None, n_folds: int = N_FOLDS, seed: int = 0
) -> float:
    """Share of samples that multinomial logistic regression, fitted on the other folds, predicts right.

    Features are standardised by the fitting side, and the penalty is in every fold the one of least log loss on a part
    of it. In [0, 1]; higher is better; labels that tell nothing reach about the share of the most frequent class.

    A class with fewer samples (with groups: that occurs in fewer groups) than there are folds is never scored, but its
    samples are still fitted.

    Args:
        features: (n, d).
        labels: (n,) integers or strings.
        groups: (n,) integers or strings: samples that belong together and share a fold.
        n_folds: at least 2.
        seed: of folds.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: fewer than two folds.
        UndefinedError: fewer than two classes with at least as many samples, or groups, as folds.

    Example:
        >>> features = np.array([[0.0], [10.0]]) + np.arange(10)[:, None, None] / 10
        >>> linear_probe_accuracy(features.reshape(20, 1), np.tile(["a", "b"], 10))
        1.0
    """
    inputs = _inputs(features, labels, groups, seed)
    return LinearProbeAccuracy(n_folds=n_folds).on(inputs)(inputs.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShareOfHits:
    """An accuracy as a function of labels.

    Attributes:
        probe: labels (n,) to the hits that it is the share of.
    """

    probe: Callable[[Array], Probe]

    def __call__(self, labels: Array) -> float:
        """The accuracy on one labelling."""
        return self.probe(labels).accuracy


@dataclass(frozen=True, kw_only=True)
class FoldedAccuracy(ABC):
    """An accuracy of held-out samples.

    The folds are those of the labels in the inputs, whatever labelling is scored: permute labels within them.

    Attributes:
        n_folds: at least 2.
    """

    n_folds: int = N_FOLDS

    def folds(self, inputs: ScoreInputs) -> Folds:
        """The folds, from the labels in the inputs.

        Raises:
            UndefinedError: fewer than two classes can be scored.
        """
        return _folds(inputs, self.n_folds)

    def fold_ids(self, inputs: ScoreInputs) -> Labels:
        """The fold (n,) that scores each sample, -1 where none does."""
        return self.folds(inputs).ids

    @abstractmethod
    def on(self, inputs: ScoreInputs) -> ShareOfHits:
        """What does not depend on labels, once.

        Raises:
            UndefinedError: fewer than two classes can be scored.
        """

    def probe(self, inputs: ScoreInputs) -> Probe:
        """The hits of every sample, of which the accuracy is the mean.

        Raises:
            UndefinedError: fewer than two classes can be scored.
        """
        return self.on(inputs).probe(inputs.labels)

    def interval(self, inputs: ScoreInputs, *, level: float = 0.95) -> Interval:
        """Of the accuracy, by a bootstrap of samples, or of groups.

        Raises:
            UndefinedError: fewer than two classes can be scored.
        """
        return hit_interval(self.probe(inputs), inputs, level=level)


@dataclass(frozen=True, kw_only=True)
class KnnAccuracy(FoldedAccuracy):
    """Estimator of ``knn_accuracy``; inner splits follow the labelling that is scored, neighbours are found once."""

    traits: ClassVar[Traits] = Traits(
        name="knn_accuracy",
        title="kNN accuracy",
        formula="share of samples whose class gets most votes of k neighbours in other folds, k chosen inside them",
        paper="Fix and Hodges, Discriminatory Analysis: Nonparametric Discrimination, 1951",
        needs=("features", "labels"),
        lowest=0.0,
        highest=1.0,
        better="higher",
        conditional=True,
        invariant=("class_names", "shift", "scale"),
        cross_fitted=True,
        cost="O(n^2 d) once, O(n k) for each labelling",
        fast=False,
        avoids="neighbours that are the sample itself; k chosen on what is scored; ties left to chance",
    )

    def on(self, inputs: ScoreInputs) -> ShareOfHits:
        """Make folds and find neighbours, once.

        Raises:
            UndefinedError: fewer than two classes can be scored.
        """
        folds, groups, seed = self.folds(inputs), inputs.groups, inputs.seed
        splits = fold_splits(inputs.labels, folds, groups=groups, seed=seed)
        features = inputs.whole
        near = make_neighbourhood(features, splits, seed=seed)

        def probe(labels: Array) -> Probe:
            codes = by_occurrence(labels)[0]
            return knn_probe(features, codes, folds, groups=groups, seed=seed, neighbourhood=near)

        return ShareOfHits(probe=probe)


@dataclass(frozen=True, kw_only=True)
class LinearProbeAccuracy(FoldedAccuracy):
    """Estimator of ``linear_probe_accuracy``.

    A fit is too slow to be repeated for every permutation: ``null_statistic`` is what permuted labels are told from
    observed ones by.
    """

    traits: ClassVar[Traits] = Traits(
        name="linear_probe_accuracy",
        title="linear probe accuracy",
        formula="share of samples that logistic regression, fitted on the other folds, predicts right",
        paper="Alain and Bengio, Understanding intermediate layers using linear classifier probes, ICLR workshop 2017",
        needs=("features", "labels"),
        lowest=0.0,
        highest=1.0,
        better="higher",
        conditional=True,
        invariant=("class_names", "shift", "scale"),
        cross_fitted=True,
        cost="O(n d min(n, d)) and some hundred steps of O(n d C) in every fold, for each labelling",
        fast=False,
        avoids="one random split; a penalty that is chosen on what is scored, or not at all",
    )

    def on(self, inputs: ScoreInputs) -> ShareOfHits:
        """Make folds, once; everything else is a fit to the labels.

        Raises:
            UndefinedError: fewer than two classes can be scored.
        """
        folds = self.folds(inputs)

        def probe(labels: Array) -> Probe:
            codes = by_occurrence(labels)[0]
            return linear_probe(inputs.features, codes, folds, groups=inputs.groups, seed=inputs.seed)

        return ShareOfHits(probe=probe)

    def null_statistic(self, inputs: ScoreInputs) -> tuple[str, Callable[[Array], float]]:
        """Name and function of the accuracy of a ridge classifier on the same folds, which shares all but class sums.

        Raises:
            UndefinedError: fewer than two classes can be scored.
        """
        score = ridge_accuracy(inputs.whole, self.folds(inputs))
        return RIDGE, lambda labels: score(*by_occurrence(labels))


def by_occurrence(labels: Array) -> tuple[Labels, int]:
    """Codes in the order in which classes first occur, so that names break no tie, and the number of classes.

    Raises:
        UndefinedError: a single class.

    Example:
        >>> codes, count = by_occurrence(np.array([7, 3, 7, 5]))
        >>> codes.tolist(), count
        ([0, 1, 0, 2], 3)
    """
    codes, count = present_classes(labels)
    first = np.unique(codes, return_index=True)[1]
    return np.argsort(np.argsort(first))[codes].astype(np.int64), count


def _inputs(features: Array, labels: Array, groups: Array | None, seed: int) -> ScoreInputs:
    """Checked arrays."""
    x = check_features(features)
    codes = encode(labels, len(x))
    units = None if groups is None else encode(groups, len(x), "groups")
    return ScoreInputs(features=x, labels=codes, groups=units, seed=seed)


def _folds(inputs: ScoreInputs, n_folds: int) -> Folds:
    """Stratified, seeded and grouped folds; too few samples make the measure undefined."""
    present_classes(inputs.labels)
    try:
        return stratified_folds(inputs.labels, n_folds, groups=inputs.groups, seed=inputs.seed)
    except DataError as error:
        raise UndefinedError(error.got, expected=error.expected, remedy=error.remedy) from error


def hit_interval(probe: Probe, inputs: ScoreInputs, *, level: float = 0.95) -> Interval:
    """Of the share of hits among scored samples; where all are hits, or none, by Clopper and Pearson (1934)."""
    hits = probe.hits[probe.scored, None]
    groups = None if inputs.groups is None else inputs.groups[probe.scored]
    if hits.min() == hits.max():
        # Nothing varies, and a bootstrap would say that nothing can: the exact binomial bound of so many units.
        reach = 1 - ((1 - level) / 2) ** (1 / (len(hits) if groups is None else len(np.unique(groups))))
        return (1 - reach, 1.0) if hits.min() == 1.0 else (0.0, reach)
    found = ratio_intervals(hits, np.ones_like(hits), groups=groups, seed=inputs.seed, level=level)
    return max(0.0, float(found.low[0])), min(1.0, float(found.high[0]))
