"""The geometry of one layer: how near samples are to their like, and how evenly all of them spread."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels
from gapkit.coercion import as_array
from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.labels import encode_labels
from gapkit.statistics.checks import check_features
from gapkit.statistics.class_sums import class_counts, class_sums
from gapkit.statistics.spectrum import ROUNDING, tolerance

BLOCK_ENTRIES = 1 << 20
"""Pairs that are held at once (8 MB)."""


def alignment(features: Array, labels: Array) -> float:
    """Mean squared distance ``|u_i - u_j|^2`` of L2-normalised samples of the same class, over all such pairs.

    Wang and Isola, ICML 2020, with samples of a class as positive pairs (Khosla et al., NeurIPS 2020) and the exponent
    2. In [0, 4], without unit, lower for classes that are more compact, 2 or less in all large classes. Orthogonal
    maps and positive factors, also one for each sample, change nothing. O(n d): the squared distances of the n_c (n_c -
    1) / 2 pairs of a class sum to n_c times those from its mean.

    Args:
        features: (n, d).
        labels: (n,) integers or strings.

    Raises:
        DataError: arrays that cannot be used.
        UndefinedError: a sample of zeros, which has no direction, or no class with two samples.

    Example:
        >>> alignment(np.array([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]]), np.array(["a", "a", "b"]))
        2.0
    """
    x, codes = _check_labelled(features, labels)
    counts, residuals = _within(_directions(x), codes)
    pairs = float((counts * (counts - 1)).sum()) / 2
    return float(counts[codes] @ np.square(residuals).sum(axis=1)) / pairs


def uniformity(features: Array, *, t: float = 2.0) -> float:
    """``log mean_{i != j} exp(-t |u_i - u_j|^2)`` of L2-normalised samples (Wang and Isola, ICML 2020).

    In [-4 t, 0], without unit, lower for samples that spread more evenly; about -2 t for many samples uniform on
    a sphere of many dimensions, 0 where all have one direction. A sample is not paired with itself, which would bias it
    upwards. Orthogonal maps and positive factors, also one for each sample, change nothing. O(n^2 d), in blocks.

    Args:
        features: (n, d), n >= 2.
        t: how fast a pair ceases to count with its distance, positive.

    Raises:
        DataError: features that cannot be used.
        OptionError: t that is not positive.
        UndefinedError: a single sample, or a sample of zeros.

    Example:
        >>> uniformity(np.array([[1.0, 0.0], [-5.0, 0.0]])), uniformity(np.eye(3))
        (-8.0, -4.0)
    """
    if not 0 < t < np.inf:
        raise OptionError(f"t is {t}", expected="a positive number", remedy="2 is usual")
    units = _directions(check_features(features))
    n = len(units)
    if n < 2:
        raise UndefinedError("1 sample", expected="at least two, as pairs are compared", remedy="give more samples")
    step = max(1, BLOCK_ENTRIES // n)
    largest, total = -np.inf, 0.0
    for start in range(0, n, step):
        block = units[start : start + step]
        exponents = -t * np.maximum(2 - 2 * (block @ units.T), 0.0)
        exponents[np.arange(len(block)), np.arange(start, start + len(block))] = -np.inf
        # In units of the largest so far: with a large t all of them may be below what a float can hold.
        top = max(largest, float(exponents.max()))
        total = total * float(np.exp(largest - top)) + float(np.exp(exponents - top).sum())
        largest = top
    return float(np.minimum(largest + np.log(total / (n * (n - 1))), 0.0))


def davies_bouldin(features: Array, labels: Array) -> float:
    """``mean_c max_{c' != c} (s_c + s_c') / |m_c - m_c'|`` (Davies and Bouldin, IEEE Trans. PAMI 1979).

    s_c is the mean distance of the samples of a class from their mean m_c. In [0, inf), without unit, lower for classes
    that are more compact and farther apart. Shift, orthogonal maps and one positive factor change nothing. As
    ``sklearn.metrics.davies_bouldin_score``, which however takes distances below 1e-8 for 0 whatever the scale, and
    leaves classes with the same mean, the worst case, out. O(n d + C^2 d), a second pass for the distances.

    Args:
        features: (n, d).
        labels: (n,) integers or strings.

    Raises:
        DataError: arrays that cannot be used.
        UndefinedError: a single class, no class with two samples, or two classes with the same mean.

    Example:
        >>> round(davies_bouldin(np.array([[0.0], [2.0], [9.0], [13.0]]), np.array([0, 0, 1, 1])), 9)
        0.3
    """
    x, codes = _check_labelled(features, labels)
    _several_classes(codes)
    scaled = _scale(x)
    counts, residuals = _within(scaled, codes)
    means = _means(scaled, codes, counts)
    spread = np.bincount(codes, weights=np.sqrt(np.square(residuals).sum(axis=1))) / counts
    worst = np.empty(len(counts))
    for code, mean in enumerate(means):
        apart = np.sqrt(np.square(means - mean).sum(axis=1))
        apart[code] = np.inf
        if apart.min() <= ROUNDING * np.sqrt(x.shape[1]):  # entries are about 1
            raise _same_means("two classes have the same mean")
        worst[code] = ((spread + spread[code]) / apart).max()
    return float(worst.mean())


def nc1(features: Array, labels: Array) -> float:
    """``tr(S_W pinv(S_B)) / C``: within-class variability collapse (Papyan, Han and Donoho, PNAS 2020).

    ``S_W = (1/n) sum_i (x_i - m_{y_i})(x_i - m_{y_i})'`` and ``S_B = (1/C) sum_c (m_c - m)(m_c - m)'``, m the mean of
    all samples. In [0, inf), without unit, lower for classes that have collapsed to their means. Shift, orthogonal maps
    and one positive factor change nothing. Class means that lie nearly in fewer than C - 1 dimensions make it large.

    No d x d matrix is formed: with the singular vectors v_k and values of the centred means, it is the variance along
    v_k over that of the means there, summed; directions below a relative cut-off are rounding. Exact for n < d.
    O(n d C + C^2 d).

    Args:
        features: (n, d).
        labels: (n,) integers or strings.

    Raises:
        DataError: arrays that cannot be used.
        UndefinedError: a single class, no class with two samples, or class means that are all the same.

    Example:
        >>> round(nc1(np.array([[0.0], [2.0], [9.0], [11.0]]), np.array([0, 0, 1, 1])), 6)
        0.024691
    """
    x, codes = _check_labelled(features, labels)
    _several_classes(codes)
    scaled = _scale(x)
    counts, residuals = _within(scaled, codes)
    means, total = _means(scaled, codes, counts), float(np.square(residuals).sum())
    return collapse(counts, means, total, lambda along: np.square(residuals @ along.T).sum(axis=0))


def collapse(counts: Indices, means: Floats, total: float, along: Callable[[Floats], Floats]) -> float:
    """``nc1`` from what is summed over samples.

    Args:
        counts: (C,) samples of each class, none of them 0.
        means: (C, d) of the classes.
        total: sum of all squared distances from the means of the classes.
        along: from unit vectors (m, d) to the part of it along each of them (m,).

    Raises:
        UndefinedError: class means that are all the same.

    Example:
        >>> means = np.array([[1.0], [10.0]])
        >>> round(collapse(np.array([2, 2]), means, 4.0, lambda vectors: np.array([4.0])), 6)
        0.024691
    """
    # Without what they have in common, which may be large, so that the last of C directions is no more than rounding.
    n, moved = counts.sum(), means - means[0]
    centred = moved - counts @ moved / n
    _, lengths, right = np.linalg.svd(centred / np.sqrt(len(counts)), full_matrices=False)
    # The means carry the rounding of all that they are means of.
    kept = lengths > tolerance(*means.shape) * max(lengths[0], np.sqrt(total / n))
    if not kept.any():
        raise _same_means("all classes have the same mean")
    variances = along(right[kept]) / n
    return float((variances / np.square(lengths[kept])).sum() / len(counts))


def _check_labelled(features: Array, labels: Array) -> tuple[Features, Labels]:
    """Features and class codes without gaps.

    Raises:
        DataError: arrays that cannot be used.
        UndefinedError: no class has two samples.
    """
    x = check_features(features)
    given = as_array(labels, "labels")
    if given.shape != (len(x),):
        raise DataError(
            f"labels has shape {given.shape} beside {len(x)} samples",
            expected=f"shape ({len(x)},)",
            remedy="give one label for each sample",
        )
    codes = encode_labels(given, task="classification", name="labels").values
    if len(codes) == codes.max() + 1:
        raise UndefinedError(
            "every class has a single sample", expected="a class with two or more", remedy="give more samples"
        )
    return x, codes


def _several_classes(codes: Labels) -> None:
    """Refuse a single class.

    Raises:
        UndefinedError: there is only one.
    """
    if codes.max() == 0:
        raise UndefinedError(
            "all samples have the same label",
            expected="samples of at least two classes",
            remedy="take samples of other classes in",
        )


def _directions(features: Features) -> Features:
    """Samples (n, d) divided by their lengths.

    Raises:
        UndefinedError: a sample of zeros.
    """
    largest = np.abs(features).max(axis=1, keepdims=True)
    zeros = np.flatnonzero(largest[:, 0] == 0)
    if len(zeros):
        raise UndefinedError(
            f"{len(zeros)} samples are all zero and have no direction, the first is sample {zeros[0]}",
            expected="features that are not all zero",
            remedy="leave these samples out, or take another layer",
        )
    scaled = features / largest
    scaled /= np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    return scaled


def _scale(features: Features) -> Features:
    """Features (n, d) less the first sample, so that constant columns are exactly 0, with entries of at most 1."""
    quarter = 0.25 * features
    moved = quarter - quarter[0]
    largest = float(np.abs(moved).max())
    return moved / largest if largest > 0 else moved


def _means(features: Features, codes: Labels, counts: Indices) -> Floats:
    """Class means (C, d)."""
    return class_sums(features, codes, len(counts)) / counts[:, None]


def _within(features: Features, codes: Labels) -> tuple[Indices, Floats]:
    """Samples of each class (C,), and the features less the mean of their class (n, d)."""
    counts = class_counts(codes, int(codes.max()) + 1)
    return counts, features - _means(features, codes, counts)[codes]


def _same_means(got: str) -> UndefinedError:
    """The error where classes have no distance."""
    return UndefinedError(got, expected="classes with different means", remedy="take another layer or other classes")
