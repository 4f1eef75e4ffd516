"""The linear family against scikit-learn and in its limits."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gapkit.gap.label_maps.linear import fit_linear, fit_weights, make_design, predict
from gapkit.gap.label_maps.parts import make_part


@pytest.mark.parametrize(("n", "width"), [(150, 6), (30, 50)])
def test_equals_scikit_learn(n, width):
    rng = np.random.default_rng(0)
    labels = np.append([0, 1, 2], rng.integers(3, size=n - 3))
    features = rng.normal(size=(n, width)) + rng.normal(size=(3, width))[labels]
    # A constant log q leaves logistic regression on the standardised features alone.
    design = make_design(features, np.zeros((n, 3)), np.ones(n, dtype=bool))
    weights = fit_weights(design, labels, 10.0, np.zeros((design.rotated.shape[1] + 1, 3)))
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    reference = LogisticRegression(C=0.1, tol=1e-8, max_iter=1000).fit(scaled, labels)
    assert predict(design, weights) == pytest.approx(reference.predict_proba(scaled), abs=2e-3)


def split(labels, seed=0):
    rng = np.random.default_rng(seed)
    fit = rng.random(len(labels)) < 0.8
    return make_part(labels, fit, ~fit, groups=None, n_classes=int(labels.max()) + 1, seed=seed)


def test_an_infinite_penalty_gives_the_channel_back():
    rng = np.random.default_rng(1)
    features, q = rng.normal(size=(80, 4)), rng.dirichlet(np.ones(3), size=80)
    labels = np.array([rng.choice(3, p=row) for row in q])
    design = make_design(features, np.log(q), np.ones(80, dtype=bool))
    weights = fit_weights(design, labels, 1e12, np.zeros((design.rotated.shape[1] + 1, 3)))
    free_intercept = predict(design, weights) / q
    assert free_intercept / free_intercept[:, :1] == pytest.approx(
        np.tile(free_intercept[0] / free_intercept[0, 0], (80, 1)), rel=1e-3
    )


@pytest.mark.parametrize("n_classes", [2, 5])
def test_features_that_know_the_label_are_read(n_classes):
    rng = np.random.default_rng(2)
    labels = rng.integers(n_classes, size=300)
    features = 4 * np.eye(n_classes)[labels] + rng.normal(size=(300, n_classes))
    part = split(labels)
    fitted = fit_linear(features, np.full((300, n_classes), -np.log(n_classes)), labels, part)
    right = fitted.held_out[part.scored].argmax(axis=1) == labels[part.scored]
    assert right.mean() > 0.9
    assert np.allclose(fitted.held_out.sum(axis=1), 1)
    assert (fitted.held_out[~part.scored] == part.prior).all()


@pytest.mark.filterwarnings("error")
def test_noise_features_are_ignored_and_constant_ones_dropped():
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=120)
    features = np.hstack([rng.normal(size=(120, 200)), np.full((120, 3), 1e6)])
    part = split(labels)
    fitted = fit_linear(features, np.full((120, 3), -np.log(3)), labels, part)
    own = fitted.held_out[part.scored][np.arange(part.scored.sum()), labels[part.scored]]
    assert -np.log(own).mean() < 1.1 * np.log(3)
