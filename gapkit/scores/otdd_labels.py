"""The two sides of OTDD, labels of any kind as classes, and the distances between classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from gapkit.arrays import Array, Features, Floats, Labels, generator
from gapkit.coercion import as_array
from gapkit.errors import DataError
from gapkit.labels import encode_labels
from gapkit.scores.bures import ClassGaussians, PerPair, class_gaussians, squared_bures
from gapkit.scores.class_products import products_of_roots
from gapkit.scores.coupling import Matrix, exact_plan, squared_distances
from gapkit.scores.otdd_options import OTDDOptions

CLUSTER_STREAM = 51
STARTS = 10
"""Of k-means; the best one is kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledSide:
    """One dataset about its own mean.

    Moving a dataset as a whole adds to every cost a function of the row and one of the column, which changes no optimal
    coupling. So costs are taken about each side's own mean and ``|m1 - m2|^2`` is added to the value at the end: a
    distance between the datasets that is large beside their spreads takes no digits from them.

    Attributes:
        features: (n, d) centred.
        mean: (d,) what was subtracted.
        labels: (n,) class codes; every class has a sample.
        classes: names of the K classes.
        gaussians: of the classes, about ``mean``.
    """

    features: Features
    mean: Floats
    labels: Labels
    classes: tuple[str, ...]
    gaussians: ClassGaussians

    @property
    def class_means(self) -> Floats:
        """(K, d) of the classes, about ``mean``."""
        return self.gaussians.means


def labelled_side(features: Features, labels: Labels, classes: tuple[str, ...], options: OTDDOptions) -> LabelledSide:
    """Centre one side and fit its classes."""
    mean = features.mean(axis=0)
    centred = features - mean
    # Whatever the covariance, its trace is that of the diagonal one, and the other distances need no more.
    covariance = options.covariance if options.inner == "gaussian" else "diagonal"
    gaussians = class_gaussians(centred, labels, covariance=covariance, correction=options.correction)
    return LabelledSide(features=centred, mean=mean, labels=labels, classes=classes, gaussians=gaussians)


def any_classes(labels: Array, n: int, *, name: str, options: OTDDOptions) -> tuple[Labels, tuple[str, ...], str]:
    """Labels of any kind as class codes, names of the classes, and a note where they are pseudo-classes.

    Integers, whole floats, booleans and strings are classes; fractions and labels (n, k) become pseudo-classes.

    Raises:
        DataError: another length than n, or labels that are neither.
    """
    given = as_array(labels, name)
    if given.ndim == 0 or len(given) != n:
        raise DataError(
            f"{name} has shape {given.shape} beside {n} samples",
            expected="one label, or one row of labels, for each sample",
            remedy="give labels and features of the same samples",
        )
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim == 1 and not (given.dtype.kind == "f" and np.isfinite(given).all() and (given % 1 != 0).any()):
        encoded = encode_labels(given, task="classification", name=name)
        return encoded.values, encoded.class_names, ""
    codes = pseudo_classes(given, n_clusters=options.n_clusters, seed=options.seed, name=name)
    classes = tuple(f"cluster {code}" for code in range(int(codes.max()) + 1))
    return codes, classes, f"{name}: {len(classes)} pseudo-classes by k-means on the labels"


def pseudo_classes(targets: Array, *, n_clusters: int = 10, seed: int = 0, name: str = "labels") -> Labels:
    """Class codes (n,) for targets that are no classes, by k-means on the targets.

    For several labels per sample, quantities, and dense targets, as ORCA does (Shen et al., ICML 2023). Codes follow
    the first sample of each cluster. At most ``n_clusters`` distinct targets are a class each.

    Args:
        targets: (n,) or (n, ...), numbers.
        n_clusters: clusters asked for.
        seed: of the starts.
        name: how the targets are called in messages.

    Raises:
        DataError: targets that are no finite numbers.

    Example:
        >>> pseudo_classes(np.array([0.1, 5.2, 0.1, 5.3, 5.2]), n_clusters=2).tolist()
        [0, 1, 0, 1, 1]
    """
    if targets.dtype.kind not in "biuf" or not np.isfinite(targets).all():
        raise DataError(
            f"{name} has dtype {targets.dtype}", expected="finite numbers", remedy="give classes or numbers"
        )
    rows = targets.reshape(len(targets), -1).astype(np.float64)
    distinct, codes = np.unique(rows, axis=0, return_inverse=True)
    if len(distinct) > n_clusters:
        codes = _clusters(rows, n_clusters, seed)
    _, first, codes = np.unique(codes.reshape(-1), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[codes].astype(np.int64)


def shape_distances(
    first: LabelledSide, second: LabelledSide, options: OTDDOptions, products: Matrix | None = None
) -> PerPair:
    """What W^2 between classes has beside the distance of their means: (K1, K2).

    Args:
        first: one dataset.
        second: the other dataset.
        options: which distance.
        products: ``class_products`` of the two, which spare some work where they are at hand.
    """
    left, right = first.gaussians, second.gaussians
    if options.inner == "gaussian":
        if products is None or not (left.of_samples and right.of_samples):
            return squared_bures(left, right)
        return squared_bures(left, right, products_of_roots(products, first, second, options.correction))
    if options.inner == "exact":
        return _sample_distances(first, second)
    if options.inner == "upper":
        return left.traces[:, None] + right.traces
    return np.zeros((len(left.means), len(right.means)))


def mean_distances(first: LabelledSide, second: LabelledSide, offset: Floats | float = 0.0) -> PerPair:
    """``|m - m' + offset|^2`` (K1, K2) of the classes' means; with ``first.mean - second.mean`` where they are."""
    moved = first.class_means + offset
    return np.asarray(cdist(moved, second.class_means, "sqeuclidean"), dtype=np.float64)


def _sample_distances(first: LabelledSide, second: LabelledSide) -> PerPair:
    """Squared 2-Wasserstein distance of the samples of each pair of classes, each class about its own mean."""
    left, right = _members(first), _members(second)
    distances = np.empty((len(left), len(right)))
    for row, x in enumerate(left):
        for column, y in enumerate(right):
            plan, _ = exact_plan(squared_distances(x, y))
            distances[row, column] = plan.mean_squared_distance(x, y)
    return distances


def _members(side: LabelledSide) -> list[Floats]:
    """The samples of each class, about its mean."""
    means = side.class_means
    return [side.features[side.labels == code] - means[code] for code in range(len(means))]


def _clusters(rows: Floats, n_clusters: int, seed: int) -> Array:
    """Codes by k-means."""
    from sklearn import cluster  # pyright: ignore[reportMissingTypeStubs]

    library: Any = cluster

    state = int(generator(seed, CLUSTER_STREAM).integers(1 << 31))
    model = library.KMeans(n_clusters=n_clusters, n_init=STARTS, random_state=state)
    return np.asarray(model.fit_predict(rows))
