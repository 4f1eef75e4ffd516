"""Retention: how much of what can be read off a source's features, beyond random weights, tuning has left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.errors import DataError, UndefinedError
from gapkit.estimates import Estimate, undefined
from gapkit.reuse.crossed import Crossed, cross, crossed_error, crossed_estimates
from gapkit.reuse.denominators import no_denominator, ratio

LEAST_COPIES = 3
"""Fewer random-weight copies say too little about how much they differ."""
BEYOND, MORE = "accuracy before less random", "use more samples, or another surrogate"
"""The denominator, and what helps where it may be 0."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ProbeHits:
    """Which samples of the surrogate a cross-fitted probe classifies right, on one layer of several models.

    Attributes:
        before: (n,) of the pretrained model.
        after: (n,) of the tuned model.
        random: (s, n) of random-weight copies, on the same samples and folds.
        groups: (n,) codes of samples that belong together, or None.
    """

    before: Array
    after: Array
    random: Array
    groups: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes and values; afterwards float64.

        Raises:
            DataError: arrays that do not belong together, or are no hits.
        """
        for name, shape in (("before", "(n,)"), ("after", "(n,)"), ("random", "(s, n)")):
            found = np.asarray(getattr(self, name))
            if found.dtype.kind not in "biuf" or not ((found >= 0) & (found <= 1)).all():
                raise DataError(f"{name} is no array of hits", expected="0 or 1", remedy="pass predictions == labels")
            if found.ndim != 1 + (name == "random") or found.shape[-1:] != np.shape(self.before) or found.size == 0:
                raise DataError(
                    f"{name} has shape {found.shape}", expected=f"shape {shape}", remedy="pass the same samples in all"
                )
            object.__setattr__(self, name, found.astype(np.float64))

    @property
    def crossed(self) -> Crossed:
        """Sums over units of (after, before), and of random under each copy."""
        return cross(np.stack([self.after, self.before], axis=1), self.random.T[:, None, :], self.groups)


def retention(hits: ProbeHits, *, resamples: int = 1000, seed: int = 0) -> Estimate:
    """``(a_after - a_rand) / (a_before - a_rand)``: the share of the accuracy beyond random weights that is left.

    a is the accuracy of a cross-fitted probe, a_rand the mean of those of s random-weight copies, which is far above
    chance for most architectures. 1 where tuning has changed no hit, 0 where the tuned layer is worth as much as random
    weights; not clipped: above 1 where tuning has made the source's classes easier to read, below 0 where it has left
    less than random weights give. Without unit. gapkit's own.

    The 95 % interval is paired and for new samples and new random weights at once (``crossed_estimates``); both models
    are given. Groups are resampled whole.

    Args:
        hits: of n samples and s >= 3 random-weight copies.
        resamples: of the bootstrap.
        seed: of the resamples.

    Returns:
        Undefined where ``a_before - a_rand < 2 SE``: the layer then holds nothing that random weights do not give.

    Example:
        >>> before, after = np.arange(100) < 90, np.arange(100) < 75
        >>> found = retention(ProbeHits(before=before, after=after, random=np.tile(np.arange(100) < 60, (3, 1))))
        >>> found.value
        0.5
    """
    n, copies = len(hits.before), len(hits.random)
    data = hits.crossed
    if copies < LEAST_COPIES or len(data.fixed) < 2:
        what = f"{copies} random-weight copies" if copies < LEAST_COPIES else f"{len(data.fixed)} unit of samples"
        expected = f"at least {LEAST_COPIES} copies and two samples, or groups"
        return undefined(str(UndefinedError(what, expected=expected, remedy="give more")), n)
    reason = beyond_random(data)
    if reason:
        return undefined(reason, n)
    (found,) = crossed_estimates(data, [_retained], resamples=resamples, seed=seed)
    return Estimate(value=found.value, interval=(found.low, found.high), n=n)


def beyond_random(data: Crossed) -> str:
    """Why the pretrained layer has nothing beyond random weights; empty where it has.

    Args:
        data: of (after, before) and random.
    """
    value, error = float(_beyond(data.means[None])[0][0]), crossed_error(data, _beyond)
    return str(no_denominator(value, error, BEYOND, remedy=MORE) or "")


def _beyond(means: Floats) -> tuple[Floats, Floats]:
    """``before - random`` of (after, before, random)."""
    return means[:, 1] - means[:, 2], np.broadcast_to(np.array([0.0, 1.0, -1.0]), means.shape)


def _retained(means: Floats) -> tuple[Floats, Floats]:
    """``(after - random) / (before - random)``."""
    after, before, random = means.T
    value, per = ratio(after - random, before - random)
    return value, np.stack([per, -value * per, (value - 1) * per], axis=1)
