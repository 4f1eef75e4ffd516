"""SFDA against a naive transcription of the paper, scikit-learn's discriminants, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from gapkit.errors import DataError, UndefinedError
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.sfda import SFDA, sfda


def blobs(seed, n=60, width=5, n_classes=3, signal=1.0):
    rng = np.random.default_rng([seed, 61])
    labels = rng.permutation(np.append(np.tile(np.arange(n_classes), 2), rng.integers(n_classes, size=n)))[:n]
    return signal * rng.normal(size=(n_classes, width))[labels] + rng.normal(size=(n, width)), labels


def softmax(row):
    powers = [np.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def discriminant(x, labels, shrinkage, strength=5.0):
    """Fisher's directions by the generalised eigenproblem, as the paper has it; probabilities sample by sample."""
    n, width = x.shape
    classes = sorted(set(labels.tolist()))
    means = [x[labels == c].mean(axis=0) for c in classes]
    within = np.zeros((width, width))
    for row, label in zip(x, labels, strict=True):
        difference = row - means[classes.index(label)]
        within += np.outer(difference, difference) / n
    if shrinkage is None:
        shrinkage = max(np.exp(-strength * max(np.linalg.eigvalsh(within))), 1e-10)
    regular = (1 - shrinkage) * within + shrinkage * np.trace(within) / width * np.eye(width)
    shares = [(labels == c).mean() for c in classes]
    between = sum(share * np.outer(m - x.mean(0), m - x.mean(0)) for share, m in zip(shares, means, strict=True))
    directions = eigh(between, regular)[1]  # with directions' regular directions = I
    logits = []
    for row in x:
        seen = [directions.T @ mean for mean in means]
        own = directions.T @ row
        logits.append([own @ m - m @ m / 2 + np.log(share) for share, m in zip(shares, seen, strict=True)])
    return np.array([softmax(row) for row in logits]), means, shrinkage


def naive(features, labels, *, strength=5.0, normalise=True):
    x = features - features.mean(axis=0)
    if normalise:
        x = x / np.sqrt(sum(np.var(column) for column in x.T))
    classes = sorted(set(labels.tolist()))
    probabilities, means, shrinkage = discriminant(x, labels, None, strength)
    mixed = x.copy()
    for i, label in enumerate(labels):
        own = classes.index(label)
        confidence = softmax(probabilities[i])[own]
        others = sum(mean for k, mean in enumerate(means) if k != own) / (len(classes) - 1)
        mixed[i] = confidence * x[i] + (1 - confidence) * others
    second = discriminant(mixed, labels, shrinkage)[0]
    return np.mean([second[i, classes.index(label)] for i, label in enumerate(labels)])


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize(("n", "width", "n_classes"), [(60, 5, 3), (40, 1, 2), (15, 30, 4), (30, 30, 2)])
def test_equals_the_paper_step_by_step(n, width, n_classes, normalise):
    features, labels = blobs(n + width, n=n, width=width, n_classes=n_classes, signal=0.8)
    features /= np.sqrt(width + n_classes)  # so that the shrinkage in the features' own scale is in between
    expected = naive(features, labels, normalise=normalise)
    assert 0.3 < expected < 0.999999
    assert sfda(features, labels, normalise=normalise) == pytest.approx(expected, rel=1e-8)
    expected = naive(features, labels, strength=1.5, normalise=normalise)
    assert sfda(features, labels, strength=1.5, normalise=normalise) == pytest.approx(expected, rel=1e-8)


def test_without_shrinkage_both_steps_are_scikit_learns_discriminant():
    features, labels = blobs(1, n=200, signal=0.7)
    features *= 100  # in this scale exp(-5 lambda_max) is far below 1e-10
    first = LinearDiscriminantAnalysis(solver="lsqr").fit(features, labels)
    p = np.exp(first.predict_proba(features))
    confidence = (p / p.sum(axis=1, keepdims=True))[np.arange(200), labels][:, None]
    means = np.stack([features[labels == k].mean(axis=0) for k in range(3)])
    others = (means.sum(axis=0) - means) / 2
    mixed = confidence * features + (1 - confidence) * others[labels]
    second = LinearDiscriminantAnalysis(solver="lsqr").fit(mixed, labels).predict_proba(mixed)
    expected = second[np.arange(200), labels].mean()
    assert sfda(features, labels, normalise=False) == pytest.approx(expected, rel=1e-8)


