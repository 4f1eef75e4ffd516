"""Discrepancies summed over the scored samples of a fold, for many relabellings at once."""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.gap.discrepancy import Discrepancy

OWN_ONLY = ("kl", "total_variation", "squared_hellinger", "jensen_shannon")
"""Against labels these read nothing of q but the probability of the own class."""
SHARPENINGS = (1.0, 2.0, 4.0, 8.0)
"""Exponents g of ``q^g pi^(1 - g)`` that the zero-one loss is taken the best of.

Cheap conditionals are drawn towards the prior. Where one class is frequent it would always win, whatever the labels
tell, and the test would have no power.
"""
TIE = 1e-5
"""Difference of log q below which classes tie; rounding of float32 is below it."""
SMALLEST = 1e-30


def summed_losses(measure: Discrepancy, q: Array, prior: Floats, labels: Array) -> Floats:
    """The discrepancy summed over samples: (g, b), one row but for the zero-one loss with its ``SHARPENINGS``.

    Args:
        measure: the discrepancy.
        q: (K_t, b, m) conditionals.
        prior: (K_t, b) class prior pi.
        labels: (b, m) class codes.
    """
    if measure.name == "zero_one":
        return _sharpened_errors(q, prior, labels)
    flat, codes = q.reshape(len(q), -1), labels.reshape(-1)
    if measure.name in OWN_ONLY:
        own = _own(flat, codes).astype(np.float64)
        losses = measure.losses(own[:, None], np.zeros_like(codes))
    else:
        # A view with samples first: reductions over classes then run along memory.
        losses = measure.losses(flat.astype(np.float64).T, codes)
    return losses.reshape(labels.shape).sum(axis=1)[None]


def prior_losses(measure: Discrepancy, prior: Floats, counts: Floats) -> Floats:
    """The prior's discrepancy summed over samples: (b,).

    Args:
        measure: the discrepancy.
        prior: (K_t, b) class prior pi.
        counts: (b, K_t) scored samples of each class.
    """
    n_target, count = prior.shape
    if (prior == prior[:, :1]).all():
        prior, count = prior[:, :1], 1
    classes = np.tile(np.arange(n_target, dtype=np.int64), count)
    losses = measure.losses(np.repeat(prior.T, n_target, axis=0), classes)
    return (losses.reshape(count, n_target) * counts).sum(axis=1)


def _own(flat: Array, codes: Array) -> Array:
    """What each sample's own class holds in (K_t, b m)."""
    return flat.reshape(-1)[codes * len(codes) + np.arange(len(codes))]


def _sharpened_errors(q: Array, prior: Floats, labels: Array) -> Floats:
    """Zero-one losses of ``q^g pi^(1 - g)``, summed over samples: (g, b); k tied classes are right once in k times."""
    codes = labels.reshape(-1)
    base = np.log(prior).astype(np.float32)
    lift = np.log(np.maximum(q, np.float32(SMALLEST)))
    lift -= base[:, :, None]
    errors = np.empty((len(SHARPENINGS), len(labels)))
    for k, power in enumerate(SHARPENINGS):
        scores = lift * np.float32(power)
        scores += base[:, :, None]
        scores = scores.reshape(len(q), -1)
        least = scores.max(axis=0) - np.float32(TIE)
        right = np.flatnonzero(_own(scores, codes) >= least)
        losses = np.ones(len(codes))
        losses[right] -= 1 / (scores[:, right] >= least[right]).sum(axis=0)
        errors[k] = losses.reshape(labels.shape).sum(axis=1)
    return errors
