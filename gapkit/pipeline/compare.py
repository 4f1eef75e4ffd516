"""``compare``: results of runs -> rows beside each other, and paired tests on the samples that they share."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from gapkit.arrays import Floats, Labels, digest
from gapkit.errors import OptionError
from gapkit.estimates import Estimate, Misalignment
from gapkit.pipeline.align_samples import quotient
from gapkit.pipeline.summary import made_by
from gapkit.results import AlignmentResult, ComparedRun, Comparison, GapResult, PairedTest, Result
from gapkit.reuse.crossed import cross, crossed_estimates
from gapkit.statistics.paired import paired_difference

RESAMPLES = 1000


def compare(*results: Result, folders: Sequence[str] = (), seed: int = 0) -> Comparison:
    """Put runs beside each other: alignments of one target by several methods, or misalignments.

    Two alignments are tested on the test samples and seeds that both have: the difference of what samples add to the
    metric, its interval over samples and seeds, and p of random signs of the samples' differences.

    Args:
        results: two or more, all of ``align`` or all of ``measure``.
        folders: that they were read from, as many.
        seed: of resamples and signs.

    Raises:
        OptionError: fewer than two, or results that cannot stand beside each other.
    """
    started = time.monotonic()
    _check(results)
    folders = folders or [""] * len(results)
    names = _names(results, folders)
    rows = tuple(_row(*entry) for entry in zip(results, names, folders, strict=True))
    alignments = [one for one in results if isinstance(one, AlignmentResult)]
    pairs = combinations(zip(names, alignments, strict=False), 2) if len(alignments) == len(results) else []
    return Comparison(
        target=_targets(results)[0],
        runs=rows,
        paired=tuple(_paired(a, b, seed) for a, b in pairs),
        notes=() if alignments else ("misalignments are not tested in pairs: their samples' losses are not kept",),
        provenance=made_by(
            {"folders": list(folders), "seed": seed},
            data_hash=results[0].provenance.data_hash,
            weights_hash=digest(*(one.provenance.weights_hash for one in results)),
            seconds=time.monotonic() - started,
        ),
    )


def _check(results: Sequence[Result]) -> None:
    """Refuse what cannot stand beside each other.

    Raises:
        OptionError: too few, other kinds, or other targets.
    """
    kinds = sorted({one.kind for one in results})
    if len(results) < 2 or len(kinds) > 1 or kinds[0] not in (AlignmentResult.kind, GapResult.kind):
        got = f"{len(results)} results" + (f" of the kinds {', '.join(kinds)}" if kinds else "")
        raise OptionError(got, expected="two or more runs, all of align or all of measure", remedy="name their folders")
    targets = _targets(results)
    if len(targets) > 1:
        raise OptionError(
            f"runs on {' and '.join(targets)}", expected="runs on one target", remedy="compare those of each target"
        )


def _targets(results: Sequence[Result]) -> list[str]:
    """Names of the targets, each once."""
    return sorted({one.target.name for one in results if isinstance(one, AlignmentResult | GapResult)})


def _names(results: Sequence[Result], folders: Sequence[str]) -> list[str]:
    """Methods, or embedders; with folder or number where two are the same."""
    plain = [one.method if isinstance(one, AlignmentResult) else _embedder(one) for one in results]
    count = Counter(plain)
    return [
        name if count[name] == 1 else f"{name} ({folder or position})"
        for position, (name, folder) in enumerate(zip(plain, folders, strict=True), start=1)
    ]


def _embedder(result: Result) -> str:
    """Source and embedder of a misalignment, the name alone."""
    if not isinstance(result, GapResult):
        return result.kind
    return f"{result.source.name}, {result.target.embedder.partition(':')[0]}"


def _row(result: Result, name: str, folder: str) -> ComparedRun:
    """One run."""
    if isinstance(result, AlignmentResult):
        gaps = {moment.removeprefix("gap_"): gap for moment, gap in result.gaps.items()}
        return ComparedRun(
            name=name,
            folder=folder,
            metric=result.metric,
            validation=result.validation,
            seeds=len(result.seeds),
            trials=int(result.budget.get("trials", 1)),
            gaps={moment: _ladder(gap) for moment, gap in gaps.items()},
            parts={moment: dict(gap.decomposition) for moment, gap in gaps.items()},
            reuse=_reuse(result),
            cost=result.cost,
        )
    gap = result if isinstance(result, GapResult) else None
    return ComparedRun(
        name=name,
        folder=folder,
        metric=None,
        validation=None,
        seeds=1,
        trials=1,
        gaps={} if gap is None else {"before": _ladder(gap)},
        parts={} if gap is None else {"before": dict(gap.decomposition)},
        reuse={},
        cost=None,
    )


def _ladder(gap: GapResult) -> dict[str, Estimate]:
    """Label map -> normalised misalignment in KL."""
    return {row.label_map: _normalised(row) for row in gap.misalignment if row.discrepancy == "kl"}


def _normalised(row: Misalignment) -> Estimate:
    """The normalised value as an estimate."""
    return Estimate(value=row.normalised, interval=row.interval, n=row.n, status=row.status, reason=row.reason)


def _reuse(result: AlignmentResult) -> dict[str, Estimate]:
    """The model's knowledge reuse, and retention by layer."""
    if result.reuse is None:
        return {}
    layers = {f"retention {name}": found for name, found in result.reuse.curve("retention").items()}
    return {"knowledge_reuse": result.reuse.model["knowledge_reuse"], **layers}


