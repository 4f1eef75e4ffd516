"""Mixing a mapped conditional with the class prior: ``q = (1 - eps) q_A + eps pi``."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Floats, PerSample, TargetProbabilities

MAX_STEPS = 60


def class_prior(counts: Floats) -> Floats:
    """``pi_y = (n_y + 1/2) / (n + K_t / 2)`` from class counts (K_t, ...) along the first axis.

    Example:
        >>> class_prior(np.array([3.0, 0.0])).tolist()
        [0.875, 0.125]
    """
    return (counts + 0.5) / (counts.sum(axis=0) + len(counts) / 2)


def mix(q: TargetProbabilities, prior: Floats, eps: float) -> TargetProbabilities:
    """``(1 - eps) q + eps pi`` (n, K_t)."""
    return (1 - eps) * q + eps * prior


def fit_eps(own: Floats, prior: PerSample, *, pseudo: float = 1.0) -> tuple[Floats, Floats]:
    """The share eps of the prior that minimises ``-sum_i log((1 - eps) own_i + eps prior_i) - pseudo log eps``.

    Convex in eps; found by Newton steps kept inside a shrinking bracket. ``pseudo`` samples that only the prior
    explains keep eps at or above ``pseudo / (n + pseudo)``; with 0, eps may be 0 and 1 alike.

    Args:
        own: (n, m) probability that each of m maps gives to the sample's own class.
        prior: (n,) probability that the class prior gives to it, positive.
        pseudo: number of pseudo-samples.

    Returns:
        Eps (m,) and the mean loss (m,) at it, without the pseudo-samples.
    """
    b = prior[:, None]
    eps = _at_ends(own, b, pseudo)
    inside = np.isnan(eps)
    if inside.any():
        eps[inside] = _between(own if inside.all() else own[:, inside], b, pseudo)
    return eps, -np.log((1 - eps) * own + eps * b).mean(axis=0)


def _at_ends(own: Floats, b: Floats, pseudo: float) -> Floats:
    """Eps (m,) where the optimum is at 0 or 1, which an open bracket only approaches; elsewhere not a number."""
    at_one = len(b) - (own / b).sum(axis=0) + pseudo >= 0
    if pseudo > 0:
        return np.where(at_one, 1.0, np.nan)
    positive = np.maximum(own, np.finfo(np.float64).tiny)
    # Divided by the sample size first: own can be so small that the ratios overflow in the sum.
    at_zero = (np.minimum(b / positive, 1e300 / len(b)) - 1).sum(axis=0) <= 0
    return np.where(at_one, 1.0, np.where(at_zero, 0.0, np.nan))


def _between(own: Floats, b: Floats, pseudo: float) -> Floats:
    """Eps (m,) where the optimum is between 0 and 1."""
    low, high = np.zeros(own.shape[1]), np.ones(own.shape[1])
    eps = np.full(own.shape[1], 0.5)
    for _ in range(MAX_STEPS):
        ratio = (b - own) / ((1 - eps) * own + eps * b)
        slope = ratio.sum(axis=0) + pseudo / eps
        curvature = np.square(ratio).sum(axis=0) + pseudo / np.square(eps)
        low, high = np.where(slope > 0, eps, low), np.where(slope > 0, high, eps)
        newton = eps + slope / np.maximum(curvature, np.finfo(np.float64).tiny)
        within = (newton > low) & (newton < high)
        moved = np.where(within, newton, (low + high) / 2)
        if np.abs(moved - eps).max() <= 1e-12:
            break
        eps = moved
    return eps


def choose_eps(own: PerSample, prior: PerSample) -> tuple[float, float]:
    """Eps of a map that is to be used on new samples, and the mean loss at it: 1 where the map has not shown its worth.

    The map is used only if its gain over the prior, at the best eps, is above one standard error of that gain (the rule
    of one standard error, Breiman et al. 1984). Otherwise a map that knows nothing would be mixed in by chance, and be
    a little worse than the prior on new samples.

    Args:
        own: (n,) probability that the map gives to the own class of samples that it was not fitted to.
        prior: (n,) probability that the class prior gives to it, positive.

    Example:
        >>> choose_eps(np.array([0.5, 0.6, 0.4, 0.5]), np.full(4, 0.5))[0]
        1.0
        >>> choose_eps(np.array([0.9, 0.8, 0.9, 0.8]), np.full(4, 0.5))[0] < 0.5
        True
    """
    eps, loss = fit_eps(own[:, None], prior)
    gain = np.log((1 - eps[0]) * own + eps[0] * prior) - np.log(prior)
    if not has_shown_its_worth(gain):
        return 1.0, -float(np.log(prior).mean())
    return float(eps[0]), float(loss[0])


def has_shown_its_worth(gain: PerSample) -> bool:
    """Whether the mean gain of a map over the prior (n,) is above one standard error of it.

    Example:
        >>> has_shown_its_worth(np.array([0.1, -0.1])), has_shown_its_worth(np.array([0.1, 0.2]))
        (False, True)
    """
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return bool(gain.mean() > error)
