"""SFDA: how well regularised Fisher discriminants tell the classes, after the hard samples were made harder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Features, Floats
from gapkit.errors import UndefinedError
from gapkit.options import check_number
from gapkit.scores.checks import check_features, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.statistics.class_sums import by_class
from gapkit.types import Traits

STRENGTH = 5.0
"""a of the shrinkage ``exp(-a lambda_max)``, as in the original code."""
LEAST_SHRINKAGE = 1e-10
"""As in the original code."""
LEAST_WITHIN = 1e-24
"""Share of the variance within classes below which it is rounding: samples of every class coincide."""


def sfda(features: Array, labels: Array, *, strength: float = STRENGTH, normalise: bool = True) -> float:
    """Self-challenging Fisher discriminant analysis: the mean probability of the own class (Shao et al., ECCV 2022).

    1. Linear discriminant analysis with the within-class covariance ``(1 - s) S_w + s (tr S_w / d) I`` and the
       shrinkage ``s = exp(-a lambda_max(S_w))`` gives p(y | x).
    2. The confidence of a sample is that of its own class in ``softmax(p)``.
    3. ConfMix: ``x <- c x + (1 - c) m``, c the confidence and m the mean of the other classes' means.
    4. A second analysis of these, with the same s. The score is its mean p(y_i | x_i): in [0, 1], higher is better.

    Deviations. lambda_max has the squared unit of the features, so that s depends on their scale and underflows once
    lambda_max exceeds 4.6: features are divided by the root of their total variance first, which makes lambda_max the
    share of it in the widest direction within classes, and s at least exp(-a), whatever n and d
    (``normalise=False`` keeps their own scale: ten sources of digits came in the same order, but with 100 samples
    of 128 features random labels scored 1.0 instead of 0.54). lambda_max is exact instead of three power steps from a
    random start. The features that were given stay as they are. There is no logarithm, as in the original code.

    Args:
        features: (n, d); d may exceed n.
        labels: (n,) integers or strings.
        strength: a.
        normalise: False leaves the features' own scale, as the original does.

    Raises:
        DataError: arrays that cannot be used.
        UndefinedError: one class only, features that are all alike, or samples that coincide within every class, as
            where each class has one sample.

    Example:
        >>> features = np.array([[0.0], [0.1], [5.0], [5.1]])
        >>> round(sfda(features, np.array([0, 0, 1, 1])), 3), round(sfda(features, np.array([0, 1, 0, 1])), 3)
        (1.0, 0.5)
    """
    x = check_features(features)
    codes = encode(labels, len(x))
    return SFDA(strength=strength, normalise=normalise).on(ScoreInputs(features=x, labels=codes))(codes)


@dataclass(frozen=True, kw_only=True)
class SFDA:
    """Estimator of ``sfda``.

    Attributes:
        strength: a of the shrinkage.
        normalise: whether the total variance of the features is made 1.
    """

    strength: float = STRENGTH
    normalise: bool = True

    traits: ClassVar[Traits] = Traits(
        name="sfda",
        title="SFDA",
        formula="mean p(y_i|x_i) of the second of two shrunk Fisher discriminants, with ConfMix between them",
        paper="Shao et al., Not All Models Are Equal: Predicting Model Transferability in a Self-challenging Fisher "
        "Space, ECCV 2022",
        needs=("features", "labels"),
        lowest=0.0,
        highest=1.0,
        better="higher",
        conditional=True,
        invariant=("sample_order", "class_names", "shift", "orthogonal", "scale"),
        cost="O(n d min(n, d) + min(n, d)^3 + n d C) for each labelling",
        fast=False,
        avoids="features overwritten; shrinkage that depends on their scale; an eigenvalue from three random steps",
    )

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            OptionError: a strength that is negative or no number.
        """
        check_number("strength", self.strength, least=0)

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        """Turn the features into their principal coordinates, at most n, and scale them, once.

        Raises:
            UndefinedError: features that are all alike; the function, for one class only, or where samples coincide
                within every class.
        """
        n, d = inputs.features.shape
        total = float(inputs.spectrum.values.sum()) / n
        if total == 0:
            raise UndefinedError(
                "the features of all samples are the same",
                expected="features that differ between samples",
                remedy="take another layer, or check how the features were made",
            )
        points = inputs.spectrum.coordinates(d) / (np.sqrt(total) if self.normalise else 1.0)
        # Nothing but the eigenvalue that it multiplies has a unit.
        strength = self.strength if self.normalise else self.strength * inputs.unit * inputs.unit

        def score(labels: Array) -> float:
            codes, n_classes = present_classes(labels)
            return _self_challenging(points, by_class(codes, n_classes), d, strength)

        return score


