"""Procrustes distance against scipy, a search over rotations, closed forms and the axioms of a metric."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import procrustes as scipy_procrustes
from scipy.stats import ortho_group

from gapkit.errors import UndefinedError
from gapkit.reuse import procrustes
from gapkit.reuse.paired import centre, narrow


def layers(seed, n, *widths):
    rng = np.random.default_rng([seed, 71])
    return [rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 1 for d in widths]


def padded(x, y):
    width = max(x.shape[1], y.shape[1])
    rows = [np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y)]
    rows = [side - side.mean(axis=0) for side in rows]
    return [side / np.linalg.norm(side) for side in rows]


@pytest.mark.parametrize(("n", "d", "e"), [(30, 4, 4), (30, 2, 6), (30, 6, 2), (8, 20, 20), (8, 20, 3), (5, 40, 60)])
def test_equals_the_residual_after_scipys_rotation(n, d, e):
    x, y = layers(n, n, d, e)
    first, second = padded(x, y)
    rotation, _ = orthogonal_procrustes(second, first)
    assert procrustes(x, y) == pytest.approx(np.linalg.norm(first - second @ rotation), abs=1e-10)


@pytest.mark.parametrize("d", [1, 3, 9])
def test_agrees_with_scipys_disparity(d):
    x, y = layers(2, 40, d, d)
    disparity = scipy_procrustes(x, y)[2]  # 1 - nuclear norm squared: y is scaled too
    assert procrustes(x, y) == pytest.approx(np.sqrt(2 - 2 * np.sqrt(1 - disparity)), abs=1e-10)


def test_no_rotation_comes_nearer():
    x, y = layers(3, 12, 2, 2)
    first, second = padded(x, y)
    angles = np.linspace(0, 2 * np.pi, 20_001)
    found = []
    for flip in (1, -1):
        turns = np.array([[np.cos(angles), -flip * np.sin(angles)], [np.sin(angles), flip * np.cos(angles)]])
        found.append(np.sqrt(np.square(first[:, :, None] - np.einsum("ij,jka->ika", second, turns)).sum((0, 1))).min())
    assert procrustes(x, y) == pytest.approx(min(found), abs=1e-6)
    assert procrustes(x, y) <= min(found) + 1e-12


def test_layers_that_vary_in_nothing_common_are_farthest():
    x = np.array([[1.0], [-1.0], [0.0], [0.0]])
    y = np.array([[0.0], [0.0], [3.0], [-3.0]])
    assert procrustes(x, y) == pytest.approx(np.sqrt(2))
    assert procrustes(x, y, angular=True) == pytest.approx(np.pi / 2)


@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-4, 1e-6, 1e-8])
def test_small_distances_keep_their_digits(size):
    """Of x and (x, size w) with w uncorrelated to x: cos of the angle is 1 / sqrt(1 + size^2)."""
    x, w = np.linalg.qr(np.random.default_rng(4).normal(size=(20, 4)) * 1.0)[0].T.reshape(2, 2, 20)
    x, w = (side - side.mean(axis=1, keepdims=True) for side in (x, w))
    both = np.linalg.qr(np.vstack([x, w]).T)[0]
    x, y = both[:, :2], np.hstack([both[:, :2], size * both[:, 2:]])
    angle = np.arctan(size)
    assert procrustes(x, y) == pytest.approx(2 * np.sin(angle / 2), rel=1e-6, abs=1e-13)
    assert procrustes(x, y, angular=True) == pytest.approx(angle, rel=1e-6, abs=1e-13)


@pytest.mark.parametrize("decay", [0, 4, 8, 12])
@pytest.mark.parametrize(("n", "d"), [(60, 12), (10, 30)])
def test_a_turned_layer_is_at_distance_zero_whatever_its_condition(n, d, decay):
    rng = np.random.default_rng([n, decay])
    x = rng.normal(size=(n, d)) * np.logspace(0, -decay, d)
    turned = 3 * x @ ortho_group.rvs(d, random_state=rng) + rng.normal(size=d)
    assert procrustes(x, x.copy()) < 1e-13
    assert procrustes(x, turned) < 1e-12
    assert procrustes(x, turned, angular=True) < 1e-12
    assert procrustes(x, np.hstack([turned, np.ones((n, 2))])) < 1e-12


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 20), d=st.integers(1, 8), e=st.integers(1, 30))
def test_it_is_a_metric(seed, n, d, e):
    x, y, z = layers(seed, n, d, e, 5)
    for angular in (False, True):
        xy, yz, xz = (procrustes(a, b, angular=angular) for a, b in ((x, y), (y, z), (x, z)))
        assert 0 <= xy <= (np.pi / 2 if angular else np.sqrt(2))
        assert procrustes(y, x, angular=angular) == pytest.approx(xy, abs=1e-12)
        assert xz <= xy + yz + 1e-12


def test_narrowing_keeps_inner_products():
    x = layers(5, 7, 50)[0]
    assert narrow(x).shape == (7, 7)
    assert narrow(x) @ narrow(x).T == pytest.approx(x @ x.T, rel=1e-12)
    assert narrow(x[:, :3]) is not None
    assert (narrow(x[:, :3]) == x[:, :3]).all()


@pytest.mark.parametrize("factor", [1e-300, 1e-8, 1.0, 1e300])
def test_centring_survives_every_scale(factor):
    x = np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]])
    z = centre(factor * x, "x")
    assert z[:, 0] == pytest.approx(np.array([-2.0, -1.0, 3.0]) / np.sqrt(14), rel=1e-12)
    assert (z[:, 1] == 0).all()


def test_what_cannot_be_said_is_said():
    with pytest.raises(UndefinedError, match="y has the same features for all samples"):
        procrustes(np.eye(3), np.full((3, 2), 0.1))
    with pytest.raises(UndefinedError, match="at least 2 for Procrustes"):
        procrustes(np.eye(1), np.eye(1))
