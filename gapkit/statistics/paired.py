"""Paired tests: what two runs, or two sources, lose on the same samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Labels, PerSample, generator
from gapkit.errors import DataError
from gapkit.statistics.uncertainty import ratio_intervals

SIGN_STREAM = 11
EXACT_UNITS = 12
"""Up to so many units that differ, all 2^u sign flips are compared."""
BLOCK_ENTRIES = 2_000_000
"""Signs that are held at once (16 MB)."""
TIE = 1e-9
"""Relative distance below which two sums tie: rounding must not decide."""


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean of ``a - b`` over samples.

    Attributes:
        difference: mean over samples; negative where a loses less.
        interval: studentised bootstrap interval of it.
        p: two-sided, of the sign-flip test.
        test: what p was computed by, in words.
        n: samples.
        units: samples, or groups where there are groups.
    """

    difference: float
    interval: tuple[float, float]
    p: float
    test: str
    n: int
    units: int


def paired_difference(
    a: PerSample,
    b: PerSample,
    *,
    groups: Labels | None = None,
    draws: int = 9999,
    resamples: int = 1000,
    seed: int = 0,
) -> PairedDifference:
    """Compare per-sample losses of the same samples: mean of ``d_i = a_i - b_i``, its interval and p.

    Where a and b are alike, each d_i is as likely as -d_i, and for a group its sum. ``p`` is the share of sign flips
    whose ``|sum|`` is at least the observed one: of all 2^u where at most ``EXACT_UNITS`` units differ, else of
    ``draws`` random flips and the observed signs. Squares do not change under flips, so that the t statistic would
    give the same p: the test is exact where d is symmetric, and holds for the mean of any d as u grows.

    Args:
        a: (n,) losses of one.
        b: (n,) losses of the other, of the same samples in the same order.
        groups: (n,) codes of samples that belong together and are flipped, and resampled, together.
        draws: random sign flips.
        resamples: of the interval.
        seed: of flips and resamples.

    Raises:
        DataError: fewer than two units.

    Example:
        >>> found = paired_difference(np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.6, 0.5]))
        >>> round(found.difference, 3), found.p, found.test
        (-0.3, 0.25, 'sign flips, all 8')
    """
    difference = a - b
    sums = difference if groups is None else _group_sums(difference, groups)
    if len(sums) < 2:
        raise DataError(
            f"{len(a)} samples in {len(sums)} {'groups' if groups is not None else 'units'}",
            expected="at least two that can differ",
            remedy="compare on more samples" + (" or without groups" if groups is not None else ""),
        )
    interval = ratio_intervals(difference[:, None], np.ones((len(a), 1)), groups=groups, resamples=resamples, seed=seed)
    p, test = sign_flip_p(sums, draws=draws, seed=seed)
    return PairedDifference(
        difference=float(interval.value[0]),
        interval=(float(interval.low[0]), float(interval.high[0])),
        p=p,
        test=test if groups is None else f"{test}, of {len(sums)} groups",
        n=len(a),
        units=len(sums),
    )


def sign_flip_p(differences: Floats, *, draws: int = 9999, seed: int = 0) -> tuple[float, str]:
    """Two-sided p of ``|sum_u s_u d_u| >= |sum_u d_u|`` under random signs s, and how it was computed.

    Units that do not differ are left out: flipping them changes nothing.

    Example:
        >>> sign_flip_p(np.array([1.0, 2.0, -0.5, 0.0]))
        (0.5, 'sign flips, all 8')
    """
    kept = differences[differences != 0]
    least = abs(float(kept.sum())) - TIE * float(np.abs(kept).sum())
    if len(kept) <= EXACT_UNITS:
        flips = 1 - 2 * (np.arange(1 << len(kept), dtype=np.int64)[:, None] >> np.arange(len(kept)) & 1)
        return float((np.abs(flips @ kept) >= least).mean()), f"sign flips, all {len(flips)}"
    rng = generator(seed, SIGN_STREAM)
    reached, step = 1, max(1, BLOCK_ENTRIES // len(kept))
    for start in range(0, draws, step):
        signs = rng.integers(2, size=(min(step, draws - start), len(kept)), dtype=np.int8)
        # sum s d = sum d - 2 sum over flipped units.
        reached += int((np.abs(kept.sum() - 2 * (signs.astype(np.float64) @ kept)) >= least).sum())
    return reached / (1 + draws), f"sign flips, {draws} at random"


def _group_sums(values: PerSample, groups: Labels) -> Floats:
    """Sums over groups."""
    codes = np.unique(groups, return_inverse=True)[1].reshape(-1)
    return np.asarray(np.bincount(codes, weights=values), dtype=np.float64)
