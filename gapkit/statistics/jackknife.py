"""The delete-a-group jackknife: intervals for statistics that duplicated samples would spoil.

A bootstrap resample holds every sample 1.6 times on average: evidence, neighbours and within-class scatter of it are
those of data with duplicates. The jackknife only leaves samples out, and asks for ten or twenty values instead of a
thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels, generator

BLOCK_STREAM, DRAW_STREAM = 50, 51
Interval = tuple[float, float]
LEAST_BLOCKS = 4
"""Fewer replicates say nothing of a spread."""


@dataclass(frozen=True, kw_only=True)
class Jackknife:
    """A statistic and what it is without each block of samples.

    Attributes:
        value: on all samples.
        replicates: (g,) without one block each.
    """

    value: float
    replicates: Floats

    @property
    def deviations(self) -> Floats:
        """``sqrt((g - 1) / g) (theta_(k) - mean)`` (g,): the sum of their squares is the variance of the value."""
        g = len(self.replicates)
        return np.sqrt((g - 1) / g) * (self.replicates - self.replicates.mean())

    @property
    def standard_error(self) -> float:
        """``sqrt((g - 1) / g sum_k (theta_(k) - mean)^2)``."""
        return float(np.sqrt(np.square(self.deviations).sum()))

    def interval(self, *, level: float = 0.95, within: tuple[float | None, float | None] = (None, None)) -> Interval:
        """``value +- t_(g - 1) standard_error``, cut to the statistic's range."""
        from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

        reach = float(stdtrit(len(self.replicates) - 1, (1 + level) / 2)) * self.standard_error
        lowest = -np.inf if within[0] is None else min(within[0], self.value)
        highest = np.inf if within[1] is None else max(within[1], self.value)
        return max(self.value - reach, lowest), min(self.value + reach, highest)


def deal(
    n: int, blocks: int, *, strata: Array | None = None, groups: Labels | None = None, seed: int = 0
) -> Labels | None:
    """The block (n,) of each sample: blocks of about equal size, strata spread evenly, groups kept whole.

    The units, samples or groups, are put in random order, then in that of their strata, and dealt out one by one. So an
    interval holds for the given shares of the strata. With fewer units than blocks every unit is a block.

    Args:
        n: number of samples.
        blocks: at most this many.
        strata: (n,) classes, or numbers of which neighbours are alike; of a group that of its first sample.
        groups: (n,) codes of samples that belong together.
        seed: of the order.

    Returns:
        Block codes; None where there are fewer than four units.

    Example:
        >>> blocks = deal(8, 4, strata=np.repeat([0, 1], 4), seed=0)
        >>> sorted(blocks[:4].tolist()), sorted(blocks[4:].tolist())
        ([0, 1, 2, 3], [0, 1, 2, 3])
    """
    first = units = np.arange(n, dtype=np.int64)
    if groups is not None:
        _, first, units = np.unique(groups, return_index=True, return_inverse=True)
        units = units.reshape(-1)
    count = min(blocks, len(first))
    if count < LEAST_BLOCKS:
        return None
    order = generator(seed, BLOCK_STREAM).permutation(len(first))
    if strata is not None:
        order = order[np.argsort(strata[first[order]], kind="stable")]
    dealt = np.empty(len(first), dtype=np.int64)
    dealt[order] = np.arange(len(first)) % count
    return dealt[units]


def kept(blocks: Labels, block: int) -> Indices:
    """Positions of the samples outside one block."""
    return np.flatnonzero(blocks != block)


def joint_draws(estimates: list[Jackknife], draws: int, *, seed: int = 0) -> Floats:
    """Draws (draws, m) of m statistics of the same samples and blocks: normal, with the jackknife's covariance.

    ``value + sum_k e_k deviation_k`` with one standard normal e_k for each block, shared by the statistics. What is
    computed of them, such as a ranking, varies as it would with other samples.

    Args:
        estimates: of the same number of blocks.
        draws: number of rows.
        seed: of the draws.
    """
    deviations = np.stack([estimate.deviations for estimate in estimates], axis=1)
    weights = generator(seed, DRAW_STREAM).normal(size=(draws, len(deviations)))
    return np.array([estimate.value for estimate in estimates]) + weights @ deviations
