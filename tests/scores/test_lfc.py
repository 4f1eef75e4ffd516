"""LFC against the correlation of whole matrices, its closed forms and its invariances."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import DataError, UndefinedError
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.lfc import LFC, lfc


def blobs(seed, n=40, width=6, n_classes=3, signal=1.0):
    rng = np.random.default_rng([seed, 60])
    labels = rng.permutation(np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)))
    return 2 + signal * rng.normal(size=(n_classes, width))[labels] + rng.normal(size=(n, width)), labels


def naive(features, labels, *, centred):
    """The Pearson correlation of the n^2 entries, by numpy."""
    x = features - features.mean(axis=0) if centred else features
    kernel = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in x.tolist()] for u in x.tolist()]
    target = [[1.0 if a == b else -1.0 for b in labels] for a in labels]
    return np.corrcoef(np.ravel(kernel), np.ravel(target))[0, 1]


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize(("n", "width"), [(40, 6), (12, 30), (9, 1), (30, 30)])
def test_equals_the_correlation_of_all_entries(n, width, centred):
    features, labels = blobs(n, n=n, width=width)
    assert lfc(features, labels, centred=centred) == pytest.approx(naive(features, labels, centred=centred), rel=1e-10)


def test_one_estimator_scores_any_labelling():
    features, labels = blobs(1)
    score = LFC().on(ScoreInputs(features=features, labels=labels))
    for seed in range(5):
        other = np.random.default_rng(seed).permutation(labels)
        assert score(other) == pytest.approx(naive(features, other, centred=True), rel=1e-10)
    assert score(np.arange(40) % 2) == pytest.approx(naive(features, np.arange(40) % 2, centred=True), rel=1e-10)


@pytest.mark.parametrize("n_classes", [2, 3, 7])
def test_classes_at_the_corners_of_a_simplex_correlate_fully(n_classes):
    labels = np.repeat(np.arange(n_classes), 4)
    assert lfc(3 * np.eye(n_classes)[labels] - 7, labels) == pytest.approx(1.0, abs=1e-12)


def test_class_means_that_coincide_do_not_correlate():
    features, labels = blobs(2)
    for code in range(3):
        features[labels == code] -= features[labels == code].mean(axis=0)
    assert lfc(features, labels) == pytest.approx(0.0, abs=1e-12)


def test_one_sample_for_each_class_by_hand():
    # K = x x' sums to 0, |K| = 2; T = 2 I - 11' has the mean -1/3.
    inside, norm = 2 * 2.0, 2.0 * np.sqrt(9 - 9 * (1 / 3) ** 2)
    assert lfc(np.array([[-1.0], [0.0], [1.0]]), np.arange(3)) == pytest.approx(inside / norm)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(4, 30), width=st.integers(1, 12), power=st.sampled_from([-8, 0, 8]))
def test_order_names_shift_rotation_and_scale_do_not_matter(seed, n, width, power):
    features, labels = blobs(seed, n=n, width=width)
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(n), np.array(["b", "c", "a"])
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    value = lfc(features, labels)
    assert -1 <= value <= 1
    assert lfc(features[order], labels[order]) == pytest.approx(value, rel=1e-8, abs=1e-10)
    assert lfc(features, names[labels]) == pytest.approx(value, rel=1e-8)
    assert lfc(features + 100 * rng.normal(size=width), labels) == pytest.approx(value, rel=1e-8, abs=1e-10)
    assert lfc(features @ rotation, labels) == pytest.approx(value, rel=1e-8, abs=1e-10)
    assert lfc(features * 10.0**power, labels) == pytest.approx(value, rel=1e-8)


def test_without_centring_a_shift_matters():
    features, labels = blobs(3)
    assert abs(lfc(features, labels, centred=False) - lfc(features + 5, labels, centred=False)) > 0.01


def test_without_centring_the_correlation_may_be_negative_and_large_means_lose_no_digit():
    # About the same point on the line, the class farther out has larger inner products with the other than inside it.
    features, labels = np.array([[1.0], [1.0], [2.0], [0.1], [0.1], [6.0]]), np.array([0, 0, 1, 1, 1, 0])
    assert lfc(features, labels, centred=False) == pytest.approx(naive(features, labels, centred=False), rel=1e-12)
    near, far = blobs(4)[0], 1e6
    x = near - near.mean(axis=0) + far
    u = (x - far).sum(axis=1)  # K - mean = F0 F0' + far (u 1' + 1 u'); the first is 1e-6 of the rest
    labels = blobs(4)[1]
    expected = np.corrcoef(np.add.outer(u, u).ravel(), np.equal.outer(labels, labels).ravel())[0, 1]
    assert lfc(x, labels, centred=False) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("power", [-50, -8, 8, 50])
def test_extreme_scales_and_constant_columns_change_nothing(power):
    features, labels = blobs(5)
    value = lfc(features, labels)
    padded = np.hstack([features, np.full((40, 1), 0.1), np.full((40, 1), 1e7)]) * 10.0**power
    assert lfc(padded, labels) == pytest.approx(value, rel=1e-8)


def test_duplicated_samples_change_nothing():
    features, labels = blobs(6)
    assert lfc(np.repeat(features, 3, axis=0), np.repeat(labels, 3)) == pytest.approx(lfc(features, labels), rel=1e-10)


def test_absent_classes_and_float32_change_nothing():
    features, labels = blobs(7)
    single = features.astype(np.float32)
    assert lfc(single, labels * 10 + 3) == lfc(single.astype(np.float64), labels)


def test_what_cannot_be_scored_is_said():
    features, labels = blobs(8)
    with pytest.raises(UndefinedError, match="features of all samples are the same"):
        lfc(np.tile([0.1, 1e9, 1 / 3], (40, 1)), labels)
    with pytest.raises(UndefinedError, match="the same label"):
        lfc(features, np.zeros(40, dtype=int))
    with pytest.raises(DataError, match="beside 40 samples"):
        lfc(features, labels[:-1])


@pytest.mark.parametrize(("n", "width"), [(5000, 4), (4, 5000)])
def test_no_matrix_of_pairs_is_formed(n, width):
    features, labels = blobs(10, n=n, width=width)
    tracemalloc.start()
    lfc(features, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * features.nbytes  # 5000 x 5000 would be 1250 times as much


def test_the_features_stay_as_they_are():
    features, labels = blobs(9)
    before = features.copy()
    lfc(features, labels)
    assert (features == before).all()
