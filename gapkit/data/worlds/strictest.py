"""The strictest family of label maps that holds a conditional exactly."""

from __future__ import annotations

from typing import Literal

import numpy as np

from gapkit.arrays import Floats

Family = Literal["injection", "partition", "channel"]
TOLERANCE = 1e-9


def strictest_family(channel: Floats, *, weights: Floats, prior: Floats) -> tuple[Family, float]:
    """The family with ``sum_z r_z A_zy = (1 - eps) q_B + eps prior`` for all x, and eps.

    ``r_z`` is proportional to ``weights_z p_z``. Where the weights differ, only a channel can hold them. Else the rows
    of A have to be ``(1 - eps) e_g(z) + eps prior``: in each, the smallest ratio to the prior is eps, and what is left
    stands in one column. Every column has one then: a class without a source class would need eps = 1.

    Args:
        channel: A (k, K_t), rows sum to 1; only source classes that the target shows.
        weights: t / w (k,).
        prior: P(y) = t A (K_t,), positive.

    Returns:
        The family and eps, which is 0 for a channel.

    Example:
        >>> flips = np.array([[0.9, 0.1], [0.1, 0.9]])
        >>> family, eps = strictest_family(flips, weights=np.ones(2), prior=np.array([0.5, 0.5]))
        >>> family, round(eps, 6)
        ('injection', 0.2)
        >>> strictest_family(flips, weights=np.array([1.0, 3.0]), prior=np.array([0.3, 0.7]))
        ('channel', 0.0)
    """
    shares = (channel / prior).min(axis=1)
    eps = float(shares.mean())
    rest = channel - eps * prior
    is_shift = bool(np.ptp(weights) > TOLERANCE * weights.max())
    is_mixed = bool(np.ptp(shares) > TOLERANCE) or bool((np.sort(rest, axis=1)[:, :-1] > TOLERANCE).any())
    if is_shift or is_mixed:
        return "channel", 0.0
    return ("injection" if len(channel) == len(prior) else "partition"), eps if eps > TOLERANCE else 0.0
