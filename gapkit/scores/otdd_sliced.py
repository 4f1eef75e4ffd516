"""OTDD by one-dimensional projections, for samples too large for a coupling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gapkit.arrays import Floats, Indices, PerSample, generator
from gapkit.scores.bures import PerPair
from gapkit.scores.coupling import Transport, TransportEvidence
from gapkit.scores.otdd_labels import LabelledSide, mean_distances, shape_distances
from gapkit.scores.otdd_options import OTDDOptions

DIRECTION_STREAM = 52
RANK_TOLERANCE = 1e-12
"""Share of the largest eigenvalue below which a coordinate of the classes is rounding."""


def sliced_transport(first: LabelledSide, second: LabelledSide, options: OTDDOptions) -> Transport:
    """``D`` times the mean over directions of the squared 1-D Wasserstein distance of (features, class coordinates).

    Classes get coordinates by classical scaling of the squared distances between all K1 + K2 of them, which reproduces
    distances that are Euclidean, as those of means and of Gaussians with commuting covariances are, and exceeds others.
    D is the number of features and coordinates. The squared distance of a projection along a complete orthonormal basis
    never exceeds the squared distance itself, so the value approximates the exact one from below, up to the scaling of
    the classes: like the sliced Wasserstein distance it is a distance of its own, not an estimate of the exact one.
    Directions are orthonormal in blocks of D.

    A projected difference is the sum ``a + b`` of one of features and one of classes; ``a (a + b)`` counts as the
    features' part, ``b (a + b)`` as the labels'.

    O(L (n log n + n d)) time for L directions and O(n) memory beside the samples.
    """
    shape = shape_distances(first, second, options)
    left, right = _coordinates(first, second, shape, options)
    width = first.features.shape[1] + left.shape[1]
    rows, columns, mass = quantile_coupling(len(first.features), len(second.features))
    parts: list[tuple[float, float]] = []
    coupling = np.zeros((len(left), len(right)))
    for direction in _directions(width, options):
        along, across = np.split(direction, [first.features.shape[1]])
        along = np.sqrt(options.lambda_x) * along
        x, y = first.features @ along, second.features @ along
        own, other = (left @ across)[first.labels], (right @ across)[second.labels]
        start, end = np.argsort(x + own, kind="stable")[rows], np.argsort(y + other, kind="stable")[columns]
        a, b = x[start] - y[end], own[start] - other[end]
        parts.append((float(mass @ (a * (a + b))), float(mass @ (b * (a + b)))))
        pairs = first.labels[start] * len(right) + second.labels[end]
        coupling += np.bincount(pairs, weights=mass, minlength=coupling.size).reshape(coupling.shape)
    values = width * np.array(parts)
    features, labels = values.mean(axis=0).tolist()
    return Transport(
        features=features,
        labels=labels,
        class_coupling=coupling / len(values),
        shape=shape,
        evidence=_evidence(values.sum(axis=1)),
    )


def _evidence(values: PerSample) -> TransportEvidence:
    """The standard error over directions; one direction has none."""
    count = len(values)
    error = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else None
    return TransportEvidence(gap=None, residual=0.0, iterations=count, converged=True, standard_error=error)


def quantile_coupling(n: int, m: int) -> tuple[Indices, Indices, PerSample]:
    """The monotone coupling of n and m sorted points: positions on both sides, and the mass between them.

    Computed in whole numbers, so that no sliver of mass comes from rounding.

    Example:
        >>> rows, columns, mass = quantile_coupling(2, 3)
        >>> rows.tolist(), columns.tolist(), (6 * mass).round(9).tolist()
        ([0, 0, 1, 1], [0, 1, 1, 2], [2.0, 1.0, 1.0, 2.0])
    """
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    mass = np.diff(ends, prepend=0) / (n * m)
    return (ends - 1) // m, (ends - 1) // n, mass


def _coordinates(
    first: LabelledSide, second: LabelledSide, shape: PerPair, options: OTDDOptions
) -> tuple[Floats, Floats]:
    """Coordinates (K1, k) and (K2, k) of the classes, scaled by their weight, about the mean sample of each side."""
    across = shape + mean_distances(first, second)
    own, other = (shape_distances(side, side, options) + mean_distances(side, side) for side in (first, second))
    squared = np.block([[own, across], [across.T, other]])
    centre = np.eye(len(squared)) - 1 / len(squared)
    values, vectors = np.linalg.eigh(-centre @ squared @ centre / 2)
    kept = values > RANK_TOLERANCE * max(values.max(), 0.0)
    kept[-1] = True  # at least one coordinate, possibly of zeros
    points = np.sqrt(options.lambda_y) * vectors[:, kept] * np.sqrt(np.maximum(values[kept], 0.0))
    return points[: len(first.classes)], points[len(first.classes) :]


def _directions(width: int, options: OTDDOptions) -> Iterator[Floats]:
    """Unit vectors (width,), orthonormal in blocks of ``width``."""
    rng = generator(options.seed, DIRECTION_STREAM)
    left = options.projections
    while left > 0:
        block = np.linalg.qr(rng.standard_normal((width, min(left, width))))[0].T
        yield from block
        left -= len(block)
