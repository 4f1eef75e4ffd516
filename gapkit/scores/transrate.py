"""TransRate: by how much the coding rate of the features exceeds that of the features within classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.errors import UndefinedError
from gapkit.options import check_number
from gapkit.scores.checks import check_features, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.statistics.class_sums import by_class
from gapkit.statistics.spectrum import ROUNDING
from gapkit.types import Traits

EPSILON = 1e-4
"""As in the paper's code."""
LARGEST_RATIO = 1e300
"""Of epsilon and the features' squares, to either side."""
SMALL = 1e-4
"""Trace below which the 1 that is added would take the digits of the eigenvalues."""
TRUSTED = 1e-8
"""Relative error of a pivot up to which a Cholesky factor's log-determinant is taken."""


def transrate(features: Array, labels: Array, *, epsilon: float = EPSILON, normalise: bool = False) -> float:
    """``R(F) - 1/C sum_c R(F_c)``, ``R(Z) = 1/2 log |I + Z'Z / (n_Z epsilon)|`` (Huang et al., ICML 2022).

    F is centred by its mean, and F_c are the rows of class c of it, not centred again; classes are weighted equally, as
    in the paper's code. In nats; any real number, higher is better. Defined for n_c < d, for a class of one sample and
    for constant features, whose score is 0.

    Invariant to shift and rotation of the features. **Not** invariant to their scale: with epsilon fixed, larger
    features are coded more finely, and sources of different scale should be compared with ``normalise=True``
    only. Nor to the number of samples: below a few times d samples per class, it falls steeply with n.

    Args:
        features: (n, d).
        labels: (n,) integers or strings.
        epsilon: variance along a direction below which it is hardly coded.
        normalise: divide the features by the root of their mean squared distance from the mean, which makes the score
            invariant to scale. The paper's code does not.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: an epsilon that is not positive.
        UndefinedError: a single class.

    Example:
        >>> rng, labels = np.random.default_rng(0), np.arange(60) % 3
        >>> features = rng.normal(size=(60, 5)) + 3 * np.eye(5)[labels]
        >>> transrate(features, labels) > transrate(features, rng.permutation(labels))
        True
    """
    x = check_features(features)
    codes = encode(labels, len(x))
    estimator = TransRate(epsilon=epsilon, normalise=normalise)
    return estimator.on(ScoreInputs(features=x, labels=codes))(codes)


@dataclass(frozen=True, kw_only=True)
class TransRate:
    """Estimator of ``transrate``.

    Attributes:
        epsilon: variance along a direction below which it is hardly coded.
        normalise: whether the features' mean squared distance from their mean is made 1.
    """

    epsilon: float = EPSILON
    normalise: bool = False

    traits: ClassVar[Traits] = Traits(
        name="transrate",
        title="TransRate",
        formula="R(F) - 1/C sum_c R(F_c), R(Z) = 1/2 logdet(I + Z'Z / (n_Z epsilon)), epsilon = 1e-4, F centred",
        paper="Huang et al., Frustratingly Easy Transferability Estimation, ICML 2022",
        needs=("features", "labels"),
        lowest=None,
        highest=None,
        better="higher",
        unit="nats",
        conditional=True,
        invariant=("sample_order", "class_names", "shift", "orthogonal"),
        cost="O(n d^2 + d^3) once, O(n d m + C m^3), m = min(d, n / C), for each labelling",
        permutations=39,
        avoids="absent classes that count; d x d determinants of classes of fewer than d samples",
    )

    def __post_init__(self) -> None:
        """Check epsilon.

        Raises:
            OptionError: it is not positive.
        """
        check_number("epsilon", self.epsilon)

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        """Code all features once.

        Raises:
            UndefinedError: features that epsilon cannot be compared with in float64; a single class, by the function
                that is returned.
        """
        spectrum = inputs.spectrum
        variance = float(spectrum.values.sum()) / spectrum.n
        scale = variance if self.normalise else 1 / inputs.unit / inputs.unit
        epsilon = self.epsilon * scale if variance > 0 else self.epsilon
        if not 1 / LARGEST_RATIO < epsilon < LARGEST_RATIO:
            raise UndefinedError(
                f"features of the size of {inputs.unit:.1g} beside an epsilon of {self.epsilon}",
                expected="squares of the features that can be compared with epsilon",
                remedy="normalise, or divide the features by one number",
            )
        whole = 0.5 * float(np.log1p(spectrum.values / (spectrum.n * epsilon)).sum())

        def score(labels: Array) -> float:
            codes, n_classes = present_classes(labels)
            classes = by_class(codes, n_classes)
            within = sum(coding_rate(spectrum.points.take(index), epsilon) for index in classes)
            return whole - within / n_classes

        return score


def coding_rate(centred: Floats, epsilon: float) -> float:
    """``1/2 log |I + Z'Z / (n epsilon)|`` of Z (n, d), by the smaller of its two Gram matrices.

    Example:
        >>> round(coding_rate(np.array([[3.0, 4.0]]), 1.0), 6) == round(0.5 * float(np.log(26)), 6)
        True
    """
    n, d = centred.shape
    if d == 0:
        return 0.0
    gram: Floats = centred @ centred.T if n <= d else centred.T @ centred
    gram /= n * epsilon
    trace, size = float(np.trace(gram)), len(gram)
    if trace < SMALL:
        return 0.5 * float(np.log1p(np.maximum(np.linalg.eigvalsh(gram), 0.0)).sum())
    gram[np.diag_indices(size)] += 1
    rounding = ROUNDING * trace
    try:
        pivots = np.square(np.diag(np.linalg.cholesky(gram)))
    except np.linalg.LinAlgError:
        pivots = np.zeros(1)
    if rounding <= TRUSTED * pivots.min():
        return 0.5 * float(np.log(pivots).sum())
    # Directions without variance, next to others of so much that their rounding would be coded.
    values = np.linalg.eigvalsh(gram) - 1
    return 0.5 * float(np.log1p(values[values > rounding]).sum())
