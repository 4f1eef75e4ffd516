"""R^2 beside the misalignment of a binned regression target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from gapkit.arrays import Floats, Labels, PerScored, TargetProbabilities
from gapkit.estimates import Estimate
from gapkit.gap.label_maps.parts import Part
from gapkit.gap.scoring import Scoring


def r_squared(
    scoring: Scoring, parts: Sequence[Part], values: Floats, held_out: Mapping[str, TargetProbabilities]
) -> dict[str, Estimate]:
    """``R^2 = 1 - sum (v - v_hat)^2 / sum (v - v_mean)^2`` of each family, held out, with its interval.

    ``v_hat = sum_b q_b m_b``, m_b the mean value in bin b on the fitting side, ``v_mean`` the mean there: so
    R^2 is negative where the family is worse than the mean.

    Args:
        scoring: labels are the bins.
        parts: one for each fold and, last, all samples, in the order of ``scoring``.
        values: (n,) regression target.
        held_out: family -> q (n, K_t) over the bins.
    """
    rows, codes = scoring.scored, scoring.labels
    base, means = np.zeros(len(values)), np.zeros((len(values), scoring.prior.shape[1]))
    for part in parts[:-1]:
        base[part.scored] = values[part.fit].mean()
        means[part.scored] = _bin_means(values[part.fit], codes[part.fit], means.shape[1])
    around = np.square(values - base)[rows]
    errors: dict[str, tuple[PerScored, PerScored]] = {
        name: (np.square(values - (q * means).sum(axis=1))[rows], around) for name, q in held_out.items()
    }
    return {name: _complement(found) for name, found in scoring.estimate(errors).items()}


def _bin_means(values: Floats, codes: Labels, n_bins: int) -> Floats:
    """Mean value of each bin (n_bins,); of all values where a bin is empty."""
    counts = np.bincount(codes, minlength=n_bins)
    sums = np.bincount(codes, weights=values, minlength=n_bins)
    return np.where(counts > 0, sums / np.maximum(counts, 1), values.mean())


def _complement(share: Estimate) -> Estimate:
    """1 minus a share, ends exchanged."""
    if share.value is None or share.interval is None:
        return share
    return replace(share, value=1 - share.value, interval=(1 - share.interval[1], 1 - share.interval[0]))
