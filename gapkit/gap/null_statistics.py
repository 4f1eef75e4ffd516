"""The cheap statistics of the null: conditionals q for many relabellings at once, from sums over the fitting side.

Arrays have target classes first, then relabellings, in float32: q is (K_t, b, m) for b relabellings and m scored
samples, sums over the fitting side are (K_t, b, K_s) or (K_t, b, d), and the class prior pi is (K_t, b). No statistic
takes more than these sums, so that one product per fold serves all relabellings.
"""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array
from gapkit.gap.label_maps.optimisers import assign

PRIOR_SHARE = 0.5
"""Share eps of the class prior in the assignment map: fixed, because it must not be fitted to labels."""
LEAST_RIDGE = 0.2
"""Ridge scores are kept at or above this part of the class prior."""
LEAST_MASS = 1e-30
"""Added to the mass of every chosen source class, which may underflow in float32."""


def assignment_conditional(p: Array, joint: Array, prior: Array) -> Array:
    """``q_y = (1 - eps) p_sigma(y) / sum_y' p_sigma(y') + eps pi_y``, sigma the injection of most mass.

    Most is ``sum_y J_sigma(y)y``, so that the unnormalised total variation on the fitting side is least, exactly: a
    linear assignment for each relabelling.

    Args:
        p: (m, K_s) tempered source conditional of the scored samples.
        joint: (K_t, b, K_s) J, the fitting side's sums of p by class.
        prior: (K_t, b) pi.
    """
    n_target, count, _ = joint.shape
    sigma = np.empty((n_target, count), dtype=np.int64)
    for b in range(count):
        sigma[:, b] = assign(-joint[:, b].astype(np.float64))
    chosen: Array = np.ascontiguousarray(p.T)[sigma]
    chosen += np.float32(LEAST_MASS)
    chosen *= np.float32(1 - PRIOR_SHARE) / chosen.sum(axis=0)
    chosen += (np.float32(PRIOR_SHARE) * prior)[:, :, None]
    return chosen


def plug_in_conditional(p: Array, joint: Array, prior: Array) -> Array:
    """``q = p A`` with ``A_zy = (J_zy + pi_y) / (sum_y' J_zy' + 1)``; arguments as for the assignment map."""
    n_target, count, n_source = joint.shape
    matrix = joint + prior[:, :, None]
    matrix /= joint.sum(axis=0) + np.float32(1)
    return (matrix.reshape(n_target * count, n_source) @ p.T).reshape(n_target, count, len(p))


def ridge_conditional(hat: Array, cross: Array, shares: Array, prior: Array) -> Array:
    """Ridge scores, kept at or above ``LEAST_RIDGE pi_y`` and divided by their sum.

    Args:
        hat: (d, m) ``(X'X + lambda I)^-1 x_i`` of the scored samples, X and x_i centred by the fitting side's mean.
        cross: (K_t, b, d) ``X'Y``, Y the fitting side's labels, one-hot.
        shares: (K_t, b) the fitting side's class shares, the intercept.
        prior: (K_t, b) pi.
    """
    n_target, count, dimension = cross.shape
    scores = (cross.reshape(n_target * count, dimension) @ hat).reshape(n_target, count, hat.shape[1])
    scores += shares[:, :, None]
    np.maximum(scores, (np.float32(LEAST_RIDGE) * prior)[:, :, None], out=scores)
    scores /= scores.sum(axis=0)
    return scores


def neighbour_conditional(labels: Array, near: Array, prior: Array) -> Array:
    """``q = (k s + pi) / (k + 1)``, s the class shares among the k nearest samples of the fitting side.

    Args:
        labels: (n, b) class codes of all samples; small integers are fastest.
        near: (m, k) positions of the neighbours of the scored samples, k < 256.
        prior: (K_t, b) pi.
    """
    held = labels[near]
    votes = np.empty((*prior.shape, len(near)), dtype=np.float32)
    for y in range(len(prior)):
        votes[y] = (held == y).sum(axis=1, dtype=np.uint8).T
    votes += prior[:, :, None]
    votes /= np.float32(near.shape[1] + 1)
    return votes
