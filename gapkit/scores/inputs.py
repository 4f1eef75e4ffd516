"""What scores are computed on: one source's features and probabilities of one target, with its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite
from typing import ClassVar, Protocol

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Labels, LogProbabilities
from gapkit.errors import UndefinedError
from gapkit.options import check_least
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.scaling import power_of_two
from gapkit.statistics.spectrum import Spectrum, find_spectrum
from gapkit.statistics.stacked import ChosenRows, FeatureRows, take_rows
from gapkit.statistics.totals import Totals, measure_totals
from gapkit.statistics.whitening import Whitening, find_whitening
from gapkit.types import Traits


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreInputs:
    """One source on one target, as arrays.

    Attributes:
        features: (n, d) float64; very large or very small ones are kept in units of a power of two, so that what is
            computed of them stays in float64. Many that were taken from others are not copied.
        labels: (n,) int64 class codes; (n,) float64 of a regression target; (n, k) of several labels per sample.
        log_probabilities: (n, S) log of the source conditional; None where the source has no head.
        groups: (n,) codes of samples that belong together, or None.
        seed: of folds, subsamples and starts.
        unit: of the features, found from them: 1 but for very large or very small ones.
        measured: gives the totals of these features, where they follow from those of other samples; None where they
            have to be measured.
        expected: labellings that scores are about to be asked for in turn, which saves them work; filled by who asks.
    """

    features: FeatureRows
    labels: Array
    log_probabilities: LogProbabilities | None = None
    groups: Labels | None = None
    seed: int = 0
    unit: float = 1.0
    measured: Callable[[], Totals] | None = None
    expected: list[Array] = field(default_factory=list[Array], repr=False)

    def __post_init__(self) -> None:
        """Check the seed, which not all of what is computed draws by, and find the unit.

        Raises:
            OptionError: a seed that is negative or no whole number.
        """
        check_least("seed", self.seed, 0)
        unit = power_of_two(self.features)
        if unit != 1:
            object.__setattr__(self, "features", self.whole / unit)
            object.__setattr__(self, "unit", self.unit * unit)
            object.__setattr__(self, "measured", None)

    @property
    def whole(self) -> Features:
        """The features as one array."""
        return np.asarray(self.features)

    @cached_property
    def totals(self) -> Totals:
        """Mean and scatter of the features, found once for all scores; O(n d^2)."""
        return measure_totals(self.features) if self.measured is None else self.measured()

    @cached_property
    def centred(self) -> CentredRows:
        """The features less their mean, which keeps the class sums of the latest labelling."""
        return CentredRows(rows=self.features, centre=self.totals.mean, expected=self.expected)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Principal axes of the features, likewise; O(d^3) more where n > d, else O(n^2 d) without the scatter."""
        n, d = self.features.shape
        if n <= d:
            return find_spectrum(self.features)
        return find_spectrum(self.features, self.totals, self.centred, few=self.measured is not None)

    @cached_property
    def whitening(self) -> Whitening:
        """Uncorrelated combinations of the features, likewise."""
        n, d = self.features.shape
        return find_whitening(self.features, self.totals, self.centred) if n > d else find_whitening(self.features)

    def take(self, index: Indices, measured: Callable[[], Totals] | None = None) -> ScoreInputs:
        """The samples at ``index``, in that order; with a function that gives their totals, where there is one."""
        return replace(
            self,
            features=take_rows(self.features, index),
            labels=self.labels[index],
            log_probabilities=None if self.log_probabilities is None else self.log_probabilities[index],
            groups=None if self.groups is None else self.groups[index],
            measured=measured,
            expected=[],
        )


class Score(Protocol):
    """A transferability score.

    ``on`` does everything that does not depend on labels, once; what it returns scores one labelling of the samples,
    the given one or a permuted one.
    """

    traits: ClassVar[Traits]

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        """A function from labels, as in ``inputs.labels``, to the score.

        Raises:
            UndefinedError: the inputs do not allow the score; so may the function that is returned.
        """
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class PairInputs:
    """The target beside the source's surrogate, as features of the same source.

    Attributes:
        target: (n, d) float64 features; very large or very small ones of the two sides are kept in units of a power of
            two, and many that were taken from others are not copied, as those of ``ScoreInputs``.
        surrogate: (m, d) float64 features.
        target_labels: (n,) int64 class codes, or None.
        surrogate_labels: (m,) int64 class codes, or None.
        target_groups: (n,) codes of target samples that belong together, or None.
        surrogate_groups: (m,) likewise; a code that is on both sides stands for two groups.
        seed: of subsamples, directions and folds.
        unit: of the features of both sides, found from them: 1 but for very large or very small ones.
    """

    target: FeatureRows
    surrogate: Array | ChosenRows
    target_labels: Array | None = None
    surrogate_labels: Array | None = None
    target_groups: Array | None = None
    surrogate_groups: Array | None = None
    seed: int = 0
    unit: float = 1.0

    def __post_init__(self) -> None:
        """Check the seed, which not all of what is computed draws by, and find the unit.

        Raises:
            OptionError: a seed that is negative or no whole number.
        """
        check_least("seed", self.seed, 0)
        unit = power_of_two(self.target, self.surrogate)
        if unit != 1:
            object.__setattr__(self, "target", np.asarray(self.target) / unit)
            object.__setattr__(self, "surrogate", np.asarray(self.surrogate) / unit)
            object.__setattr__(self, "unit", self.unit * unit)

    @property
    def whole(self) -> tuple[Features, Floats]:
        """The features of both sides, as one array each."""
        return np.asarray(self.target), np.asarray(self.surrogate)

    def in_features_units(self, value: float, *, squared: bool = False) -> float:
        """A distance that was computed in ``unit``, in the features' own unit, or in its square.

        Raises:
            UndefinedError: it is beyond float64.
        """
        found = value * self.unit * (self.unit if squared else 1.0)
        if not isfinite(found):
            raise UndefinedError(
                f"a distance of {value:.3g} times {self.unit:.3g}" + ("^2" if squared else ""),
                expected="a number below 1.8e308",
                remedy="divide the features of both sides by one number",
            )
        return found


class Distance(Protocol):
    """A distance between target and surrogate."""

    traits: ClassVar[Traits]

    def between(self, pair: PairInputs) -> float:
        """The distance.

        Raises:
            UndefinedError: the inputs do not allow it.
        """
        ...
