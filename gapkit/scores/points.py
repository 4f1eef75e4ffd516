"""Features as points in space: centred, with no more columns than samples, and summed by class."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Features, Floats, Labels


def centre(features: Features) -> Features:
    """Features (n, d) less their mean, as a new array; columns that are constant are exactly 0.

    The first sample is taken off before the mean is: of equal numbers nothing is left, rounding included, so that no
    constant column, however large, is mistaken for a small one that varies.

    Example:
        >>> centre(np.array([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])).tolist()
        [[0.0, -1.0], [0.0, 0.0], [0.0, 1.0]]
    """
    centred = features - features[0]
    centred -= centred.mean(axis=0)
    return centred


def turn(points: Features) -> Floats:
    """Points (n, d) in at most n coordinates, with the same inner products: rotated where d > n, else as they are.

    Example:
        >>> turn(np.array([[3.0, 0.0, 4.0]])).shape
        (1, 1)
    """
    if points.shape[1] <= len(points):
        return points
    triangle = np.asarray(np.linalg.qr(points.T, mode="r"))
    return np.ascontiguousarray(triangle.T)


def class_sums(points: Features, codes: Labels, n_classes: int) -> Floats:
    """Sum of the points of each class (K, d), without a one-hot matrix and without sorting the points.

    Example:
        >>> class_sums(np.array([[1.0], [2.0], [4.0]]), np.array([1, 0, 1]), 2).tolist()
        [[2.0], [5.0]]
    """
    return np.stack([points[codes == code].sum(axis=0) for code in range(n_classes)])
