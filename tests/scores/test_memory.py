"""Scores of features of which nothing of their size is held beside them."""

from __future__ import annotations

import tracemalloc
from importlib import import_module

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from gapkit.scores import mixture
from gapkit.scores.c2st import c2st_auc
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.mixture import MixtureOptions
from gapkit.scores.n_leep import NLEEP, n_leep
from gapkit.scores.probes import knn_accuracy
from gapkit.scores.subsample import canonical_order
from gapkit.statistics import design, mapped, neighbours, totals
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.probes import linear_probe


@pytest.fixture
def nothing_held(monkeypatch):
    """Small blocks, and no more than a few rows kept."""
    monkeypatch.setattr(mapped, "HELD", 1 << 18)
    monkeypatch.setattr(mapped, "CACHED", 1 << 18)
    leep = import_module("gapkit.scores.leep")  # by its name, gapkit.scores has the function
    for module in (mixture, design, totals, leep):
        monkeypatch.setattr(module, "MULTIPLIED", 1 << 18)
    monkeypatch.setattr(design, "HELD", 1 << 18)
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 1 << 20)
    monkeypatch.setattr(neighbours, "BLOCK_ENTRIES", 1 << 16)


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
    scores = linear_probe(features, labels, folds, seed=1).probabilities[:, 1]
    sides = [(folds.ids == fold, labels[folds.ids == fold]) for fold in range(5)]
    areas = [roc_auc_score(own, scores[held]) for held, own in sides]
    pairs = [(own == 0).sum() * (own == 1).sum() for _, own in sides]
    assert c2st_auc(x, y, seed=1) == pytest.approx(np.average(areas, weights=pairs), rel=1e-12)


def test_the_area_does_not_depend_on_what_is_held(request):
    x, y = halves(*labelled(1500, 60))
    whole = c2st_auc(x, y)
    request.getfixturevalue("nothing_held")
    assert c2st_auc(x, y) == pytest.approx(whole, abs=1e-5)  # where a descent ends is rounding
