"""N-LEEP against scikit-learn's parts put together, its ends, and that neither order nor names matter."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.mixture import MixtureOptions, cluster, fit_mixture, of_clusters
from gapkit.scores.n_leep import NLEEP, n_leep
from gapkit.scores.subsample import canonical_order


def blobs(seed, n=120, width=6, n_classes=3, signal=2.0):
    rng = np.random.default_rng([seed, 64])
    labels = rng.permutation(np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)))
    return signal * rng.normal(size=(n_classes, width))[labels] + rng.normal(size=(n, width)), labels


def naive_leep(posterior, labels):
    n, count = posterior.shape
    names = sorted(set(labels))
    joint = {y: [sum(posterior[i, z] for i in range(n) if labels[i] == y) / n for z in range(count)] for y in names}
    mass = [sum(joint[y][z] for y in names) for z in range(count)]
    total = 0.0
    for i, y in enumerate(labels):
        total += np.log(sum(posterior[i, z] * joint[y][z] / mass[z] for z in range(count) if mass[z] > 0))
    return total / n


@pytest.mark.filterwarnings("ignore:.*did not converge.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_equals_scikit_learns_components_and_mixture_with_a_naive_leep(covariance):
    """Both mixtures start at the same clusters and take 10 steps, with the same matrix added to covariances."""
    features, labels = blobs(0, n=240, signal=0.8)
    order = canonical_order(features)
    points = PCA(0.8).fit_transform(features[order])
    assert 1 < points.shape[1] < 6
    spread = points.std(axis=0)
    # Clusters are found in coordinates with a mean variance of 1; scikit-learn's regularisation wants each to be 1.
    clusters = cluster(points / np.sqrt(np.square(points).mean()), 15, seed=0)
    start = of_clusters(points / spread, clusters, np.full(points.shape[1], 0.02), covariance)
    mixture = GaussianMixture(
        15,
        covariance_type={"diagonal": "diag", "full": "full"}[covariance],
        tol=0.0,
        max_iter=10,
        reg_covar=0.02,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=1 / start.spreads if covariance == "diagonal" else np.linalg.inv(start.spreads),
    ).fit(points / spread)
    expected = naive_leep(mixture.predict_proba(points / spread), labels[order].tolist())
    assert -entropy(np.bincount(labels) / 240) + 0.1 < expected < -0.01
    options = MixtureOptions(covariance=covariance, regularisation=0.02, tolerance=0.0, most=10)
    assert n_leep(features, labels, options=options) == pytest.approx(expected, rel=1e-5)


def test_some_samples_are_scored_by_the_clusters_of_all():
    features, labels = blobs(3, signal=0.8)
    found, index = NLEEP().on(ScoreInputs(features=features, labels=labels)), np.arange(7, 90)
    points = PCA(0.8).fit_transform(features[canonical_order(features)])
    posterior = np.empty((120, 15))
    posterior[canonical_order(features)] = fit_mixture(points, 15).posterior(points)[0]
    assert found.among(index)(labels[index]) == pytest.approx(naive_leep(posterior[index], labels[index]), rel=1e-9)
    assert found.among(np.arange(120))(labels) == pytest.approx(found(labels), rel=1e-12)


def test_energy_and_components_are_options():
    features, labels = blobs(7, signal=0.5)
    values = [n_leep(features, labels, **more) for more in ({}, {"energy": 0.3}, {"components": 2})]
    assert len(set(values)) == 3
    corners = np.repeat(
        [[2.0, 1.0], [2.0, -1.0], [-2.0, 1.0], [-2.0, -1.0]], 10, axis=0
    )  # exactly 80 % are in the first
    for angle in range(8):
        turned = corners @ [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        assert n_leep(turned, np.repeat([0, 1, 0, 1], 10)) == pytest.approx(-np.log(2), rel=1e-9)
        assert n_leep(turned, np.repeat([0, 1, 0, 1], 10), energy=0.81) == pytest.approx(0, abs=1e-6)
    one = features[:, :1] * [1.0, 0.4]  # all of the variance is in one coordinate
    assert n_leep(one, labels, energy=1.0) == pytest.approx(n_leep(one[:, :1], labels), rel=1e-8)


def test_clusters_of_one_class_each_predict_perfectly_and_mixed_ones_by_their_shares():
    centres = 100 * np.arange(6.0)
    features = np.repeat(centres, 10)[:, None] + np.random.default_rng(1).normal(size=(60, 1))
    assert n_leep(features, np.repeat([0, 1, 0, 1, 1, 0], 10), components=3) == pytest.approx(0.0, abs=1e-6)
    mixed = np.repeat([0, 1, 0, 1, 1, 0], 10)
    mixed[:3] = 1  # 3 of the first 10
    expected = -(10 / 60) * entropy([0.3, 0.7])
    assert n_leep(features, mixed, components=3) == pytest.approx(expected, abs=1e-6)


def test_features_that_are_all_alike_leave_the_entropy_of_the_labels():
    labels = np.repeat([0, 1], [15, 25])
    expected = -entropy([15 / 40, 25 / 40])
    for features in (np.full((40, 3), 0.1), np.tile([0.1, 1e9, 1 / 3], (40, 1)), np.zeros((40, 60))):
        assert n_leep(features, labels) == pytest.approx(expected, rel=1e-12)


def test_signal_is_told_from_noise_and_permuted_labels_cost_no_fit(monkeypatch):
    features, labels = blobs(2, signal=4.0)
    score = NLEEP().on(ScoreInputs(features=features, labels=labels))
    monkeypatch.setattr(importlib.import_module("gapkit.scores.n_leep"), "fit_mixture", None)
    null = [score(np.random.default_rng(seed).permutation(labels)) for seed in range(20)]
    assert score(labels) > max(null) + 0.3
    assert -entropy(np.bincount(labels) / 120) <= min(null) < max(null) < 0


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(30, 60), width=st.integers(1, 80), whole=st.booleans())
def test_neither_order_nor_names_matter(seed, n, width, whole):
    features, labels = blobs(seed, n=n, width=width)
    if whole:
        features = np.round(features)  # ties, and samples that are equal
    value = n_leep(features, labels)
    assert -entropy(np.bincount(labels) / n) - 1e-12 <= value <= 0
    order = np.random.default_rng(seed).permutation(n)
    assert n_leep(features[order], labels[order]) == pytest.approx(value, rel=1e-12, abs=1e-14)
    assert n_leep(features, np.array(["b", "c", "a"])[labels]) == pytest.approx(value, rel=1e-12, abs=1e-14)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]))
def test_of_samples_without_ties_shift_rotation_and_scale_do_not_matter(seed, power):
    """Not declared: on a lattice, rounding decides between clusters that are equally near."""
    features, labels = blobs(seed)
    rng = np.random.default_rng(seed)
    value = n_leep(features, labels)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert n_leep(features + rng.normal(size=6), labels) == pytest.approx(value, rel=1e-8, abs=1e-9)
    assert n_leep(features @ rotation, labels) == pytest.approx(value, rel=1e-8, abs=1e-9)
    assert n_leep(features * 10.0**power, labels) == pytest.approx(value, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("case", ["rank 1", "n < d", "duplicated rows", "constant column", "tiny", "huge"])
@pytest.mark.filterwarnings("error")
def test_degenerate_features_are_defined(case, covariance):
    features, labels = blobs(3, n=60, width=100 if case == "n < d" else 6)
    options = MixtureOptions(covariance=covariance)
    plain = n_leep(features, labels, options=options)
    if case == "rank 1":
        features = features[:, :1] * np.arange(1, 5)
        plain = n_leep(features[:, :1], labels, options=options)
    if case == "duplicated rows":
        features, labels = np.repeat(features[:6], 10, axis=0), np.repeat(labels[:6], 10)
        plain = 0.0
    if case == "constant column":
        features = np.hstack([features, np.full((60, 1), 1e6)])
    if case in ("tiny", "huge"):
        features = features * {"tiny": 1e-8, "huge": 1e8}[case]
    assert n_leep(features, labels, options=options) == pytest.approx(plain, rel=1e-6, abs=1e-9)


def test_the_seed_is_of_the_start():
    features, labels = blobs(4, signal=0.5)
    assert n_leep(features, labels, seed=1) == n_leep(features, labels, seed=1)
    assert n_leep(features, labels, seed=1) != n_leep(features, labels, seed=2)


def test_what_cannot_be_scored_is_said():
    features, labels = blobs(5)
    with pytest.raises(UndefinedError, match="the same label"):
        n_leep(features, np.zeros(120, dtype=int))
    with pytest.raises(UndefinedError, match="29 samples for a mixture of 15 components.*at least 30"):
        n_leep(features[:29], labels[:29])
    assert np.isfinite(n_leep(features[:30], labels[:30]))
    with pytest.raises(DataError, match="beside 120 samples"):
        n_leep(features, labels[:-1])


def test_absent_classes_and_float32_change_nothing():
    features, labels = blobs(6)
    single = features.astype(np.float32)
    assert n_leep(single, labels * 10 + 3) == n_leep(single.astype(np.float64), labels)
    score = NLEEP().on(ScoreInputs(features=features, labels=labels * 2))
    assert score(labels * 2) == n_leep(features, labels)


def test_options_of_another_kind_are_refused():
    features = np.random.default_rng(0).normal(size=(40, 2))
    labels = np.arange(40) % 2
    with pytest.raises(OptionError, match="MixtureOptions"):
        n_leep(features, labels, options=5)
    assert n_leep(features, labels, options=None) == n_leep(features, labels)
