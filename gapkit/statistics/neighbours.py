"""k nearest neighbours: exact, for every fold from one pass over the distances.

Memory beside the features: some hundred indices of neighbours for each sample, six blocks of ``BLOCK_BYTES``, and of
standardised features ``stacked.HELD`` bytes; more of them are computed again for every block of queries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from gapkit.arrays import (
    AnyShape,
    Features,
    Floats,
    Indices,
    Labels,
    Mask,
    PerSample,
    TargetProbabilities,
    generator,
    spans,
)
from gapkit.statistics.logistic import log_loss
from gapkit.statistics.mapped import MappedRows
from gapkit.statistics.scaling import Scaling, fit_scaling
from gapkit.statistics.splits import Split
from gapkit.statistics.totals import CACHED

Nearby = Int64[np.ndarray[AnyShape, np.dtype[np.int64]], "..."]
"""Positions, or labels, (m, k) of the k neighbours of m samples."""
SIZES = (1, 3, 10, 30, 100)
"""Candidates of k."""
TIE_STREAM = 5
RESOLUTION = 2.0**32
"""Distances that differ by less than this part of the largest possible one are ties; rounding is far below it."""
EXACT = 2.0**52
"""Largest key: distance and position are one number, exact in float64."""
BLOCK_BYTES = 1 << 24
"""Of queries, and of references, that are compared at once: rows that are not kept are computed few times."""
BLOCK_ENTRIES = 1 << 20
"""Distances that are held at once (8 MB)."""


def nearest(queries: Floats, references: Floats, count: int) -> Nearby:
    """Positions (m, count) of the references nearest to each query in Euclidean distance, nearest first.

    References as far as each other come in their order. ``|x - y|^2 = |x|^2 - 2 x y + |y|^2`` needs one product for a
    block of queries; |x|^2 is left out, as it orders nothing. The distance, rounded to an integer, and the position are
    joined into one number, so that a selection of the least numbers is the answer and no tie is left to chance.

    Args:
        queries: (m, d).
        references: (r, d), about centred: cancellation grows with their distance from 0.
        count: at most r.

    Example:
        >>> nearest(np.array([[0.9]]), np.array([[0.0], [1.0], [3.0], [1.0]]), 3).tolist()
        [[1, 3, 0]]
    """
    found = np.empty((len(queries), count), dtype=np.int64)
    left, right = (
        MappedRows(rows=rows, width=rows.shape[1] + 1, function=_with_norms) for rows in (queries, references)
    )
    for place, near in _nearest(left, right, count):
        found[place] = near
    return found


def _with_norms(rows: Floats) -> Floats:
    """Rows (m, d) with their squared length beside them."""
    return np.hstack([rows, np.einsum("ij,ij->i", rows, rows)[:, None]])


def _nearest(queries: MappedRows, references: MappedRows, count: int) -> Iterator[tuple[slice, Nearby]]:
    """As ``nearest``, block by block of queries; of queries and references, blocks of rows with norms are held."""
    total = len(references)
    farthest = max(float(block[:, -1].max()) for _, block in references)
    for place, block in queries.by(BLOCK_BYTES):
        reach = np.square(np.sqrt(block[:, -1]) + np.sqrt(farthest))
        unit = min(RESOLUTION, EXACT / total) / np.where(reach > 0, reach, 1.0)
        left = np.empty_like(block)
        np.multiply(block[:, :-1], -2 * unit[:, None], out=left[:, :-1])
        left[:, -1] = unit
        yield place, np.sort(_least_keys(left, references, count), axis=1).astype(np.int64) % total


def _least_keys(left: Floats, references: MappedRows, count: int) -> Floats:
    """The ``count`` least keys ``rint(left right') r + position`` (m, count) among all r references, in any order."""
    least = np.full((len(left), count), np.inf)
    for place, right in references.by(BLOCK_BYTES):
        positions = np.arange(place.start, place.stop, dtype=np.float64)
        step = max(1, BLOCK_ENTRIES // len(right))
        for start in range(0, len(left), step):
            best = least[start : start + step]
            keys = np.empty((len(best), count + len(right)))
            keys[:, :count], own = best, keys[:, count:]
            np.matmul(left[start : start + step], right.T, out=own)
            np.rint(own, out=own)
            own *= len(references)
            own += positions
            keys.partition(count - 1, axis=1)
            best[:] = keys[:, :count]
    return least


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """Samples, each with the candidates for its neighbours in whatever fold.

    Standardised by all samples, so that one pass over the distances serves all folds; no label enters. Standardised
    features are computed when they are compared.

    Attributes:
        features: (n, d).
        scaling: of all samples.
        order: (n,) seeded order of the samples, by which ties are broken: their own order may follow the labels.
        candidates: (n, m) the nearest samples of each sample, itself among them, nearest first.
    """

    features: Features
    scaling: Scaling
    order: Indices
    candidates: Nearby

    def among(self, rows: Indices, allowed: Mask, count: int) -> Nearby:
        """The nearest ``count`` of the allowed samples (len(rows), count) for each of some samples, nearest first.

        Samples with fewer allowed candidates than that are compared with all allowed samples.
        """
        near = self.candidates[rows]
        fits = allowed[near]
        rank = fits.cumsum(axis=1)
        complete = rank[:, -1] >= count
        found = np.empty((len(rows), count), dtype=np.int64)
        found[complete] = near[complete][(fits & (rank <= count))[complete]].reshape(-1, count)
        if not complete.all():
            left, references = np.flatnonzero(~complete), self.order[allowed[self.order]]
            for place, missing in _nearest(self.points(rows[left]), self.points(references), count):
                found[left[place]] = references[missing]
        return found

    def points(self, index: Indices) -> MappedRows:
        """Standardised samples at ``index`` with their norms, (len(index), k + 1)."""
        return _standardised(self.features, self.scaling, index)


def _standardised(features: Features, scaling: Scaling, index: Indices) -> MappedRows:
    """Rows ``[z, |z|^2]``, z standardised features, of the samples at ``index``."""
    return MappedRows(
        rows=index,
        width=len(scaling.columns) + 1,
        function=lambda some: _with_norms(scaling.apply(features[some])),
        reads=features.shape[1],
    )


def make_neighbourhood(features: Features, splits: list[Split], *, seed: int, most: int = SIZES[-1]) -> Neighbourhood:
    """Candidates enough for ``most`` neighbours on the inner fitting side of nearly every sample.

    Args:
        features: (n, d).
        splits: whose fitting sides neighbours will be asked from.
        seed: of the order that breaks ties.
        most: largest k.
    """
    scaling, n = fit_scaling(features), len(features)
    order = generator(seed, TIE_STREAM).permutation(n)
    share = min(float(split.inner_fit.mean()) for split in splits)
    # The number of allowed ones among m candidates is about binomial: four standard deviations more than on average.
    count = min(int(np.ceil((most + 4 * np.sqrt(most * (1 - share))) / share)) + 1, n)
    points, candidates = _standardised(features, scaling, order), np.empty((n, count), dtype=np.int64)
    for place, near in _nearest(points, points, count):
        candidates[order[place]] = order[near]
    return Neighbourhood(features=features, scaling=scaling, order=order, candidates=candidates)


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """A fitted vote of neighbours ``q = (k p + pi) / (k + 1)``, p the label shares among the k nearest.

    Attributes:
        scaling: of the features.
        references: (n_fit, d + 1) standardised features of the fitting side with their norms.
        labels: (n_fit,) their class codes.
        size: k.
        prior: (K,) pi.
    """

    scaling: Scaling
    references: MappedRows
    labels: Labels
    size: int
    prior: Floats

    def predict(self, features: Features) -> TargetProbabilities:
        """Probabilities (n, K) of samples that are not among the references."""
        queries = _standardised(features, self.scaling, np.arange(len(features)))
        near = [vote(self.labels[found], self.prior) for _, found in _nearest(queries, self.references, self.size)]
        return np.concatenate(near)


@dataclass(frozen=True, kw_only=True)
class ChosenNeighbours:
    """A vote of neighbours whose k was chosen.

    Attributes:
        model: with all samples of the fitting side.
        labels: (n,) class codes of all samples.
        nearest_validation: (n_v, k) inner fitting samples next to each validation sample.
        nearest: (n_s, most) fitting samples next to each scored one, nearest first, for any k up to ``most``.
    """

    model: Neighbours
    labels: Labels
    nearest_validation: Nearby
    nearest: Nearby

    @cached_property
    def validation(self) -> Floats:
        """(n_v, K) probabilities of the validation samples, which are no neighbours of each other."""
        return vote(self.labels[self.nearest_validation], self.model.prior)

    @cached_property
    def scored(self) -> Floats:
        """(n_s, K) probabilities of the scored samples."""
        return np.concatenate([q for _, q in self.blocks()])

    def blocks(self) -> Iterator[tuple[slice, TargetProbabilities]]:
        """Probabilities of the scored samples, some at a time, with their places among these."""
        near, prior = self.nearest[:, : self.model.size], self.model.prior
        for place in spans(len(near), 8 * max(self.model.size, len(prior)), CACHED):
            yield place, vote(self.labels[near[place]], prior)


def vote(labels: Nearby, prior: Floats) -> TargetProbabilities:
    """``(k p + pi) / (k + 1)`` (n, K) from the labels (n, k) of neighbours.

    Example:
        >>> vote(np.array([[0, 0, 1]]), np.array([0.5, 0.5])).tolist()
        [[0.625, 0.375]]
    """
    count, size = len(labels), int(labels.shape[1])
    own: Indices = labels.reshape(-1)
    rows: Indices = np.repeat(np.arange(count, dtype=np.int64), size)
    votes = np.bincount(own + len(prior) * rows, minlength=count * len(prior)).reshape(count, -1)
    return (votes + prior) / (size + 1)


def choose_neighbours(
    neighbourhood: Neighbourhood,
    labels: Labels,
    split: Split,
    prior: Floats,
    *,
    criterion: Callable[[PerSample], float] = log_loss,
) -> ChosenNeighbours:
    """The vote of neighbours with the k of least validation loss among ``SIZES``; the smallest k of equals.

    Args:
        neighbourhood: of all samples.
        labels: (n,) class codes.
        split: fitting side, inner split and scored samples. A k above the inner fitting side's size is left out.
        prior: (K,) class prior pi, positive.
        criterion: loss from the probabilities (n_v,) that the validation samples' own classes get.
    """
    most = min(SIZES[-1], int(split.inner_fit.sum()))
    allowed = [size for size in SIZES if size <= most]
    rows = np.flatnonzero(split.validation)
    near = neighbourhood.among(rows, split.inner_fit, most)
    own = labels[rows]
    alike, shares = labels[near] == own[:, None], prior[own]
    losses = [criterion((alike[:, :size].sum(axis=1) + shares) / (size + 1)) for size in allowed]
    size = allowed[int(np.argmin(losses))]
    references = neighbourhood.order[split.fit[neighbourhood.order]]
    model = Neighbours(
        scaling=neighbourhood.scaling,
        references=neighbourhood.points(references),
        labels=labels[references],
        size=size,
        prior=prior,
    )
    return ChosenNeighbours(
        model=model,
        labels=labels,
        nearest_validation=near[:, :size],
        nearest=neighbourhood.among(np.flatnonzero(split.scored), split.fit, most),
    )
