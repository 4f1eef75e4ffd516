"""GBC: by how much the classes, as Gaussians in feature space, overlap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.options import check_choice, check_least
from gapkit.scores.checks import check_features, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.statistics.mapped import as_rows
from gapkit.statistics.moments import measure_class_moments
from gapkit.types import Traits

Covariance = Literal["spherical", "diagonal"]
COVARIANCES: tuple[Covariance, ...] = ("spherical", "diagonal")
COMPONENTS = 64
LEAST_VARIANCE = 1e-4
"""Of a class, as a share of the variance of all samples: a class of one sample is a narrow Gaussian, not a point."""


def gbc(
    features: Array, labels: Array, *, covariance: Covariance = "spherical", components: int | None = COMPONENTS
) -> float:
    """``-sum_{c != c'} exp(-D_B(c, c'))``, the Gaussian Bhattacharyya coefficient (Pandy et al., CVPR 2022).

    Classes are Gaussians N(m_c, S_c) of principal components. For every ordered pair, with S the mean of the two S_c,

    ``D_B = 1/8 (m_c - m_c')' S^-1 (m_c - m_c') + 1/2 log(|S| / sqrt(|S_c| |S_c'|))``.

    In [-C (C - 1), 0], without unit, higher is better: 0 for classes that do not overlap, -C (C - 1) for constant
    features. Invariant to shift, rotation and scale, but for diagonal Gaussians of the features as they are, which
    rotation changes.

    Deviations from the original code: its spherical Gaussians count the log-determinant once instead of once for each
    dimension; and its least variance of 1e-4 is absolute, where here it is 1e-4 of the variance of all samples (of each
    component for diagonal Gaussians). A class of one sample has this least variance.

    Args:
        features: (n, d).
        labels: (n,) integers or strings.
        covariance: "spherical" (the mean variance for all dimensions, as in the paper's experiments) or "diagonal".
        components: principal components, at most; None takes the features as they are.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: another covariance, or no components.
        UndefinedError: a single class.

    Example:
        >>> features = np.array([[0.0], [2.0], [6.0], [8.0]])
        >>> gbc(features, np.array([0, 0, 1, 1])) == -2 * float(np.exp(-36 / 8))
        True
        >>> round(gbc(features, np.array([0, 1, 1, 0])), 3)
        -1.789
    """
    x = check_features(features)
    codes = encode(labels, len(x))
    return GBC(covariance=covariance, components=components).on(ScoreInputs(features=x, labels=codes))(codes)


@dataclass(frozen=True, kw_only=True)
class GBC:
    """Estimator of ``gbc``.

    Attributes:
        covariance: of a class.
        components: principal components, at most; None takes the features as they are.
    """

    covariance: Covariance = "spherical"
    components: int | None = COMPONENTS

    traits: ClassVar[Traits] = Traits(
        name="gbc",
        title="GBC",
        formula="-sum_{c != c'} exp(-D_B(N_c, N_c')), Gaussians of 64 principal components, spherical",
        paper="Pandy et al., Transferability Estimation using Bhattacharyya Class Separability, CVPR 2022",
        needs=("features", "labels"),
        lowest=None,
        highest=0.0,
        better="higher",
        conditional=True,
        invariant=("sample_order", "class_names", "shift", "orthogonal", "scale"),
        cost="O(n d^2 + d^3) once, O(64 (n + C^2)) for each labelling",
        avoids="a log-determinant counted once instead of d times; a least variance that depends on the scale",
    )

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            OptionError: another covariance, or no components.
        """
        check_choice("covariance", self.covariance, COVARIANCES)
        if self.components is not None:
            check_least("components", self.components, 1)

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        """Take principal components and their variances once.

        Raises:
            UndefinedError: a single class, by the function that is returned.
        """
        features = inputs.features
        points = as_rows(features) if self.components is None else inputs.spectrum.mapped(self.components)
        total = measure_class_moments(points, np.zeros(len(points), dtype=np.int64), 1).variances[0]
        varying = total > 0
        total = total[varying]
        dimensions = len(total)
        each = self.covariance == "diagonal"

        def score(labels: Array) -> float:
            codes, n_classes = present_classes(labels)
            if dimensions == 0:
                return -float(n_classes * (n_classes - 1))
            moments = measure_class_moments(points, codes, n_classes)
            means, variances = moments.means[:, varying], moments.variances[:, varying]
            if each:
                return -2 * overlap(means, np.maximum(variances, LEAST_VARIANCE * total))
            mean = variances.mean(axis=1, keepdims=True)
            return -2 * overlap(means, np.maximum(mean, LEAST_VARIANCE * total.mean()))

        return score


def overlap(means: Floats, variances: Floats) -> float:
    """Sum of the Bhattacharyya coefficients of all unordered pairs of Gaussians.

    Args:
        means: (C, d).
        variances: positive; (C, d), or (C, 1) of Gaussians that have the same variance in all d dimensions.

    Example:
        >>> overlap(np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[1.0], [1.0]])) == float(np.exp(-0.5))
        True
    """
    repeated = means.shape[1] / variances.shape[1]
    logarithms, found = np.log(variances), 0.0
    for c in range(len(means) - 1):
        middle = (variances[c] + variances[c + 1 :]) / 2
        apart = (np.square(means[c] - means[c + 1 :]) / middle).sum(axis=1)
        volume = (np.log(middle) - (logarithms[c] + logarithms[c + 1 :]) / 2).sum(axis=1)
        found += float(np.exp(-(apart / 8 + repeated * volume / 2)).sum())
    return found
