"""The best partition mixed with the class prior, at one temperature.

The renormalised loss has no prior in it: where labels are partly noise, a wrong label may cost more than all the
others, and spoil the reading. Searched again without the samples that the prior explains better, while that lowers the
loss mixed with the prior (hard expectation-maximisation), the reading is that of the other labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Indices, Mask, Probabilities, TargetProbabilities
from gapkit.gap.label_maps.mixing import fit_eps
from gapkit.gap.label_maps.partition_moves import LEAST_GAIN
from gapkit.gap.label_maps.partition_problem import PartitionProblem, assignment_reading, group, make_problem
from gapkit.gap.label_maps.partition_search import FoundPartition, search_partition
from gapkit.gap.label_maps.tempering import Tempered

TRIMMINGS = 3
TRIMMED_SHARE = 0.01
"""Fewer samples than this share, explained better by the prior, are not worth another search."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How readings are searched.

    Attributes:
        enumeration: as in ``search_partition``.
        trimmed: whether for the loss mixed with the prior; else for the renormalised loss alone.
    """

    enumeration: int
    trimmed: bool

    def run(self, tempered: Tempered, mask: Mask, prior: Floats, starts: Sequence[Indices]) -> FoundPartition:
        """The best partition of the samples ``mask`` (n,), from readings (K_s,) and their assignment injection."""
        return self._solve(make_problem(tempered, mask), prior, starts)

    def inside(self, tempered: Tempered, mask: Mask, prior: Floats, *warm: Indices) -> FoundPartition:
        """As ``run``, from the assignment injection of the samples themselves and from ``warm``."""
        problem = make_problem(tempered, mask)
        return self._solve(problem, prior, [assignment_reading(problem), *warm])

    def _solve(self, problem: PartitionProblem, prior: Floats, starts: Sequence[Indices]) -> FoundPartition:
        """The best partition of a problem."""
        found = search_partition(problem, starts, enumeration=self.enumeration)
        if not self.trimmed:
            return found
        best = self._trim(problem, prior, [found.reading, *starts])
        if np.array_equal(best, found.reading):
            return found
        return FoundPartition(reading=best, loss=problem.loss(best), optimal=False)

    def _trim(self, problem: PartitionProblem, prior: Floats, readings: Sequence[Indices]) -> Indices:
        """From the reading with the least mixed loss, searches without the samples that the prior explains better."""
        size = problem.size
        best = min((mixture(problem, prior, reading) for reading in readings), key=lambda item: item.loss)
        for _ in range(TRIMMINGS):
            if not best.kept.any() or size - best.kept.sum() <= TRIMMED_SHARE * size:
                break
            fewer = make_problem(problem.tempered, best.kept)
            again = search_partition(fewer, [best.reading], enumeration=self.enumeration)
            moved = mixture(problem, prior, again.reading)
            if moved.loss >= best.loss - LEAST_GAIN:
                break
            best = moved
        return best.reading


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """A reading (K_s,) with its loss mixed with the prior, and the samples (n,) that it explains better."""

    reading: Indices
    loss: float
    kept: Mask


def gather(p: Probabilities, reading: Indices, n_classes: int) -> TargetProbabilities:
    """``S_y / sum_y' S_y'`` (n, K_t) of p (n, K_s)."""
    sums = p @ (reading[:, None] == np.arange(n_classes)).astype(np.float64)
    return sums / sums.sum(axis=1, keepdims=True)


def own_probability(tempered: Tempered, rows: Mask, reading: Indices) -> Floats:
    """What a reading gives to the own class of the samples ``rows``."""
    labels = tempered.samples.labels[rows]
    return gather(tempered.take(rows), reading, tempered.samples.n_classes)[np.arange(len(labels)), labels]


def mixture(problem: PartitionProblem, prior: Floats, reading: Indices) -> Mixture:
    """Eps fitted to the samples of the problem, and what it says of them."""
    groups, own_prior = group(problem, reading), prior[problem.labels]
    own = groups.own / groups.mass
    eps, loss = fit_eps(own[:, None], own_prior, pseudo=0.0)
    kept = problem.mask.copy()
    kept[problem.mask] = (1 - eps[0]) * own >= eps[0] * own_prior
    return Mixture(reading=reading, loss=float(loss[0]), kept=kept)
