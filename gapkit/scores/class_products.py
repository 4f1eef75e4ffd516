"""Inner products of samples about the means of their classes, which OTDD's costs of both kinds are made of."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from scipy.linalg import blas  # pyright: ignore[reportMissingTypeStubs]
from scipy.spatial.distance import cdist

from gapkit.arrays import Features, Floats, Indices, Labels
from gapkit.scores.bures import CrossProducts, PerPair
from gapkit.scores.coupling import Matrix
from gapkit.scores.otdd_options import OTDDOptions


class Labelled(Protocol):
    """Samples with their classes."""

    @property
    def features(self) -> Features:
        """(n, d) about their mean."""
        ...

    @property
    def labels(self) -> Labels:
        """(n,) class codes; every class has a sample."""
        ...

    @property
    def class_means(self) -> Floats:
        """(K, d) of the classes, about the same mean."""
        ...


def class_products(first: Labelled, second: Labelled) -> Matrix:
    """``<z_i, z'_j>`` (n, m) of ``z = x - m_c``, the samples about the means of their classes."""
    return _within_classes(first) @ _within_classes(second).T


def products_of_roots(products: Matrix, first: Labelled, second: Labelled, correction: int) -> CrossProducts:
    """``R1 R2'`` between classes whose roots are ``z / (n_c - correction)^(1/2)``, taken from the products."""
    rows, columns = _members(first), _members(second)

    def between(row: int, several: Indices) -> Floats:
        block = products[rows[row]]
        found = np.stack([block[:, columns[column]] for column in several.tolist()])
        found /= np.sqrt(np.maximum(np.array(found.shape[1:]) - correction, 1).prod())
        return found

    return between


def sample_costs(
    first: Labelled, second: Labelled, distances: PerPair, options: OTDDOptions, products: Matrix | None = None
) -> Matrix:
    """``lambda_x |x_i - x'_j|^2 + lambda_y W^2(y_i, y'_j)`` (n, m) about the sides' own means.

    ``|x - x'|^2`` is ``-2 <z, z'>``, a number for each sample and class of the other side, and one for each pair of
    classes: from the products it takes one more product, of rank K1 + K2.

    Args:
        first: one dataset.
        second: the other dataset.
        distances: (K1, K2) W^2.
        options: the weights.
        products: ``class_products`` of the two; overwritten.
    """
    products = class_products(first, second) if products is None else products
    left, right = options.lambda_x * _to_classes(first, second), options.lambda_x * _to_classes(second, first)
    means = cdist(first.class_means, second.class_means, "sqeuclidean")
    right += (options.lambda_x * means + options.lambda_y * distances).T[second.labels]
    rows = np.hstack([left, np.eye(len(first.class_means))[first.labels]])
    columns = np.hstack([np.eye(len(second.class_means))[second.labels], right])
    library: Any = blas
    # In place: rows and columns change their roles because BLAS counts in Fortran's order.
    cost = library.dgemm(
        1.0, columns.T, rows.T, beta=-2 * options.lambda_x, c=products.T, trans_a=True, overwrite_c=True
    ).T
    return np.maximum(cost, 0.0, out=cost)


def _to_classes(side: Labelled, other: Labelled) -> Floats:
    """``|z|^2 + 2 <z, m_c - m'_k>`` (n, K') with the classes k of the other side."""
    within = _within_classes(side)
    own = np.einsum("ij,ij->i", within, within + 2 * side.class_means[side.labels])
    return own[:, None] - 2 * within @ other.class_means.T


def _within_classes(side: Labelled) -> Features:
    """The samples (n, d) about the means of their classes."""
    return side.features - side.class_means[side.labels]


def _members(side: Labelled) -> list[Indices]:
    """Positions of the samples of each class."""
    return [np.flatnonzero(side.labels == code) for code in range(len(side.class_means))]
