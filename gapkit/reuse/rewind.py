"""Causal reuse of a layer: what accuracy loses where the layer is put back to pretrained weights, or is scrambled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Floats
from gapkit.errors import UndefinedError
from gapkit.estimates import Estimate, undefined
from gapkit.reuse.crossed import (
    Crossed,
    CrossedEstimate,
    Smooth,
    cross,
    crossed_error,
    crossed_estimates,
    unrejected_shares,
)
from gapkit.reuse.denominators import no_denominator, ratio
from gapkit.reuse.hits import LayerHits, check_same

LEAST_SEEDS = 5
"""Fewer resets say too little about how much resets differ."""


@dataclass(frozen=True, kw_only=True)
class CausalReuse:
    """How much a layer matters for the target, and how much of that its pretrained weights already give.

    Attributes:
        tuned: accuracy a_t.
        rewound: accuracy a_p.
        reset: accuracy a_r, mean over seeds.
        chance: the majority rate.
        contribution: ``a_t - a_r``.
        criticality: ``(a_t - a_r) / (a_t - chance)``.
        reuse: ``clip((a_p - a_r) / (a_t - a_r), 0, 1)``.
        seeds: resets.
    """

    tuned: float
    rewound: float
    reset: float
    chance: float
    contribution: Estimate
    criticality: Estimate
    reuse: Estimate
    seeds: int


def causal_reuse(hits: LayerHits, *, resamples: int = 1000, seed: int = 0) -> CausalReuse:
    """Criticality and reuse of one layer, with 95 % intervals.

    ``criticality = (a_t - a_r) / (a_t - chance)``: the share of what the tuned model has over the majority rate that
    is lost with the layer's structure. 0 for a layer that does not matter, 1 where resetting it leaves chance;
    above 1 where a reset is worse than chance, below 0 where it helps. Undefined where ``a_t - chance < 2 SE``.

    ``reuse = clip((a_p - a_r) / (a_t - a_r), 0, 1)``: the share of what the layer gives over a structureless one that
    its pretrained weights already give; exactly 1 where tuning has changed no hit. Weights that have not moved count
    as reused. Undefined where ``a_t - a_r < 2 SE``: a layer that does not matter is not known to be reused or not.

    Both go up with the quantity that they are named after and have no unit; order of samples, groups and seeds does not
    matter. gapkit's own; criticality after Zhang, Bengio and Singer, Are All Layers Created Equal?, JMLR 2022.

    Standard errors and intervals are for new samples and new reset seeds at once, paired over both, since the same
    samples and resets stand in numerator and denominator (``crossed_estimates``); groups are resampled whole. The
    model, its tuning and the largest class are given. The interval of reuse holds all shares that Fieller's test does
    not reject as well: where ``a_t - a_r`` is just 2 SE, with five seeds, the bootstrap's alone held the truth in 85 %
    of simulations, and both in 95 %; elsewhere 93 to 98 %.

    Args:
        hits: of n samples, s >= 5 resets.
        resamples: of the bootstrap.
        seed: of the resamples.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> tuned, reset = rng.random(400) < 0.9, rng.random((5, 400)) < 0.4
        >>> rewound, majority = np.where(rng.random(400) < 0.2, reset[0], tuned), np.arange(400) < 80
        >>> found = causal_reuse(LayerHits(tuned=tuned, rewound=rewound, reset=reset, majority=majority))
        >>> round(found.reuse.value, 2), round(found.criticality.value, 2)
        (0.77, 0.68)
    """
    data = cross(*hits.tables, hits.groups)
    tuned, rewound, chance, reset = data.means.tolist()
    n, seeds = len(hits.tuned), len(hits.reset)
    reasons = dict.fromkeys(FUNCTIONS, "") | _reasons(data)
    asked = [name for name, reason in reasons.items() if not reason]
    found = crossed_estimates(data, [FUNCTIONS[name] for name in asked], resamples=resamples, seed=seed)
    estimates = {name: undefined(reason, n) for name, reason in reasons.items() if reason}
    estimates |= {name: _estimate(one, n) for name, one in zip(asked, found, strict=True)}
    if not reasons["reuse"]:
        estimates["reuse"] = _estimate(_widened(found[asked.index("reuse")], data), n, clipped=True)
    return CausalReuse(tuned=tuned, rewound=rewound, reset=reset, chance=chance, seeds=seeds, **estimates)


def reuse_excess(hits: LayerHits, control: LayerHits, *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Reuse beyond that of a control, as a share of what the control leaves: ``max(0, u - u_c) / (1 - u_c)``.

    u and u_c are the clipped reuses of the layer in the model and in the control, such as the same architecture
    trained on the target from scratch, whose rewound layer shows what weights that did not have to move look like. In
    [0, 1], without unit; 0 where the control reuses as much.

    The interval is paired over samples, and over resets by their numbers: those of the model and of the control with
    the same number are drawn together, which is right whether they are related or not. It is that of the unclipped
    ``1 - (1 - u) / (1 - max(0, u_c))``, then clipped. It held the truth in 91 % of simulations where both reuses are
    barely defined, elsewhere in 93 to 98 %.

    Args:
        hits: of the model.
        control: of the control, on the same samples and with as many resets.
        resamples: of the bootstrap.
        seed: of the resamples.

    Returns:
        Undefined where either reuse is, or where ``1 - u_c < 2 SE``: the control then leaves nothing to exceed.

    Raises:
        DataError: other samples, groups or numbers of resets.
    """
    check_same(hits, control)
    n = len(hits.tuned)
    for one, whose in ((hits, "model"), (control, "control")):
        if reason := _reasons(cross(*one.tables, one.groups)).get("reuse"):
            return undefined(f"reuse of the {whose}: {reason}", n)
    (fixed, seeded), (other_fixed, other_seeded) = hits.tables, control.tables
    data = cross(
        np.hstack([fixed[:, :2], other_fixed[:, :2]]), np.concatenate([seeded, other_seeded], axis=1), hits.groups
    )
    if reason := _denominator(data, _left, "1 less the control's reuse"):
        return undefined(reason, n)
    return _estimate(crossed_estimates(data, [_excess], resamples=resamples, seed=seed)[0], n, clipped=True)


