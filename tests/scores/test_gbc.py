"""GBC against integrals of Gaussian densities and loops over pairs of classes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.decomposition import PCA

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores.gbc import GBC, gbc, overlap
from gapkit.scores.inputs import ScoreInputs

LEAST = 1e-4


def world(seed, n=60, d=5, n_classes=3, signal=0.7):
    rng = np.random.default_rng([seed, 66])
    labels = rng.permutation(np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)))
    features = signal * rng.normal(size=(n_classes, d))[labels] + rng.normal(size=(n, d)) * rng.gamma(2, size=d)
    return features * (1 + labels[:, None]) + 2, labels


def coefficient(m1, m2, v1, v2):
    """The integral of sqrt(p q) of two Gaussians with diagonal covariance, a product over dimensions."""
    found = 1.0
    for a, b, s, t in zip(m1, m2, np.sqrt(v1), np.sqrt(v2), strict=True):
        ends = [min(a, b) - 12 * max(s, t), max(a, b) + 12 * max(s, t)]
        density = lambda x, a=a, b=b, s=s, t=t: math.sqrt(norm.pdf(x, a, s) * norm.pdf(x, b, t))  # noqa: E731
        found *= quad(density, *ends, points=sorted({a, b, (a + b) / 2}), epsabs=1e-13, epsrel=1e-12, limit=400)[0]
    return found


def formula(m1, m2, v1, v2):
    """The same by the closed form, log-determinants written out."""
    v = (v1 + v2) / 2
    distance = ((m1 - m2) ** 2 / v).sum() / 8
    distance += math.log(np.prod(v) / math.sqrt(np.prod(v1) * np.prod(v2))) / 2
    return math.exp(-distance)


def naive(features, labels, covariance, pair=formula):
    """Over ordered pairs of classes."""
    classes, total = np.unique(labels), features.var(axis=0)
    means = {c: features[labels == c].mean(axis=0) for c in classes}
    if covariance == "diagonal":
        variances = {c: np.maximum(features[labels == c].var(axis=0), LEAST * total) for c in classes}
    else:
        width = features.shape[1]
        variances = {
            c: np.full(width, max(features[labels == c].var(axis=0).mean(), LEAST * total.mean())) for c in classes
        }
    pairs = itertools.permutations(classes, 2)
    return -sum(pair(means[a], means[b], variances[a], variances[b]) for a, b in pairs)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_equals_integrals_over_the_densities(covariance):
    features, labels = world(0, d=3)
    expected = naive(features, labels, covariance, coefficient)
    assert gbc(features, labels, covariance=covariance, components=None) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
@pytest.mark.parametrize(("n", "d", "components"), [(60, 6, 64), (60, 6, 2), (20, 40, 64), (20, 40, 5), (40, 80, None)])
def test_equals_the_definition_on_principal_components(n, d, components, covariance):
    for seed in range(3):
        features, labels = world(seed, n, d)
        points = features
        if components is not None:
            points = PCA(min(components, d, n - 1), svd_solver="full").fit_transform(features)
        expected = naive(points, labels, covariance)
        found = gbc(features, labels, covariance=covariance, components=components)
        assert found == pytest.approx(expected, rel=1e-8)


def test_spherical_gaussians_count_the_determinant_in_every_dimension():
    """Concentric classes of variance 1 and 4 in 64 dimensions hardly overlap."""
    means, variances = np.zeros((2, 64)), np.array([[1.0], [4.0]])
    assert overlap(means, variances) == pytest.approx((2.5 / 2) ** -32, rel=1e-12)
    assert overlap(means, np.repeat(variances, 64, axis=1)) == pytest.approx((2.5 / 2) ** -32, rel=1e-12)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_classes_of_one_sample_have_the_least_variance(covariance):
    features, labels = world(1)
    labels[5] = 8
    found = gbc(features, labels, covariance=covariance, components=None)
    assert found == pytest.approx(naive(features, labels, covariance), rel=1e-8)
    assert -2 < gbc(np.arange(3.0)[:, None], np.arange(3), covariance=covariance) <= 0


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
@pytest.mark.parametrize("components", [64, None])
def test_constant_features_overlap_and_constant_columns_do_not_count(covariance, components):
    options = {"covariance": covariance, "components": components}
    assert gbc(np.full((6, 3), 0.1), np.arange(6) % 3, **options) == -6.0
    features, labels = world(2)
    wider = np.column_stack([features, np.full(60, 0.1)])
    assert gbc(wider, labels, **options) == pytest.approx(gbc(features, labels, **options), rel=1e-10)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
@pytest.mark.parametrize(("n", "d"), [(60, 8), (20, 40)])
def test_low_rank_and_repeated_rows(n, d, covariance):
    few, labels = world(3, n, 3)
    few, labels = few[np.arange(n) // 2], labels[np.arange(n) // 2]
    features = few @ np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0][:3]
    points = PCA(3, svd_solver="full").fit_transform(few)
    assert gbc(features, labels, covariance=covariance) == pytest.approx(naive(points, labels, covariance), rel=1e-8)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    d=st.integers(1, 40),
    power=st.integers(-8, 8),
    shift=st.floats(-1e3, 1e3),
    covariance=st.sampled_from(["spherical", "diagonal"]),
)
def test_rotation_scale_shift_order_and_names_change_nothing(seed, d, power, shift, covariance):
    features, labels = world(seed, 30, d)
    rng = np.random.default_rng(seed)
    value = gbc(features, labels, covariance=covariance)
    order, turn = rng.permutation(30), np.linalg.qr(rng.normal(size=(d, d)))[0]
    moved = ((features + shift) @ turn)[order] * 10.0**power
    assert -6 <= value <= 0
    assert gbc(moved, 7 - labels[order], covariance=covariance) == pytest.approx(value, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("estimator", [GBC(), GBC(covariance="diagonal"), GBC(covariance="diagonal", components=None)])
def test_one_estimator_scores_any_labelling_with_absent_classes(estimator):
    features, labels = world(6)
    points = features if estimator.components is None else PCA(5, svd_solver="full").fit_transform(features)
    score = estimator.on(ScoreInputs(features=features, labels=labels))
    for other in (labels, np.random.default_rng(0).permutation(labels), 4 * labels, (labels > 0).astype(np.int64)):
        assert score(other) == pytest.approx(naive(points, other, estimator.covariance), rel=1e-8)


def test_what_cannot_be_scored():
    with pytest.raises(UndefinedError, match="same label"):
        gbc(np.eye(3), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match=r"labels has shape \(2,\) beside 3 samples"):
        gbc(np.eye(3), np.array([0, 1]))
    with pytest.raises(OptionError, match="covariance 'full'"):
        gbc(np.eye(3), np.arange(3), covariance="full")
    with pytest.raises(OptionError, match="components 2.5; expected a whole number"):
        gbc(np.eye(3), np.arange(3), components=2.5)
    with pytest.raises(OptionError, match="components 0; expected at least 1"):
        gbc(np.eye(3), np.arange(3), components=0)
