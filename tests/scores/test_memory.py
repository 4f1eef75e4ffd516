"""Scores of features of which nothing of their size is held beside them."""

from __future__ import annotations

import tracemalloc
from importlib import import_module

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gapkit.scores import catalogue, coding, coding_blocks, distance_estimates, frechet, mixture
from gapkit.scores.c2st import C2st, c2st_auc
from gapkit.scores.distance_estimates import estimate_distance
from gapkit.scores.estimating import EstimateOptions, estimate_scores
from gapkit.scores.frechet import Frechet
from gapkit.scores.inputs import PairInputs, ScoreInputs
from gapkit.scores.mixture import MixtureOptions
from gapkit.scores.n_leep import NLEEP, n_leep
from gapkit.scores.probes import knn_accuracy
from gapkit.scores.sliced import SlicedWasserstein
from gapkit.scores.subsample import canonical_order
from gapkit.scores.transrate import transrate
from gapkit.statistics import centred, class_sums, design, mapped, neighbours, regressors, scaling, stacked, totals
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.probes import linear_held_out, linear_probe


@pytest.fixture
def nothing_held(monkeypatch):
    """Small blocks, and no more than a few rows kept."""
    monkeypatch.setattr(mapped, "HELD", 1 << 18)
    monkeypatch.setattr(mapped, "CACHED", 1 << 18)
    monkeypatch.setattr(stacked, "STREAMED", 1 << 16)
    monkeypatch.setattr(frechet, "LEAST_ROWS", 64)
    monkeypatch.setattr(frechet, "ROWS_PER_FEATURE", 1)
    # By their names, gapkit.scores has functions.
    leep, sfda = (import_module(f"gapkit.scores.{name}") for name in ("leep", "sfda"))
    for module in (mixture, design, totals, leep, sfda):
        monkeypatch.setattr(module, "MULTIPLIED", 1 << 18)
    monkeypatch.setattr(design, "HELD", 1 << 18)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr(neighbours, "BLOCK_ENTRIES", 1 << 16)
    for module in (stacked, coding, coding_blocks):
        monkeypatch.setattr(module, "HELD", 1 << 18)
    for module in (centred, scaling, totals, regressors):
        monkeypatch.setattr(module, "CACHED", 1 << 18)
    monkeypatch.setattr(class_sums, "SUMMED", 1 << 18)
    monkeypatch.setattr(design, "LOGITS", 1 << 16)


def labelled(n, width, signal=1.0):
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=n)
    return rng.normal(size=(n, width)) + signal * np.eye(4, width)[labels], labels


def growth(score, sizes, width):
    """Bytes by which the peak grows with each sample, as a share of what the sample's features take."""
    score(*labelled(100, 4))  # what is imported and allocated once
    peaks = []
    for n in sizes:
        given = labelled(n, width)
        tracemalloc.start()
        score(*given)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return (peaks[1] - peaks[0]) / ((sizes[1] - sizes[0]) * width * 8)


@pytest.mark.usefixtures("nothing_held")
def test_nearest_neighbours_hold_indices_and_no_copy_of_the_features():
    """210 candidates for each sample and, of a fold, the labels of their like: 300 numbers."""
    assert growth(knn_accuracy, (400, 1200), 2000) < 0.15


@pytest.mark.usefixtures("nothing_held")
def test_the_mixture_of_n_leep_holds_some_numbers_for_each_sample():
    """Orders, distances and clusters: a copy of the features, its coordinates or its posteriors would be seen."""
    options = MixtureOptions(most=3)
    assert growth(lambda *given: n_leep(*given, energy=0.3, options=options), (1200, 3600), 256) < 0.1


@pytest.mark.parametrize(("n", "width"), [(5000, 12), (1000, 60)])
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_n_leep_does_not_depend_on_what_is_held(n, width, covariance, request):
    features, labels = labelled(n, width, signal=4.0)
    options = MixtureOptions(covariance=covariance)
    whole = NLEEP(options=options).on(ScoreInputs(features=features, labels=labels))
    request.getfixturevalue("nothing_held")
    again = NLEEP(options=options).on(ScoreInputs(features=features, labels=labels))
    some = np.arange(3, n, 2)
    assert again(labels) == pytest.approx(whole(labels), rel=1e-9)
    assert again.among(some)(labels[some]) == pytest.approx(whole.among(some)(labels[some]), rel=1e-9)


@pytest.mark.parametrize(("n", "width"), [(300, 12), (60, 90)])
def test_neighbours_do_not_depend_on_what_is_held(n, width, request):
    features, labels = labelled(n, width, signal=2.0)
    groups = np.arange(n) // 4
    whole = [knn_accuracy(features, labels, **more) for more in ({}, {"groups": groups})]
    request.getfixturevalue("nothing_held")
    assert [knn_accuracy(features, labels, **more) for more in ({}, {"groups": groups})] == whole


