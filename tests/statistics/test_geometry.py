"""Alignment, uniformity, Davies-Bouldin and NC1 against loops over pairs, scikit-learn and the pseudo-inverse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.metrics import davies_bouldin_score

from gapkit.errors import OptionError, UndefinedError
from gapkit.statistics.geometry import alignment, davies_bouldin, nc1, uniformity


def blobs(seed, n=30, d=4, n_classes=3):
    rng = np.random.default_rng([seed, 76])
    labels = rng.permutation(np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)))
    return rng.normal(size=(n_classes, d))[labels] + rng.normal(size=(n, d)) + 1, labels


def directions(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "d", "n_classes"), [(30, 4, 3), (12, 40, 5), (20, 1, 2), (9, 3, 1)])
def test_alignment_and_uniformity_equal_means_over_pairs(n, d, n_classes):
    features, labels = blobs(n, n, d, n_classes)
    units = directions(features)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
    squares = {(i, j): sum((a - b) ** 2 for a, b in zip(units[i], units[j], strict=True)) for i, j in pairs}
    inside = [squares[i, j] for i, j in pairs if labels[i] == labels[j]]
    assert alignment(features, labels) == pytest.approx(np.mean(inside), abs=1e-10)
    for t in (0.5, 2, 10):
        expected = np.log(np.mean([np.exp(-t * square) for square in squares.values()]))
        assert uniformity(features, t=t) == pytest.approx(expected, abs=1e-10)


def test_alignment_by_hand():
    features = np.array([[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0], [5.0, 5.0], [1.0, 1.0]])
    # Class 0: pairs at 2, 2 and 4; class 1: equal directions; the single sample of no class counts for nothing.
    assert alignment(features, np.array([0, 0, 0, 1, 1])) == pytest.approx((2 + 2 + 4 + 0) / 4)
    assert alignment(features, np.array([0, 0, 1, 2, 3])) == pytest.approx(2)


def test_uniformity_by_hand():
    corners = np.vstack([np.eye(3), -np.eye(3)])
    expected = np.log((4 * np.exp(-2 * 2) + np.exp(-2 * 4)) / 5)
    assert uniformity(corners) == pytest.approx(expected, abs=1e-12)
    assert uniformity(np.tile([[0.1, 0.7]], (50, 1))) == pytest.approx(0, abs=1e-12)


def test_uniformity_of_many_directions_is_as_documented():
    sphere = np.random.default_rng(1).normal(size=(300, 500))
    assert uniformity(sphere) == pytest.approx(-4, abs=0.05)  # -2 t
    # On the circle E exp(-t (2 - 2 cos)) = exp(-2 t) I_0(2 t).
    angles = np.linspace(0, 2 * np.pi, 2001)[:-1]
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    expected = np.log((2000 * np.exp(-4) * np.i0(4) - 1) / 1999)
    assert uniformity(circle) == pytest.approx(expected, abs=1e-9)


def test_a_large_t_does_not_underflow():
    assert uniformity(np.eye(3), t=1e4) == pytest.approx(-2e4)
    features = np.vstack([np.eye(3), [[1.0, 1.0, 0.0]]])
    # The nearest pairs, 4 of 12 at 2 - sqrt 2, are all that counts.
    assert uniformity(features, t=1e4) == pytest.approx(-1e4 * (2 - np.sqrt(2)) + np.log(4 / 12))


@pytest.mark.parametrize("seed", range(5))
def test_uniformity_in_blocks(monkeypatch, seed):
    features = blobs(seed, 40, 20)[0]
    whole = uniformity(features), uniformity(features, t=500)
    monkeypatch.setattr("gapkit.statistics.geometry.BLOCK_ENTRIES", 40)
    assert (uniformity(features), uniformity(features, t=500)) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize(("n", "d", "n_classes"), [(30, 4, 3), (12, 40, 5), (20, 1, 2), (200, 6, 30)])
def test_davies_bouldin_equals_scikit_learns(n, d, n_classes):
    features, labels = blobs(n, n, d, n_classes)
    expected = davies_bouldin_score(features, labels)
    assert davies_bouldin(features, labels) == pytest.approx(expected, rel=1e-10)
    for factor in (1e-12, 1e-150, 1e150):  # scikit-learn says 0 for the first
        assert davies_bouldin(factor * features, labels) == pytest.approx(expected, rel=1e-10)
    assert davies_bouldin(features + 1e6, labels) == pytest.approx(expected, rel=1e-8)


def scatters(features, labels):
    """S_W and S_B by sums of outer products."""
    mean, classes = features.mean(axis=0), np.unique(labels)
    means = {c: features[labels == c].mean(axis=0) for c in classes}
    within = sum(np.outer(x - means[c], x - means[c]) for x, c in zip(features, labels, strict=True)) / len(labels)
    return within, sum(np.outer(m - mean, m - mean) for m in means.values()) / len(classes)


@pytest.mark.parametrize(("n", "d", "n_classes"), [(30, 4, 3), (12, 40, 5), (20, 1, 2), (60, 3, 9), (40, 39, 4)])
def test_nc1_equals_the_trace_with_a_pseudo_inverse(n, d, n_classes):
    features, labels = blobs(n, n, d, n_classes)
    within, between = scatters(features, labels)
    expected = np.trace(within @ np.linalg.pinv(between, rcond=1e-10)) / n_classes
    assert nc1(features, labels) == pytest.approx(expected, rel=1e-8)
    for moved in (1e-8 * features, 1e8 * features, features + 1e5):
        assert nc1(moved, labels) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_nc1_of_a_simplex_in_white_noise(n_classes):
    """Means at the corners e_c, noise of variance s^2 in every direction: (C - 1) s^2 C / C."""
    d, size = 12, 0.3
    noise = np.linalg.qr(np.random.default_rng(3).normal(size=(40, 40)))[0][:, : d + 1]
    noise = np.linalg.qr(noise - noise.mean(axis=0))[0][:, :d] * np.sqrt(40) * size  # covariance exactly s^2 I
    features = np.vstack([np.eye(d)[c] + noise for c in range(n_classes)])
    found = nc1(features, np.repeat(np.arange(n_classes), 40))
    assert found == pytest.approx((n_classes - 1) * size**2, rel=1e-10)


def test_nc1_counts_no_direction_of_rounding():
    """C means hold C - 1 directions, fewer on a line; the other singular values are rounding, also far from zero."""
    labels = np.arange(60) % 4
    rng = np.random.default_rng(4)
    on_line = np.outer(np.array([0.0, 1.0, 4.0, 6.0])[labels], [1.0, 2.0, 0.0])
    noise = rng.normal(size=(60, 3))
    for code in range(4):
        noise[labels == code] -= noise[labels == code].mean(axis=0)
    axis = np.array([1.0, 2.0, 0.0]) / np.sqrt(5)
    spread = np.square(np.array([0, 1, 4, 6]) - 2.75).mean() * 5
    expected = np.square(noise @ axis).mean() / spread / 4
    for shift in (0.0, 1e3):
        assert nc1(on_line + noise + shift, labels) == pytest.approx(expected, rel=1e-8)


def test_collapsed_classes_are_at_zero():
    features = np.repeat(np.array([[0.1, 0.2], [0.3, -0.7], [1 / 3, 5.0]]), 7, axis=0)
    labels = np.repeat(np.arange(3), 7)
    for measure in (alignment, davies_bouldin, nc1):
        assert measure(features, labels) == pytest.approx(0, abs=1e-15)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 40), d=st.integers(1, 30), n_classes=st.integers(2, 5))
def test_names_columns_and_copies_change_nothing(seed, n, d, n_classes):
    features, labels = blobs(seed, n, d, n_classes)
    rotation = ortho_group.rvs(d, random_state=seed) if d > 1 else -np.eye(1)
    for measure in (alignment, davies_bouldin, nc1):
        if len(np.unique(labels)) == n:
            continue
        value = measure(features, labels)
        names = np.array(["e", "d", "c", "b", "a"])[labels]
        assert measure(features @ rotation, names) == pytest.approx(value, rel=1e-7)
        assert measure(np.hstack([features, np.zeros((n, 2))]), labels * 10.0) == pytest.approx(value, rel=1e-10)
        if measure is not alignment:  # whose pairs of a sample and its copy are new ones
            assert measure(np.tile(features, (2, 1)), np.tile(labels, 2)) == pytest.approx(value, rel=1e-7)


def test_what_cannot_be_said_is_said():
    features, labels = blobs(5, 12)
    for measure in (davies_bouldin, nc1):
        with pytest.raises(UndefinedError, match="the same label"):
            measure(features, np.zeros(12, dtype=int))
    for measure in (alignment, davies_bouldin, nc1):
        with pytest.raises(UndefinedError, match="every class has a single sample"):
            measure(features, np.arange(12))
    for measure in (lambda x: alignment(x, labels), uniformity):
        zeros = features.copy()
        zeros[[3, 7]] = 0
        with pytest.raises(UndefinedError, match="2 samples are all zero .* the first is sample 3"):
            measure(zeros)
    with pytest.raises(UndefinedError, match="1 sample; expected at least two"):
        uniformity(features[:1])
    for t in (0, -1, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="t is"):
            uniformity(features, t=t)


@pytest.mark.parametrize("shift", [0.0, 0.1, 1e6])
def test_classes_with_the_same_mean_are_refused(shift):
    rng = np.random.default_rng(6)
    half = rng.normal(size=(10, 3))
    same = np.vstack([half, -half, 2 * half, -2 * half]) + shift
    labels = np.repeat([0, 1], 20)
    with pytest.raises(UndefinedError, match="two classes have the same mean"):
        davies_bouldin(same, labels)
    with pytest.raises(UndefinedError, match="all classes have the same mean"):
        nc1(same, labels)
    third = np.vstack([same, half + 9])
    with pytest.raises(UndefinedError, match="two classes have the same mean"):
        davies_bouldin(third, np.append(labels, np.full(10, 2)))
