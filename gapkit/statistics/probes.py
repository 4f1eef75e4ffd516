"""Cross-fitted probes: what a linear model or the nearest neighbours read off features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Labels, Mask, PerSample, TargetProbabilities
from gapkit.statistics.folds import Folds
from gapkit.statistics.logistic import choose_logistic
from gapkit.statistics.neighbours import Neighbourhood, choose_neighbours, make_neighbourhood
from gapkit.statistics.regressors import Regressors
from gapkit.statistics.scaling import fit_scaling
from gapkit.statistics.splits import class_shares, fold_splits
from gapkit.statistics.stacked import StackedRows


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A cross-fitted probe.

    Attributes:
        probabilities: (n, K) of the scored samples, each from the fold that has not seen it; rows of other samples are
            the class shares.
        hits: (n,) 1 where the most probable class is the sample's own, else 0; 0 for samples that are not scored.
        scored: (n,) the samples that a fold scores.
        chosen: (number of folds,) the hyper-parameter of each fold: the penalty 1 / C, or k.
    """

    probabilities: TargetProbabilities
    hits: PerSample
    scored: Mask
    chosen: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Share of the scored samples that are hits."""
        return float(self.hits[self.scored].mean())


def linear_probe(
    features: Features | StackedRows, labels: Labels, folds: Folds, *, groups: Labels | None = None, seed: int = 0
) -> Probe:
    """Multinomial logistic regression on standardised features, cross-fitted; C by log loss on the inner split.

    The hits of several probes on the same folds are paired: give their differences, or each of them, to
    ``gapkit.statistics.uncertainty.ratio_intervals`` with ones as denominators.

    Args:
        features: (n, d).
        labels: (n,) class codes 0 .. K - 1.
        folds: of these samples.
        groups: (n,) codes of samples that belong together, as the folds were made with.
        seed: of the inner split.

    Example:
        >>> from gapkit.statistics.folds import stratified_folds
        >>> labels = np.tile([0, 1], 20)
        >>> linear_probe(np.eye(2)[labels], labels, stratified_folds(labels)).accuracy
        1.0
    """
    n_classes = int(labels.max()) + 1
    q = np.tile(class_shares(labels, n_classes), (len(labels), 1))
    chosen: list[float] = []
    for split in fold_splits(labels, folds, groups=groups, seed=seed):
        fitting, scored = np.flatnonzero(split.fit), np.flatnonzero(split.scored)
        scaling = fit_scaling(features, fitting)
        fitted = choose_logistic(
            Regressors(features=features, index=fitting, scaling=scaling),
            labels[fitting],
            split.validation[fitting],
            offset=np.zeros((len(fitting), n_classes)),
        )
        q[scored] = fitted.model.read(Regressors(features=features, index=scored, scaling=scaling))
        chosen.append(fitted.model.penalty)
    return _probe(q, labels, folds, chosen)


def knn_probe(
    features: Features,
    labels: Labels,
    folds: Folds,
    *,
    groups: Labels | None = None,
    seed: int = 0,
    neighbourhood: Neighbourhood | None = None,
) -> Probe:
    """The vote of the k nearest neighbours on standardised features, cross-fitted; k by log loss on the inner split.

    Args:
        features: (n, d).
        labels: (n,) class codes 0 .. K - 1.
        folds: of these samples.
        groups: (n,) codes of samples that belong together, as the folds were made with.
        seed: of the inner split and of the order that breaks ties.
        neighbourhood: of these samples, where it was made before for other labels of them.

    Example:
        >>> from gapkit.statistics.folds import stratified_folds
        >>> labels = np.tile([0, 1], 20)
        >>> knn_probe(np.eye(2)[labels], labels, stratified_folds(labels)).accuracy
        1.0
    """
    n_classes = int(labels.max()) + 1
    q = np.tile(class_shares(labels, n_classes), (len(labels), 1))
    splits = fold_splits(labels, folds, groups=groups, seed=seed)
    neighbourhood = neighbourhood or make_neighbourhood(features, splits, seed=seed)
    chosen: list[float] = []
    for split in splits:
        fitted = choose_neighbours(neighbourhood, labels, split, class_shares(labels[split.fit], n_classes))
        q[split.scored] = fitted.scored
        chosen.append(float(fitted.model.size))
    return _probe(q, labels, folds, chosen)


def _probe(q: TargetProbabilities, labels: Labels, folds: Folds, chosen: list[float]) -> Probe:
    """The probe, with its hits."""
    scored = folds.ids >= 0
    hits = (scored & (q.argmax(axis=1) == labels)).astype(np.float64)
    return Probe(probabilities=q, hits=hits, scored=scored, chosen=tuple(chosen))
