"""The loss that maps are fitted under where that is not KL: d of q, mixed with the class prior, from one-hot labels.

Against a label every discrepancy but Brier depends on q only through the probability of the own class, and Brier on
``sum_y q_y^2`` besides; both are convex in the share eps of the prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Floats, Labels, PerSample, TargetProbabilities
from gapkit.gap.label_maps.mixing import has_shown_its_worth
from gapkit.gap.label_maps.optimisers import find_root

LEAST_OWN = 1e-150
"""Least q_y that a slope is taken at: that of the Hellinger loss is infinite at zero."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """A discrepancy as a loss of q mixed with the prior, ``loss(q_y) + square * sum_k q_k^2``.

    Attributes:
        name: of the discrepancy.
        loss: the part of the own class's probability, element by element.
        slope: its derivative.
        square: weight of the sum of squares.
    """

    name: str
    loss: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    square: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What Brier needs of q_A beside the own class: ``sum q^2`` and ``sum q pi`` (..., n), and ``sum pi^2``."""

    square: Floats
    cross: Floats
    level: float

    def mixed(self, eps: Floats | float) -> Floats:
        """Sum of squares (..., n) of ``(1 - eps) q + eps pi``."""
        return (1 - eps) ** 2 * self.square + 2 * eps * (1 - eps) * self.cross + eps**2 * self.level

    def slope(self, eps: Floats | float) -> Floats:
        """Its derivative with respect to eps."""
        return 2 * ((eps - 1) * self.square + (1 - 2 * eps) * self.cross + eps * self.level)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What one map, or each of several along the leading axes, says of some samples, as far as the loss reads it.

    Attributes:
        own: (..., n) what q_A gives to the own class.
        prior: (n,) what the class prior gives to it.
        spread: of a criterion with squares; else None.
    """

    own: Floats
    prior: PerSample
    spread: Spread | None

    def take(self, which: Array) -> Answers:
        """Those of some of the maps, along the first axis."""
        spread = self.spread
        if spread is not None:
            spread = Spread(square=spread.square[which], cross=spread.cross[which], level=spread.level)
        return Answers(own=self.own[which], prior=self.prior, spread=spread)

    def losses(self, criterion: Criterion, eps: Floats | float) -> Floats:
        """Loss (..., n) of q_A mixed with the prior."""
        found = criterion.loss((1 - eps) * self.own + eps * self.prior)
        return found if self.spread is None else found + criterion.square * self.spread.mixed(eps)

    def slopes(self, criterion: Criterion, eps: Floats | float) -> Floats:
        """Its derivative (..., n) with respect to eps."""
        found = criterion.slope((1 - eps) * self.own + eps * self.prior) * (self.prior - self.own)
        return found if self.spread is None else found + criterion.square * self.spread.slope(eps)


def answers_of(criterion: Criterion, q: TargetProbabilities, labels: Labels, prior: Floats) -> Answers:
    """What q_A (n, K_t) says of samples with these labels (n,), beside the class prior (K_t,)."""
    spread = None
    if criterion.square:
        spread = Spread(square=np.square(q).sum(axis=1), cross=q @ prior, level=float(prior @ prior))
    return Answers(own=q[np.arange(len(q)), labels], prior=prior[labels], spread=spread)


def fit_eps(criterion: Criterion, answers: Answers, *, pseudo: float = 1.0) -> tuple[float, float]:
    """The share eps of the prior with the least mean loss, and that loss.

    ``pseudo`` samples that only the prior explains keep eps at or above ``pseudo / (n + pseudo)``, as under KL.

    Args:
        criterion: the loss.
        answers: of one map, own (n,).
        pseudo: number of pseudo-samples.

    Example:
        >>> answers = Answers(own=np.array([1.0, 0.0]), prior=np.array([0.5, 0.5]), spread=None)
        >>> round(fit_eps(SQUARED_HELLINGER, answers, pseudo=0.0)[0], 6)
        1.0
    """

    def slope(eps: float) -> float:
        return float(answers.slopes(criterion, eps).mean())

    if slope(0.0) >= 0:
        eps = 0.0
    elif slope(1.0) <= 0:
        eps = 1.0
    else:
        eps = find_root(slope, 0.0, 1.0)
    eps = max(eps, pseudo / (len(answers.prior) + pseudo))
    return eps, float(answers.losses(criterion, eps).mean())


def choose_eps(criterion: Criterion, answers: Answers) -> float:
    """Eps of a map that is to be used on new samples: 1 where it has not shown its worth on samples it has not seen.

    The rule is that of ``mixing.choose_eps``.
    """
    eps, _ = fit_eps(criterion, answers)
    gain = answers.losses(criterion, 1.0) - answers.losses(criterion, eps)
    return eps if has_shown_its_worth(gain) else 1.0


def _jensen_shannon(own: Array) -> Array:
    """``log 2 - [(1 + q) log(1 + q) - q log q] / 2``."""
    return np.log(2.0) - ((1 + own) * np.log1p(own) - own * np.log(np.maximum(own, LEAST_OWN))) / 2


BRIER = Criterion(name="brier", loss=lambda own: 1 - 2 * own, slope=lambda own: np.full_like(own, -2.0), square=1.0)
TOTAL_VARIATION = Criterion(name="total_variation", loss=lambda own: 1 - own, slope=lambda own: np.full_like(own, -1.0))
SQUARED_HELLINGER = Criterion(
    name="squared_hellinger",
    loss=lambda own: 1 - np.sqrt(own),
    slope=lambda own: -0.5 / np.sqrt(np.maximum(own, LEAST_OWN)),
)
JENSEN_SHANNON = Criterion(
    name="jensen_shannon",
    loss=_jensen_shannon,
    slope=lambda own: (np.log(np.maximum(own, LEAST_OWN)) - np.log1p(own)) / 2,
)
CRITERIA = (BRIER, TOTAL_VARIATION, SQUARED_HELLINGER, JENSEN_SHANNON)


def find_criterion(name: str) -> Criterion:
    """The criterion of this name.

    Example:
        >>> find_criterion("brier").square
        1.0
    """
    return next(item for item in CRITERIA if item.name == name)
