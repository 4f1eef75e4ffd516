"""Accuracy of a cross-fitted ridge classifier, for many labellings of the same samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, Indices, Labels
from gapkit.statistics.class_sums import class_counts
from gapkit.statistics.folds import NEVER, Folds
from gapkit.statistics.mapped import MappedRows
from gapkit.statistics.scaling import fit_scaling
from gapkit.statistics.totals import MULTIPLIED

PENALTY = 1.0
"""For each sample, in units of the variance of a standardised feature.

In worlds of 100 to 1 000 samples, 32 to 500 features and 3 to 10 classes with weak signal, penalties from 0.1 to 3 were
all about as good at telling labels from permuted ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """One fold: the mean (r,) and ``(X'X + n lambda I)^-1`` (r, r) of its fitting side."""

    mean: Floats
    inverse: Floats


def ridge_accuracy(features: Features, folds: Folds) -> Callable[[Labels, int], float]:
    """A function from class codes (n,), and their number K, to the share of scored samples that are predicted right.

    Least squares with a penalty predict one-hot labels, with an intercept that is not penalised; the largest
    prediction wins. Features are standardised by all samples, and samples that a fold scores are predicted from the
    others. All but the sums of features by class and fold is done once, so that one more labelling takes
    O(n r + r^2 K) with r = min(n, d).

    Args:
        features: (n, d).
        folds: of these samples, held fixed.

    Example:
        >>> from gapkit.statistics.folds import stratified_folds
        >>> codes = np.tile([0, 1, 2], 10)
        >>> ridge_accuracy(np.eye(3)[codes], stratified_folds(codes))(codes, 3)
        1.0
    """
    rows = _rows(features)
    sides = _sides(rows, folds)
    parts = folds.home + 1  # from 0, for the samples that are always fitted
    scored = folds.ids != NEVER

    def score(codes: Labels, n_classes: int) -> float:
        shape = (folds.n_folds + 1, n_classes)
        cells = parts * n_classes + codes
        sums = rows.class_sums(cells, shape[0] * n_classes).reshape(*shape, rows.width)
        held = class_counts(cells, shape[0] * n_classes).reshape(shape).astype(np.float64)
        total, total_held = sums.sum(axis=0), held.sum(axis=0)
        readers = [
            _reader(side, total - own_sums, total_held - own_held)
            for side, own_sums, own_held in zip(sides, sums[1:], held[1:], strict=True)
        ]
        return float((_predict(rows, folds.ids, readers) == codes)[scored].mean())

    return score


def _rows(features: Features) -> MappedRows:
    """Standardised features (n, r); more columns than samples are rotated, which changes no product."""
    scaling = fit_scaling(features)
    if len(scaling.columns) <= len(features):
        return MappedRows(rows=features, width=len(scaling.columns), function=scaling.apply)
    factor = np.asarray(np.linalg.qr(scaling.apply(features).T, mode="r"), dtype=np.float64)
    return MappedRows(rows=np.ascontiguousarray(factor.T), width=len(factor))


def _sides(rows: MappedRows, folds: Folds) -> list[_Side]:
    """What the folds' predictions need, without labels: sums and products of each fold's samples, less its own."""
    parts = folds.home + 1
    sums, products = np.zeros((folds.n_folds + 1, rows.width)), np.zeros((folds.n_folds + 1, rows.width, rows.width))
    for place, block in rows.by(MULTIPLIED):
        for part in range(folds.n_folds + 1):
            own = block[parts[place] == part]
            sums[part] += own.sum(axis=0)
            products[part] += own.T @ own
    counts = np.bincount(parts, minlength=folds.n_folds + 1)
    found: list[_Side] = []
    for part in range(1, folds.n_folds + 1):
        others = np.arange(folds.n_folds + 1) != part
        n = int(counts[others].sum())
        mean: Floats = sums[others].sum(axis=0) / n
        gram: Floats = products[others].sum(axis=0) - n * np.outer(mean, mean)  # of standardised features: no loss
        gram[np.diag_indices_from(gram)] += PENALTY * n
        # The condition is that of a correlation matrix plus the identity, so that an inverse is as good as a factor.
        found.append(_Side(mean=mean, inverse=np.asarray(np.linalg.inv(gram), dtype=np.float64)))
    return found


def _reader(side: _Side, sums: Floats, held: Floats) -> tuple[Floats, Floats]:
    """Weights (r, K) and intercepts (K,), from sums (K, r) and counts (K,) of the fitting side's classes."""
    weights = side.inverse @ (sums - np.outer(held, side.mean)).T
    return weights, held / held.sum() - side.mean @ weights


def _predict(rows: MappedRows, ids: Labels, readers: list[tuple[Floats, Floats]]) -> Labels:
    """The class (n,) of the largest prediction, each sample's by the reader of its fold; 0 where it has none."""
    predicted = np.zeros(len(rows), dtype=np.int64)
    for place, block in rows.by(MULTIPLIED):
        for fold, (weights, intercepts) in enumerate(readers):
            own: Indices = np.flatnonzero(ids[place] == fold)
            predicted[place.start + own] = (block[own] @ weights + intercepts).argmax(axis=1)
    return predicted