def _paired(one: tuple[str, AlignmentResult], other: tuple[str, AlignmentResult], seed: int) -> PairedTest:
    """The difference of two methods on the samples and seeds that both have."""
    (a, first), (b, second) = one, other
    named = {"a": a, "b": b, "metric": first.metric.name}
    shared = [number for number in first.seeds if number in second.seeds]
    if first.provenance.data_hash != second.provenance.data_hash or not shared:
        reason = "they share no seed" if not shared else "their test samples differ"
        return PairedTest(**named, difference=None, interval=None, p=None, test="", status="undefined", reason=reason)
    left, right = (_scores(run, shared) for run in (first, second))
    sign = -1.0 if first.metric.name == "R2" else 1.0
    groups = np.asarray(first.test_groups, dtype=np.int64) if first.test_groups else None
    return _tested(sign * (left - right), named, groups, seed)


def _scores(result: AlignmentResult, seeds: Sequence[int]) -> Floats:
    """What samples add to the metric under each seed, (n, s); of R2 errors over the variance of the samples."""
    runs = {run.seed: run for run in result.runs}
    scores = np.array([runs[number].scores for number in seeds], dtype=np.float64).T
    if result.metric.name != "R2":
        return scores
    run = runs[seeds[0]]
    variance = scores[:, 0].mean() / (1 - run.metric) if run.metric < 1 else 1.0
    return scores / variance


def _tested(difference: Floats, named: dict[str, str], groups: Labels | None, seed: int) -> PairedTest:
    """Interval over samples (or groups) and seeds, and p over samples."""
    means = difference.mean(axis=1)
    found = paired_difference(means, np.zeros_like(means), groups=groups, resamples=RESAMPLES, seed=seed)
    interval = found.interval
    if difference.shape[1] > 1 and difference.any():
        data = cross(np.ones((len(means), 1)), difference[:, None, :], groups)
        (one,) = crossed_estimates(data, [quotient()], resamples=RESAMPLES, seed=seed)
        interval = (one.low, one.high)
    if named["metric"] != "R2":  # shares differ by 1 at most, which Student's t of two seeds does not know
        interval = (max(interval[0], -1.0), min(interval[1], 1.0))
    return PairedTest(**named, difference=found.difference, interval=interval, p=found.p, test=found.test)
