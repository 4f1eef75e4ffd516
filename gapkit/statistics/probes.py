"""Cross-fitted probes: what a linear model or the nearest neighbours read off features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Indices, Labels, Mask, PerSample, TargetProbabilities
from gapkit.statistics.folds import Folds
from gapkit.statistics.logistic import choose_logistic
from gapkit.statistics.neighbours import Neighbourhood, choose_neighbours, make_neighbourhood
from gapkit.statistics.regressors import Regressors
from gapkit.statistics.scaling import fit_scaling
from gapkit.statistics.splits import class_shares, fold_splits
from gapkit.statistics.stacked import FeatureRows, StackedRows


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A cross-fitted probe.

    Attributes:
        hits: (n,) 1 where the class that is most probable to the fold that has not seen the sample is its own, else 0;
            0 for samples that are not scored.
        scored: (n,) the samples that a fold scores.
        chosen: (number of folds,) the hyper-parameter of each fold: the penalty 1 / C, or k.
    """

    hits: PerSample
    scored: Mask
    chosen: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        """Share of the scored samples that are hits."""
        return float(self.hits[self.scored].mean())


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What the model of a fold says of the samples that it has not seen.

    Attributes:
        chosen: its hyper-parameter: the penalty 1 / C, or k.
        blocks: positions (m,) of some of these samples and their probabilities (m, K), made as they are asked for.
    """

    chosen: float
    blocks: Iterator[tuple[Indices, TargetProbabilities]]


def linear_probe(
    features: FeatureRows | StackedRows, labels: Labels, folds: Folds, *, groups: Labels | None = None, seed: int = 0
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
    return _probe(linear_held_out(features, labels, folds, groups=groups, seed=seed), labels, folds)


def linear_held_out(
    features: FeatureRows | StackedRows, labels: Labels, folds: Folds, *, groups: Labels | None = None, seed: int = 0
) -> Iterator[HeldOut]:
    """Fold by fold, what the models of ``linear_probe`` say."""
    n_classes = int(labels.max()) + 1
    for split in fold_splits(labels, folds, groups=groups, seed=seed):
        fitting, scored = np.flatnonzero(split.fit), np.flatnonzero(split.scored)
        scaling = fit_scaling(features, fitting)
        model = choose_logistic(
            Regressors(features=features, index=fitting, scaling=scaling),
            labels[fitting],
            split.validation[fitting],
            n_classes=n_classes,
        ).model
        unseen = Regressors(features=features, index=scored, scaling=scaling)
        yield HeldOut(chosen=model.penalty, blocks=_placed(scored, model.blocks(unseen)))


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
    found = knn_held_out(features, labels, folds, groups=groups, seed=seed, neighbourhood=neighbourhood)
    return _probe(found, labels, folds)


def knn_held_out(
    features: Features,
    labels: Labels,
    folds: Folds,
    *,
    groups: Labels | None = None,
    seed: int = 0,
    neighbourhood: Neighbourhood | None = None,
) -> Iterator[HeldOut]:
    """Fold by fold, what the models of ``knn_probe`` say."""
    n_classes = int(labels.max()) + 1
    splits = fold_splits(labels, folds, groups=groups, seed=seed)
    neighbourhood = neighbourhood or make_neighbourhood(features, splits, seed=seed)
    for split in splits:
        fitted = choose_neighbours(neighbourhood, labels, split, class_shares(labels[split.fit], n_classes))
        yield HeldOut(chosen=float(fitted.model.size), blocks=_placed(np.flatnonzero(split.scored), fitted.blocks()))


def _placed(
    scored: Indices, blocks: Iterator[tuple[slice, TargetProbabilities]]
) -> Iterator[tuple[Indices, TargetProbabilities]]:
    """Blocks of the scored samples with their positions among all samples."""
    return ((scored[place], q) for place, q in blocks)


def _probe(found: Iterator[HeldOut], labels: Labels, folds: Folds) -> Probe:
    """The hits among what is said, of which no more than a block is held."""
    hits, chosen = np.zeros(len(labels)), list[float]()
    for fold in found:
        chosen.append(fold.chosen)
        for index, q in fold.blocks:
            hits[index] = q.argmax(axis=1) == labels[index]
    return Probe(hits=hits, scored=folds.ids >= 0, chosen=tuple(chosen))
