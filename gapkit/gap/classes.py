"""The misalignment class by class: which target classes the source knows, and which it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gapkit.arrays import TargetProbabilities
from gapkit.estimates import ClassGap, Estimate
from gapkit.gap.discrepancy import KL
from gapkit.gap.scoring import Scoring
from gapkit.statistics.uncertainty import ratio_intervals


def class_gaps(
    scoring: Scoring, held_out: Mapping[str, TargetProbabilities], names: Sequence[str]
) -> tuple[ClassGap, ...]:
    """Mean KL (nats) of each class's scored samples under each family, with 95 % intervals.

    Weighted by the classes' shares these means add up to the family's value. Intervals are those of a studentised
    bootstrap over the class's own samples (or the groups that they are in).

    Args:
        scoring: labels, folds and prior.
        held_out: family -> q (n, K_t).
        names: (K_t,) in the order of the codes.
    """
    if not held_out:
        return ()
    labels = scoring.labels[scoring.scored]
    groups = None if scoring.groups is None else scoring.groups[scoring.scored]
    losses = np.stack([scoring.losses(KL, q) for q in held_out.values()], axis=1)
    prior = scoring.losses(KL, scoring.prior)
    found: list[ClassGap] = []
    for code in map(int, np.unique(labels)):
        own = labels == code
        intervals = ratio_intervals(
            losses[own],
            np.ones((int(own.sum()), 1)),
            groups=None if groups is None else groups[own],
            resamples=scoring.resamples,
            seed=scoring.seed,
        )
        estimates = {
            family: Estimate(
                value=float(intervals.value[k]),
                interval=(max(0.0, float(intervals.low[k])), float(intervals.high[k])),
                n=int(own.sum()),
            )
            for k, family in enumerate(held_out)
        }
        one = ClassGap(name=names[code], n=int(own.sum()), prior=float(prior[own].mean()), label_maps=estimates)
        found.append(one)
    return tuple(found)
