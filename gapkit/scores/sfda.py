"""SFDA: how well regularised Fisher discriminants tell the classes, after the hard samples were made harder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats, Labels, PerSample
from gapkit.errors import UndefinedError
from gapkit.options import check_number
from gapkit.scores.checks import check_features, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.statistics.class_sums import class_counts, class_sums
from gapkit.statistics.mapped import MappedRows
from gapkit.statistics.totals import MULTIPLIED
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
        points = inputs.spectrum.mapped(d, float(np.sqrt(total)) if self.normalise else 1.0)
        # Nothing but the eigenvalue that it multiplies has a unit.
        strength = self.strength if self.normalise else self.strength * inputs.unit * inputs.unit

        def score(labels: Array) -> float:
            return _self_challenging(points, *present_classes(labels), d, strength)

        return score


Passed = Iterator[tuple[slice, Floats]]
"""One pass over rows: blocks of them with their positions."""


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


def _self_challenging(points: MappedRows, codes: Labels, n_classes: int, dimension: int, strength: float) -> float:
    """The score; points are mixed block by block, so that no copy of all of them is held."""

    def given() -> Passed:
        return points.by(MULTIPLIED)

    scatter = _scatter(given, codes, n_classes)
    squares = sum(float(np.square(block).sum()) for _, block in points)
    if np.trace(scatter.within) <= LEAST_WITHIN * squares / len(points):
        raise UndefinedError(
            "the samples of every class have the same features",
            expected="classes whose samples differ, so that they have a spread",
            remedy="give more samples of each class",
        )
    shrinkage = max(float(np.exp(-strength * np.linalg.eigvalsh(scatter.within)[-1])), LEAST_SHRINKAGE)
    first = _discriminant(scatter, shrinkage, dimension)
    others = (scatter.means.sum(axis=0) - scatter.means) / (n_classes - 1)
    confidence = _of_own_class(given(), codes, lambda rows: _softmax(first.probabilities(rows)))

    def mixed() -> Passed:
        for place, block in given():
            far = others[codes[place]]
            yield place, far + confidence[place, None] * (block - far)

    second = _discriminant(_scatter(mixed, codes, n_classes), shrinkage, dimension)
    return float(_of_own_class(mixed(), codes, second.probabilities).mean())


def _of_own_class(rows: Passed, codes: Labels, probabilities: Callable[[Floats], Floats]) -> PerSample:
    """The probability (n,) that each sample's own class gets."""
    own = [np.take_along_axis(probabilities(block), codes[place, None], axis=1)[:, 0] for place, block in rows]
    return np.concatenate(own)


def _scatter(passes: Callable[[], Passed], codes: Labels, n_classes: int) -> _Scatter:
    """Means and scatter of the classes, in two passes over the rows."""
    sizes = class_counts(codes, n_classes).astype(np.float64)
    means = sum(class_sums(block, codes[place], n_classes) for place, block in passes()) / sizes[:, None]
    within = np.zeros((means.shape[1], means.shape[1]))
    for place, block in passes():
        own = block - means[codes[place]]
        within += own.T @ own
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