def _reasons(data: Crossed) -> dict[str, str]:
    """Which measures are undefined, and why."""
    g, seeds = data.fixed.shape[0], data.seeded.shape[2]
    if seeds < LEAST_SEEDS or g < 2:
        what = f"{seeds} reset seeds" if seeds < LEAST_SEEDS else f"{g} unit of samples"
        error = UndefinedError(
            what,
            expected=f"at least {LEAST_SEEDS} reset seeds and two samples, or groups",
            remedy="run more",
        )
        return dict.fromkeys(FUNCTIONS, str(error))
    return {
        "reuse": _denominator(data, _contribution, "accuracy tuned less reset"),
        "criticality": _denominator(data, _above_chance, "accuracy tuned less chance"),
    }


def _denominator(data: Crossed, function: Smooth, what: str) -> str:
    """Why a difference cannot be divided by; empty where it can."""
    value, error = float(function(data.means[None])[0][0]), crossed_error(data, function)
    return str(no_denominator(value, error, what, remedy="use more samples or reset seeds") or "")


def _estimate(found: CrossedEstimate, n: int, *, clipped: bool = False) -> Estimate:
    """A number and its interval; clipping to [0, 1] is monotone, so that the clipped interval is as sure."""
    value, low, high = found.value, found.low, found.high
    if clipped:
        value, low, high = (min(1.0, max(0.0, number)) for number in (value, low, high))
    return Estimate(value=value, interval=(low, high), n=n)


def _widened(found: CrossedEstimate, data: Crossed) -> CrossedEstimate:
    """Reuse with an interval that holds all shares that the data do not reject, but for a reuse without any error."""
    if found.standard_error == 0:
        return found
    low, high = unrejected_shares(data, _gain, _contribution)
    return replace(found, low=min(found.low, low), high=max(found.high, high))


def _gain(means: Floats) -> tuple[Floats, Floats]:
    """``p - r`` of (tuned, rewound, majority, reset)."""
    return means[:, 1] - means[:, 3], np.broadcast_to(np.array([0.0, 1.0, 0.0, -1.0]), means.shape)


def _contribution(means: Floats) -> tuple[Floats, Floats]:
    """``t - r``."""
    return means[:, 0] - means[:, 3], np.broadcast_to(np.array([1.0, 0.0, 0.0, -1.0]), means.shape)


def _above_chance(means: Floats) -> tuple[Floats, Floats]:
    """``t - c``."""
    return means[:, 0] - means[:, 2], np.broadcast_to(np.array([1.0, 0.0, -1.0, 0.0]), means.shape)


def _criticality(means: Floats) -> tuple[Floats, Floats]:
    """``(t - r) / (t - c)``."""
    t, _, c, r = means.T
    value, per = ratio(t - r, t - c)
    return value, np.stack([(1 - value) * per, 0 * per, value * per, -per], axis=1)


def _reuse(means: Floats) -> tuple[Floats, Floats]:
    """``(p - r) / (t - r)``."""
    t, p, _, r = means.T
    value, per = ratio(p - r, t - r)
    return value, np.stack([-value * per, per, 0 * per, (value - 1) * per], axis=1)


def _control_reuse(means: Floats) -> tuple[Floats, Floats]:
    """The control's, of (tuned, rewound, tuned control, rewound control, reset, reset control)."""
    value, per = ratio(means[:, 3] - means[:, 5], means[:, 2] - means[:, 5])
    zero = np.zeros_like(per)
    return value, np.stack([zero, zero, -value * per, per, zero, (value - 1) * per], axis=1)


def _left(means: Floats) -> tuple[Floats, Floats]:
    """1 less that."""
    value, gradient = _control_reuse(means)
    return 1 - value, -gradient


def _excess(means: Floats) -> tuple[Floats, Floats]:
    """``1 - (1 - u) / (1 - max(0, u_c))``, likewise."""
    t, p, _, _, r, _ = means.T
    value, per = ratio(p - r, t - r)
    other, slope = _control_reuse(means)
    inside = other > 0
    rest, share = ratio(1 - value, 1 - np.where(inside, other, 0.0))
    zero = np.zeros_like(per)
    own = np.stack([-value * per, per, zero, zero, (value - 1) * per, zero], axis=1)
    return 1 - rest, own * share[:, None] - slope * np.where(inside, rest * share, 0.0)[:, None]


FUNCTIONS: dict[str, Smooth] = {"contribution": _contribution, "criticality": _criticality, "reuse": _reuse}
