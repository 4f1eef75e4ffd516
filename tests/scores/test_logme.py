"""LogME against the dense evidence: log-determinants, scipy's optimiser, limits, ranks, scales and offsets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores.evidence import Regression
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.logme import LogME, evidence, logme
from gapkit.statistics.spectrum import find_spectrum

SHAPES = [(60, 5), (30, 29), (30, 30), (20, 45)]


def world(seed, n=60, d=5, signal=1.0, mean=0.5, n_classes=3):
    rng = np.random.default_rng([seed, 63])
    labels = rng.permutation(np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)))
    return signal * rng.normal(size=(n_classes, d))[labels] + rng.normal(size=(n, d)) + mean, labels


def dense(features, target, alpha, beta):
    """Log evidence per sample by its formula, all of the d x d matrix."""
    n, d = features.shape
    a = alpha * np.eye(d) + beta * features.T @ features
    m = beta * np.linalg.solve(a, features.T @ target)
    value = d / 2 * math.log(alpha) + n / 2 * math.log(beta) - np.linalg.slogdet(a)[1] / 2
    value -= beta / 2 * ((features @ m - target) ** 2).sum() + alpha / 2 * m @ m + n / 2 * math.log(2 * math.pi)
    return value / n


def best(features, target):
    """The largest dense evidence that scipy finds, from nine starts; beyond beta = e^20 the formula is rounding."""
    found = [
        minimize(
            lambda x: -dense(features, target, *np.exp(x)) if x[1] < 20 else math.inf,
            start,
            method="Nelder-Mead",
            options={"fatol": 1e-14},
        )
        for start in np.mgrid[-5:6:5, -1:6:3].reshape(2, -1).T
    ]
    return -min(result.fun for result in found)


def found_on(features, labels):
    """Evidence of every class with its precisions."""
    return evidence(Regression(spectrum=find_spectrum(features)), labels)


def one_hot(labels):
    return [(labels == code).astype(np.float64) for code in np.unique(labels)]


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_equals_the_largest_dense_evidence(n, d, mean):
    features, labels = world(0, n, d, mean=mean)
    expected = [best(features, target) for target in one_hot(labels)]
    assert found_on(features, labels).values == pytest.approx(np.array(expected), abs=1e-8)
    assert logme(features, labels) == pytest.approx(np.mean(expected), abs=1e-8)


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("kind", ["full", "rank 2", "duplicates", "constants"])
def test_the_precisions_have_that_evidence_and_are_a_maximum_and_a_fixed_point(n, d, kind):
    features, labels = world(1, n, d, signal=2.0)
    if kind == "rank 2":
        features = features[:, :2] @ np.random.default_rng(0).normal(size=(2, d))
    elif kind == "duplicates":
        features = features[np.arange(n) // 2]
    elif kind == "constants":
        features[:, 2:] = 0.1
    found = found_on(features, labels)
    inner = np.isfinite(found.alpha) & np.isfinite(found.beta)
    assert inner.any()
    gram = features.T @ features
    for c, target in enumerate(one_hot(labels)):
        if not inner[c]:
            continue
        alpha, beta = found.alpha[c], found.beta[c]
        assert dense(features, target, alpha, beta) == pytest.approx(found.values[c], rel=1e-8)
        for up in (0.999, 1.001):
            assert dense(features, target, alpha * up, beta) < found.values[c]
            assert dense(features, target, alpha, beta * up) < found.values[c]
        m = beta * np.linalg.solve(alpha * np.eye(d) + beta * gram, features.T @ target)
        used = (lambda s, a=alpha, b=beta: (b * s / (a + b * s)).sum())(np.linalg.eigvalsh(gram).clip(0))
        assert used / (m @ m) == pytest.approx(alpha, rel=1e-5)
        assert (n - used) / ((features @ m - target) ** 2).sum() == pytest.approx(beta, rel=1e-5)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(4, 25),
    d=st.integers(1, 25),
    spread=st.floats(0, 8),
    logs=st.lists(st.tuples(st.floats(-15, 15), st.floats(-8, 8)), min_size=20, max_size=20),
)
def test_no_precisions_have_more_evidence(seed, n, d, spread, logs):
    """Also where features differ so much in scale that the evidence has several maxima."""
    features, labels = world(seed, n, d)
    features *= np.geomspace(1, 10**spread, d)
    values = found_on(features, labels).values
    for c, target in enumerate(one_hot(labels)):
        assert values[c] >= max(dense(features, target, math.exp(a - b), math.exp(b)) for a, b in logs) - 1e-9


def extended(features, target, log_g):
    """The profile evidence of the n x n kernel, by an elimination in extended precision."""
    x, n = features.astype(np.longdouble), len(features)
    rows = np.eye(n, dtype=np.longdouble) + x @ x.T / np.exp(np.longdouble(log_g))
    rows = np.column_stack([rows, target.astype(np.longdouble)])
    volume = fit = np.longdouble(0)
    for i in range(n):
        volume += np.log(rows[i, i])
        fit += rows[i, n] ** 2 / rows[i, i]
        rows[i + 1 :] -= np.outer(rows[i + 1 :, i] / rows[i, i], rows[i])
    return float(-(volume / n + np.log(fit / n) + 1 + np.log(2 * np.longdouble(math.pi))) / 2)


@pytest.mark.parametrize(("n", "d"), [(25, 4), (12, 20)])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_a_large_mean_costs_no_digits(n, d, offset):
    features, labels = world(5, n, d)
    features = np.round(1024 * features) / 1024 + offset
    found = found_on(features, labels)
    for c, target in enumerate(one_hot(labels)):
        if np.isfinite(found.alpha[c]) and np.isfinite(found.beta[c]):
            log_g = math.log(found.alpha[c] / found.beta[c])
            values = [extended(features, target, log_g + step) for step in (-1e-3, 0, 1e-3)]
            assert values[1] == pytest.approx(found.values[c], rel=1e-9)
            assert values[1] > max(values[0], values[2])


def test_features_that_tell_nothing_leave_the_evidence_of_noise():
    features, labels = np.zeros((6, 3)), np.array([0, 0, 0, 0, 1, 1])
    expected = [-0.5 * (math.log(share) + 1 + math.log(2 * math.pi)) for share in (4 / 6, 2 / 6)]
    assert logme(features, labels) == pytest.approx(np.mean(expected))
    target = np.array([1.0, -1.0, 2.0, -2.0, 0.5, -0.5])
    orthogonal = np.array([[1.0], [1.0], [3.0], [3.0], [2.0], [2.0]])
    found = found_on(orthogonal, target)
    assert found.alpha.tolist() == [math.inf]
    assert found.beta == pytest.approx([6 / (target @ target)])
    assert found.values == pytest.approx([-0.5 * (math.log(target @ target / 6) + 1 + math.log(2 * math.pi))])
    assert found.values[0] >= best(orthogonal, target) - 1e-12


def test_constant_features_are_an_intercept():
    features, labels = np.full((30, 4), 0.3), np.arange(30) % 3
    assert logme(features, labels) == pytest.approx(best(features, one_hot(labels)[0]), abs=1e-9)


@pytest.mark.parametrize("d", [12, 30])
def test_n_samples_with_n_features_may_have_their_maximum_without_noise(d):
    features, _ = world(6, 12, d)
    left, lengths, right = np.linalg.svd(features, full_matrices=False)
    features = left * np.geomspace(1, 1e-3, 12) @ right
    target = left[:, :4] @ np.array([3.0, 2.0, 1.0, 1.0]) + 1e-3 * left[:, 4:].sum(axis=1)
    found = found_on(features, target)
    kernel = features @ features.T
    expected = -np.linalg.slogdet(kernel)[1] / 12 - math.log(target @ np.linalg.solve(kernel, target) / 12)
    assert found.beta.tolist() == [math.inf]
    assert found.values == pytest.approx([(expected - 1 - math.log(2 * math.pi)) / 2], rel=1e-8)
    alpha = found.alpha[0]
    close = [dense(features, target, alpha, beta) for beta in (1e3, 1e6, 1e9)]
    assert close[0] < close[1] < close[2] < found.values[0] + 1e-9
    assert close[2] == pytest.approx(found.values[0], abs=1e-3)


@pytest.mark.parametrize(("n", "d"), [(30, 4), (12, 40)])
def test_a_target_that_few_features_determine_has_no_bound(n, d):
    features, labels = world(7, n, d)
    features[:, 3:] = 0.0
    features[:, :3] = np.eye(3)[labels]
    with pytest.raises(UndefinedError, match="3 of 3 targets are exact linear functions of the features"):
        logme(features, labels)
    with pytest.raises(UndefinedError, match=f"{min(n, 4) - 1} directions fit {n} samples"):
        logme(features, features @ np.arange(d) * 1e6, task="regression")


def test_a_target_that_is_almost_determined_has_a_large_evidence():
    features, labels = world(8, 50, 3)
    values = []
    for noise in (1e-1, 1e-2, 1e-3):
        features[:, :3] = np.eye(3)[labels] + noise * np.random.default_rng(0).normal(size=(50, 3))
        target = one_hot(labels)[0]
        values.append(found_on(features, labels).values[0])
        assert values[-1] == pytest.approx(best(features, target), abs=1e-8)
    assert values[0] < values[1] < values[2]


def test_classes_without_a_sample_do_not_count():
    features, labels = world(9)
    score = LogME().on(ScoreInputs(features=features, labels=labels))
    assert score(np.where(labels == 2, 7, labels)) == score(labels) == logme(features, labels)
    assert logme(features, np.array(["c", "a", "b"])[labels]) == pytest.approx(score(labels), rel=1e-12)


def test_regression_is_the_mean_over_targets_and_follows_their_scale():
    features, _ = world(10)
    targets = features[:, :2] @ np.array([[1.0, 2.0], [0.0, 1.0]]) + np.random.default_rng(0).normal(size=(60, 2))
    each = [logme(features, column, task="regression") for column in targets.T]
    assert each == pytest.approx([best(features, column) for column in targets.T], abs=1e-9)
    assert logme(features, targets, task="regression") == pytest.approx(np.mean(each), rel=1e-12)
    scaled = logme(features, 100 * targets[:, 0], task="regression")
    assert scaled == pytest.approx(each[0] - math.log(100), rel=1e-10)
    shifted = logme(features, targets[:, 0] + 50, task="regression")
    assert shifted == pytest.approx(best(features, targets[:, 0] + 50), abs=1e-9)


def test_multilabel_is_the_mean_over_the_labels_that_vary():
    features, labels = world(11)
    several = np.column_stack([labels == 0, labels != 1, np.zeros(60), np.ones(60)]).astype(int)
    expected = [logme(features, column.astype(float), task="regression") for column in several.T[:2]]
    assert logme(features, several, task="multilabel") == pytest.approx(np.mean(expected), rel=1e-12)
    single = np.eye(3, dtype=int)[labels]
    assert logme(features, single, task="multilabel") == pytest.approx(logme(features, labels), rel=1e-12)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), d=st.integers(1, 40), power=st.integers(-8, 8))
def test_rotation_scale_order_and_names_change_nothing(seed, d, power):
    features, labels = world(seed, 30, d)
    rng = np.random.default_rng(seed)
    value, order = logme(features, labels), rng.permutation(30)
    assert logme(features[order], 5 - labels[order]) == pytest.approx(value, rel=1e-8)
    turned = features @ np.linalg.qr(rng.normal(size=(d, d)))[0]
    assert logme(turned * 10.0**power, labels) == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (np.zeros((4, 2)), "classification", r"labels has shape \(4, 2\)"),
        (np.zeros(3), "regression", r"labels has shape \(3,\) beside 4 samples"),
        (np.zeros(4), "multilabel", r"labels has shape \(4,\).*for multilabel"),
        (np.array([0.0, 1.0, np.nan, 0.0]), "regression", "NaN or infinite"),
        (np.array(["a", "b", "a", "b"]), "regression", "labels has dtype <U1"),
        (np.full((4, 2), 2), "multilabel", "other values than 0 and 1"),
    ],
)
def test_labels_that_cannot_be_used_are_refused_in_words(labels, task, message):
    with pytest.raises(DataError, match=message):
        logme(np.eye(4), labels, task=task)


def test_unknown_tasks_single_classes_and_constant_targets():
    with pytest.raises(OptionError, match="did you mean 'regression'"):
        logme(np.eye(4), np.arange(4), task="regresion")
    with pytest.raises(UndefinedError, match="same label"):
        logme(np.eye(4), np.zeros(4, dtype=int))
    with pytest.raises(UndefinedError, match="the same for all samples"):
        logme(np.eye(4), np.full(4, 0.1), task="regression")
    with pytest.raises(UndefinedError, match="the same for all samples"):
        logme(np.eye(4), np.ones((4, 2)), task="multilabel")


def test_fields_have_no_evidence():
    with pytest.raises(OptionError, match="dense"):
        logme(np.zeros((4, 2)), np.zeros(4), task="dense")
