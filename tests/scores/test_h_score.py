"""H-score and its shrunk form against pseudo-inverses, canonical correlations and scikit-learn's Ledoit-Wolf."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import f_oneway
from sklearn.covariance import ledoit_wolf

from gapkit.errors import DataError, UndefinedError
from gapkit.scores.estimating import EstimateOptions, estimate_score
from gapkit.scores.h_score import HScore, ShrunkHScore, h_score, shrunk_h_score
from gapkit.scores.inputs import ScoreInputs

BOTH = [h_score, shrunk_h_score]


def world(seed, n=60, d=5, n_classes=3, signal=0.7):
    rng = np.random.default_rng([seed, 64])
    labels = rng.permutation(np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)))
    return signal * rng.normal(size=(n_classes, d))[labels] + rng.normal(size=(n, d)) + 2, labels


def between(features, labels):
    """Covariance of the conditional means, over samples."""
    means = np.array([features[labels == label].mean(axis=0) for label in labels])
    return np.cov(means.T, ddof=0).reshape(features.shape[1], -1)


def by_pseudo_inverse(features, labels):
    covariance = np.cov(features.T, ddof=0).reshape(features.shape[1], -1)
    return np.trace(np.linalg.pinv(covariance, rcond=1e-10) @ between(features, labels))


def by_projection(features, labels):
    """The trace of the projections on the columns of features and on the classes, both without the mean."""
    x = features - features.mean(axis=0)
    x = x / np.where(x.any(axis=0), np.linalg.norm(x, axis=0), 1)
    one_hot = np.linalg.qr(
        (labels[:, None] == np.unique(labels)) - (labels[:, None] == np.unique(labels)).mean(axis=0)
    )[0]
    one_hot = one_hot[:, :-1]
    return (one_hot * (x @ np.linalg.lstsq(x, one_hot, rcond=1e-10)[0])).sum()


def shrunk(features, labels):
    covariance, share = ledoit_wolf(features)
    return (1 - share) * np.trace(np.linalg.solve(covariance, between(features, labels)))


@pytest.mark.parametrize(("n", "d"), [(60, 5), (30, 30), (31, 30), (25, 60), (10, 1)])
def test_equals_the_definition(n, d):
    for seed in range(3):
        features, labels = world(seed, n, d)
        assert h_score(features, labels) == pytest.approx(by_pseudo_inverse(features, labels), rel=1e-8)
        assert h_score(features, labels) == pytest.approx(by_projection(features, labels), rel=1e-8)
        assert shrunk_h_score(features, labels) == pytest.approx(shrunk(features, labels), rel=1e-8)


@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 40)])
@pytest.mark.parametrize("kind", ["rank 3", "duplicates", "constants", "one per class"])
def test_equals_the_definition_where_features_or_samples_repeat(n, d, kind):
    features, labels = world(3, n, d)
    if kind == "rank 3":
        features = features[:, :3] @ np.random.default_rng(0).normal(size=(3, d))
    elif kind == "duplicates":
        features, labels = features[np.arange(n) // 3], labels[np.arange(n) // 3]
    elif kind == "constants":
        features[:, 3:] = 0.1
    else:
        features, labels = features[:3], labels[:3]
        labels = np.arange(3)
    assert h_score(features, labels) == pytest.approx(by_projection(features, labels), rel=1e-8)
    assert shrunk_h_score(features, labels) == pytest.approx(shrunk(features, labels), rel=1e-8)


def test_of_one_feature_it_is_the_explained_share_of_the_variance():
    features, labels = world(4, d=1)
    f = f_oneway(*(features[labels == code, 0] for code in range(3))).statistic
    assert h_score(features, labels) == pytest.approx(2 * f / (2 * f + 57), rel=1e-10)
    assert shrunk_h_score(features, labels) == pytest.approx(h_score(features, labels), rel=1e-12)


def test_saturates_at_the_number_of_classes_less_one_and_its_shrunk_form_does_not():
    features, labels = world(5, n=20, d=19, signal=0.0)
    assert h_score(features, labels) == pytest.approx(2.0, rel=1e-10)
    assert shrunk_h_score(features, labels) < 1.0
    separated = np.eye(3)[labels]
    assert h_score(separated, labels) == pytest.approx(2.0, rel=1e-12)


@pytest.mark.parametrize("score", BOTH)
def test_constant_features_score_zero(score):
    assert score(np.full((6, 3), 0.1), np.array([0, 0, 1, 1, 2, 2])) == 0.0
    assert score(np.full((3, 6), 0.1), np.array([0, 1, 1])) == 0.0


@pytest.mark.parametrize(("n", "d"), [(60, 6), (20, 40)])
def test_columns_of_any_scale_count_alike_in_the_h_score(n, d):
    features, labels = world(6, n, d)
    value = h_score(features, labels)
    assert h_score(features * np.geomspace(1e-8, 1e8, d), labels) == pytest.approx(value, rel=1e-8)
    with_copies = np.column_stack([features, 1e8 * features[:, :1], 1e-8 * (features[:, :1] - features[:, 1:2])])
    assert h_score(with_copies, labels) == pytest.approx(value, rel=1e-8)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), d=st.integers(1, 40), power=st.integers(-8, 8), shift=st.floats(-1e3, 1e3))
def test_rotation_scale_shift_order_and_names_change_neither(seed, d, power, shift):
    features, labels = world(seed, 30, d)
    rng = np.random.default_rng(seed)
    order, turn = rng.permutation(30), np.linalg.qr(rng.normal(size=(d, d)))[0]
    moved = ((features + shift) @ turn)[order] * 10.0**power
    names = np.array(["c", "a", "b"])[labels[order]]
    for score in BOTH:
        value = score(features, labels)
        assert 0 <= value <= 2 + 1e-9
        assert score(moved, names) == pytest.approx(value, rel=1e-8, abs=1e-9)


def test_affine_maps_do_not_change_the_h_score():
    features, labels = world(7)
    moved = features @ np.random.default_rng(0).normal(size=(5, 5)) + 3
    assert h_score(moved, labels) == pytest.approx(h_score(features, labels), rel=1e-9)


@pytest.mark.parametrize("offset", [1e6, -1e6])
def test_a_mean_of_a_million_costs_few_digits(offset):
    features, labels = world(8)
    features = np.round(1024 * features) / 1024
    for score in BOTH:
        assert score(features + offset, labels) == pytest.approx(score(features, labels), rel=1e-9)


@pytest.mark.parametrize("estimator", [HScore(), ShrunkHScore()])
@pytest.mark.parametrize("d", [5, 80])
def test_one_estimator_scores_any_labelling_with_absent_classes(estimator, d):
    features, labels = world(9, d=d)
    naive = by_pseudo_inverse if isinstance(estimator, HScore) else shrunk
    score = estimator.on(ScoreInputs(features=features, labels=labels))
    for other in (labels, np.random.default_rng(0).permutation(labels), 4 * labels, (labels > 0).astype(np.int64)):
        assert score(other) == pytest.approx(naive(features, other), rel=1e-8)


@pytest.mark.parametrize("score", BOTH)
def test_what_cannot_be_scored(score):
    with pytest.raises(UndefinedError, match="same label"):
        score(np.eye(3), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match=r"labels has shape \(2,\) beside 3 samples"):
        score(np.eye(3), np.array([0, 1]))
    with pytest.raises(DataError, match="NaN"):
        score(np.full((2, 2), np.nan), np.array([0, 1]))
    assert score(np.eye(4, dtype=np.float32), np.array([0, 1, 0, 1])) == score(np.eye(4), np.array([0, 1, 0, 1]))


@pytest.mark.parametrize(("d", "known"), [(1, True), (50, True), (57, False), (80, False)])
def test_there_is_no_interval_where_a_block_leaves_as_many_samples_as_directions(d, known):
    """Without 3 of 60 samples, 57 samples of 57 features have the H-score C - 1 whatever they are."""
    features, labels = np.random.default_rng(3).normal(size=(60, d)), np.arange(60) % 3
    inputs = ScoreInputs(features=features, labels=labels)
    row = estimate_score(HScore(), inputs, EstimateOptions(permutations=0)).row
    assert row.value == pytest.approx(h_score(features, labels))
    if known:
        assert row.interval[1] - row.interval[0] > 1e-3
    else:
        assert row.interval is None
        assert row.reason.startswith(f"no interval: features of rank {min(d, 59)} give any labels of 57 samples")
