"""Discrepancies between a mapped conditional q and the target conditional, sample by sample.

The target conditional is either the labels, one-hot, or probabilities t (n, K_t). With one-hot labels every discrepancy
but Brier and zero-one depends on q only through the probability q_y of the own class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Labels, PerSample, TargetProbabilities

TIE_TOLERANCE = 1e-12
"""Relative distance below which two probabilities tie: rounding must not decide."""
TINY = 2.2250738585072014e-308
"""Least normal float64."""


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """One discrepancy d.

    Attributes:
        name: as in results.
        unit: of its raw value.
        proper: whether, against one-hot labels, its expectation is least at the true conditional.
        losses: q (n, K_t) and labels (n,) to d(q_i, one-hot y_i) (n,).
        distances: q (n, K_t) and t (n, K_t) to d(q_i, t_i) (n,); the same numbers where t is one-hot.
    """

    name: str
    unit: str
    proper: bool
    losses: Callable[[TargetProbabilities, Labels], PerSample]
    distances: Callable[[TargetProbabilities, TargetProbabilities], PerSample]


def own_probability(q: TargetProbabilities, labels: Labels) -> PerSample:
    """``q_y`` (n,), what q gives to the sample's own class."""
    return q[np.arange(len(q)), labels]


def kl_losses(q: TargetProbabilities, labels: Labels) -> PerSample:
    """KL of a one-hot label from q: ``-log q_y``, in nats.

    Example:
        >>> kl_losses(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0])).round(3).tolist()
        [0.693, 0.0]
    """
    # Adding 0.0 turns -0.0, the loss of a certain and right answer, into 0.0.
    return -np.log(np.maximum(own_probability(q, labels), TINY)) + 0.0


def kl_distances(q: TargetProbabilities, target: TargetProbabilities) -> PerSample:
    """``KL(t || q) = sum_y t_y log(t_y / q_y)``, in nats.

    Example:
        >>> kl_distances(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(4).tolist()
        [0.1308]
    """
    return np.maximum((target * (_log(target) - _log(q))).sum(axis=1), 0.0)


def brier_losses(q: TargetProbabilities, labels: Labels) -> PerSample:
    """``sum_y (q_y - 1[y = y_i])^2 = 1 - 2 q_y + sum q^2`` (Brier 1950), from 0 to 2.

    Example:
        >>> brier_losses(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 1])).tolist()
        [0.5, 2.0]
    """
    return np.maximum(1.0 - 2.0 * own_probability(q, labels) + np.square(q).sum(axis=1), 0.0)


def brier_distances(q: TargetProbabilities, target: TargetProbabilities) -> PerSample:
    """``sum_y (q_y - t_y)^2``.

    Example:
        >>> brier_distances(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).tolist()
        [0.125]
    """
    return np.square(q - target).sum(axis=1)


def total_variation_losses(q: TargetProbabilities, labels: Labels) -> PerSample:
    """``(1/2) sum_y |q_y - 1[y = y_i]| = 1 - q_y``.

    Example:
        >>> total_variation_losses(np.array([[0.25, 0.75]]), np.array([0])).tolist()
        [0.75]
    """
    return np.maximum(1.0 - own_probability(q, labels), 0.0)


def total_variation_distances(q: TargetProbabilities, target: TargetProbabilities) -> PerSample:
    """``(1/2) sum_y |q_y - t_y|``.

    Example:
        >>> total_variation_distances(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).tolist()
        [0.25]
    """
    return np.abs(q - target).sum(axis=1) / 2


def zero_one_losses(q: TargetProbabilities, labels: Labels) -> PerSample:
    """Share of wrong answers; among k tied classes the expected one, ``1 - 1/k`` if the label is among them.

    Example:
        >>> zero_one_losses(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).tolist()
        [0.5, 1.0]
    """
    answer = _answers(q)
    return 1.0 - own_probability(answer, labels)