@pytest.mark.filterwarnings("error")
def test_hardly_shrunk_wide_features_overflow_nowhere():
    features, labels = blobs(10, n=15, width=30)
    assert sfda(100 * features, labels, normalise=False) == pytest.approx(1.0)


def test_one_estimator_scores_any_labelling():
    features, labels = blobs(2)
    score = SFDA().on(ScoreInputs(features=features, labels=labels))
    for seed in range(3):
        other = np.random.default_rng(seed).permutation(labels)
        assert score(other) == pytest.approx(naive(features, other), rel=1e-8)
    two = np.arange(60) % 2
    assert score(two) == pytest.approx(naive(features, two), rel=1e-8)


def test_signal_is_told_from_noise():
    features, labels = blobs(3, n=300, signal=4.0)
    assert sfda(features, labels) > 0.95
    noise, labels = blobs(3, n=300, signal=0.0)
    assert sfda(noise, labels) < 0.5


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(8, 30), width=st.integers(1, 40), power=st.sampled_from([-8, 0, 8]))
def test_order_names_shift_rotation_and_scale_do_not_matter(seed, n, width, power):
    features, labels = blobs(seed, n=n, width=width)
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(n), np.array(["b", "c", "a"])
    rotation = np.linalg.qr(rng.normal(size=(width, width)))[0]
    value = sfda(features, labels)
    assert 0 <= value <= 1
    assert sfda(features[order], labels[order]) == pytest.approx(value, rel=1e-8)
    assert sfda(features, names[labels]) == pytest.approx(value, rel=1e-8)
    assert sfda(features + 10 * rng.normal(size=width), labels) == pytest.approx(value, rel=1e-8)
    assert sfda(features @ rotation, labels) == pytest.approx(value, rel=1e-8)
    assert sfda(features * 10.0**power, labels) == pytest.approx(value, rel=1e-8)


def test_in_their_own_scale_the_scale_matters():
    features, labels = blobs(4)
    assert abs(sfda(features, labels, normalise=False) - sfda(features / 5, labels, normalise=False)) > 0.001


@pytest.mark.parametrize("power", [-50, -8, 8, 50])
def test_extreme_scales_change_nothing(power):
    features, labels = blobs(5)
    assert sfda(features * 10.0**power, labels) == pytest.approx(sfda(features, labels), rel=1e-8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("case", ["constant column", "rank 1", "duplicated rows", "one sample in a class"])
def test_degenerate_features_have_the_score_of_the_definition(case, normalise):
    features, labels = blobs(6)
    if case == "constant column":
        features[:, 2] = 1e6
    if case == "rank 1":
        features = features[:, :1] @ np.ones((1, 5))
    if case == "duplicated rows":
        features, labels = np.repeat(features[:20], 3, axis=0), np.repeat(labels[:20], 3)
    if case == "one sample in a class":
        labels = np.where(np.arange(60) == 0, 3, labels)
    expected = naive(features, labels, normalise=normalise)
    assert sfda(features, labels, normalise=normalise) == pytest.approx(expected, rel=1e-6)


def test_absent_classes_and_float32_change_nothing():
    features, labels = blobs(7)
    single = features.astype(np.float32)
    assert sfda(single, labels * 10 + 3) == sfda(single.astype(np.float64), labels)


def test_what_cannot_be_scored_is_said():
    features, labels = blobs(8)
    with pytest.raises(UndefinedError, match="features of all samples are the same"):
        sfda(np.tile([0.1, 1e9, 1 / 3], (60, 1)), labels)
    with pytest.raises(UndefinedError, match="the same label"):
        sfda(features, np.zeros(60, dtype=int))
    with pytest.raises(UndefinedError, match="samples of every class have the same features"):
        sfda(features, np.arange(60))
    with pytest.raises(UndefinedError, match="samples of every class have the same features"):
        sfda(features[:3][labels], labels)
    with pytest.raises(DataError, match="beside 60 samples"):
        sfda(features, labels[:-1])


def test_the_features_stay_as_they_are():
    features, labels = blobs(9)
    before = features.copy()
    sfda(features, labels, normalise=False)
    assert (features == before).all()
