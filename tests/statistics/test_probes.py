"""Cross-fitted probes: what they read, what they must not see, and the small perceptron."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gapkit.statistics import design
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.perceptron import PATIENCE, choose_perceptron, fit_perceptron
from gapkit.statistics.probes import knn_held_out, knn_probe, linear_held_out, linear_probe
from gapkit.statistics.splits import fold_splits
from gapkit.statistics.uncertainty import ratio_intervals

PROBES = [linear_probe, knn_probe]
HELD_OUT = {linear_probe: linear_held_out, knn_probe: knn_held_out}


def probabilities(probe, features, labels, folds):
    """(n, K) of what a probe's folds say; NaN of samples that none scores."""
    found = np.full((len(labels), labels.max() + 1), np.nan)
    for fold in HELD_OUT[probe](features, labels, folds):
        for index, q in fold.blocks:
            assert np.isnan(found[index]).all()
            found[index] = q
    return found


def blobs(seed, n=200, width=5, n_classes=4, signal=1.0):
    rng = np.random.default_rng([seed, 9])
    labels = rng.integers(n_classes, size=n)
    return signal * rng.normal(size=(n_classes, width))[labels] + rng.normal(size=(n, width)), labels


@pytest.mark.parametrize("probe", PROBES)
def test_separated_classes_are_read_and_noise_is_not(probe):
    features, labels = blobs(0, signal=8.0)
    assert probe(features, labels, stratified_folds(labels)).accuracy > 0.98
    features, labels = blobs(1, n=1000, signal=0.0)
    found = probe(features, labels, stratified_folds(labels))
    assert abs(found.accuracy - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 1000)
    own = probabilities(probe, features, labels, stratified_folds(labels))[np.arange(1000), labels]
    assert -np.log(own).mean() < 1.03 * np.log(4)


def test_linear_accuracy_is_that_of_scikit_learn_on_the_same_folds():
    features, labels = blobs(2, n=400, signal=0.7)
    folds = stratified_folds(labels)
    found = probabilities(linear_probe, features, labels, folds)
    for fold, penalty in enumerate(linear_probe(features, labels, folds).chosen):
        fit, scored = folds.fitting(fold), folds.scored(fold)
        mean, spread = features[fit].mean(axis=0), features[fit].std(axis=0)
        model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=2000).fit(
            (features[fit] - mean) / spread, labels[fit]
        )
        assert found[scored] == pytest.approx(model.predict_proba((features[scored] - mean) / spread), abs=5e-3)


@pytest.mark.parametrize("probe", PROBES)
def test_a_scored_sample_is_predicted_without_its_label(probe):
    features, labels = blobs(3, n=80)
    folds = stratified_folds(labels)
    before = probabilities(probe, features, labels, folds)
    for sample in (0, 17, 42):
        other = labels.copy()
        other[sample] = (other[sample] + 1) % 4
        after = probabilities(probe, features, other, folds)
        assert (after[sample] == before[sample]).all()
        assert (after != before).any()


def test_a_fold_is_standardised_without_the_samples_that_it_scores():
    features, labels = blobs(4, n=80)
    folds = stratified_folds(labels)
    shifted = features.copy()
    first, *others = folds.scored(0)
    shifted[first] += 1e6
    before, after = (probabilities(linear_probe, x, labels, folds)[others] for x in (features, shifted))
    assert (before == after).all()


@pytest.mark.parametrize("probe", PROBES)
def test_hits_are_paired_and_carry_intervals(probe):
    features, labels = blobs(5)
    labels[labels == 3] = 2
    labels[:2] = 3  # too few to be scored
    folds = stratified_folds(labels)
    found = probe(features, labels, folds)
    assert (found.scored == (folds.ids >= 0)).all()
    assert (found.hits[~found.scored] == 0).all()
    said = probabilities(probe, features, labels, folds)
    naive = [float(row.argmax() == y) for row, y in zip(said, labels, strict=True)]
    assert found.hits[found.scored].tolist() == np.array(naive)[found.scored].tolist()
    assert said[found.scored].sum(axis=1) == pytest.approx(np.ones(198))
    assert np.isnan(said[~found.scored]).all()
    hits = found.hits[found.scored][:, None]
    intervals = ratio_intervals(hits, np.ones_like(hits))
    assert found.accuracy == pytest.approx(intervals.value[0])
    assert intervals.low[0] < found.accuracy < intervals.high[0]


@pytest.mark.parametrize("probe", PROBES)
def test_the_same_seed_gives_the_same_numbers(probe):
    features, labels = blobs(6)
    folds = stratified_folds(labels)
    first, again = (probabilities(probe, features, labels, folds) for _ in range(2))
    assert (first == again).all()


