"""Frechet distance: the paper's formula, closed forms, any rank, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import DataError, UndefinedError
from gapkit.scores import frechet
from gapkit.scores.frechet import Frechet, frechet_distance
from gapkit.scores.inputs import PairInputs


def naive_frechet(x, y):
    """The paper's formula with scipy's matrix root, for covariances of full rank."""
    first, second = (np.atleast_2d(np.cov(side, rowvar=False)) for side in (x, y))
    root = scipy.linalg.sqrtm(first @ second)
    return np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + np.trace(first + second - 2 * root.real)


def two_samples(seed, n=40, m=30, d=5):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(count, d)) @ rng.normal(size=(d, d)) for count in (n, m))
    return x, 0.5 + y


def rotation(rng, d):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


@pytest.mark.parametrize("d", [1, 2, 5, 12])
def test_it_is_the_paper_s_formula(d):
    x, y = two_samples(d, d=d)
    assert frechet_distance(x, y) == pytest.approx(naive_frechet(x, y), rel=1e-8)


@pytest.mark.parametrize(("n", "m", "d"), [(100, 37, 3), (40, 9, 4), (9, 5, 6)])
def test_rows_are_taken_in_block_by_block(monkeypatch, n, m, d):
    x, y = two_samples(1, n, m, d)
    expected = frechet_distance(x, y)
    monkeypatch.setattr(frechet, "LEAST_ROWS", 1)
    monkeypatch.setattr(frechet, "ROWS_PER_FEATURE", 1)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-12)


def test_of_diagonal_covariances_it_is_the_distance_of_the_standard_deviations():
    cross = np.vstack([np.eye(3), -np.eye(3)])  # orthogonal columns, so that the covariance is diagonal
    x, y = cross * np.array([1.0, 2.0, 3.0]), cross * np.array([4.0, 2.0, 0.5]) + np.array([1.0, -2.0, 2.0])
    expected = 9 + 2 / 5 * (9 + 0 + 2.5**2)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 8), m=st.integers(2, 8))
def test_fewer_samples_than_features_are_exact_in_the_space_that_they_span(seed, n, m):
    x, y = two_samples(seed, n, m, 20)
    # What both span has n + m - 1 dimensions, where covariances still have no full rank: eigenvalues of their product.
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values = np.linalg.eigvalsh(scipy.linalg.sqrtm(first + 0j).real @ second @ scipy.linalg.sqrtm(first + 0j).real)
    top = np.sort(values)[::-1][: min(n, m) - 1]
    expected = np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + np.trace(first + second) - 2 * np.sqrt(top).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)
    # And as if in that space from the start: a rotation into n + m coordinates.
    basis = np.linalg.qr(np.vstack([x, y]).T)[0]
    assert frechet_distance(x @ basis, y @ basis) == pytest.approx(frechet_distance(x, y), rel=1e-8)


def test_rank_one_and_constant_features():
    t = np.array([[0.0], [1.0], [5.0]])
    u, v = np.array([[0.6, 0.8, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    x, y = t @ u, 2 * t @ v
    spread = t.var(ddof=1)
    expected = np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + spread * (1 + 4 - 2 * 2 * 0.8)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-8)
    same = np.full((3, 2), 0.1)
    assert frechet_distance(same, same[:2]) == 0.0
    assert frechet_distance(same, same + np.array([3.0, 4.0])) == pytest.approx(25.0, rel=1e-12)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 12), m=st.integers(2, 12), d=st.integers(1, 15))
def test_order_sides_shifts_and_rotations_change_nothing_and_scales_multiply(seed, n, m, d):
    x, y = two_samples(seed, n, m, d)
    rng, expected = np.random.default_rng(seed), frechet_distance(x, y)
    turn, near = rotation(rng, d), pytest.approx(expected, rel=1e-8)
    assert frechet_distance(rng.permutation(x), rng.permutation(y)) == near
    assert frechet_distance(y, x) == near
    assert frechet_distance(x @ turn + 100, y @ turn + 100) == near
    for scale in (1e-8, 1e8):
        assert frechet_distance(scale * x, scale * y) / scale**2 == near
    assert expected >= 0


def test_a_sample_is_nothing_apart_from_itself_and_small_differences_are_kept():
    x, _ = two_samples(3, n=200, d=30)
    trace = x.var(axis=0, ddof=1).sum()
    assert 0 <= frechet_distance(x, np.random.default_rng(0).permutation(x)) < 1e-13 * trace
    centred = x - x.mean(axis=0)
    assert frechet_distance(centred, 1.001 * centred) == pytest.approx(1e-6 * trace, rel=1e-8)


def test_small_variances_beside_large_ones_keep_their_digits():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(50, 2)) * np.array([1e7, 1e-1])
    y = x * np.array([1.0, 3.0])
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    # C1 and C2 = T C1 T with T = diag(1, 3): for the exact root, eigenvalues of 2 x 2 matrices.
    first, second = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    determinant = np.sqrt(np.linalg.det(first) * np.linalg.det(second))
    root = np.sqrt(np.trace(first @ second) + 2 * determinant)
    assert abs(frechet_distance(x, y) - (np.trace(first + second) - 2 * root)) < 1e-14 * np.trace(first)


def test_the_estimator_is_the_function():
    x, y = two_samples(5)
    assert Frechet().between(PairInputs(target=x, surrogate=y)) == frechet_distance(x, y)


def test_it_grows_as_samples_get_smaller_although_nothing_differs():
    rng = np.random.default_rng(6)
    means = [
        np.mean([frechet_distance(rng.normal(size=(n, 8)), rng.normal(size=(n, 8))) for _ in range(20)])
        for n in (10, 40, 160)
    ]
    assert means[0] > 2 * means[1] > 4 * means[2] > 0


def test_what_cannot_be_measured_is_refused_in_words():
    x = np.zeros((3, 2))
    with pytest.raises(UndefinedError, match="1 samples beside 3; expected at least 2 on either side for a covariance"):
        frechet_distance(x[:1], x)
    with pytest.raises(DataError, match="x has 2 features and y has 1"):
        frechet_distance(x, x[:, :1])
