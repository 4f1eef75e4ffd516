"""LFC: how the inner products of features correlate with the agreement of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array
from gapkit.errors import UndefinedError
from gapkit.scores.checks import check_features, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.statistics.class_sums import class_counts
from gapkit.types import Traits


def lfc(features: Array, labels: Array, *, centred: bool = True) -> float:
    """Label-feature correlation: the cosine of the matrices K of features and T of labels, each less its mean entry.

    ``<K - mean, T - mean> / (|K - mean| |T - mean|)`` with ``K_ij = x_i . x_j``, ``T_ij`` 1 for equal labels and -1 for
    others, and Frobenius inner products and norms, that is, the Pearson correlation of the n^2 entries (Deshpande et
    al., arXiv 2021). In [-1, 1], without unit, higher for features that suit the labels better; it reaches 1 where
    samples of a class coincide and classes of one size are at the corners of a regular simplex.

    |K| follows from the spectrum of the features, and T from sizes and sums of the classes, so that no n x n matrix is
    formed.

    Two deviations: features are centred first, as else K is about their mean and a shift changes the score (then
    the score is never negative: the numerator is ``2 sum_c |sum_{i in c} x_i|^2``); and the norms are Frobenius', as in
    the paper, where third-party code divides by spectral norms and leaves [-1, 1].

    Args:
        features: (n, d).
        labels: (n,) integers or strings.
        centred: False takes inner products of the features as they are, as the paper does.

    Raises:
        DataError: arrays that cannot be used.
        UndefinedError: one class only, or features that are all alike.

    Example:
        >>> features = np.array([[0.0], [0.0], [1.0], [1.0]])
        >>> round(lfc(features, np.array([0, 0, 1, 1])), 9), round(lfc(features, np.array([0, 1, 0, 1])), 9)
        (1.0, 0.0)
    """
    x = check_features(features)
    codes = encode(labels, len(x))
    return LFC(centred=centred).on(ScoreInputs(features=x, labels=codes))(codes)


@dataclass(frozen=True, kw_only=True)
class LFC:
    """Estimator of ``lfc``.

    Attributes:
        centred: False takes inner products of the features as they are.
    """

    centred: bool = True

    traits: ClassVar[Traits] = Traits(
        name="lfc",
        title="LFC",
        formula="<K - mean, T - mean> / (|K - mean| |T - mean|), K = F F' of centred F, T = 1 (same class) or -1",
        paper="Deshpande et al., A linearized framework and a new benchmark for model selection for fine-tuning, 2021",
        needs=("features", "labels"),
        lowest=-1.0,
        highest=1.0,
        better="higher",
        conditional=True,
        invariant=("sample_order", "class_names", "shift", "orthogonal", "scale"),
        cost="O(n d min(n, d)) once, O(n d + C d^2) for each labelling",
        avoids="spectral norms, with which third-party code leaves [-1, 1]; n x n matrices",
    )

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        """Take |K|, once.

        Raises:
            UndefinedError: features that are all alike; the function, for one class only.
        """
        spectrum, n = inputs.spectrum, len(inputs.features)
        if not len(spectrum.values):
            raise UndefinedError(
                "the features of all samples are the same",
                expected="features that differ between samples",
                remedy="take another layer, or check how the features were made",
            )
        # In units of the largest singular value: fourth powers of the features could overflow.
        values = spectrum.values / spectrum.values[0]
        unit = float(np.sqrt(spectrum.values[0]))
        mean = np.zeros_like(values) if self.centred else spectrum.mean_inside / unit
        # K - mean = Z Z' + u 1' + 1 u', Z centred, u = Z mean; the sum of u is 0, so that the three are orthogonal.
        norm = np.sqrt(np.square(values).sum() + 2 * n * (values @ np.square(mean)))

        def score(labels: Array) -> float:
            codes, n_classes = present_classes(labels)
            counts = class_counts(codes, n_classes)
            sums = spectrum.class_sums(codes, n_classes) / unit
            # K - mean sums to 0, so that <K - mean, T - mean> is twice its sum over pairs of the same class.
            inside = np.square(sums).sum() + 2 * (counts @ (sums @ mean))
            alike = np.square(counts / n).sum()
            return float(np.clip(inside / (norm * n * np.sqrt(alike * (1 - alike))), -1.0, 1.0))

        return score
