"""Expected discrepancies of predictions from labels, given the exact distribution of the labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import xlogy

from gapkit.arrays import PerSample, TargetProbabilities

Discrepancy = Literal["kl", "zero_one", "brier"]


def expected_losses(q: TargetProbabilities, posterior: TargetProbabilities, discrepancy: Discrepancy) -> PerSample:
    """``E[d(e_Y, q(x)) | x]`` for Y ~ posterior, per sample: no label is drawn, so there is no noise of labels.

    * kl: ``- sum_y P_y log q_y`` in nats, at q = P the entropy of the row;
    * zero_one: ``1 - P`` of the most probable class of q, the first where several are;
    * brier: ``sum_y q_y^2 - 2 sum_y P_y q_y + 1``, at q = P ``1 - sum_y P_y^2``.

    Args:
        q: predictions (n, K_t).
        posterior: exact P(y | x) (n, K_t).
        discrepancy: one of the three; all are proper.

    Example:
        >>> half = np.array([[0.5, 0.5]])
        >>> [round(float(expected_losses(half, half, name)[0]), 4) for name in ("kl", "zero_one", "brier")]
        [0.6931, 0.5, 0.5]
    """
    if discrepancy == "kl":
        return -xlogy(posterior, q).sum(axis=1)
    if discrepancy == "zero_one":
        return 1.0 - np.take_along_axis(posterior, q.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.square(q).sum(axis=1) - 2 * (posterior * q).sum(axis=1) + 1.0
