"""Training samples and test samples of a target, and what a metric on the test samples is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats
from gapkit.estimates import Estimate
from gapkit.labels import NUMBERS
from gapkit.mona.learner import Learned
from gapkit.mona.looks import variation
from gapkit.pipeline.align_options import AlignOptions
from gapkit.pipeline.selection import strata, stratified_draw
from gapkit.reuse.crossed import Smooth, cross, crossed_estimates
from gapkit.statistics.folds import inner_folds
from gapkit.statistics.uncertainty import ratio_intervals
from gapkit.types import TEST, Target

LARGEST_PARTS = 20
CUT_SEED = 0
"""Of the test samples of a target without a test split: the same for every method and seed."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A target in two parts.

    Attributes:
        train: that models are trained on and chosen by.
        test: that is read once.
        split: where the test samples are from, in words.
        notes: what was drawn and cut.
    """

    train: Target
    test: Target
    split: str
    notes: tuple[str, ...]


def divide(target: Target, options: AlignOptions) -> Parts:
    """Training and test samples: the target's own splits, or a stratified, grouped cut; at most so many of each.

    Raises:
        DataError: fewer than two samples.
    """
    notes: list[str] = []
    if target.split is not None and (target.split == TEST).any():
        train, test, split = target.part("train"), target.part("test"), "test"
    else:
        parts = int(np.clip(round(1 / options.test_share), 2, LARGEST_PARTS))
        groups = target.groups
        held_out = inner_folds(_classes(target), parts, groups=groups, seed=CUT_SEED) == 0
        train, test = target.take(np.flatnonzero(~held_out)), target.take(np.flatnonzero(held_out))
        split = f"1/{parts} cut off"
        notes.append(f"{target.name} has no test split: {len(test)} of {len(target)} samples are cut off for the test")
    drawn_train = _drawn(train, options.max_samples, "training", notes)
    return Parts(train=drawn_train, test=_drawn(test, options.max_test, "test", notes), split=split, notes=tuple(notes))


def _classes(target: Target) -> np.ndarray:
    """What a cut keeps in proportion."""
    return np.zeros(len(target), dtype=np.int64) if target.task in NUMBERS else strata(target)


def _drawn(part: Target, size: int | None, what: str, notes: list[str]) -> Target:
    """At most so many samples, class by class, the same for every method and seed."""
    if size is None or len(part) <= size:
        return part
    notes.append(f"{size} of {len(part)} {what} samples drawn, class by class")
    return part.take(stratified_draw(_classes(part), size, seed=CUT_SEED))


def held_out_estimate(scores: Floats, test: Target, learned: Learned, options: AlignOptions) -> Estimate:
    """The metric, mean over seeds, with its 95 % interval over samples and seeds.

    Args:
        scores: (s, n) of each seed and test sample: hits, shares, or squared errors.
        test: the samples; groups are resampled together.
        learned: says the task.
        options: resamples, and their seed.
    """
    n, regression = len(test), learned.samples.task in NUMBERS
    spread = variation(test.y) if regression else np.ones(n)
    if regression and not spread.any():
        return Estimate(value=None, interval=None, n=n, status="undefined", reason="the test values do not vary")
    value, low, high = _ratio(scores, spread, test, options)
    if regression:
        value, low, high = 1 - value, 1 - high, 1 - low
    reason = "one seed: the interval is over samples alone" if len(scores) == 1 else ""
    low, high = (low, high) if regression else (max(low, 0.0), min(high, 1.0))
    return Estimate(value=value, interval=(min(low, value), max(high, value)), n=n, reason=reason)


def _ratio(scores: Floats, spread: Floats, test: Target, options: AlignOptions) -> tuple[float, float, float]:
    """Mean of the scores over that of ``spread``, with its interval."""
    seed = options.seeds[0]
    if len(scores) == 1:
        found = ratio_intervals(scores.T, spread[:, None], groups=test.groups, resamples=options.bootstrap, seed=seed)
        return float(found.value[0]), float(found.low[0]), float(found.high[0])
    data = cross(spread[:, None], scores.T[:, None, :], test.groups)
    (one,) = crossed_estimates(data, [quotient()], resamples=options.bootstrap, seed=seed)
    return one.value, one.low, one.high


def quotient() -> Smooth:
    """The second mean over the first, with its gradient."""

    def function(means: Floats) -> tuple[Floats, Floats]:
        below, above = means[:, 0], means[:, 1]
        value = above / below
        return value, np.stack([-value / below, 1 / below], axis=1)

    return function
