"""From a score to what is told about it: value, interval, permuted labels, or why it is undefined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from gapkit.arrays import Array, Floats, Labels
from gapkit.errors import UndefinedError
from gapkit.estimates import Interval, Null, ScoreRow
from gapkit.scores.inputs import Score, ScoreInputs
from gapkit.scores.probes import hit_interval
from gapkit.scores.subsample import subsample
from gapkit.statistics.jackknife import Jackknife, deal, kept
from gapkit.statistics.permutation import permutation_p, permute_labels
from gapkit.statistics.probes import Probe
from gapkit.types import Traits

SUBSAMPLE_STREAM = 52
MOST_PERMUTATIONS = 99
"""p is 0.01 or more: a dozen scores are tested, each of which is computed that often."""
BLOCKS = 20
"""The t quantile of 19 degrees of freedom is 7 % above the normal one."""


@runtime_checkable
class Probing(Protocol):
    """A score that is the share of hits among held-out samples: one fit gives its interval and its replicates."""

    def probe(self, inputs: ScoreInputs) -> Probe:
        """The hits."""
        ...


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


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """How scores are estimated.

    Attributes:
        permutations: of the labels, at most ``MOST_PERMUTATIONS``; 0 leaves the test out.
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


def estimate_score(score: Score, inputs: ScoreInputs, options: EstimateOptions) -> Estimated:
    """The score on all samples, its interval and its permutation test."""
    traits = score.traits
    inputs = _subsampled(inputs, traits)
    n = len(inputs.labels)
    if "probabilities" in traits.needs and inputs.log_probabilities is None:
        return undefined_score(traits, n, "the source has no head")
    try:
        scorer = score.on(inputs)
        if isinstance(score, Probing):
            found = _estimate_probe(score.probe(inputs), inputs, options)
        else:
            found = _estimate_value(score, scorer(inputs.labels), inputs, options)
    except UndefinedError as error:
        return undefined_score(traits, n, str(error))
    null = permuted_null(score, scorer, inputs, found.value, options)
    row = replace(undefined_score(traits, n, found.reason).row, value=found.value, status="ok", null=null)
    return Estimated(row=replace(row, interval=found.interval), jackknife=found.jackknife)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A value with its interval and replicates, or why it has none."""

    value: float
    interval: Interval | None
    jackknife: Jackknife | None
    reason: str = ""


def _estimate_value(score: Score, value: float, inputs: ScoreInputs, options: EstimateOptions) -> Found:
    """The score without each block of samples."""
    jackknife, reason = leave_out(score, inputs, value, options.blocks)
    within = (score.traits.lowest, score.traits.highest)
    interval = None if jackknife is None else jackknife.interval(level=options.level, within=within)
    return Found(value=value, interval=interval, jackknife=jackknife, reason=reason)


def _estimate_probe(probe: Probe, inputs: ScoreInputs, options: EstimateOptions) -> Found:
    """A bootstrap of the hits, and their share without each block: nothing is fitted again."""
    dealt = _dealt(inputs, options.blocks)
    jackknife = None
    if dealt is not None:
        outside = [probe.scored & (dealt != block) for block in range(int(dealt.max()) + 1)]
        if all(mask.any() for mask in outside):
            shares = np.array([float(probe.hits[mask].mean()) for mask in outside])
            jackknife = Jackknife(value=probe.accuracy, replicates=shares)
    interval = hit_interval(probe, inputs, level=options.level)
    return Found(value=probe.accuracy, interval=interval, jackknife=jackknife)


def _dealt(inputs: ScoreInputs, blocks: int) -> Labels | None:
    """The blocks that samples are left out by."""
    strata = inputs.labels if inputs.labels.ndim == 1 else None
    return deal(len(inputs.labels), blocks, strata=strata, groups=inputs.groups, seed=inputs.seed)


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


def _subsampled(inputs: ScoreInputs, traits: Traits) -> ScoreInputs:
    """The samples that a score reads, drawn before blocks are left out of them, and not once more without each."""
    n = len(inputs.labels)
    if traits.subsample is None or n <= traits.subsample:
        return inputs
    codes = inputs.labels if inputs.labels.ndim == 1 and inputs.labels.dtype.kind == "i" else None
    return inputs.take(subsample(n, traits.subsample, seed=inputs.seed, stream=SUBSAMPLE_STREAM, labels=codes))


def leave_out(score: Score, inputs: ScoreInputs, value: float, blocks: int) -> tuple[Jackknife | None, str]:
    """The score without each block of samples; None where it cannot be computed without one of them, and why."""
    dealt = _dealt(inputs, blocks)
    if dealt is None:
        what = "samples" if inputs.groups is None else "groups"
        return None, f"no interval: fewer {what} than a jackknife takes"
    replicates: list[float] = []
    for block in range(int(dealt.max()) + 1):
        part = inputs.take(kept(dealt, block))
        try:
            replicates.append(score.on(part)(part.labels))
        except UndefinedError as error:
            return None, f"no interval: without {int((dealt == block).sum())} of the samples, {error.got}"
    return Jackknife(value=value, replicates=np.array(replicates)), ""


def permuted_null(
    score: Score, scorer: Callable[[Array], float], inputs: ScoreInputs, value: float, options: EstimateOptions
) -> Null | None:
    """The score, or its cheaper statistic, under permuted labels; within folds where it is cross-fitted."""
    if options.permutations == 0:
        return None
    name, observed = score.traits.name, value
    if isinstance(score, OwnNull):
        name, scorer = score.null_statistic(inputs)
        observed = scorer(inputs.labels)
    folds = score.fold_ids(inputs) if isinstance(score, CrossFitted) else np.zeros(len(inputs.labels), dtype=np.int64)
    count = min(options.permutations, MOST_PERMUTATIONS)
    drawn, reason = permuted(inputs.labels, folds, inputs.groups, count, inputs.seed)
    if reason:
        return Null(statistic=name, observed=observed, mean=None, p=None, r=0, status="undefined", reason=reason)
    found: list[float] = []
    for labels in drawn:
        try:
            found.append(scorer(labels))
        except UndefinedError as error:
            told = f"with permuted labels, {error.got}"
            return Null(statistic=name, observed=observed, mean=None, p=None, r=0, status="undefined", reason=told)
    return summarise_null(name, observed, np.array(found), score.traits)


def summarise_null(name: str, observed: float, found: Floats, traits: Traits) -> Null:
    """Mean, the range of 95 %, and p, whichever end is the better one."""
    sign = -1.0 if traits.better == "higher" else 1.0
    low, high = np.quantile(found, [0.025, 0.975])
    return Null(
        statistic=name,
        observed=observed,
        mean=float(found.mean()),
        p=permutation_p(sign * observed, sign * found),
        r=len(found),
        interval=(float(low), float(high)),
    )


def permuted(
    labels: Array, folds: Labels, groups: Labels | None, permutations: int, seed: int
) -> tuple[Sequence[Array], str]:
    """Labels of any kind, permuted (r, n, ...), and why they cannot be."""
    if labels.ndim == 1 and labels.dtype.kind == "i":
        relabelled = permute_labels(labels, folds, groups=groups, permutations=permutations, seed=seed)
        return list(relabelled.labels[1:]), relabelled.reason
    # Numbers, and several labels per sample, by codes: equal ones are one, so that groups of one label trade it.
    values, codes = np.unique(labels, axis=0, return_inverse=True)
    own = codes.reshape(-1).astype(np.int64)
    relabelled = permute_labels(own, folds, groups=groups, permutations=permutations, seed=seed)
    return [values[row] for row in relabelled.labels[1:]], relabelled.reason