@pytest.mark.parametrize("probe", PROBES)
def test_samples_that_are_not_scored_are_no_hits(probe):
    features, _ = blobs(8, n=180)
    labels = np.append(np.arange(80) % 2, np.full(100, 2))  # the most frequent class
    groups = np.append(np.arange(80) % 20, 20 + np.arange(100) % 2)  # is in two groups, for five folds
    folds = stratified_folds(labels, groups=groups)
    assert folds.unscored == (2,)
    found = probe(features, labels, folds, groups=groups)
    assert (found.hits[labels == 2] == 0).all()
    assert found.accuracy == found.hits.sum() / 80


def test_groups_never_straddle_fitting_validation_and_scored_samples():
    _, labels = blobs(7)
    groups = np.random.default_rng(0).integers(25, size=200)
    splits = fold_splits(labels, stratified_folds(labels, groups=groups), groups=groups)
    for split in splits:
        sides = [set(groups[mask]) for mask in (split.inner_fit, split.validation, split.scored)]
        assert all(sides)
        assert sum(len(side) for side in sides) == len(set.union(*sides))
        assert (split.inner_fit | split.validation == split.fit).all()
        assert 0.15 < split.validation.sum() / split.fit.sum() < 0.35
    assert (sum(split.scored.astype(int) for split in splits) == 1).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize(
    "features",
    [
        np.zeros((20, 0)),
        np.ones((20, 3)),
        np.random.default_rng(0).normal(size=(20, 100)),
        np.repeat(np.random.default_rng(1).normal(size=(4, 2)), 5, axis=0),
    ],
)
def test_small_and_degenerate_features_give_finite_probabilities(probe, features):
    labels = np.arange(20) % 2
    folds = stratified_folds(labels)
    assert np.isfinite(np.log(probabilities(probe, features, labels, folds))).all()
    assert 0 <= probe(features, labels, folds).accuracy <= 1


def exclusive_or(seed, n=400):
    rng = np.random.default_rng([seed, 10])
    x = rng.normal(size=(n, 2))
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64)


def test_the_perceptron_reads_what_a_linear_probe_cannot():
    x, labels = exclusive_or(0)
    validation = np.arange(400) % 4 == 0
    fresh, own = exclusive_or(1)
    chosen = choose_perceptron(x, labels, validation, n_classes=2, seed=0)
    assert (chosen.model.predict(fresh).argmax(axis=1) == own).mean() > 0.85
    assert linear_probe(x, labels, stratified_folds(labels)).accuracy < 0.65


def test_the_perceptron_is_seeded():
    x, labels = exclusive_or(2, n=60)
    first, again, other = (fit_perceptron(x, labels, n_classes=2, epochs=3, seed=seed).predict(x) for seed in (0, 0, 1))
    assert (first == again).all()
    assert not np.allclose(first, other)


def test_the_perceptron_stops_by_the_validation_samples_and_never_trains_on_them():
    x, labels = exclusive_or(3, n=80)
    validation = np.arange(80) % 4 == 0
    calls = []

    def rising(own):
        calls.append(own)
        return float(len(calls) != 3)  # best at the third epoch

    first = choose_perceptron(x, labels, validation, n_classes=2, seed=0, criterion=rising)
    assert len(calls) == 3 + PATIENCE
    assert first.model.epochs == 3
    three = fit_perceptron(x[~validation], labels[~validation], n_classes=2, epochs=3, seed=0)
    assert first.validation == pytest.approx(three.predict(x[validation]), abs=1e-6)
    assert first.model.predict(x) == pytest.approx(three.predict(x), abs=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("width", [0, 1, 50])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_perceptron_takes_few_samples_and_absent_classes(width, n_classes):
    x = np.random.default_rng(0).normal(size=(16, width))
    validation = np.arange(16) % 4 == 0
    labels = np.where(validation, n_classes - 1, 0)  # the rest has a single class
    chosen = choose_perceptron(x, labels, validation, n_classes=n_classes, seed=0)
    for q in (chosen.validation, chosen.model.predict(x), chosen.model.predict(x[:0])):
        assert q.shape[1] == n_classes
        assert np.isfinite(q).all()
        assert q.sum(axis=1) == pytest.approx(np.ones(len(q)))


def test_memory_of_the_linear_probe_does_not_grow_with_the_features(monkeypatch):
    """Labels, folds and hits are left; a copy in float32 would be half of the features."""
    monkeypatch.setattr(design, "HELD", 0)
    monkeypatch.setattr(design, "MULTIPLIED", 1 << 18)
    rng, sizes, width, peaks = np.random.default_rng(0), (1200, 3600), 256, []
    for n in sizes:
        labels = np.arange(n) % 3
        features, folds = rng.normal(size=(n, width)) + np.eye(3, width)[labels], stratified_folds(labels)
        tracemalloc.start()
        linear_probe(features, labels, folds)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 0.2 * (sizes[1] - sizes[0]) * width * 8
