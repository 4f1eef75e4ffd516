"""Logistic regression against scikit-learn, a naive optimiser and its own limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from gapkit.statistics.logistic import PENALTIES, choose_logistic, fit_logistic, log_loss
from gapkit.statistics.scaling import fit_scaling


def blobs(seed, n, width, n_classes=3, signal=1.0):
    """Standardised Gaussian classes, every class present."""
    rng = np.random.default_rng([seed, 3])
    labels = np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes))
    features = rng.normal(size=(n, width)) + signal * rng.normal(size=(n_classes, width))[labels]
    return fit_scaling(features).apply(features), labels


def zeros(labels, n_classes=3):
    return np.zeros((len(labels), n_classes))


def own_of(q, labels):
    return q[np.arange(len(labels)), labels]


@pytest.mark.parametrize(("n", "width", "n_classes"), [(150, 6, 3), (30, 50, 3), (120, 4, 2), (40, 60, 2)])
@pytest.mark.parametrize("penalty", [10.0, 0.3])
def test_equals_scikit_learn(n, width, n_classes, penalty):
    x, labels = blobs(0, n, width, n_classes)
    model = fit_logistic(x, labels, penalty=penalty, offset=zeros(labels, n_classes))
    # Of two classes scikit-learn fits one column w; ours are -w/2 and w/2, with half its square.
    inverse = 1 / penalty if n_classes > 2 else 2 / penalty
    reference = LogisticRegression(C=inverse, tol=1e-9, max_iter=5000).fit(x, labels)
    assert model.predict(x) == pytest.approx(reference.predict_proba(x), abs=3e-3)


def test_offset_and_penalty_enter_as_the_formula_says():
    x, labels = blobs(1, 40, 2)
    offset = np.random.default_rng(4).normal(size=(40, 3))

    def naive(flat):
        weights, intercept = flat[:6].reshape(2, 3), flat[6:]
        total = 0.5 * 2.0 * sum(w**2 for w in flat[:6])
        for i, y in enumerate(labels):
            logits = [offset[i, k] + x[i] @ weights[:, k] + intercept[k] for k in range(3)]
            total -= logits[y] - np.log(sum(np.exp(z) for z in logits))
        return total

    best = minimize(naive, np.zeros(9), method="BFGS", options={"gtol": 1e-4})
    model = fit_logistic(x, labels, penalty=2.0, offset=offset)
    found = naive(np.append(model.weights.reshape(-1), model.intercept))
    assert found == pytest.approx(best.fun, abs=1e-3)
    assert model.weights == pytest.approx(best.x[:6].reshape(2, 3), abs=1e-2)


def test_rotating_the_regressors_changes_nothing():
    x, labels = blobs(2, 80, 5)
    rotation, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(5, 5)))
    plain = fit_logistic(x, labels, penalty=1.0, offset=zeros(labels)).predict(x)
    rotated = fit_logistic(x @ rotation, labels, penalty=1.0, offset=zeros(labels)).predict(x @ rotation)
    assert rotated == pytest.approx(plain, abs=1e-3)


def test_an_infinite_penalty_leaves_the_offset_and_an_intercept():
    x, labels = blobs(3, 80, 4)
    log_q = np.log(np.random.default_rng(6).dirichlet(np.ones(3), size=80))
    model = fit_logistic(x, labels, penalty=1e12, offset=log_q)
    assert np.abs(model.weights).max() < 1e-6
    assert model.predict(x, log_q).mean(axis=0) == pytest.approx(np.bincount(labels) / 80, abs=1e-3)


@pytest.mark.parametrize(("seed", "signal"), [(0, 0.3), (1, 0.3), (2, 1.0), (3, 3.0), (4, 0.1)])
def test_the_penalty_is_the_best_of_all_that_could_be_tried(seed, signal):
    x, labels = blobs(seed, 300, 20, signal=signal)
    validation = np.random.default_rng([seed, 7]).random(300) < 0.25
    rest = ~validation
    losses = {
        penalty: log_loss(
            own_of(
                fit_logistic(x[rest], labels[rest], penalty=penalty, offset=zeros(labels[rest])).predict(x[validation]),
                labels[validation],
            )
        )
        for penalty in PENALTIES
    }
    chosen = choose_logistic(x, labels, validation, offset=zeros(labels))
    assert losses[chosen.model.penalty] == pytest.approx(min(losses.values()), abs=2e-3)
    assert log_loss(own_of(chosen.validation, labels[validation])) == pytest.approx(
        losses[chosen.model.penalty], abs=5e-3
    )
    whole = fit_logistic(x, labels, penalty=chosen.model.penalty, offset=zeros(labels))
    assert chosen.model.predict(x) == pytest.approx(whole.predict(x), abs=3e-3)


def test_half_decades_beside_the_best_decade_are_tried_too():
    found = set()
    for seed in range(6):
        x, labels = blobs(seed, 200, 20, signal=0.3)
        chosen = choose_logistic(x, labels, np.arange(200) % 4 == 0, offset=zeros(labels))
        found.add(PENALTIES.index(chosen.model.penalty) % 2)
    assert found == {0, 1}


def test_validation_samples_are_predicted_without_their_labels():
    x, labels = blobs(5, 120, 6)
    validation = np.arange(120) % 4 == 0
    other = np.where(validation, (labels + 1) % 3, labels)
    first, second = (
        choose_logistic(x, y, validation, offset=zeros(y), criterion=lambda own: 0.0) for y in (labels, other)
    )
    assert (first.validation == second.validation).all()
    assert not np.allclose(first.model.weights, second.model.weights)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("x", "labels"),
    [
        (np.zeros((20, 0)), np.arange(20) % 2),
        (np.zeros((20, 3)), np.arange(20) % 2),
        (np.ones((20, 3)) * 1e8, np.arange(20) % 3),
        (np.repeat(np.random.default_rng(0).normal(size=(5, 4)), 4, axis=0), np.arange(20) % 2),
        (np.random.default_rng(1).normal(size=(20, 300)), np.arange(20) % 2),
        (4e3 * np.eye(20), np.arange(20) % 4),
    ],
)
def test_degenerate_regressors_give_finite_probabilities(x, labels):
    validation = np.arange(20) % 4 == 0  # with four classes, one is absent from the rest
    scaled = fit_scaling(x).apply(x)
    chosen = choose_logistic(scaled, labels, validation, offset=np.zeros((20, 4)))
    for q in (chosen.validation, chosen.model.predict(scaled)):
        assert np.isfinite(q).all()
        assert q.sum(axis=1) == pytest.approx(np.ones(len(q)))


def test_scaling_is_that_of_the_fitting_side_and_drops_constant_columns():
    features = np.random.default_rng(2).normal(3.0, 2.0, size=(50, 4))
    features[:30, 1] = 0.1
    features[:30, 3] = 1e9
    scaling = fit_scaling(features[:30])
    assert scaling.columns.tolist() == [0, 2]
    expected = (features[:, [0, 2]] - features[:30, [0, 2]].mean(axis=0)) / features[:30, [0, 2]].std(axis=0)
    assert scaling.apply(features) == pytest.approx(expected)
