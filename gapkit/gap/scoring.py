"""Held-out and in-sample conditionals to rows with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Labels, Mask, TargetProbabilities
from gapkit.gap.discrepancy import Discrepancy, find_discrepancy
from gapkit.gap.families import FamilyFit
from gapkit.results import Misalignment
from gapkit.statistics.uncertainty import Intervals, ratio_intervals


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """What families are scored on.

    Attributes:
        labels: (n,) class codes of all samples.
        scored: (n,) which of them are scored.
        groups: (n,) samples that are resampled together, or None.
        prior: (n, K_t) the cross-fitted class prior.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        reason: why the rows are partial; empty where every class is scored.
    """

    labels: Labels
    scored: Mask
    groups: Labels | None
    prior: TargetProbabilities
    resamples: int
    seed: int
    reason: str


def score_families(
    scoring: Scoring, fits: Mapping[str, FamilyFit | str], discrepancies: Sequence[str]
) -> tuple[Misalignment, ...]:
    """One row for each discrepancy and family; a family that is a text is undefined for that reason."""
    defined = {name: fit for name, fit in fits.items() if isinstance(fit, FamilyFit)}
    measures = [find_discrepancy(name) for name in discrepancies]
    pairs = [(measure, name) for measure in measures for name in defined]
    found = dict(
        zip([(measure.name, name) for measure, name in pairs], _estimate(scoring, defined, pairs), strict=True)
    )
    rows: list[Misalignment] = []
    for measure in measures:
        for name, fit in fits.items():
            if isinstance(fit, FamilyFit):
                rows.append(_row(scoring, name, fit, measure, found[measure.name, name]))
            else:
                rows.append(_undefined(name, measure, fit))
    return tuple(rows)


def _estimate(
    scoring: Scoring, fits: Mapping[str, FamilyFit], pairs: Sequence[tuple[Discrepancy, str]]
) -> list[tuple[Floats, Floats]]:
    """Value and ends (3,) of each pair, raw and normalised, all from the same resamples."""
    if not pairs:
        return []
    rows, labels = scoring.scored, scoring.labels[scoring.scored]
    losses = np.stack([measure.losses(fits[name].held_out[rows], labels) for measure, name in pairs], axis=1)
    priors = np.stack([measure.losses(scoring.prior[rows], labels) for measure, _ in pairs], axis=1)
    intervals = ratio_intervals(
        np.hstack([losses, losses]),
        np.hstack([np.ones_like(losses), priors]),
        groups=None if scoring.groups is None else scoring.groups[rows],
        resamples=scoring.resamples,
        seed=scoring.seed,
    )
    return [(_ends(intervals, k), _ends(intervals, k + len(pairs))) for k in range(len(pairs))]


def _ends(intervals: Intervals, k: int) -> Floats:
    """Value, lower and upper end; a loss is not negative, so neither is the lower end."""
    return np.array([intervals.value[k], max(0.0, intervals.low[k]), intervals.high[k]])


def _row(
    scoring: Scoring, name: str, fit: FamilyFit, measure: Discrepancy, found: tuple[Floats, Floats]
) -> Misalignment:
    """One family under one discrepancy."""
    (value, low, high), (normalised, normalised_low, normalised_high) = (item.tolist() for item in found)
    in_sample = None if fit.in_sample is None else float(measure.losses(fit.in_sample, scoring.labels).mean())
    return Misalignment(
        label_map=name,
        discrepancy=measure.name,
        value=value,
        normalised=normalised,
        interval=(normalised_low, normalised_high),
        value_interval=(low, high),
        in_sample=in_sample,
        proper=measure.proper,
        n=int(scoring.scored.sum()),
        status="partial" if scoring.reason else "ok",
        reason=scoring.reason,
    )


def _undefined(name: str, measure: Discrepancy, reason: str) -> Misalignment:
    """A family that this source and target do not have."""
    return Misalignment(
        label_map=name,
        discrepancy=measure.name,
        value=None,
        normalised=None,
        interval=None,
        value_interval=None,
        in_sample=None,
        proper=measure.proper,
        n=0,
        status="undefined",
        reason=reason,
    )
