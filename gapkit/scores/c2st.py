"""Classifier two-sample test: how well a linear classifier tells two samples apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels, PerSample
from gapkit.errors import UndefinedError
from gapkit.scores.checks import check_pair, check_sizes, encode
from gapkit.scores.inputs import PairInputs
from gapkit.scores.subsample import canonical_order, swaps_sides
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.probes import linear_held_out
from gapkit.statistics.stacked import ChosenRows, FeatureRows, StackedRows
from gapkit.types import Traits


def c2st_auc(
    x: Array,
    y: Array,
    *,
    folds: int = 5,
    seed: int = 0,
    x_groups: Array | None = None,
    y_groups: Array | None = None,
) -> float:
    """Cross-fitted area under the ROC curve of a logistic classifier of x against y.

    Lopez-Paz and Oquab, ICLR 2017, with the area instead of the accuracy, which depends on the sizes n and m, and with
    folds instead of one split. 0.5: nothing linear tells them apart; 1: every sample of one side scores above all of
    the other. Below 0.5 it falls by chance, and where the same samples are on both sides.

    Features are standardised, and the penalty is chosen, on the fitting side of each fold (``linear_probe``). Both
    sides are spread evenly over the folds. The area is that within each fold, ties counting half, in the mean over all
    pairs: scores of different folds are of different models, and an area over all of them would be biased downwards
    where nothing differs. Folds are drawn in an order that depends on the features alone.

    Memory beside the features is that of ``linear_probe``, and some numbers for each sample: they are not copied into
    one array, nor into that order.

    Args:
        x: (n, d), n >= folds.
        y: (m, d), m >= folds.
        folds: at least 2.
        seed: of the folds.
        x_groups: (n,) integers or strings, samples of x that belong together; they are never split. With groups on one
            side, each sample of the other is a group of its own.
        y_groups: (m,) likewise; a name that occurs on both sides stands for two groups.

    Raises:
        DataError: no samples of the same features, or groups of another length.
        UndefinedError: fewer samples, or groups, of a side than folds.
        OptionError: fewer than two folds.

    Example:
        >>> x = np.arange(10.0)[:, None]
        >>> c2st_auc(x, x + 20)
        1.0
    """
    first, second = check_pair(x, y)
    pair = PairInputs(
        target=first,
        surrogate=second,
        target_groups=None if x_groups is None else encode(x_groups, len(first), "x_groups"),
        surrogate_groups=None if y_groups is None else encode(y_groups, len(second), "y_groups"),
        seed=seed,
    )
    return C2st(folds=folds).between(pair)


@dataclass(frozen=True, kw_only=True)
class C2st:
    """The classifier two-sample test.

    Attributes:
        folds: that the classifier is cross-fitted on.
    """

    folds: int = 5

    traits: ClassVar[Traits] = Traits(
        name="c2st_auc",
        title="C2ST AUC",
        formula="P(s(x) > s(y)) + P(s(x) = s(y)) / 2, s a cross-fitted logistic classifier of x against y",
        paper="Lopez-Paz and Oquab, ICLR 2017",
        needs=("features", "surrogate"),
        lowest=0.0,
        highest=1.0,
        better="lower",
        conditional=False,
        invariant=("sample_order", "shift", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cross_fitted=True,
        cost="O((n + m) d^2 + iterations (n + m) d), for each fold",
        fast=False,
        avoids="an accuracy that depends on the sizes, on one split; one ROC curve over scores of several models",
    )

    def between(self, pair: PairInputs) -> float:
        """The area; groups are never split.

        Raises:
            UndefinedError: fewer samples, or groups, of a side than folds.
        """
        groups = None
        if pair.target_groups is not None or pair.surrogate_groups is not None:
            groups = _groups(pair.target_groups, len(pair.target)), _groups(pair.surrogate_groups, len(pair.surrogate))
            _check_groups(*groups, self.folds)
        return _auc(pair.target, pair.surrogate, groups, self.folds, pair.seed)


def roc_area(negative: PerSample, positive: Floats) -> float:
    """Share of the pairs whose positive score is above the negative one, ties counting half (Mann and Whitney 1947).

    Example:
        >>> roc_area(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
        0.875
    """
    # Imported here: scipy.stats takes half a second, and most measurements need no distance.
    from scipy.stats import rankdata  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    ranks: Floats = np.asarray(rankdata(np.concatenate([positive, negative])), dtype=np.float64)
    m = len(positive)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * len(negative)))


def _auc(x: FeatureRows, y: Floats | ChosenRows, groups: tuple[Labels, Indices] | None, folds: int, seed: int) -> float:
    """The area of features that have been checked."""
    check_sizes(x, y, name=f"{folds} folds", least=folds)
    sides, orders = (x, y), (canonical_order(x), canonical_order(y))
    turn = (1, 0) if swaps_sides(x, y) else (0, 1)
    first, second = (sides[side] for side in turn)
    order = np.concatenate([orders[turn[0]], orders[turn[1]] + len(first)])
    features = StackedRows(first=first, second=second, order=order)
    labels = np.repeat(np.arange(2), [len(sides[side]) for side in turn])
    units = None
    if groups is not None:
        offset = int(groups[turn[0]].max()) + 1
        units = np.concatenate([groups[side][orders[side]] + place * offset for place, side in enumerate(turn)])
    drawn = stratified_folds(labels, folds, groups=units, seed=seed)
    scores = np.zeros(len(labels))
    for fold in linear_held_out(features, labels, drawn, groups=units, seed=seed):
        for index, q in fold.blocks:
            scores[index] = q[:, 1]
    areas, pairs = np.empty(folds), np.empty(folds)
    for fold in range(folds):
        negative, positive = (scores[(drawn.ids == fold) & (labels == code)] for code in range(2))
        areas[fold], pairs[fold] = roc_area(negative, positive), len(negative) * len(positive)
    return float(areas @ pairs / pairs.sum())


def _groups(given: Array | None, n: int) -> Labels:
    """Codes of groups; each sample its own where none are given."""
    return np.arange(n, dtype=np.int64) if given is None else encode(given, n, "groups")


def _check_groups(x_groups: Labels, y_groups: Indices, folds: int) -> None:
    """Refuse a side with fewer groups than folds."""
    counts = [len(np.unique(side)) for side in (x_groups, y_groups)]
    if min(counts) < folds:
        raise UndefinedError(
            f"{counts[0]} groups of samples beside {counts[1]}",
            expected=f"at least {folds} on either side for {folds} folds",
            remedy="use fewer folds, or no groups",
        )
