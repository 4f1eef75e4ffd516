"""The Bures distance against its definition by matrix roots and closed forms, at any rank and scale."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import ortho_group
from sklearn.covariance import ledoit_wolf

from gapkit.scores.bures import class_gaussians, squared_bures, squared_residual


def by_definition(first, second):
    """``tr C1 + tr C2 - 2 tr (C1^(1/2) C2 C1^(1/2))^(1/2)`` from covariances."""
    root = np.real(sqrtm(first))
    return float(np.trace(first) + np.trace(second) - 2 * np.real(np.trace(sqrtm(root @ second @ root))))


def sample(rng, sizes, width):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    mixing = rng.normal(size=(len(sizes), width, width))
    return np.einsum("nd,nde->ne", rng.normal(size=(len(labels), width)), mixing[labels]), labels


@pytest.mark.parametrize("correction", [0, 1])
def test_equals_the_definition_by_matrix_roots(correction):
    rng = np.random.default_rng(0)
    (x, a), (y, b) = sample(rng, (30, 25, 40), 5), sample(rng, (33, 12), 5)
    found = squared_bures(*(class_gaussians(f, k, correction=correction) for f, k in ((x, a), (y, b))))
    for i in range(3):
        for j in range(2):
            pair = np.cov(x[a == i].T, ddof=correction), np.cov(y[b == j].T, ddof=correction)
            assert found[i, j] == pytest.approx(by_definition(*pair), rel=1e-9)


def test_shrunk_covariances_are_those_of_ledoit_and_wolf():
    rng = np.random.default_rng(1)
    (x, a), (y, b) = sample(rng, (30, 3), 6), sample(rng, (20,), 6)
    found = squared_bures(*(class_gaussians(f, k, covariance="shrunk", correction=0) for f, k in ((x, a), (y, b))))
    for i in range(2):
        assert found[i, 0] == pytest.approx(by_definition(ledoit_wolf(x[a == i])[0], ledoit_wolf(y)[0]), rel=1e-7)


def test_diagonal_covariances_are_compared_feature_by_feature():
    rng = np.random.default_rng(2)
    (x, a), (y, b) = sample(rng, (9, 1), 4), sample(rng, (7,), 4)
    found = squared_bures(*(class_gaussians(f, k, covariance="diagonal") for f, k in ((x, a), (y, b))))
    expected = np.square(x[:9].std(axis=0, ddof=1) - y.std(axis=0, ddof=1)).sum()
    assert found[:, 0] == pytest.approx([expected, y.var(axis=0, ddof=1).sum()])


def test_commuting_covariances_differ_by_their_roots():
    """``|C1^(1/2) - C2^(1/2)|^2`` where both have the same axes."""
    rng = np.random.default_rng(3)
    axes = ortho_group.rvs(6, random_state=3)
    first, second = rng.uniform(size=6), rng.uniform(size=6)
    second[2] = 0.0
    roots = [np.diag(values) @ axes for values in (first, second)]
    assert squared_residual(*roots) == pytest.approx(np.square(first - second).sum(), rel=1e-12)


def rotated(rng, count, width):
    """A root of ``count`` rows and another one of the same covariance."""
    root = rng.normal(size=(count, width))
    return root, ortho_group.rvs(count, random_state=5) @ root


def test_equal_covariances_are_zero_apart_even_after_the_root():
    rng = np.random.default_rng(4)
    for count, width in ((4, 9), (9, 4), (5, 5)):
        first, second = rotated(rng, count, width)
        assert np.sqrt(squared_residual(first, second)) < 1e-13 * np.linalg.norm(first)
    x, a = sample(rng, (3, 20, 1), 5)
    fitted = class_gaussians(x, a)
    assert np.sqrt(squared_bures(fitted, fitted).diagonal()).max() < 1e-13


def test_small_distances_keep_their_digits():
    """C and (1 + h)^2 C are ``h^2 tr C`` apart; the plain difference of traces has no digit of it left at h = 1e-9."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(50, 4))
    x -= x.mean(axis=0)
    labels = np.zeros(50, dtype=int)
    for h in (1e-9, 1e-6, 1e-3, 0.1):
        found = squared_bures(class_gaussians(x, labels), class_gaussians(x + h * x, labels))
        assert found[0, 0] == pytest.approx(h**2 * class_gaussians(x, labels).traces[0], rel=1e-6)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("sizes", [(1, 2), (3, 4), (12, 3), (15, 11)])
