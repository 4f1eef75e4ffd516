"""R^2 of a binned regression target."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import r2_score

from gapkit.gap import GapOptions, measure_misalignment
from gapkit.gap.label_maps.parts import fold_parts
from gapkit.gap.regression import r_squared
from gapkit.gap.scoring import Scoring
from gapkit.statistics.binning import quantile_bins
from gapkit.statistics.folds import stratified_folds


def scoring_of(labels, folds, prior):
    return Scoring(labels=labels, scored=folds.ids >= 0, groups=None, prior=prior, resamples=200, seed=0, reason="")


def test_equals_scikit_learn_but_for_the_mean_of_the_fitting_side():
    rng = np.random.default_rng(0)
    values = rng.normal(size=300)
    labels, _ = quantile_bins(values, 5)
    folds = stratified_folds(labels, 3)
    parts = fold_parts(labels, folds, groups=None, n_classes=5, seed=0)
    q = rng.dirichlet(np.ones(5), size=300)
    found = r_squared(scoring_of(labels, folds, np.full((300, 5), 0.2)), parts, values, {"channel": q})["channel"]
    errors = around = 0.0
    for fold in range(3):
        fit, scored = folds.fitting(fold), folds.scored(fold)
        means = np.array([values[fit][labels[fit] == b].mean() for b in range(5)])
        errors += ((values[scored] - q[scored] @ means) ** 2).sum()
        around += ((values[scored] - values[fit].mean()) ** 2).sum()
    assert found.value == pytest.approx(1 - errors / around, rel=1e-12)
    assert found.interval[0] <= found.value <= found.interval[1]
    assert found.n == 300


def test_certain_bins_reach_what_binning_leaves():
    values = np.random.default_rng(1).normal(size=500)
    labels, _ = quantile_bins(values, 10)
    folds = stratified_folds(labels, 5)
    parts = fold_parts(labels, folds, groups=None, n_classes=10, seed=0)
    scoring = scoring_of(labels, folds, np.full((500, 10), 0.1))
    found = r_squared(scoring, parts, values, {"best": np.eye(10)[labels], "prior": np.full((500, 10), 0.1)})
    means = np.array([values[labels == b].mean() for b in range(10)])
    assert found["best"].value == pytest.approx(r2_score(values, means[labels]), abs=0.01)
    assert found["prior"].value == pytest.approx(0.0, abs=0.02)


def test_measured_beside_the_misalignment(world):
    made = world(n=200, n_source=12, signal=2.0)
    rng = np.random.default_rng(2)
    values = made.features[:, 0] + 0.1 * rng.normal(size=len(made.labels))
    labels, _ = quantile_bins(values, 5)
    inputs = replace(made.inputs(), labels=labels, n_classes=5, values=values)
    found = measure_misalignment(inputs, GapOptions(bootstrap=100, permutations=0))
    assert set(found.r_squared) == {row.label_map for row in found.rows if row.status != "undefined"}
    assert found.r_squared["linear"].value > 0.7
    assert found.r_squared["linear"].value > found.r_squared["injection"].value
