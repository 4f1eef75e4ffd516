"""k nearest neighbours: exact, for every fold from one pass over the distances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from gapkit.arrays import AnyShape, Features, Floats, Indices, Labels, Mask, PerSample, TargetProbabilities, generator
from gapkit.statistics.logistic import log_loss
from gapkit.statistics.scaling import Scaling, fit_scaling
from gapkit.statistics.splits import Split

Nearby = Int64[np.ndarray[AnyShape, np.dtype[np.int64]], "..."]
"""Positions, or labels, (m, k) of the k neighbours of m samples."""
SIZES = (1, 3, 10, 30, 100)
"""Candidates of k."""
TIE_STREAM = 5
RESOLUTION = 2.0**32
"""Distances that differ by less than this part of the largest possible one are ties; rounding is far below it."""
EXACT = 2.0**52
"""Largest key: distance and position are one number, exact in float64."""
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
    total = len(references)
    norms = np.square(references).sum(axis=1)
    right = np.vstack([-2 * references.T, norms])
    reach = np.square(np.sqrt(np.square(queries).sum(axis=1)) + np.sqrt(norms.max(initial=0.0)))
    unit = min(RESOLUTION, EXACT / total) / np.where(reach > 0, reach, 1.0)
    left = np.hstack([queries, np.ones((len(queries), 1))]) * unit[:, None]
    found = np.empty((len(queries), count), dtype=np.int64)
    step = max(1, BLOCK_ENTRIES // total)
    positions = np.arange(total, dtype=np.float64)
    for start in range(0, len(queries), step):
        keys = left[start : start + step] @ right
        np.rint(keys, out=keys)
        keys *= total
        keys += positions
        if count < total:
            keys.partition(count - 1, axis=1)
        found[start : start + step] = np.sort(keys[:, :count], axis=1) % total
    return found


@dataclass(frozen=True, kw_only=True)
class Neighbourhood:
    """Standardised samples, each with the candidates for its neighbours in whatever fold.

    Standardised by all samples, so that one pass over the distances serves all folds; no label enters.

    Attributes:
        scaling: of all samples.
        points: (n, k) standardised features.
        order: (n,) seeded order of the samples, by which ties are broken: their own order may follow the labels.
        candidates: (n, m) the nearest samples of each sample, itself among them, nearest first.
    """

    scaling: Scaling
    points: Floats
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
            references = self.order[allowed[self.order]]
            left = nearest(self.points[rows[~complete]], self.points[references], count)
            found[~complete] = references[left]
        return found


def make_neighbourhood(features: Features, splits: list[Split], *, seed: int, most: int = SIZES[-1]) -> Neighbourhood:
    """Candidates enough for ``most`` neighbours on the inner fitting side of nearly every sample.

    Args:
        features: (n, d).
        splits: whose fitting sides neighbours will be asked from.
        seed: of the order that breaks ties.
        most: largest k.
    """
    scaling = fit_scaling(features)
    points = scaling.apply(features)
    order = generator(seed, TIE_STREAM).permutation(len(points))
    share = min(float(split.inner_fit.mean()) for split in splits)
    # The number of allowed ones among m candidates is about binomial: four standard deviations more than on average.
    count = int(np.ceil((most + 4 * np.sqrt(most * (1 - share))) / share)) + 1
    candidates = order[nearest(points, points[order], min(count, len(points)))]
    return Neighbourhood(scaling=scaling, points=points, order=order, candidates=candidates)


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """A fitted vote of neighbours ``q = (k p + pi) / (k + 1)``, p the label shares among the k nearest.

    Attributes:
        scaling: of the features.
        references: (n_fit, k) standardised features of the fitting side.
        labels: (n_fit,) their class codes.
        size: k.
        prior: (K,) pi.
    """

    scaling: Scaling
    references: Floats
    labels: Labels
    size: int
    prior: Floats

    def predict(self, features: Features) -> TargetProbabilities:
        """Probabilities (n, K) of samples that are not among the references."""
        found = nearest(self.scaling.apply(features), self.references, self.size)
        return vote(self.labels[found], self.prior)


@dataclass(frozen=True, kw_only=True)
class ChosenNeighbours:
    """A vote of neighbours whose k was chosen.

    Attributes:
        model: with all samples of the fitting side.
        validation: (n_v, K) probabilities of the validation samples, which are no neighbours of each other.
        scored: (n_s, K) probabilities of the scored samples.
        nearest: (n_s, most) fitting samples next to each scored one, nearest first, for any k up to ``most``.
    """

    model: Neighbours
    validation: Floats
    scored: Floats
    nearest: Nearby


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
    near = labels[neighbourhood.among(rows, split.inner_fit, most)]
    tried = [vote(near[:, :size], prior) for size in allowed]
    best = int(np.argmin([criterion(q[np.arange(len(rows)), labels[rows]]) for q in tried]))
    found = neighbourhood.among(np.flatnonzero(split.scored), split.fit, most)
    references = neighbourhood.order[split.fit[neighbourhood.order]]
    model = Neighbours(
        scaling=neighbourhood.scaling,
        references=neighbourhood.points[references],
        labels=labels[references],
        size=allowed[best],
        prior=prior,
    )
    scored = vote(labels[found[:, : allowed[best]]], prior)
    return ChosenNeighbours(model=model, validation=tried[best], scored=scored, nearest=found)
