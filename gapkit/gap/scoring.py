"""Held-out and in-sample conditionals to rows with intervals: every number from the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Labels, Mask, PerScored, TargetProbabilities
from gapkit.estimates import Estimate, Interval, Misalignment
from gapkit.gap.discrepancy import KL, NOISY, Discrepancy, find_discrepancy
from gapkit.gap.families import FamilyFit
from gapkit.statistics.uncertainty import ratio_intervals

STEPS = {
    "relabelling": ("injection", "channel"),
    "readout": ("channel", "linear"),
    "nonlinear": ("linear", "ceiling"),
    "absent_or_noise": ("ceiling", None),
}
"""Parts of the injection's normalised KL: the first family's value minus the second's."""


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
        conditional: (n, K_t) target conditional; None: one-hot labels.
        fitted_under: name of the discrepancy that maps with an optimum in sample were fitted under.
    """

    labels: Labels
    scored: Mask
    groups: Labels | None
    prior: TargetProbabilities
    resamples: int
    seed: int
    reason: str
    conditional: TargetProbabilities | None = None
    fitted_under: str = KL.name

    @property
    def n(self) -> int:
        """Scored samples."""
        return int(self.scored.sum())

    def losses(self, measure: Discrepancy, q: TargetProbabilities, rows: Mask | None = None) -> PerScored:
        """The discrepancy of q (n, K_t) at the scored samples, or at other rows: one for each of them."""
        rows = self.scored if rows is None else rows
        if self.conditional is None:
            return measure.losses(q[rows], self.labels[rows])
        return measure.distances(q[rows], self.conditional[rows])

    def estimate(self, ratios: Mapping[str, tuple[PerScored, PerScored]]) -> dict[str, Estimate]:
        """Ratios of sums over the scored samples, by name, with intervals from the same resamples for all.

        A ratio whose denominator sums to nothing is undefined.
        """
        sound = {name: pair for name, pair in ratios.items() if pair[1].sum() > 0}
        found = {
            name: self.undefined("the class prior is without loss, so there is nothing to divide by")
            for name in ratios
            if name not in sound
        }
        if not sound:
            return found
        intervals = ratio_intervals(
            np.stack([above for above, _ in sound.values()], axis=1),
            np.stack([below for _, below in sound.values()], axis=1),
            groups=None if self.groups is None else self.groups[self.scored],
            resamples=self.resamples,
            seed=self.seed,
        )
        for k, name in enumerate(sound):
            found[name] = Estimate(
                value=float(intervals.value[k]),
                interval=(float(intervals.low[k]), float(intervals.high[k])),
                n=self.n,
                status="partial" if self.reason else "ok",
                reason=self.reason,
            )
        return found

    def undefined(self, reason: str) -> Estimate:
        """What cannot be computed."""
        return Estimate(value=None, interval=None, n=0, status="undefined", reason=reason)


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What families score.

    Attributes:
        rows: one for each discrepancy and family.
        decomposition: of the injection's normalised KL.
        ratios: name -> numerator and denominator (scored samples,) of every number above.
    """

    rows: tuple[Misalignment, ...]
    decomposition: dict[str, Estimate]
    ratios: dict[str, tuple[PerScored, PerScored]]


def score_families(scoring: Scoring, fits: Mapping[str, FamilyFit | str], discrepancies: Sequence[str]) -> Scores:
    """One row for each discrepancy and family; a family that is a text is undefined for that reason."""
    measures = [find_discrepancy(name) for name in discrepancies]
    held_out = {name: fit.held_out for name, fit in fits.items() if isinstance(fit, FamilyFit)}
    ratios: dict[str, tuple[PerScored, PerScored]] = {}
    for measure in measures:
        ratios |= value_ratios(scoring, measure, held_out) | _in_sample_ratios(scoring, measure, fits)
    steps = _step_ratios(scoring, held_out)
    found = scoring.estimate(ratios | steps)
    return Scores(
        rows=tuple(_row(scoring, measure, name, fit, found) for measure in measures for name, fit in fits.items()),
        decomposition=_decomposition(scoring, fits, {part: found[part] for part in steps}),
        ratios=ratios | steps,
    )