def halves(features, labels):
    """Two samples, of a third and two thirds."""
    return features[: len(labels) // 3], features[len(labels) // 3 :]


@pytest.mark.usefixtures("nothing_held")
def test_the_classifier_of_two_samples_holds_some_numbers_for_each():
    """Neither the two in one array nor the fitting side of a fold."""
    assert growth(lambda *given: c2st_auc(*halves(*given), folds=2), (1200, 3600), 512) < 0.1


@pytest.mark.parametrize(("n", "width"), [(600, 200), (90, 120)])
def test_the_area_is_that_of_one_array_in_order(n, width):
    x, y = halves(*labelled(n, width))
    larger, smaller = y, x
    features = np.concatenate([larger[canonical_order(larger)], smaller[canonical_order(smaller)]])
    labels = np.repeat([0, 1], [len(larger), len(smaller)])
    folds = stratified_folds(labels, seed=1)
    scores = np.zeros(len(labels))
    for fold in linear_held_out(features, labels, folds, seed=1):
        for index, q in fold.blocks:
            scores[index] = q[:, 1]
    sides = [(folds.ids == fold, labels[folds.ids == fold]) for fold in range(5)]
    areas = [roc_auc_score(own, scores[held]) for held, own in sides]
    pairs = [(own == 0).sum() * (own == 1).sum() for _, own in sides]
    assert c2st_auc(x, y, seed=1) == pytest.approx(np.average(areas, weights=pairs), rel=1e-12)


def test_the_area_does_not_depend_on_what_is_held(request):
    x, y = halves(*labelled(1500, 60))
    whole = c2st_auc(x, y)
    request.getfixturevalue("nothing_held")
    assert c2st_auc(x, y) == pytest.approx(whole, abs=1e-5)  # where a descent ends is rounding


@pytest.mark.usefixtures("nothing_held")
def test_the_linear_probe_holds_no_probabilities(monkeypatch):
    """Of 60 classes; some numbers for each sample are left, and the features are few."""
    monkeypatch.setattr(regressors, "CACHED", 1 << 14)

    def probe(features, labels):
        classes = labels + 4 * (np.arange(len(labels)) % 15)
        linear_probe(features, classes, stratified_folds(classes, 2))

    assert growth(probe, (1200, 3600), 6) * 6 < 0.4 * 60


@pytest.mark.usefixtures("nothing_held")
def test_a_class_of_many_samples_is_coded_without_a_copy_of_it():
    assert growth(transrate, (2000, 6000), 64) < 0.15


NO_TEST = EstimateOptions(permutations=0)
SCORES = [
    score
    for score in catalogue.scores()
    if score.traits.name not in {"leep", "nce", "n_leep", "parc", "knn_accuracy", "linear_probe_accuracy"}
]


def estimated(features, labels):
    """Rows of scores whose intervals are computed from the samples that are left."""
    found = estimate_scores(SCORES, ScoreInputs(features=features, labels=labels), NO_TEST)
    assert all(one.row.interval for one in found)
    return found


@pytest.mark.usefixtures("nothing_held")
def test_intervals_hold_no_copy_of_the_samples_that_are_left():
    assert growth(estimated, (2000, 6000), 64) < 0.3


@pytest.mark.parametrize("n", [900, 60])
def test_intervals_do_not_depend_on_what_is_held(n, request):
    given = labelled(n, 40)
    whole = estimated(*given)
    request.getfixturevalue("nothing_held")
    for module in (stacked, coding, coding_blocks):
        request.getfixturevalue("monkeypatch").setattr(module, "HELD", 1 << 13)
    for one, again in zip(whole, estimated(*given), strict=True):
        assert again.row.value == pytest.approx(one.row.value, rel=1e-10)
        assert again.row.interval == pytest.approx(one.row.interval, rel=1e-8)


def told(distance, features, labels):
    """A distance with its interval and its floor."""
    first, second = halves(features, labels)
    given = PairInputs(target=first, surrogate=second, target_labels=labels[: len(first)])
    return estimate_distance(distance, given, NO_TEST)


@pytest.mark.usefixtures("nothing_held")
@pytest.mark.parametrize("distance", [Frechet(), SlicedWasserstein(projections=4), C2st(folds=2)])
def test_intervals_and_floors_of_distances_hold_no_copy_of_the_sides(distance, monkeypatch):
    """A copy would be 0.75; folds, orders and positions take some numbers for each sample, with C2ST about fifty."""
    monkeypatch.setattr(distance_estimates, "BLOCKS", 4)
    assert growth(lambda *given: told(distance, *given), (2000, 5000), 128) < 0.5


@pytest.mark.parametrize("distance", catalogue.distances(2)[:6], ids=lambda distance: distance.traits.name)
def test_distances_do_not_depend_on_what_is_held(distance, request):
    given = labelled(600, 12)
    whole = told(distance, *given)
    request.getfixturevalue("nothing_held")
    request.getfixturevalue("monkeypatch").setattr(stacked, "HELD", 1 << 12)
    again = told(distance, *given)
    assert whole.interval is not None
    for name in ("value", "floor", "halves"):
        assert getattr(again, name) == pytest.approx(getattr(whole, name), rel=1e-5, abs=1e-9)
    assert again.interval == pytest.approx(whole.interval, rel=1e-3)
