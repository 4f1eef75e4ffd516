"""OTDD: optimal transport between labelled datasets, whose labels are compared by the distances of their classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Features, Labels
from gapkit.coercion import as_array
from gapkit.errors import DataError, UndefinedError
from gapkit.options import given_or_default
from gapkit.scores.checks import check_pair, check_squares
from gapkit.scores.coupling import Transport
from gapkit.scores.inputs import PairInputs
from gapkit.scores.otdd_labels import LabelledSide, any_classes, labelled_side, mean_distances
from gapkit.scores.otdd_options import OTDDOptions, OTDDResult
from gapkit.scores.otdd_outer import exact_transport, sinkhorn_transport
from gapkit.scores.otdd_sliced import sliced_transport
from gapkit.scores.subsample import canonical_order, subsample
from gapkit.types import Traits

DRAW_STREAM = 50


OUTER: dict[str, Callable[[LabelledSide, LabelledSide, OTDDOptions], Transport]] = {
    "exact": exact_transport,
    "sinkhorn": sinkhorn_transport,
    "sliced": sliced_transport,
}


def otdd(x1: Array, y1: Array, x2: Array, y2: Array, *, options: OTDDOptions | None = None) -> OTDDResult:
    """Optimal transport dataset distance.

    ``min_P sum_ij P_ij (lambda_x |x_i - x'_j|^2 + lambda_y W^2(y_i, y'_j))`` over couplings P of the samples, where W
    is a distance between the classes' samples, by default the 2-Wasserstein distance of Gaussians,
    ``W^2 = |m - m'|^2 + tr C + tr C' - 2 tr (C^(1/2) C' C^(1/2))^(1/2)``. At least 0; lower means more similar. The
    default unit is that of squared features; the paper's distance is the root of it (``unit="paper"``).

    It is symmetric, invariant to one shift and one orthogonal map of both datasets, to the names of classes and the
    order of samples, and grows with the square of a scale (``outer="sliced"``: up to the error of so many directions,
    but for shift and scale). Between samples of the same distribution it is above 0, the
    more so the fewer and the wider they are: compare values of equal n and d.

    Where it departs from microsoft/otdd: the outer problem is solved exactly, or until a tolerance, with the gap to the
    optimum in the result; classes of any rank are exact; labels may be anything; means are compared in squared units
    as the others are; subsamples are stratified and seeded, and the same for equal datasets, so that d(A, A) = 0.

    Args:
        x1: (n, d) features.
        y1: n labels: classes of any kind; fractions and several labels per sample (n, k) become pseudo-classes.
        x2: (m, d) features.
        y2: m labels; its classes need not be those of y1.
        options: how; see ``OTDDOptions``.

    Raises:
        DataError: features or labels that cannot be used, or features of different width.
        OptionError: options that are out of range.

    Source: Alvarez-Melis and Fusi, Geometric Dataset Distances via Optimal Transport, NeurIPS 2020.

    Example:
        >>> x = np.array([[0.0], [1.0], [4.0], [5.0]])
        >>> far = otdd(x, np.array(["a", "a", "b", "b"]), x + 3, np.array([7, 7, 2, 2]))
        >>> round(far.value, 9), round(far.feature_part, 9), round(far.label_part, 9)
        (18.0, 9.0, 9.0)
        >>> far.class_coupling.tolist(), far.second_classes
        ([[0.0, 0.5], [0.5, 0.0]], ('2', '7'))
    """
    options = given_or_default(options, OTDDOptions)
    _check_order(x1, y1, x2)
    x1, x2 = check_pair(x1, x2, ("x1", "x2"))
    check_squares(x1, x2)
    first, notes = prepare_side(x1, y1, name="y1", options=options)
    second, more = prepare_side(x2, y2, name="y2", options=options)
    return _result(first, second, options, notes + more)


def _check_order(x1: Array, y1: Array, x2: Array) -> None:
    """Refuse labels in the place of features, and features in that of labels.

    Raises:
        DataError: names the order.
    """
    shapes = [as_array(given, name).shape for given, name in ((x1, "x1"), (y1, "y1"), (x2, "x2"))]
    if any(len(shape) == 1 for shape in (shapes[0], shapes[2])):
        raise DataError(
            f"x1, y1 and x2 have the shapes {shapes[0]}, {shapes[1]} and {shapes[2]}",
            expected="features, labels and features: (n, d), (n,) and (m, d)",
            remedy="pass x1, y1, x2, y2: first all of one dataset, then all of the other",
        )


def prepare_side(
    features: Features, labels: Array, *, name: str, options: OTDDOptions
) -> tuple[LabelledSide, tuple[str, ...]]:
    """Classes from labels, a subsample where there are too many samples, and notes of both.

    Raises:
        DataError: labels that cannot be used.
    """
    codes, classes, note = any_classes(labels, len(features), name=name, options=options)
    notes = [note] if note else []
    kept = _draw(features, codes, options)
    if len(kept) < len(codes):
        notes.append(f"{name}: {len(kept)} of {len(codes)} samples, stratified by class")
    present, inverse = np.unique(codes[kept], return_inverse=True)
    names = tuple(classes[int(code)] for code in present)
    return labelled_side(features[kept], inverse.reshape(-1), names, options), tuple(notes)


def _draw(features: Features, labels: Labels, options: OTDDOptions) -> Array:
    """Positions of the samples that are used; what is drawn depends on neither their order nor the side."""
    n, limit = len(features), options.limit
    if options.outer == "sliced" or limit is None or n <= limit:
        return np.arange(n)
    order = canonical_order(features)
    return order[subsample(n, limit, seed=options.seed, stream=DRAW_STREAM, labels=labels[order])]


def _result(first: LabelledSide, second: LabelledSide, options: OTDDOptions, notes: tuple[str, ...]) -> OTDDResult:
    """Solve the outer problem about the sides' own means, and put their offset back."""
    solved = OUTER[options.outer](first, second, options)
    offset = first.mean - second.mean
    apart = float(offset @ offset)
    feature_part = solved.features + options.lambda_x * apart
    label_part = solved.labels + options.lambda_y * apart
    squared = feature_part + label_part + solved.entropy
    value = {"squared": squared, "half": squared / 2, "paper": float(np.sqrt(max(squared, 0.0)))}[options.unit]
    singles = sum(int((side.gaussians.counts == 1).sum()) for side in (first, second))
    return OTDDResult(
        value=value,
        unit=options.unit,
        feature_part=feature_part,
        label_part=label_part,
        entropy_part=solved.entropy,
        class_coupling=solved.class_coupling,
        label_distances=solved.shape + mean_distances(first, second, offset),
        first_classes=first.classes,
        second_classes=second.classes,
        evidence=solved.evidence,
        n_first=len(first.labels),
        n_second=len(second.labels),
        single_sample_classes=singles,
        notes=notes,
    )


@dataclass(frozen=True, kw_only=True)
class OTDD:
    """OTDD between target and surrogate; see ``otdd``.

    Attributes:
        options: how; the seed is that of the pair.
    """

    traits: ClassVar[Traits] = Traits(
        name="otdd",
        title="OTDD",
        formula="min_P sum_ij P_ij (|x_i - x'_j|^2 + W2^2(N_y_i, N_y'_j))",
        paper="Alvarez-Melis and Fusi, NeurIPS 2020",
        needs=("features", "labels", "surrogate", "surrogate_labels"),
        lowest=0.0,
        highest=None,
        better="lower",
        conditional=True,
        cost="O(n^2 d + n^2.5 + C S d n) time, O(n^2) memory; at most 5000 samples of each side, 2000 in measure",
        avoids="half the square returned for the distance; Sinkhorn stopped before it converged, without evidence; "
        "d(A, A) above 0; labels other than 0..K-1 refused or misread; unsquared distances of means",
        unit="squared features",
        invariant=("sample_order", "class_names", "shift", "orthogonal"),
        symmetric=True,
        fast=False,
        subsample=5000,
    )
    options: OTDDOptions = OTDDOptions()

    @property
    def limit(self) -> int | None:
        """The largest number of samples of either side; sliced ones read all."""
        return None if self.options.outer == "sliced" else self.options.limit

    def between(self, pair: PairInputs) -> float:
        """The distance, in the unit of the options.

        Raises:
            UndefinedError: one of the two has no labels.
        """
        if pair.target_labels is None or pair.surrogate_labels is None:
            missing = "target" if pair.target_labels is None else "surrogate"
            raise UndefinedError(
                f"the {missing} has no class labels",
                expected="labels on both sides",
                remedy="give labels, or use a marginal distance such as mmd2",
            )
        options = replace(self.options, seed=pair.seed)
        target, surrogate = pair.whole
        found = otdd(target, pair.target_labels, surrogate, pair.surrogate_labels, options=options).value
        return pair.in_features_units(found, squared=options.unit != "paper")
