"""Two feature matrices of the same samples: what is checked of them, and how they are centred."""

from __future__ import annotations

from typing import ClassVar, Protocol

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices
from gapkit.errors import DataError, UndefinedError
from gapkit.scores.checks import check_features
from gapkit.scores.subsample import canonical_order, subsample
from gapkit.types import Traits


class Similarity(Protocol):
    """A similarity or distance of two layers, as the catalogue holds it.

    What its traits say of shift, orthogonal maps and scale holds for a change of either side alone.
    """

    traits: ClassVar[Traits]

    def between(self, x: Array, y: Array) -> float:
        """Its value for x (n, d) and y (n, d').

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        ...


def check_paired(x: Array, y: Array, *, least: int, measure: str) -> tuple[Features, Floats]:
    """Features (n, d) and (n, d') of the same samples as float64.

    Args:
        x: (n, d).
        y: (n, d').
        least: samples that the measure needs.
        measure: its name, for the message.

    Raises:
        DataError: one of them is no matrix of finite numbers, or they differ in n.
        UndefinedError: too few samples.
    """
    first, second = check_features(x, "x"), check_features(y, "y")
    check_same_samples({"x": first, "y": second}, least=least, measure=measure)
    return first, second


def check_same_samples(layers: dict[str, Floats], *, least: int, measure: str) -> None:
    """Refuse layers of different samples, or of too few.

    Raises:
        DataError: two layers differ in their number of samples.
        UndefinedError: fewer than ``least`` samples.
    """
    (name, rows), *others = layers.items()
    n = len(rows)
    for other, beside in others:
        if len(beside) != n:
            raise DataError(
                f"{name} has {n} samples and {other} has {len(beside)}",
                expected="one row for each sample in both, in the same order",
                remedy="capture both from the same samples",
            )
    if n < least:
        raise UndefinedError(f"{n} samples", expected=f"at least {least} for {measure}", remedy="give more samples")


def centre(features: Features, name: str) -> Features:
    """Features (n, d) less their mean, with Frobenius norm 1: what no shift and no positive factor changes.

    The first sample is subtracted before the mean, so that constant columns become exactly 0. Factors of two, which
    round nothing, keep squares from overflow and underflow.

    Raises:
        UndefinedError: all samples have the same features.

    Example:
        >>> centre(np.array([[1e200, 7.0], [3e200, 7.0]]), "x").round(6).tolist()
        [[-0.707107, 0.0], [0.707107, 0.0]]
    """
    quarter = 0.25 * features
    centred = quarter - quarter[0]
    largest = float(np.abs(centred).max())
    if largest == 0:
        raise UndefinedError(
            f"{name} has the same features for all samples",
            expected="features that differ between samples",
            remedy="take another layer, or check how the features were made",
        )
    centred = np.ldexp(centred, -int(np.frexp(largest)[1]))
    centred -= centred.mean(axis=0)
    centred /= np.sqrt(np.square(centred).sum())
    return centred


def narrow(features: Features) -> Floats:
    """At most n columns with the same inner products between samples: features (n, d) in a basis of their span.

    Example:
        >>> narrow(np.array([[3.0, 4.0]])).round(9).tolist() in ([[5.0]], [[-5.0]])
        True
    """
    n, d = features.shape
    if d <= n:
        return features
    triangle: Floats = np.linalg.qr(features.T)[1]
    return np.ascontiguousarray(triangle.T)


def draw_paired(x: Features, y: Floats, limit: int, *, seed: int, stream: int) -> Indices:
    """Positions of at most ``limit`` samples, the same on both sides, all where n <= limit.

    Which are drawn depends neither on the order of the samples nor on which side is x, and stays the same under shifts,
    orthogonal maps and positive factors of either side.

    Args:
        x: (n, d), not constant.
        y: (n, d'), not constant.
        limit: the largest number that is kept.
        seed: of the draw.
        stream: within the seed.
    """
    if len(x) <= limit:
        return np.arange(len(x), dtype=np.int64)
    order = canonical_order(np.hstack([centre(x, "x"), centre(y, "y")]))
    return order[subsample(len(x), limit, seed=seed, stream=stream)]