def test_any_rank_and_scale(sizes, scale):
    """The definition again; roots of eigenvalues that are rounding limit it, not the code under test."""
    rng = np.random.default_rng(7)
    (x, _), (y, _) = sample(rng, sizes[:1], 8), sample(rng, sizes[1:], 8)
    fitted = [class_gaussians(scale * f, np.zeros(len(f), dtype=int)) for f in (x, y)]
    first, second = (
        (f - f.mean(axis=0)).T @ (f - f.mean(axis=0)) / max(len(f) - 1, 1) if len(f) > 1 else np.zeros((8, 8))
        for f in (x, y)
    )
    values, vectors = np.linalg.eigh(first)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    expected = np.trace(first) + np.trace(second) - 2 * cross
    assert squared_bures(*fitted)[0, 0] / scale**2 == pytest.approx(expected, rel=1e-6)


def test_constant_and_duplicated_samples_are_no_special_case():
    constant = class_gaussians(np.full((6, 3), 0.1), np.zeros(6, dtype=int))
    unit = class_gaussians(np.array([[1.0, 0, 0], [-1.0, 0, 0]] * 3), np.zeros(6, dtype=int), correction=0)
    assert squared_bures(constant, unit)[0, 0] == pytest.approx(1.0)
    for covariance in ("full", "diagonal", "shrunk"):
        zero = class_gaussians(np.zeros((6, 3)), np.array([0] * 5 + [1]), covariance=covariance)
        assert (squared_bures(zero, zero) == 0).all()


@pytest.mark.parametrize("scale", [1e-150, 1e-80, 1e80, 1e150])
def test_no_scale_and_no_rounding_changes_the_shrinkage(scale):
    rng = np.random.default_rng(8)
    x, labels = rng.normal(size=(12, 4)), np.zeros(12, dtype=int)
    plain, scaled = (class_gaussians(f, labels, covariance="shrunk").roots[0] for f in (x, scale * x))
    assert scaled.T / scale @ scaled / scale == pytest.approx(plain.T @ plain, rel=1e-9)
    # The mean of 0.1 is rounded, and what is left of the samples is alike.
    (root,) = class_gaussians(scale * np.full((10, 4), 0.1), np.zeros(10, dtype=int), covariance="shrunk").roots
    assert np.isfinite(root).all()
    assert np.abs(root).max() < 1e-15 * scale


@given(seed=st.integers(0, 10**6))
@settings(derandomize=True, deadline=None, max_examples=20)
def test_symmetric_orthogonally_invariant_and_bounded(seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 7))
    (x, a), (y, b) = (sample(rng, rng.integers(1, 10, size=3), width) for _ in range(2))
    first, second = class_gaussians(x, a), class_gaussians(y, b)
    found = squared_bures(first, second)
    swapped = squared_bures(second, first).T
    assert swapped == pytest.approx(found, rel=1e-8, abs=1e-12)
    turn = np.linalg.qr(rng.normal(size=(width, width)))[0]
    turned = squared_bures(class_gaussians(x @ turn + 3, a), class_gaussians(y @ turn - 2, b))
    assert turned == pytest.approx(found, rel=1e-8, abs=1e-12)
    assert (found >= 0).all()
    assert (found <= first.traces[:, None] + second.traces + 1e-12).all()
    assert (found >= np.square(np.sqrt(first.traces)[:, None] - np.sqrt(second.traces)) - 1e-12).all()
