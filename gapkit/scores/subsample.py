"""Subsamples: seeded, stratified, and of a pair of samples so that neither order nor sides matter."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Floats, Indices, Labels, generator
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.scaling import power_of_two
from gapkit.statistics.stacked import ChosenRows, FeatureRows, column_ends, column_means

PAIR_STREAM = 40
ORDER_STREAM = 41
RADIUS_STEPS = 2.0**32
"""Of the mean squared radius: radii that differ by less are equal, as rounding is far below it."""


def subsample(n: int, limit: int, *, seed: int, stream: int, labels: Labels | None = None) -> Indices:
    """Positions, sorted, of at most ``limit`` of n samples, drawn without replacement; all of them where n <= limit.

    With labels, classes keep their shares: evenly spaced positions, from a random start, among the samples in the order
    of their classes, so that a class of k samples has ``k limit / n`` places, rounded down or up at random. A class of
    few samples may have none; with a place for every class, small ones would weigh more than they do in the data.
    Renaming classes changes nothing.

    Args:
        n: number of samples.
        limit: the largest number that is kept, at least 1.
        seed: of the draw.
        stream: within the seed, so that two draws are independent of each other.
        labels: (n,) class codes.

    Example:
        >>> subsample(3, 5, seed=0, stream=1).tolist()
        [0, 1, 2]
        >>> labels = np.repeat([0, 1, 2], [2, 40, 58])
        >>> np.bincount(labels[subsample(100, 50, seed=0, stream=1, labels=labels)]).tolist()
        [1, 20, 29]
    """
    if n <= limit:
        return np.arange(n, dtype=np.int64)
    shuffled = generator(seed, stream).permutation(n).astype(np.int64)
    if labels is None:
        return np.sort(shuffled[:limit])
    _, first, codes, counts = np.unique(labels[shuffled], return_index=True, return_inverse=True, return_counts=True)
    # The larger classes first, of equal ones that which comes first in the shuffled order: no name decides.
    order = np.lexsort((first, -counts))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    by_class = shuffled[np.argsort(place[codes.reshape(-1)], kind="stable")]
    start = generator(seed, stream, 1).random()
    return np.sort(by_class[((np.arange(limit) + start) * (n / limit)).astype(np.int64)])


def canonical_order(features: FeatureRows) -> Indices:
    """An order of the samples (n,) that does not depend on the one they are in.

    They come by their distance from the mean, which shifts, orthogonal maps and scales keep, and those at one distance
    by their projection on a seeded direction, so that only duplicates are left in their own order. Positions that are
    drawn in this order are a random subset, as if drawn in any other. Two numbers for each sample are held.

    Example:
        >>> features = np.array([[5.0], [1.0], [0.0]])
        >>> features[canonical_order(features)].ravel().tolist()
        [1.0, 0.0, 5.0]
    """
    mean, (least, most) = column_means(features), column_ends(features)
    # One side of a pair may be far smaller than the other, and its squares nothing in float64.
    unit = power_of_two(most - mean, least - mean)
    direction = generator(0, ORDER_STREAM).normal(size=(features.shape[1],))
    squares, along = np.empty((2, len(features)))
    for place, centred in CentredRows(rows=features, centre=mean):
        centred /= unit
        squares[place], along[place] = np.einsum("ij,ij->i", centred, centred), centred @ direction
    scale = squares.mean()
    radius = np.rint(squares * (RADIUS_STEPS / scale)) if scale > 0 else squares
    return np.lexsort((along, radius)).astype(np.int64)


def swaps_sides(x: FeatureRows, y: Floats | ChosenRows) -> bool:
    """Whether y is the first of the two sides, whichever argument it is: the larger one, of equals the wider one."""
    if len(x) != len(y):
        return len(y) > len(x)
    return total_variance(y) > total_variance(x)


def total_variance(features: FeatureRows) -> float:
    """Of all features together, in blocks of samples."""
    rows = CentredRows(rows=features, centre=column_means(features))
    return sum(float(np.square(block).sum()) for _, block in rows) / len(features)


def subsample_pair(x: FeatureRows, y: Floats | ChosenRows, limit: int, *, seed: int) -> tuple[Floats, Floats]:
    """At most ``limit`` of each of two samples, drawn independently of each other.

    What is drawn depends neither on the order of the samples nor on which of the two is x, and stays the same under
    one shift, orthogonal map or positive factor of both. Nothing is copied where nothing has to be left out.

    Args:
        x: (n, d).
        y: (m, d).
        limit: of each side.
        seed: of the draws.

    Example:
        >>> x, y = np.arange(6.0)[:, None], np.arange(3.0)[:, None]
        >>> [len(side) for side in subsample_pair(x, y, 4, seed=0)]
        [4, 3]
    """
    swapped = max(len(x), len(y)) > limit and swaps_sides(x, y)
    return _draw(x, limit, seed, int(swapped)), _draw(y, limit, seed, int(not swapped))


def _draw(features: FeatureRows, limit: int, seed: int, side: int) -> Floats:
    """At most ``limit`` of the samples."""
    n = len(features)
    if n <= limit:
        return np.asarray(features)
    return features[canonical_order(features)[subsample(n, limit, seed=seed, stream=PAIR_STREAM + 10 * side)]]