def zero_one_distances(q: TargetProbabilities, target: TargetProbabilities) -> PerSample:
    """Expected share of wrong answers of q where labels follow t: ``1 - t_y``, y the largest class of q.

    Example:
        >>> zero_one_distances(np.array([[0.9, 0.1]]), np.array([[0.25, 0.75]])).tolist()
        [0.75]
    """
    return 1.0 - (_answers(q) * target).sum(axis=1)


def squared_hellinger_losses(q: TargetProbabilities, labels: Labels) -> PerSample:
    """``(1/2) sum_y (sqrt q_y - 1[y = y_i])^2 = 1 - sqrt q_y``.

    Example:
        >>> squared_hellinger_losses(np.array([[0.25, 0.75]]), np.array([0])).tolist()
        [0.5]
    """
    return np.maximum(1.0 - np.sqrt(own_probability(q, labels)), 0.0)


def squared_hellinger_distances(q: TargetProbabilities, target: TargetProbabilities) -> PerSample:
    """``(1/2) sum_y (sqrt q_y - sqrt t_y)^2``.

    Example:
        >>> squared_hellinger_distances(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0]])).tolist()
        [0.0]
    """
    return np.square(np.sqrt(q) - np.sqrt(target)).sum(axis=1) / 2


def jensen_shannon_losses(q: TargetProbabilities, labels: Labels) -> PerSample:
    """``log 2 - [(1 + q_y) log(1 + q_y) - q_y log q_y] / 2``, in nats: JS of q and the one-hot label.

    Example:
        >>> jensen_shannon_losses(np.array([[0.0, 1.0]]), np.array([0])).round(4).tolist()
        [0.6931]
    """
    own = own_probability(q, labels)
    return np.maximum(np.log(2.0) - ((1 + own) * np.log1p(own) - own * _log(own)) / 2, 0.0)


def jensen_shannon_distances(q: TargetProbabilities, target: TargetProbabilities) -> PerSample:
    """``KL(q || m) / 2 + KL(t || m) / 2`` with ``m = (q + t) / 2``, in nats (Lin 1991).

    Example:
        >>> jensen_shannon_distances(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])).tolist()
        [0.0]
    """
    middle = (q + target) / 2
    return (kl_distances(middle, q) + kl_distances(middle, target)) / 2


def _answers(q: TargetProbabilities) -> Floats:
    """The largest class of each row as one-hot; k tied ones hold 1/k each."""
    tied = q >= q.max(axis=1, keepdims=True) * (1 - TIE_TOLERANCE)
    return tied / tied.sum(axis=1, keepdims=True)


def _log(values: Floats) -> Floats:
    """Log, finite at zero: x log x is 0 there."""
    return np.log(np.maximum(values, TINY))


KL = Discrepancy(name="kl", unit="nats", proper=True, losses=kl_losses, distances=kl_distances)
BRIER = Discrepancy(
    name="brier", unit="squared probability", proper=True, losses=brier_losses, distances=brier_distances
)
TOTAL_VARIATION = Discrepancy(
    name="total_variation",
    unit="probability",
    proper=False,
    losses=total_variation_losses,
    distances=total_variation_distances,
)
ZERO_ONE = Discrepancy(
    name="zero_one", unit="share of samples", proper=True, losses=zero_one_losses, distances=zero_one_distances
)
SQUARED_HELLINGER = Discrepancy(
    name="squared_hellinger",
    unit="probability",
    proper=False,
    losses=squared_hellinger_losses,
    distances=squared_hellinger_distances,
)
JENSEN_SHANNON = Discrepancy(
    name="jensen_shannon",
    unit="nats",
    proper=False,
    losses=jensen_shannon_losses,
    distances=jensen_shannon_distances,
)
ALL = (KL, BRIER, TOTAL_VARIATION, ZERO_ONE, SQUARED_HELLINGER, JENSEN_SHANNON)
NOISY = ("kl", "brier")
"""Against labels these contain the label noise, so what is left beyond the ceiling stands beside."""


def find_discrepancy(name: str) -> Discrepancy:
    """The discrepancy of this name.

    Example:
        >>> find_discrepancy("kl").unit
        'nats'
    """
    return next(item for item in ALL if item.name == name)
