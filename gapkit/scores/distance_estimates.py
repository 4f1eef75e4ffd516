"""From a distance to what is told about it: value, interval, noise floor, or why it is undefined."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from gapkit.arrays import Array, Indices, Labels
from gapkit.errors import UndefinedError
from gapkit.estimates import DistanceRow, Null
from gapkit.scores.estimating import EstimateOptions
from gapkit.scores.floor import noise_floor
from gapkit.scores.inputs import Distance, PairInputs
from gapkit.scores.permuting import no_null, permuted, summarise_null
from gapkit.scores.subsample import subsample
from gapkit.statistics.jackknife import STILL, Jackknife, deal, kept
from gapkit.statistics.stacked import take_rows
from gapkit.types import Traits

BLOCKS = 10
"""Distances are dearer than scores; the t quantile of 9 degrees of freedom is 15 % above the normal one."""
NULL_LIMIT = 300
"""Samples of either side, of a test for which the distance is computed as often as labels are permuted."""
TARGET_STREAM, SURROGATE_STREAM = 53, 54


@runtime_checkable
class Limited(Protocol):
    """A distance that draws from each side where it has more samples than so many."""

    @property
    def limit(self) -> int | None:
        """The largest number of samples of either side; None where all are read."""
        ...


def estimate_distance(distance: Distance, pair: PairInputs, options: EstimateOptions) -> DistanceRow:
    """The distance, its interval, its floor, and where labels enter its permutation test.

    Of a distance that reads a subsample the samples are drawn first; blocks are left out of both sides together.
    """
    traits = distance.traits
    pair = _subsampled(pair, distance.limit if isinstance(distance, Limited) else None)
    row = undefined_distance(traits, len(pair.target), "", n_surrogate=len(pair.surrogate))
    try:
        value = distance.between(pair)
    except UndefinedError as error:
        return replace(row, reason=str(error))
    jackknife, reason = _leave_out(distance, pair, value)
    within = (traits.lowest, traits.highest)
    interval = None if jackknife is None else jackknife.interval(level=options.level, within=within)
    null = _permuted_null(distance, pair, options)
    row = replace(row, value=value, interval=interval, null=null, status="ok", reason=reason)
    try:
        floor = noise_floor(distance, pair)
    except UndefinedError as error:
        return replace(row, reason="; ".join(filter(None, (row.reason, f"no floor: {error.got}"))))
    return replace(row, floor=floor.highest, halves=floor.between, floor_size=floor.size)


def undefined_distance(traits: Traits, n: int, reason: str, *, n_surrogate: int = 0) -> DistanceRow:
    """The row of a distance that these data do not allow."""
    return DistanceRow(
        name=traits.name,
        title=traits.title,
        value=None,
        interval=None,
        n=n,
        n_surrogate=n_surrogate,
        direction=traits.better,
        unit=traits.unit,
        conditional=traits.conditional,
        status="undefined",
        reason=reason,
    )


def _leave_out(distance: Distance, pair: PairInputs, value: float) -> tuple[Jackknife | None, str]:
    """The distance without a block of both sides, block by block; None where it cannot be computed, and why."""
    groups = (pair.target_groups, pair.surrogate_groups)
    first = deal(len(pair.target), BLOCKS, strata=pair.target_labels, groups=groups[0], seed=pair.seed)
    second = deal(len(pair.surrogate), BLOCKS, strata=pair.surrogate_labels, groups=groups[1], seed=pair.seed)
    if first is None or second is None:
        what = "samples" if groups[0 if first is None else 1] is None else "groups"
        return None, f"no interval: fewer {what} than a jackknife takes"
    count = min(int(first.max()), int(second.max())) + 1
    first, second = first % count, second % count
    replicates: list[float] = []
    for block in range(count):
        try:
            replicates.append(distance.between(take(pair, kept(first, block), kept(second, block))))
        except UndefinedError as error:
            return None, f"no interval: without a block of the samples, {error.got}"
    jackknife = Jackknife(value=value, replicates=np.array(replicates))
    return (jackknife, "") if jackknife.varies else (None, STILL)


def _permuted_null(distance: Distance, pair: PairInputs, options: EstimateOptions) -> Null | None:
    """The distance of few samples with the target's labels permuted, where labels enter."""
    traits, labels = distance.traits, pair.target_labels
    if options.permutations == 0 or "labels" not in traits.needs or labels is None:
        return None
    few = _subsampled(pair, NULL_LIMIT)
    name, own = f"{traits.name} of {len(few.target)} and {len(few.surrogate)} samples", few.target_labels
    count = min(options.permutations, traits.permutations)
    drawn, reason = permuted(np.asarray(own), None, few.target_groups, count, pair.seed)
    observed = distance.between(few)
    if reason:
        return no_null(name, observed, reason)
    found = [distance.between(replace(few, target_labels=labels)) for labels in drawn]
    return summarise_null(name, observed, np.array(found), traits)


def take(pair: PairInputs, target: Indices, surrogate: Array) -> PairInputs:
    """Some samples of either side."""
    return replace(
        pair,
        target=take_rows(pair.target, target),
        surrogate=take_rows(pair.surrogate, surrogate),
        target_labels=_at(pair.target_labels, target),
        surrogate_labels=_at(pair.surrogate_labels, surrogate),
        target_groups=_at(pair.target_groups, target),
        surrogate_groups=_at(pair.surrogate_groups, surrogate),
    )


def _at(values: Array | None, index: Array) -> Array | None:
    """Values at some positions, if there are any."""
    return None if values is None else values[index]


def _subsampled(pair: PairInputs, limit: int | None) -> PairInputs:
    """The samples that a distance reads, drawn class by class before blocks are left out."""
    if limit is None or max(len(pair.target), len(pair.surrogate)) <= limit:
        return pair
    return take(
        pair,
        _draw(len(pair.target), limit, pair.target_labels, pair.seed, TARGET_STREAM),
        _draw(len(pair.surrogate), limit, pair.surrogate_labels, pair.seed, SURROGATE_STREAM),
    )


def _draw(n: int, limit: int, labels: Labels | None, seed: int, stream: int) -> Indices:
    """At most ``limit`` positions."""
    return subsample(n, limit, seed=seed, stream=stream, labels=labels)