def value_ratios(
    scoring: Scoring, measure: Discrepancy, held_out: Mapping[str, TargetProbabilities]
) -> dict[str, tuple[PerScored, PerScored]]:
    """Value, normalised value and, where labels bring noise, excess over the ceiling, of each family."""
    prior = scoring.losses(measure, scoring.prior)
    losses = {name: scoring.losses(measure, q) for name, q in held_out.items()}
    ones = np.ones_like(prior)
    ratios: dict[str, tuple[PerScored, PerScored]] = {}
    for name, own in losses.items():
        ratios[f"{measure.name} {name} value"] = (own, ones)
        ratios[f"{measure.name} {name} normalised"] = (own, prior)
        if "ceiling" in losses and measure.name in NOISY:
            ratios[f"{measure.name} {name} excess"] = (own - losses["ceiling"], ones)
    return ratios


def _in_sample_ratios(
    scoring: Scoring, measure: Discrepancy, fits: Mapping[str, FamilyFit | str]
) -> dict[str, tuple[PerScored, PerScored]]:
    """The in-sample optimum's losses of the families that have one."""
    return {
        f"{measure.name} {name} in_sample": (losses, np.ones_like(losses))
        for name, fit in fits.items()
        if isinstance(fit, FamilyFit) and fit.in_sample is not None
        for losses in (scoring.losses(measure, fit.in_sample),)
    }


def _step_ratios(
    scoring: Scoring, held_out: Mapping[str, TargetProbabilities]
) -> dict[str, tuple[PerScored, PerScored]]:
    """The parts of the normalised KL for which both families are there."""
    losses = {name: scoring.losses(KL, q) for name, q in held_out.items()}
    prior = scoring.losses(KL, scoring.prior)
    return {
        part: (losses[first] - (0.0 if second is None else losses[second]), prior)
        for part, (first, second) in STEPS.items()
        if first in losses and (second is None or second in losses)
    }


def _decomposition(
    scoring: Scoring, fits: Mapping[str, FamilyFit | str], found: Mapping[str, Estimate]
) -> dict[str, Estimate]:
    """All parts in order; a part that lacks a family says why. Empty where there is no part at all."""
    parts: dict[str, Estimate] = {}
    for part, families in STEPS.items():
        reasons = [fits.get(name, f"{name} was not asked for") for name in families if name is not None]
        missing = [reason for reason in reasons if isinstance(reason, str)]
        parts[part] = scoring.undefined("; ".join(missing)) if missing else found[part]
    return parts if found else {}


def _row(
    scoring: Scoring, measure: Discrepancy, name: str, fit: FamilyFit | str, found: Mapping[str, Estimate]
) -> Misalignment:
    """One family under one discrepancy."""
    if isinstance(fit, str):
        return _undefined(name, measure, fit)
    value = found[f"{measure.name} {name} value"]
    normalised = found[f"{measure.name} {name} normalised"]
    in_sample, bounds = _in_sample(scoring, measure, fit, value, found.get(f"{measure.name} {name} in_sample"))
    return Misalignment(
        label_map=name,
        discrepancy=measure.name,
        value=value.value,
        normalised=normalised.value,
        interval=from_zero(normalised),
        value_interval=from_zero(value),
        in_sample=in_sample,
        bounds=bounds,
        proper=measure.proper or scoring.conditional is not None,
        n=scoring.n,
        excess=found.get(f"{measure.name} {name} excess"),
        status=value.status if normalised.status != "undefined" else "partial",
        reason=scoring.reason or normalised.reason,
    )


def _in_sample(
    scoring: Scoring, measure: Discrepancy, fit: FamilyFit, value: Estimate, scored: Estimate | None
) -> tuple[float | None, Interval | None]:
    """The optimum on all samples, and the bounds of D; its interval has the width that it has on the scored ones.

    The optimum is that of the discrepancy that maps are fitted under, so that of others it is no lower bound.
    """
    if fit.in_sample is None or scored is None or scored.value is None or not scored.interval or not value.interval:
        return None, None
    everything = np.ones_like(scoring.scored)
    optimum = float(scoring.losses(measure, fit.in_sample, everything).mean())
    if measure.name != scoring.fitted_under:
        return optimum, None
    low = max(0.0, optimum - (scored.value - scored.interval[0]))
    return optimum, (min(low, value.interval[1]), value.interval[1])


def from_zero(estimate: Estimate) -> tuple[float, float] | None:
    """The interval of a loss, which is not negative: neither is the lower end."""
    return None if estimate.interval is None else (max(0.0, estimate.interval[0]), estimate.interval[1])


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
