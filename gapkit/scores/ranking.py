"""Sources ordered by scores, and how far the scores agree, with intervals over the target's samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats
from gapkit.estimates import Interval
from gapkit.statistics.jackknife import Jackknife, joint_draws

TAILS = (0.025, 0.975)
ROUNDING = 1e-10
"""Share of two values by which they may differ and be the same: H-scores of C - 1, say."""


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """One score of several candidates, sources or layers, on the same samples and blocks.

    Attributes:
        values: (m,) one for each candidate; NaN where it is undefined.
        jackknifes: one for each candidate; None where it has no replicates.
        higher: whether high values are better.
    """

    values: Floats
    jackknifes: Sequence[Jackknife | None]
    higher: bool

    @property
    def varies(self) -> bool:
        """Whether every candidate that has a value has replicates: else nothing is known of how the order varies."""
        known = ~np.isnan(self.values)
        return all(own is not None for own, there in zip(self.jackknifes, known, strict=True) if there)

    @property
    def goodness(self) -> Floats:
        """The values (m,), the more the better."""
        return self.values if self.higher else -self.values


def compare(first: Floats, second: Floats) -> Floats:
    """1 where the first is larger, -1 where the second is, 0 where they differ by rounding alone; NaN where one is.

    Example:
        >>> compare(np.array([2.0, 0.1 + 0.2]), np.array([1.0, 0.3])).tolist()
        [1.0, 0.0]
    """
    apart = first - second
    return np.where(np.abs(apart) <= ROUNDING * np.maximum(np.abs(first), np.abs(second)), 0.0, np.sign(apart))


def ranks(goodness: Floats) -> Floats:
    """Ranks (..., m) from 1, the best, along the last axis; equal ones share the mean of theirs, NaN has none.

    Example:
        >>> ranks(np.array([0.2, 0.9, 0.2, np.nan])).tolist()
        [2.5, 1.0, 2.5, nan]
    """
    signs = compare(goodness[..., None, :], goodness[..., :, None])
    above, equal = (signs > 0).sum(axis=-1), (signs == 0).sum(axis=-1)
    return np.where(np.isnan(goodness), np.nan, above + (equal + 1) / 2)


def kendall_tau(first: Floats, second: Floats) -> Floats:
    """Kendall's tau-b (...,) along the last axis; NaN where one of the two does not vary.

    ``sum_{i<j} sign(a_i - a_j) sign(b_i - b_j) / sqrt(pairs untied in a * pairs untied in b)``.

    Example:
        >>> float(kendall_tau(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))).__round__(3)
        0.333
    """
    above, below = np.triu_indices(first.shape[-1], k=1)
    signs = [compare(values[..., above], values[..., below]) for values in (first, second)]
    untied = [np.abs(sign).sum(axis=-1) for sign in signs]
    scale = np.sqrt(untied[0] * untied[1])
    return np.where(scale > 0, (signs[0] * signs[1]).sum(axis=-1) / np.where(scale > 0, scale, 1.0), np.nan)


def draw_all(scores: Mapping[str, Candidates], draws: int, *, seed: int) -> dict[str, Floats]:
    """Goodness (draws, m) of every score, drawn jointly; a candidate without replicates stays at its value."""
    held = [
        (name, position, jackknife)
        for name, candidates in scores.items()
        for position, jackknife in enumerate(candidates.jackknifes)
        if jackknife is not None
    ]
    drawn = {name: np.tile(candidates.values, (draws, 1)) for name, candidates in scores.items()}
    # Scores that read a subsample, and layers of another source, may have other numbers of blocks.
    for count in sorted({len(jackknife.replicates) for _, _, jackknife in held}):
        alike = [item for item in held if len(item[2].replicates) == count]
        columns = joint_draws([jackknife for _, _, jackknife in alike], draws, seed=seed)
        for column, (name, position, _) in zip(columns.T, alike, strict=True):
            drawn[name][:, position] = column
    return {name: values if scores[name].higher else -values for name, values in drawn.items()}


def rank_interval(candidates: Candidates, drawn: Floats) -> list[Interval | None]:
    """The interval of each candidate's rank, from the draws (draws, m); it holds the rank itself.

    None for all of them where one has no replicates.
    """
    rank = ranks(candidates.goodness)
    if not candidates.varies:
        return [None] * len(rank)
    found = ranks(drawn)
    low, high = np.quantile(found, TAILS, axis=0, method="inverted_cdf")
    return [
        None if np.isnan(own) else (float(min(below, own)), float(max(above, own)))
        for own, below, above in zip(rank, low, high, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Tau:
    """Kendall's tau of two scores over the candidates that both rank.

    Attributes:
        value: None where fewer than two candidates have both, or one score does not vary.
        interval: over the samples of the target, not over candidates; None where the value is, or where a candidate has
            no replicates.
        n: candidates.
    """

    value: float | None
    interval: Interval | None
    n: int


def agreement(first: Candidates, second: Candidates, drawn: tuple[Floats, Floats]) -> Tau:
    """Tau of two scores, and its interval from their draws (draws, m)."""
    both = ~np.isnan(first.values) & ~np.isnan(second.values)
    n = int(both.sum())
    value = float(kendall_tau(first.goodness[both], second.goodness[both])) if n > 1 else np.nan
    if np.isnan(value):
        return Tau(value=None, interval=None, n=n)
    if not (first.varies and second.varies):
        return Tau(value=value, interval=None, n=n)
    found = kendall_tau(drawn[0][:, both], drawn[1][:, both])
    low, high = np.nanquantile(found, TAILS)
    return Tau(value=value, interval=(min(float(low), value), max(float(high), value)), n=n)
