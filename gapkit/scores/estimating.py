"""From scores to what is told about them: value, interval, permuted labels, or why they are undefined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from gapkit.arrays import Array, Labels
from gapkit.errors import UndefinedError
from gapkit.estimates import Interval, ScoreRow
from gapkit.scores.inputs import Score, ScoreInputs
from gapkit.scores.leaving_out import leave_blocks_out
from gapkit.scores.permuting import Statistic, permuted_nulls
from gapkit.scores.probes import ShareOfHits, hit_interval
from gapkit.scores.subsample import subsample
from gapkit.statistics.jackknife import STILL, Blocks, Jackknife, deal, deal_classes
from gapkit.statistics.probes import Probe
from gapkit.types import Traits

SUBSAMPLE_STREAM = 52
BLOCKS = 20
"""The t quantile of 19 degrees of freedom is 7 % above the normal one."""


@runtime_checkable
class CrossFitted(Protocol):
    """A score of held-out samples: labels are permuted within its folds."""

    def fold_ids(self, inputs: ScoreInputs) -> Labels:
        """The fold (n,) that scores each sample, -1 where none does."""
        ...


@runtime_checkable
class OwnNull(Protocol):
    """A score whose permutation test uses a cheaper statistic, as another fit for every permutation would take long."""

    def null_statistic(self, inputs: ScoreInputs) -> tuple[str, Callable[[Array], float]]:
        """The statistic's name, and a function from labels to it."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A score that may be on a boundary: leaving samples out shows one side of how it varies only."""

    def boundary(self, inputs: ScoreInputs, left: int) -> str:
        """Which boundary the score is on, of all samples or of the ``left`` ones; empty where it is on none."""
        ...


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """How scores are estimated.

    Attributes:
        permutations: of the labels, at most as many as a score's traits say; 0 leaves the test out.
        blocks: of the jackknife.
        level: of confidence.
    """

    permutations: int = 200
    blocks: int = BLOCKS
    level: float = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimated:
    """A score with its replicates, which several sources on one target share the blocks of; None where it has none."""

    row: ScoreRow
    jackknife: Jackknife | None = None


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A score that these samples allow.

    Attributes:
        score: it.
        compute: it, from labels.
        value: on the labels as they are.
        probe: the hits that it is the share of; None where it is no such share.
    """

    score: Score
    compute: Callable[[Array], float]
    value: float
    probe: Probe | None

    def statistic(self, inputs: ScoreInputs) -> Statistic:
        """What its permutation test compares."""
        name, compute, observed = self.score.traits.name, self.compute, self.value
        if isinstance(self.score, OwnNull):
            name, compute = self.score.null_statistic(inputs)
            observed = compute(inputs.labels)
        folds = self.score.fold_ids(inputs) if isinstance(self.score, CrossFitted) else None
        return Statistic(traits=self.score.traits, name=name, observed=observed, compute=compute, folds=folds)


def estimate_score(score: Score, inputs: ScoreInputs, options: EstimateOptions) -> Estimated:
    """The score on all samples, its interval and its permutation test."""
    return estimate_scores([score], inputs, options)[0]


def estimate_scores(scores: Sequence[Score], inputs: ScoreInputs, options: EstimateOptions) -> list[Estimated]:
    """Several scores on the same samples, as ``estimate_score`` has each.

    What they share, such as the principal axes of the features, is found once, and once without each block.
    """
    found: dict[str, Estimated] = {}
    limits = {score.traits.name: _limit(score.traits, len(inputs.labels)) for score in scores}
    for limit in dict.fromkeys(limits.values()):
        own = [score for score in scores if limits[score.traits.name] == limit]
        found |= _estimate(own, _subsampled(inputs, limit), options)
    return [found[score.traits.name] for score in scores]


def undefined_score(traits: Traits, n: int, reason: str) -> Estimated:
    """The row of a score that these data do not allow."""
    row = ScoreRow(
        name=traits.name,
        title=traits.title,
        value=None,
        interval=None,
        n=n,
        direction=traits.better,
        unit=traits.unit,
        conditional=traits.conditional,
        status="undefined",
        reason=reason,
    )
    return Estimated(row=row)


def _limit(traits: Traits, n: int) -> int | None:
    """How many of n samples a score reads, where those are not all."""
    return traits.subsample if traits.subsample is not None and traits.subsample < n else None


def _subsampled(inputs: ScoreInputs, limit: int | None) -> ScoreInputs:
    """The samples that a score reads, drawn before blocks are left out of them, and not once more without each."""
    if limit is None:
        return inputs
    codes = inputs.labels if inputs.labels.ndim == 1 and inputs.labels.dtype.kind == "i" else None
    return inputs.take(subsample(len(inputs.labels), limit, seed=inputs.seed, stream=SUBSAMPLE_STREAM, labels=codes))


def _estimate(scores: Sequence[Score], inputs: ScoreInputs, options: EstimateOptions) -> dict[str, Estimated]:
    """Scores that read the same samples, by name."""
    n = len(inputs.labels)
    started = {score.traits.name: _begin(score, inputs) for score in scores}
    begun = [one for one in started.values() if isinstance(one, Begun)]
    replicates = _replicates(begun, inputs, options.blocks)
    statistics = [one.statistic(inputs) for one in begun] if options.permutations else []
    nulls = permuted_nulls(statistics, inputs, options.permutations)
    found: dict[str, Estimated] = {}
    for score in scores:
        traits, one = score.traits, started[score.traits.name]
        if isinstance(one, str):
            found[traits.name] = undefined_score(traits, n, one)
            continue
        jackknife, reason = replicates[traits.name]
        if one.probe is None and jackknife is not None and not jackknife.varies:
            reason = STILL
        row = replace(
            undefined_score(traits, n, reason).row,
            value=one.value,
            interval=_interval(one, jackknife, inputs, options.level),
            null=nulls.get(traits.name),
            status="ok",
        )
        found[traits.name] = Estimated(row=row, jackknife=jackknife)
    return found


def _begin(score: Score, inputs: ScoreInputs) -> Begun | str:
    """The score on the labels as they are, or why it is undefined."""
    if "probabilities" in score.traits.needs and inputs.log_probabilities is None:
        return "the source has no head"
    try:
        compute = score.on(inputs)
        probe = compute.probe(inputs.labels) if isinstance(compute, ShareOfHits) else None
        value = compute(inputs.labels) if probe is None else probe.accuracy
    except UndefinedError as error:
        return str(error)
    return Begun(score=score, compute=compute, value=value, probe=probe)


def _interval(one: Begun, jackknife: Jackknife | None, inputs: ScoreInputs, level: float) -> Interval | None:
    """A bootstrap of the hits where it is a share of them, else the jackknife's."""
    if one.probe is not None:
        return hit_interval(one.probe, inputs, level=level)
    traits = one.score.traits
    return (
        None
        if jackknife is None or not jackknife.varies
        else jackknife.interval(level=level, within=(traits.lowest, traits.highest))
    )


