"""Representational similarity analysis: do two layers find the same pairs of samples alike?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from gapkit.arrays import Array, Features, Floats
from gapkit.errors import OptionError, UndefinedError
from gapkit.options import check_least
from gapkit.reuse.paired import centre, check_paired, draw_paired
from gapkit.scores.pair_ranks import centred_ranks
from gapkit.scores.pairwise import squared_distances
from gapkit.types import Traits

SAMPLES = 2000
"""2 million pairs, whose distances and ranks take about 100 MB."""
RSA_STREAM = 80
LEAST_NORM = 1e-12
"""Of a centred row, as a share of the row itself; below it the row is constant but for rounding."""
EQUAL = 1e-12
"""Spread of distances, as a share of their size, that is rounding."""
DistanceName = Literal["correlation", "cosine", "euclidean"]
CorrelationName = Literal["spearman", "pearson"]


def rsa(
    x: Array,
    y: Array,
    *,
    distance: DistanceName = "correlation",
    correlation: CorrelationName = "spearman",
    samples: int = SAMPLES,
    seed: int = 0,
) -> float:
    """Correlation, over all pairs of samples, of their distances in x and in y (Kriegeskorte et al., 2008).

    In [-1, 1], without unit, higher for layers that are more alike, 0 on average for independent features, 1 for equal
    ones. What else changes nothing follows from the distance: "correlation" (``1 - corr`` of two rows, as in the paper)
    ignores shift and scale of each sample, "cosine" (``1 - cos``) its scale and orthogonal maps of the
    features, "euclidean" shifts and orthogonal maps of the features and one factor. Under "spearman" distances
    that agree to 2^-36 of the largest possible one are ties, at their average rank, so that rounding breaks none.

    A sample whose features are all the same number has no correlation, and one of zeros no cosine: it gets the distance
    1 from all others (0 from its like) instead of NaN.

    Args:
        x: (n, d), n >= 3; d >= 2 for correlation distances (3 to tell more than two of them apart).
        y: (n, d') of the same samples.
        distance: "correlation", "cosine" or "euclidean".
        correlation: "spearman" of ranks or "pearson" of the distances themselves.
        samples: the most that are compared; of more as many are drawn, whatever their order.
        seed: of the draw.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: another distance or correlation, or fewer than 3 samples asked for.
        UndefinedError: fewer than three samples, or all pairs of a side at the same distance.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(50, 8))
        >>> y = np.random.default_rng(1).normal(size=(50, 8))
        >>> round(rsa(x, 2 * x + 1), 9), round(rsa(x, y), 2)
        (1.0, -0.02)
    """
    _check_options(distance, correlation, samples)
    check_least("seed", seed, 0)
    first, second = check_paired(x, y, least=3, measure="RSA")
    if len(first) > samples:
        drawn = draw_paired(first, second, samples, seed=seed, stream=RSA_STREAM)
        first, second = first[drawn], second[drawn]
    value = _ranks if correlation == "spearman" else _standardised
    rows = [value(_distances(side, distance, name), name) for side, name in ((first, "x"), (second, "y"))]
    return float(np.clip(rows[0] @ rows[1], -1.0, 1.0))


@dataclass(frozen=True, kw_only=True)
class RSA:
    """``rsa`` with its traits, which are those of the correlation distance.

    Attributes:
        distance: "correlation", "cosine" or "euclidean".
        correlation: "spearman" or "pearson".
        samples: the most that are compared.
        seed: of the draw.
    """

    distance: DistanceName = "correlation"
    correlation: CorrelationName = "spearman"
    samples: int = SAMPLES
    seed: int = 0

    traits: ClassVar[Traits] = Traits(
        name="rsa",
        title="RSA",
        formula="Spearman(1 - corr(x_i, x_j), 1 - corr(y_i, y_j)) over pairs of samples",
        paper="Kriegeskorte et al., Frontiers in Systems Neuroscience 2008",
        needs=("paired_features",),
        lowest=-1.0,
        highest=1.0,
        better="higher",
        conditional=False,
        invariant=("sample_order", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O(n^2 (d + d' + log n)), n at most 2000",
        subsample=SAMPLES,
        avoids="NaN of constant rows; ties broken by rounding",
    )

    def between(self, x: Array, y: Array) -> float:
        """The correlation of x (n, d) and y (n, d').

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        options = {"samples": self.samples, "seed": self.seed}
        return rsa(x, y, distance=self.distance, correlation=self.correlation, **options)


def _check_options(distance: str, correlation: str, samples: int) -> None:
    """Refuse names that are none.

    Raises:
        OptionError: names the option.
    """
    for name, given, allowed in (
        ("distance", distance, ("correlation", "cosine", "euclidean")),
        ("correlation", correlation, ("spearman", "pearson")),
    ):
        if given not in allowed:
            raise OptionError(f"{name} is {given!r}", expected=f"one of {allowed}", remedy="choose one of them")
    if samples < 3:
        raise OptionError(f"samples is {samples}", expected="at least 3", remedy="leave it at its default")


def _distances(rows: Features, distance: DistanceName, name: str) -> Floats:
    """Distances (n (n - 1) / 2,), in [0, 2], of all pairs of samples."""
    pairs = np.triu_indices(len(rows), 1)
    if distance == "euclidean":
        points = centre(rows, name)
        # Of norm 1 as a whole, no two samples are farther apart than sqrt 2.
        return np.sqrt(squared_distances(points, points)[pairs])
    units = _unit_rows(rows, centred=distance == "correlation")
    return np.clip(1 - (units @ units.T)[pairs], 0.0, 2.0)


def _unit_rows(rows: Features, *, centred: bool) -> Floats:
    """Rows of length 1, less their mean; those without a direction get one of their own, in one more column."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    scaled = rows / np.where(largest > 0, largest, 1.0)
    before = np.sqrt(np.square(scaled).sum(axis=1))
    if centred:
        scaled = scaled - scaled.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.square(scaled).sum(axis=1))
    without = norms <= LEAST_NORM * before
    units = scaled / np.where(without, 1.0, norms)[:, None]
    return np.hstack([units, without[:, None].astype(np.float64)])


def _ranks(distances: Floats, name: str) -> Floats:
    """Centred ranks with norm 1."""
    ranks, norm = centred_ranks([distances], len(distances))
    if norm == 0:
        raise _alike(name)
    return ranks / norm


def _standardised(distances: Floats, name: str) -> Floats:
    """Distances less their mean, with norm 1."""
    centred = distances - distances.mean()
    norm = float(np.sqrt(np.square(centred).sum()))
    if norm <= EQUAL * np.sqrt(np.square(distances).sum()):
        raise _alike(name)
    return centred / norm


def _alike(name: str) -> UndefinedError:
    """The error where a side says nothing about pairs."""
    return UndefinedError(
        f"{name} has all pairs of samples at the same distance, up to rounding",
        expected="samples at different distances",
        remedy="give more samples or features, or another distance",
    )
