"""What OTDD is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from gapkit.errors import OptionError, did_you_mean
from gapkit.options import check_least, check_number
from gapkit.scores.bures import Correction, Covariance, PerPair
from gapkit.scores.coupling import TransportEvidence

Inner = Literal["gaussian", "exact", "means", "upper"]
Outer = Literal["exact", "sinkhorn", "sliced"]
Unit = Literal["squared", "paper", "half"]


@dataclass(frozen=True, kw_only=True)
class OTDDOptions:
    """How classes are compared, how the transport is solved, and in which unit the value is given.

    Attributes:
        inner: squared distance between classes. "gaussian": 2-Wasserstein of the Gaussians with their means and
            covariances; "exact": 2-Wasserstein of their samples; "means": between their means; "upper": of independent
            draws from the Gaussians, ``|m - m'|^2 + tr C + tr C'``, an upper bound that is not 0 between equal classes.
        covariance: of the Gaussians: "full", "diagonal", or "shrunk" by Ledoit and Wolf, class by class.
        correction: covariances are divided by ``n_c - correction``. 1 as in the original code; with 0 "gaussian" never
            exceeds "exact" (Gelbrich, Mathematische Nachrichten 1990), which with 1 it can.
        outer: "exact" solves the linear program; "sinkhorn" adds ``regularisation`` times the entropy; "sliced"
            compares one-dimensional projections and never holds n x m numbers.
        unit: "squared" distance; its root "paper", a metric; "half" the square, what microsoft/otdd returns.
        lambda_x: weight of the squared distance of the features.
        lambda_y: weight of the squared distance of the classes.
        limit: of samples on each side for "exact" and "sinkhorn", more are subsampled by class; None takes all.
        regularisation: of "sinkhorn", as a share of the mean cost of independent draws about each side's own mean.
        debiased: whether "sinkhorn" subtracts half of each side's value with itself (Sinkhorn divergence; Feydy et al.,
            AISTATS 2019), so that equal datasets are 0 apart.
        tolerance: of the marginals of "sinkhorn", sum of absolute differences.
        max_iterations: of "sinkhorn".
        projections: directions of "sliced".
        n_clusters: pseudo-classes of labels that are no classes.
        seed: of subsamples, directions and clusters.
    """

    inner: Inner = "gaussian"
    covariance: Covariance = "full"
    correction: Correction = 1
    outer: Outer = "exact"
    unit: Unit = "squared"
    lambda_x: float = 1.0
    lambda_y: float = 1.0
    limit: int | None = 5000
    regularisation: float = 0.05
    debiased: bool = True
    tolerance: float = 1e-7
    max_iterations: int = 10_000
    projections: int = 200
    n_clusters: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Check names and ranges.

        Raises:
            OptionError: says which option and what it may be.
        """
        for key, choices in (
            ("inner", Inner),
            ("covariance", Covariance),
            ("correction", Correction),
            ("outer", Outer),
            ("unit", Unit),
        ):
            _check_choice(key, getattr(self, key), get_args(choices))
        for key in ("regularisation", "tolerance"):
            check_number(key, getattr(self, key))
        for key in ("max_iterations", "projections", "n_clusters"):
            check_least(key, getattr(self, key), 1)
        check_least("seed", self.seed, 0)
        if self.limit is not None:
            check_least("limit", self.limit, 1)
        for key in ("lambda_x", "lambda_y"):
            check_number(key, getattr(self, key), least=0)
        if self.lambda_x + self.lambda_y == 0:
            raise OptionError(
                f"lambda_x and lambda_y are {self.lambda_x} and {self.lambda_y}",
                expected="two weights that are not negative, one of them positive",
                remedy="give both terms a weight",
            )
        if self.inner == "exact" and self.outer == "sliced":
            raise OptionError(
                "inner='exact' with outer='sliced'",
                expected="an inner distance that large samples allow",
                remedy="use inner='gaussian', or outer='exact' on a subsample",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class OTDDResult:
    """The distance, what it is made of, and how far it can be trusted.

    ``feature_part + label_part + entropy_part`` is the value in the unit "squared", whatever the unit of ``value``.

    Attributes:
        value: in ``unit``.
        unit: "squared", "paper" (its root) or "half".
        feature_part: ``lambda_x sum P |x - x'|^2``.
        label_part: ``lambda_y sum P W^2(y, y')``.
        entropy_part: of sinkhorn; 0 for others.
        class_coupling: (K1, K2) mass from class to class; its marginals are the shares of the classes.
        label_distances: (K1, K2) squared distances W^2 between classes, not weighted.
        first_classes: names of the K1 classes.
        second_classes: names of the K2 classes.
        evidence: of convergence; a value debiased has the gaps of its three problems in it, weighted as they are.
        n_first: samples used of the first dataset.
        n_second: samples used of the second dataset.
        single_sample_classes: classes, on both sides together, of one sample: their covariance was taken as zero.
        notes: what was done with labels and samples, in words.
    """

    value: float
    unit: Unit
    feature_part: float
    label_part: float
    entropy_part: float
    class_coupling: PerPair
    label_distances: PerPair
    first_classes: tuple[str, ...]
    second_classes: tuple[str, ...]
    evidence: TransportEvidence
    n_first: int
    n_second: int
    single_sample_classes: int
    notes: tuple[str, ...] = ()


def _check_choice(key: str, value: object, choices: tuple[object, ...]) -> None:
    """Refuse a value that is none of the choices."""
    if value not in choices:
        names = [str(choice) for choice in choices]
        raise OptionError(f"{key} is {value!r}", expected=", ".join(names), remedy=did_you_mean(str(value), names))