@dataclass(frozen=True, kw_only=True)
class _Scatter:
    """Class sizes (K,), class means (K, r) and the covariance within classes (r, r), divisor n."""

    sizes: Floats
    means: Floats
    within: Floats


@dataclass(frozen=True, kw_only=True)
class _Discriminant:
    """``softmax(x W + b)``; W (r, K), b (K,)."""

    weights: Floats
    intercept: Floats

    def probabilities(self, rows: Floats) -> Floats:
        """p(y | x) (m, K) of points (m, r)."""
        return _softmax(rows @ self.weights + self.intercept)


def _self_challenging(points: Features, members: list[Array], dimension: int, strength: float) -> float:
    """The score; points are taken class by class, so that no mixed copy of all of them is held."""
    scatter = _scatter(lambda code: points[members[code]], len(members))
    if np.trace(scatter.within) <= LEAST_WITHIN * np.square(points).sum() / len(points):
        raise UndefinedError(
            "the samples of every class have the same features",
            expected="classes whose samples differ, so that they have a spread",
            remedy="give more samples of each class",
        )
    shrinkage = max(float(np.exp(-strength * np.linalg.eigvalsh(scatter.within)[-1])), LEAST_SHRINKAGE)
    first = _discriminant(scatter, shrinkage, dimension)
    confidence = [_softmax(first.probabilities(points[rows]))[:, code, None] for code, rows in enumerate(members)]
    others = (scatter.means.sum(axis=0) - scatter.means) / (len(members) - 1)

    def mixed(code: int) -> Floats:
        return others[code] + confidence[code] * (points[members[code]] - others[code])

    second = _discriminant(_scatter(mixed, len(members)), shrinkage, dimension)
    own: list[Array] = [second.probabilities(mixed(code))[:, code] for code in range(len(members))]
    return float(np.concatenate(own).mean())


def _scatter(rows: Callable[[int], Floats], n_classes: int) -> _Scatter:
    """Means and scatter of the classes, from the points of one after another."""
    means = np.stack([rows(code).mean(axis=0) for code in range(n_classes)])
    sizes, within = np.empty(n_classes), np.zeros((means.shape[1], means.shape[1]))
    for code in range(n_classes):
        own = rows(code) - means[code]
        within += own.T @ own
        sizes[code] = len(own)
    return _Scatter(sizes=sizes, means=means, within=within / sizes.sum())


def _discriminant(scatter: _Scatter, shrinkage: float, dimension: int) -> _Discriminant:
    """Linear discriminant analysis, the covariance within classes shrunk towards its mean over all d dimensions."""
    covariance = (1 - shrinkage) * scatter.within
    covariance[np.diag_indices_from(covariance)] += shrinkage * np.trace(scatter.within) / dimension
    weights = np.asarray(np.linalg.solve(covariance, scatter.means.T), dtype=np.float64)
    shares = scatter.sizes / scatter.sizes.sum()
    intercept = np.log(shares) - np.einsum("kr,rk->k", scatter.means, weights) / 2
    return _Discriminant(weights=weights, intercept=intercept)


def _softmax(scores: Floats) -> Floats:
    """Along the last axis."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
