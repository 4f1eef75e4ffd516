"""Costs and class distances from one product of the samples, against the distances themselves."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gapkit.scores.bures import squared_bures
from gapkit.scores.class_products import class_products, products_of_roots, sample_costs
from gapkit.scores.otdd_labels import labelled_side, shape_distances
from gapkit.scores.otdd_options import OTDDOptions


def side(rng, sizes, width, *, spread=1.0, options=None):
    """Classes about means of size 1."""
    labels = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = spread * rng.normal(size=(len(labels), width)) + rng.normal(size=(len(sizes), width))[labels]
    names = tuple(map(str, range(len(sizes))))
    return labelled_side(features, labels, names, OTDDOptions() if options is None else options)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.3, 2.5), (0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("width", [1, 7])
def test_sample_costs_are_distances_of_samples_and_of_their_classes(width, weights):
    rng = np.random.default_rng(0)
    first, second = side(rng, (9, 1, 14), width), side(rng, (5, 12), width)
    options = OTDDOptions(lambda_x=weights[0], lambda_y=weights[1])
    distances = rng.uniform(size=(3, 2))
    expected = weights[0] * cdist(first.features, second.features, "sqeuclidean")
    expected += weights[1] * distances[first.labels][:, second.labels]
    assert sample_costs(first, second, distances, options) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    products = class_products(first, second)
    found = sample_costs(first, second, distances, options, products)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert np.shares_memory(found, products)  # no second matrix (n, m)


def test_classes_that_lie_far_apart_keep_the_digits_of_their_samples():
    """Spreads of 1e-6 about means of 1: a product of the samples themselves would have 4 digits of a distance left."""
    rng = np.random.default_rng(1)
    first = side(rng, (20, 30), 5, spread=1e-6)
    costs = sample_costs(first, first, np.zeros((2, 2)), OTDDOptions())
    expected = cdist(first.features, first.features, "sqeuclidean")
    same = first.labels[:, None] == first.labels
    np.fill_diagonal(same, val=False)
    assert costs[same] == pytest.approx(expected[same], rel=1e-9)


@pytest.mark.parametrize("correction", [0, 1])
def test_products_of_roots_are_those_of_the_roots(correction):
    rng = np.random.default_rng(2)
    options = OTDDOptions(correction=correction)
    first, second = side(rng, (4, 1, 6), 8, options=options), side(rng, (5, 5, 7, 5), 8, options=options)
    between = products_of_roots(class_products(first, second), first, second, correction)
    for row, root in enumerate(first.gaussians.roots):
        expected = np.stack([root @ second.gaussians.roots[column].T for column in (0, 1, 3)])
        assert between(row, np.array([0, 1, 3])) == pytest.approx(expected, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("sizes", [(4, 6), (4, 30)])
@pytest.mark.parametrize("covariance", ["full", "diagonal", "shrunk"])
def test_class_distances_are_the_same_with_products_at_hand(covariance, sizes):
    """With more samples than features in a class, and with other covariances, roots are not the samples."""
    rng = np.random.default_rng(3)
    options = OTDDOptions(covariance=covariance)
    first, second = side(rng, sizes, 8, options=options), side(rng, (5, 7, 5), 8, options=options)
    assert first.gaussians.of_samples == (covariance == "full" and max(sizes) <= 8)
    found = shape_distances(first, second, options, class_products(first, second))
    assert found == pytest.approx(squared_bures(first.gaussians, second.gaussians), rel=1e-10)
