"""Logistic regression against scikit-learn, a naive optimiser and its own limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from gapkit.statistics import design as designs
from gapkit.statistics import logistic
from gapkit.statistics.design import make_design
from gapkit.statistics.logistic import PENALTIES, choose_logistic, fit_logistic, log_loss
from gapkit.statistics.regressors import Regressors
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


def test_no_offset_is_one_of_zeros():
    x, labels = blobs(3, 90, 4)
    validation = np.arange(90) % 4 == 0
    zero = choose_logistic(x, labels, validation, offset=zeros(labels))
    for more in ({}, {"n_classes": int(labels.max()) + 1}):
        none = choose_logistic(x, labels, validation, **more)
        assert (none.model.weights == zero.model.weights).all()
        assert (none.validation == zero.validation).all()
    wider = choose_logistic(x, labels, validation, n_classes=int(labels.max()) + 3)
    assert wider.validation.shape[1] == labels.max() + 3


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


def correlated(seed, n=60, width=8, n_classes=3):
    """A design with an offset whose regressors depend on one another, and what it was made of."""
    rng = np.random.default_rng([seed, 11])
    x = rng.normal(size=(n, width)) @ rng.normal(size=(width, width))
    labels = np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes))
    offset = rng.normal(size=(n, n_classes))
    return make_design(Regressors(features=x, index=np.arange(n)), labels, offset, n_classes), x, labels, offset


def naive_log_p(design, weights, x, offset):
    own, intercept = design.unrotate(weights)
    logits = x @ own + intercept + offset
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.mark.parametrize(("n", "width"), [(60, 8), (12, 30)])
@pytest.mark.parametrize("held", [designs.HELD, 0])
def test_loss_slope_and_curvature_are_those_of_the_formula(monkeypatch, n, width, held):
    monkeypatch.setattr(designs, "HELD", held)
    design, x, labels, offset = correlated(0, n, width)
    assert (design.rotated is None) == (held == 0)
    weights = np.random.default_rng(1).normal(size=design.zeros().shape) / np.sqrt(np.append(design.variances, 1.0))
    place = slice(3, n - 2)
    log_p = naive_log_p(design, weights, x, offset)[place]
    own, p = labels[place], np.exp(log_p)
    lost, slope = design.loss(weights, place)
    assert lost == pytest.approx(-log_p[np.arange(len(own)), own].mean(), rel=1e-5)
    assert design.own(weights, place) == pytest.approx(p[np.arange(len(own)), own], rel=1e-4)
    error = p - np.eye(3)[own]
    expected = error.T @ np.hstack([(x[place] - x.mean(axis=0)) @ design.directions, np.ones((len(own), 1))]) / len(own)
    assert slope == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())
    naive = sum(np.diag(row) - np.outer(row, row) for row in p) / len(own)
    assert design.curvature(weights, place) == pytest.approx(naive, abs=1e-6)


def test_directions_are_principal():
    design, x, _, _ = correlated(2)
    covariance = np.cov(x.T, bias=True)
    assert design.directions.T @ design.directions == pytest.approx(np.eye(8), abs=1e-12)
    assert design.directions.T @ covariance @ design.directions == pytest.approx(np.diag(design.variances), abs=1e-10)


def test_what_is_kept_and_what_is_read_again_give_the_same_model(monkeypatch):
    rng = np.random.default_rng(8)
    features, labels = rng.normal(2.0, 3.0, size=(700, 40)), rng.integers(3, size=700)
    features[:, :3] += 2 * np.eye(3)[labels]
    log_q, fitting = np.log(rng.dirichlet(np.ones(3), size=700)), np.arange(700) % 5 > 0
    index = np.flatnonzero(fitting)
    regressors = Regressors(features=features, index=index, scaling=fit_scaling(features, index), beside=log_q)
    validation = np.arange(len(index)) % 4 == 0

    def chosen():
        return choose_logistic(regressors, labels[index], validation, offset=log_q[index])

    kept = chosen()
    monkeypatch.setattr(designs, "HELD", 0)
    read = Regressors.blocks
    monkeypatch.setattr(Regressors, "blocks", lambda self, place=None, nbytes=0: read(self, place, nbytes=4096))
    again = chosen()
    assert again.model.penalty == kept.model.penalty
    assert again.validation == pytest.approx(kept.validation, abs=2e-3)
    scaled = np.hstack([fit_scaling(features[fitting]).apply(features[fitting]), log_q[fitting]])
    arrays = choose_logistic(scaled, labels[fitting], validation, offset=log_q[fitting])
    assert arrays.model.weights == pytest.approx(kept.model.weights, abs=1e-5)
    assert kept.model.read(regressors, offset=log_q[index]) == pytest.approx(
        kept.model.predict(scaled, log_q[fitting]), abs=1e-12
    )


@pytest.mark.parametrize("signal", [0.1, 0.05])
def test_giving_up_a_descent_changes_no_choice(monkeypatch, signal):
    x, labels = blobs(1, 600, 200, n_classes=5, signal=signal)
    validation, offset = np.arange(600) % 4 == 0, zeros(labels, 5)
    monkeypatch.setattr(logistic, "LOOK", 2)
    said = []
    ask = logistic._Hopeless.__call__
    monkeypatch.setattr(
        logistic._Hopeless, "__call__", lambda self, weights: said.append(ask(self, weights)) or said[-1]
    )
    found = choose_logistic(x, labels, validation, offset=offset)
    assert any(said)
    monkeypatch.setattr(logistic, "LOOK", 10**9)
    said.clear()
    whole = choose_logistic(x, labels, validation, offset=offset)
    assert not any(said)
    assert found.model.penalty == whole.model.penalty
    assert (found.model.weights == whole.model.weights).all()


def test_a_descent_is_given_up_where_it_is_clearly_worse_and_becomes_no_better():
    def hopeless(losses, best):
        told = iter(losses)
        asked = logistic._Hopeless(lambda weights: next(told), best=best)
        return [asked(np.zeros(1)) for _ in range(len(losses) * logistic.LOOK)][logistic.LOOK - 1 :: logistic.LOOK]

    assert hopeless([2.0, 1.5, 1.6], best=1.0) == [False, False, True]
    assert hopeless([2.0, 1.5, 1.4], best=1.0) == [False, False, False]
    assert hopeless([0.9, 1.005], best=1.0) == [False, False]
    assert not any(hopeless([2.0, 3.0], best=np.inf))
