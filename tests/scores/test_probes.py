"""Cross-fitted accuracies against naive loops around scikit-learn; folds that permuted labels keep; edge cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores import probes as module
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.probes import (
    KnnAccuracy,
    LinearProbeAccuracy,
    by_occurrence,
    knn_accuracy,
    linear_probe_accuracy,
)
from gapkit.scores.ridge_accuracy import ridge_accuracy
from gapkit.statistics import probes as statistics
from gapkit.statistics.folds import inner_folds, stratified_folds
from gapkit.statistics.permutation import permute_labels
from gapkit.statistics.probes import knn_probe, linear_probe

FUNCTIONS = [knn_accuracy, linear_probe_accuracy]
ESTIMATORS = [KnnAccuracy(), LinearProbeAccuracy()]


def blobs(seed, n=120, width=5, n_classes=3, signal=0.8):
    rng = np.random.default_rng([seed, 65])
    labels = rng.permutation(np.append(np.tile(np.arange(n_classes), 6), rng.integers(n_classes, size=n)))[:n]
    features = signal * rng.normal(size=(n_classes, width))[labels] + rng.normal(size=(n, width))
    return features * rng.uniform(0.1, 10, size=width), labels


def standardise(features, fit=slice(None)):
    return (features - features[fit].mean(axis=0)) / features[fit].std(axis=0)


def naive_knn(features, labels, seed=0):
    folds = stratified_folds(labels, seed=seed)
    points, hits, n_classes = standardise(features), 0, labels.max() + 1
    for fold in range(5):
        fit, scored = folds.fitting(fold), folds.scored(fold)
        prior = (np.bincount(labels[fit], minlength=n_classes) + 0.5) / (len(fit) + n_classes / 2)

        def vote(rows, references, size, prior=prior):
            model = KNeighborsClassifier(size, algorithm="brute").fit(points[references], labels[references])
            return (size * model.predict_proba(points[rows]) + prior) / (size + 1)

        validation = inner_folds(labels[fit], seed=seed) == 0
        inner, held_out = fit[~validation], fit[validation]
        sizes = [size for size in (1, 3, 10, 30, 100) if size <= len(inner)]
        losses = [
            -np.log(vote(held_out, inner, size)[np.arange(len(held_out)), labels[held_out]]).mean() for size in sizes
        ]
        hits += (vote(scored, fit, sizes[int(np.argmin(losses))]).argmax(axis=1) == labels[scored]).sum()
    return hits / len(labels)


@pytest.mark.parametrize("seed", range(4))
def test_neighbours_are_those_of_scikit_learn_in_a_naive_loop(seed):
    features, labels = blobs(seed, n=200)
    labels = by_occurrence(labels)[0]
    assert knn_accuracy(features, labels, seed=seed) == pytest.approx(naive_knn(features, labels, seed), abs=1e-12)


def test_the_linear_probe_is_that_of_scikit_learn_in_a_naive_loop():
    features, labels = blobs(4, n=200)
    labels = by_occurrence(labels)[0]
    folds, hits = stratified_folds(labels), 0
    for fold, penalty in enumerate(linear_probe(features, labels, folds).chosen):
        fit, scored = folds.fitting(fold), folds.scored(fold)
        points = standardise(features, fit)
        model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=2000).fit(points[fit], labels[fit])
        hits += (model.predict(points[scored]) == labels[scored]).sum()
    # One of 200 samples may lie so near a boundary that the looser stop of gapkit's fit decides.
    assert linear_probe_accuracy(features, labels) == pytest.approx(hits / 200, abs=1.5 / 200)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_signal_is_told_from_noise(function):
    features, labels = blobs(5, signal=6.0)
    assert function(features, labels) > 0.95
    features, labels = blobs(5, n=600, signal=0.0)
    assert abs(function(features, labels) - 1 / 3) < 4 * np.sqrt(2 / 9 / 600)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_classes_with_fewer_samples_than_folds_are_not_scored_but_are_fitted(function):
    features, labels = blobs(6, n=100, n_classes=2, signal=6.0)
    far = np.full((4, 5), 1e3) + np.random.default_rng(6).normal(size=(4, 5))
    extended, codes = np.vstack([features, far]), np.append(labels, [2, 2, 2, 2])
    assert function(extended, codes) == pytest.approx(function(extended[:100], codes[:100]), abs=0.03)
    near, codes = features.copy(), labels.copy()
    near[:4], codes[:4] = features[labels == 0].mean(axis=0), 2
    estimator = KnnAccuracy() if function is knn_accuracy else LinearProbeAccuracy()
    ids = estimator.fold_ids(ScoreInputs(features=near, labels=codes))
    assert (ids[:4] == -1).all()
    assert (ids[4:] >= 0).all()
    # Only 96 samples are scored.
    assert (function(near, codes) * 96) % 1 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_any_labelling_is_scored_by_the_folds_of_the_given_one(estimator, monkeypatch):
    features, labels = blobs(7)
    inputs = ScoreInputs(features=features, labels=labels)
    folds = estimator.folds(inputs)
    assert (folds.ids == stratified_folds(labels).ids).all()
    score, value = estimator.on(inputs), estimator.on(inputs)(labels)
    used = []
    original = module.knn_probe if isinstance(estimator, KnnAccuracy) else module.linear_probe
    name = original.__name__
    monkeypatch.setattr(module, name, lambda *given, **more: used.append(given) or original(*given, **more))
    monkeypatch.setattr(statistics, "make_neighbourhood", None)
    monkeypatch.setattr(module, "stratified_folds", None)
    other = permute_labels(labels, folds.ids, permutations=1).labels[1]
    assert score(labels) == value
    assert score(other) < value
    assert all((part.ids == folds.ids).all() for given in used for part in given if hasattr(part, "ids"))
    assert len(used) == 2


@pytest.mark.parametrize("function", FUNCTIONS)
def test_groups_share_a_fold(function):
    """Features tell the group and nothing else; labels are those of groups."""
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(40), 5)
    labels = rng.permutation(np.arange(40) % 2)[groups]
    features = 10 * rng.normal(size=(40, 30))[groups] + rng.normal(size=(200, 30))
    assert function(features, labels) > 0.9
    assert function(features, labels, groups=groups) < 0.75
    assert function(features, labels, groups=groups.astype(str)) == function(features, labels, groups=groups)


def test_groups_share_inner_splits():
    for seed in range(3):
        features, labels = blobs(seed, n=100, n_classes=2, signal=0.3)
        groups, codes = np.repeat(np.arange(25), 4), by_occurrence(labels)[0]
        features = features + 3 * np.random.default_rng(seed).normal(size=(25, 5))[groups]
        folds = stratified_folds(labels, groups=groups)
        for function, probe in ((knn_accuracy, knn_probe), (linear_probe_accuracy, linear_probe)):
            assert function(features, labels, groups=groups) == probe(features, codes, folds, groups=groups).accuracy


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), power=st.sampled_from([-8, 0, 8]), whole=st.booleans())
def test_names_shift_and_scale_do_not_matter(function, seed, power, whole):
    features, labels = blobs(seed, n=40, n_classes=2 + seed % 3, signal=0.5)
    if whole:
        features = np.round(features)  # ties
    value = function(features, labels, seed=seed, n_folds=2)
    assert 0 <= value <= 1
    assert function(features, np.array(["c", "d", "a", "b"])[labels], seed=seed, n_folds=2) == value
    assert function(features + np.random.default_rng(seed).normal(size=5), labels, seed=seed, n_folds=2) == value
    assert function(features * 10.0**power, labels, seed=seed, n_folds=2) == value


def test_names_break_no_tie():
    """One feature, constant: all classes have as many votes as samples, and two are the most frequent."""
    labels = np.tile([0, 1], 15)
    for function in FUNCTIONS:
        value = function(np.zeros((30, 1)), labels)
        assert function(np.zeros((30, 1)), 1 - labels) == value == 0.5


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("case", ["constant", "n < d", "duplicated rows", "constant column", "rank 1", "tiny", "huge"])
def test_degenerate_features_are_defined(function, case):
    features, labels = blobs(9, n=60, width=200 if case == "n < d" else 5, n_classes=2)
    plain = function(features, labels)
    if case == "constant":
        features = np.tile([0.1, 1e9, 1 / 3], (60, 1))
        labels = np.arange(60) // 40  # neighbours are random, so that the frequent class wins
        plain = 40 / 60
    if case == "duplicated rows":
        features, labels = np.repeat(features[:15], 4, axis=0), np.repeat(labels[:15], 4)
        plain = 1.0
    if case == "constant column":
        features = np.hstack([features, np.full((60, 1), 1e6)])
    if case == "rank 1":
        features = features[:, :1] * np.ones(4)
        plain = function(features[:, :1], labels)
    if case in ("tiny", "huge"):
        features = features * {"tiny": 1e-8, "huge": 1e8}[case]
    found = function(features, labels)
    assert found == pytest.approx(plain, abs=0.1 if case in ("duplicated rows", "constant") else 1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_interval_holds_the_accuracy_and_is_wider_where_groups_are_resampled(estimator):
    features, labels = blobs(10, n=200, signal=0.6)
    inputs = ScoreInputs(features=features, labels=labels)
    value = estimator.on(inputs)(labels)
    low, high = estimator.interval(inputs)
    error = np.sqrt(value * (1 - value) / 200)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert low < value < high
    narrow = estimator.interval(inputs, level=0.5)
    assert low < narrow[0] < value < narrow[1] < high
    twins = ScoreInputs(
        features=np.repeat(features[:50], 4, axis=0),
        labels=np.repeat(labels[:50], 4),
        groups=np.repeat(np.arange(50), 4),
    )
    low, high = estimator.interval(twins)
    assert high - low > 1.5 * (2 * 1.96 * error)


def test_an_accuracy_without_error_has_an_interval_within_the_range():
    features, labels = blobs(11, signal=50.0)
    for estimator in ESTIMATORS:
        low, high = estimator.interval(ScoreInputs(features=features, labels=labels))
        # Clopper and Pearson: the share at which as many hits in a row have a probability of a fortieth.
        assert (low ** len(labels), high) == (pytest.approx(0.025), 1.0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("n", "width", "n_classes"), [(120, 5, 3), (60, 90, 4), (80, 3, 2)])
def test_the_null_statistic_is_scikit_learns_ridge_classifier(n, width, n_classes, seed):
    features, labels = blobs(seed, n=n, width=width, n_classes=n_classes)
    features = features**3  # long tails, so that folds differ in their means
    labels[:4] = n_classes  # never scored, always fitted
    features[:4] *= 3
    folds, points, hits = stratified_folds(labels), standardise(features), 0
    for fold in range(5):
        fit, scored = folds.fitting(fold), folds.scored(fold)
        model = RidgeClassifier(alpha=len(fit), solver="svd").fit(points[fit], labels[fit])
        hits += (model.predict(points[scored]) == labels[scored]).sum()
    name, score = LinearProbeAccuracy().null_statistic(ScoreInputs(features=features, labels=labels))
    assert "ridge" in name
    assert score(labels) == pytest.approx(hits / (n - 4), abs=1e-12)
    other = permute_labels(labels, folds.ids, permutations=1).labels[1]
    assert score(other) == pytest.approx(ridge_accuracy(features, folds)(other, n_classes + 1))


def rejections(statistic, *, within_folds):
    """At a nominal 20 %, of 100 worlds without signal, 40 samples, with 19 permutations each."""
    rejected = 0
    for seed in range(100):
        rng = np.random.default_rng([seed, 66])
        features, labels = rng.normal(size=(40, 3)), rng.permutation(np.arange(40) % 2)
        inputs = ScoreInputs(features=features, labels=labels, seed=seed)
        estimator = LinearProbeAccuracy() if statistic == "ridge" else KnnAccuracy()
        score = estimator.null_statistic(inputs)[1] if statistic == "ridge" else estimator.on(inputs)
        ids = estimator.fold_ids(inputs) if within_folds else np.zeros(40, dtype=np.int64)
        values = np.array([score(row) for row in permute_labels(labels, ids, permutations=19, seed=seed).labels])
        rejected += int((1 + (values[1:] >= values[0]).sum()) / 20 <= 0.2)
    return rejected


@pytest.mark.parametrize("statistic", ["knn", "ridge"])
def test_labels_that_tell_nothing_are_rejected_at_the_nominal_rate_where_permuted_within_folds(statistic):
    assert rejections(statistic, within_folds=True) <= 20 + 3 * np.sqrt(100 * 0.2 * 0.8)


def test_a_free_shuffle_would_reject_too_many():
    assert rejections("ridge", within_folds=False) > 20 + 3 * np.sqrt(100 * 0.2 * 0.8)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_cannot_be_scored_is_said(function):
    features, labels = blobs(12)
    with pytest.raises(UndefinedError, match="the same label"):
        function(features, np.zeros(120, dtype=int))
    with pytest.raises(UndefinedError, match="fewer than two of 120 classes have 5 samples"):
        function(features, np.arange(120))
    with pytest.raises(UndefinedError, match="fewer than two of 3 classes have 5 groups"):
        function(features, labels, groups=np.arange(120) % 4)
    with pytest.raises(OptionError, match="folds 1;"):
        function(features, labels, n_folds=1)
    with pytest.raises(DataError, match="groups has shape"):
        function(features, labels, groups=np.arange(3))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_absent_classes_and_float32_change_nothing_and_the_seed_something(function):
    features, labels = blobs(13)
    single = features.astype(np.float32)
    assert function(single, labels * 10 + 3) == function(single.astype(np.float64), labels)
    assert len({function(features, labels, seed=seed) for seed in range(5)}) > 1
    assert len({function(features, labels, n_folds=n_folds) for n_folds in (2, 3, 6)}) > 1
