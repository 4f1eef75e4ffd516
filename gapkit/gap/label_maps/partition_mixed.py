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
from gapkit.gap.label_maps.partition_problem import assignment_reading, make_problem
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
        problem = make_problem(tempered, mask)
        found = search_partition(problem, starts, enumeration=self.enumeration)
        if not self.trimmed:
            return found
        best = self._trim(tempered, mask, prior, [found.reading, *starts])
        if np.array_equal(best, found.reading):
            return found
        return FoundPartition(reading=best, loss=problem.loss(best), optimal=False)

    def _trim(self, tempered: Tempered, mask: Mask, prior: Floats, readings: Sequence[Indices]) -> Indices:
        """From the reading with the least mixed loss, searches without the samples that the prior explains better."""
        best = min((mixture(tempered, mask, prior, reading) for reading in readings), key=lambda item: item.loss)
        for _ in range(TRIMMINGS):
            if not best.kept.any() or mask.sum() - best.kept.sum() <= TRIMMED_SHARE * mask.sum():
                break
            problem = make_problem(tempered, best.kept)
            again = search_partition(problem, [best.reading], enumeration=self.enumeration)
            moved = mixture(tempered, mask, prior, again.reading)
            if moved.loss >= best.loss - LEAST_GAIN:
                break
            best = moved
        return best.reading

    def inside(self, tempered: Tempered, mask: Mask, prior: Floats, *warm: Indices) -> FoundPartition:
        """As ``run``, from the assignment injection of the samples themselves and from ``warm``."""
        return self.run(tempered, mask, prior, [assignment_reading(make_problem(tempered, mask)), *warm])


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
    return gather(tempered.p[rows], reading, tempered.samples.n_classes)[np.arange(len(labels)), labels]


def mixture(tempered: Tempered, mask: Mask, prior: Floats, reading: Indices) -> Mixture:
    """Eps fitted to the samples ``mask``, and what it says of them."""
    own, own_prior = own_probability(tempered, mask, reading), prior[tempered.samples.labels[mask]]
    eps, loss = fit_eps(own[:, None], own_prior, pseudo=0.0)
    kept = mask.copy()
    kept[mask] = (1 - eps[0]) * own >= eps[0] * own_prior
    return Mixture(reading=reading, loss=float(loss[0]), kept=kept)
