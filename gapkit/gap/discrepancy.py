"""Discrepancies between a mapped conditional and one-hot labels, sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Labels, PerSample, TargetProbabilities

TIE_TOLERANCE = 1e-12
"""Relative distance below which two probabilities tie: rounding must not decide."""


@dataclass(frozen=True, kw_only=True)
class Discrepancy:
    """One discrepancy d.

    Attributes:
        name: as in results.
        unit: of its raw value.
        proper: whether, against one-hot labels, its expectation is least at the true conditional.
        losses: q (n, K_t) and labels (n,) to the losses (n,).
    """

    name: str
    unit: str
    proper: bool
    losses: Callable[[TargetProbabilities, Labels], PerSample]


def kl_losses(q: TargetProbabilities, labels: Labels) -> PerSample:
    """KL of a one-hot label from q: ``-log q_y``, in nats.

    Example:
        >>> kl_losses(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0])).round(3).tolist()
        [0.693, 0.0]
    """
    own = q[np.arange(len(q)), labels]
    # Adding 0.0 turns -0.0, the loss of a certain and right answer, into 0.0.
    return -np.log(np.maximum(own, np.finfo(np.float64).tiny)) + 0.0


def zero_one_losses(q: TargetProbabilities, labels: Labels) -> PerSample:
    """Share of wrong answers; among k tied classes the expected one, ``1 - 1/k`` if the label is among them.

    Example:
        >>> zero_one_losses(np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([0, 1])).tolist()
        [0.5, 1.0]
    """
    tied = q >= q.max(axis=1, keepdims=True) * (1 - TIE_TOLERANCE)
    hit = tied[np.arange(len(q)), labels]
    return 1.0 - hit / tied.sum(axis=1)


KL = Discrepancy(name="kl", unit="nats", proper=True, losses=kl_losses)
ZERO_ONE = Discrepancy(name="zero_one", unit="share of samples", proper=False, losses=zero_one_losses)
ALL = (KL, ZERO_ONE)


def find_discrepancy(name: str) -> Discrepancy:
    """The discrepancy of this name.

    Example:
        >>> find_discrepancy("kl").unit
        'nats'
    """
    return next(item for item in ALL if item.name == name)
