"""Features as points: centred, turned, summed by class."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.scores.points import centre, class_sums, turn


def test_centred_columns_have_mean_zero_and_constant_ones_are_exactly_zero():
    rng = np.random.default_rng(0)
    features = np.hstack([rng.normal(size=(7, 2)), np.tile([0.1, 1e9 / 3], (7, 1))])
    before = features.copy()
    centred = centre(features)
    assert centred[:, :2] == pytest.approx(features[:, :2] - features[:, :2].mean(axis=0))
    assert (centred[:, 2:] == 0).all()
    assert (features == before).all()
    assert np.abs(np.tile(0.1, 7) - np.tile(0.1, 7).mean()).max() > 0  # what the mean alone leaves


@pytest.mark.parametrize(("n", "width"), [(5, 9), (9, 5), (4, 4)])
def test_turned_points_have_the_same_inner_products_in_fewer_columns(n, width):
    points = np.random.default_rng(1).normal(size=(n, width))
    turned = turn(points)
    assert turned.shape == (n, min(n, width))
    assert turned @ turned.T == pytest.approx(points @ points.T)


def test_sums_by_class_equal_a_loop():
    rng = np.random.default_rng(2)
    points, codes = rng.normal(size=(30, 4)), rng.integers(5, size=30)
    expected = np.zeros((6, 4))
    for row, code in zip(points, codes, strict=True):
        expected[code] += row
    assert class_sums(points, codes, 6) == pytest.approx(expected)