def _replicates(begun: Sequence[Begun], inputs: ScoreInputs, count: int) -> dict[str, tuple[Jackknife | None, str]]:
    """Each score without each block of samples, by name; None where it cannot be computed without one, and why.

    Beside an interval, the reason says what is not in it.
    """
    dealt = _blocks(inputs, count)
    left = len(inputs.labels) - (int(np.bincount(dealt.ids + 1)[1:].max()) if isinstance(dealt, Blocks) else 0)
    found: dict[str, tuple[Jackknife | None, str]] = {}
    for one in begun:
        if one.probe is not None:
            shared = dealt if isinstance(dealt, Blocks) else _one_layer(inputs, count)
            found[one.score.traits.name] = (None if shared is None else _shares(one, one.probe, shared), "")
        elif isinstance(dealt, str):
            found[one.score.traits.name] = (None, dealt)
        elif isinstance(one.score, Bounded) and (boundary := one.score.boundary(inputs, left)):
            found[one.score.traits.name] = (None, f"no interval: {boundary}")
    others = [one for one in begun if one.score.traits.name not in found]
    return found if isinstance(dealt, str) else found | _leave_out(others, inputs, dealt)


def _blocks(inputs: ScoreInputs, count: int) -> Blocks | str:
    """Blocks of equal class shares, of a regression target's values or of samples; or why there are none."""
    labels = inputs.labels
    if labels.ndim == 1 and labels.dtype.kind == "i":
        try:
            return deal_classes(labels, count, groups=inputs.groups, seed=inputs.seed)
        except UndefinedError as error:
            return f"no interval: {error.got}"
    what = "samples" if inputs.groups is None else "groups"
    return _one_layer(inputs, count) or f"no interval: fewer {what} than a jackknife takes"


def _one_layer(inputs: ScoreInputs, count: int) -> Blocks | None:
    """Blocks over which labels are spread as evenly as they can be."""
    strata = inputs.labels if inputs.labels.ndim == 1 else None
    ids = deal(len(inputs.labels), count, strata=strata, groups=inputs.groups, seed=inputs.seed)
    return None if ids is None else Blocks(ids=ids, layers=np.zeros(int(ids.max()) + 1, dtype=np.int64))


def _leave_out(begun: Sequence[Begun], inputs: ScoreInputs, blocks: Blocks) -> dict[str, tuple[Jackknife | None, str]]:
    """Scores that are computed without each block."""
    named = {one.score.traits.name: one for one in begun}
    found = leave_blocks_out({name: (one.score, one.compute) for name, one in named.items()}, inputs, blocks)
    alone = f"the interval takes the classes of a single sample or group, {blocks.alone}, as they are"
    return {
        name: (None, values)
        if isinstance(values, str)
        else (_jackknife(named[name], values, blocks), alone if blocks.alone else "")
        for name, values in found.items()
    }


def _shares(one: Begun, probe: Probe, blocks: Blocks) -> Jackknife | None:
    """The share of hits without each block: nothing is fitted again."""
    outside = [probe.scored & (blocks.ids != block) for block in range(len(blocks.layers))]
    if not all(mask.any() for mask in outside):
        return None
    return _jackknife(one, [float(probe.hits[mask].mean()) for mask in outside], blocks)


def _jackknife(one: Begun, replicates: list[float], blocks: Blocks) -> Jackknife:
    """The value with its replicates."""
    return Jackknife(value=one.value, replicates=np.array(replicates), layers=blocks.layers)
