"""The null: against naive re-fits to every relabelling, and on degenerate inputs."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import xlogy
from scipy.stats import binom
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors

from gapkit.arrays import log_softmax
from gapkit.gap.discrepancy import ALL, BRIER, KL, ZERO_ONE
from gapkit.gap.null import ASSIGNMENT, NEIGHBOURS, PLUG_IN, RIDGE, NullInputs, null_tests, permuted_statistics
from gapkit.gap.null_losses import SHARPENINGS
from gapkit.gap.null_sides import (
    ENTROPY_SHARE,
    SAMPLES_PER_FREEDOM,
    label_free_penalty,
    label_free_temperature,
    neighbour_count,
)
from gapkit.gap.null_statistics import LEAST_RIDGE, PRIOR_SHARE
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.neighbours import make_neighbourhood
from gapkit.statistics.permutation import permute_labels
from gapkit.statistics.splits import fold_splits

FAMILIES = ("injection", "partition", "channel", "linear", "ceiling")
FOUR = (ASSIGNMENT, PLUG_IN, RIDGE, NEIGHBOURS)
SEED = 3


def make_inputs(labels, *, signal, n_source=8, seed=0, groups=None, n_folds=5):
    """Gaussian source classes, the first K_t of them the target's; with probability 1 - signal x is of any of those.

    Samples of a group share a shift of x.
    """
    rng = np.random.default_rng((SEED, seed))
    means = 3 * rng.normal(size=(n_source, 5)) / np.sqrt(5)
    known = rng.random(len(labels)) < signal
    x = means[np.where(known, labels, rng.permutation(labels))] + rng.normal(size=(len(labels), 5))
    if groups is not None:
        x += rng.normal(size=(groups.max() + 1, 5))[groups]
    log_p = log_softmax(2 * (x @ means.T - (means**2).sum(axis=1) / 2))
    folds = stratified_folds(labels, n_folds, groups=groups, seed=seed)
    n_classes = int(labels.max()) + 1
    return NullInputs(log_p=log_p, features=x, labels=labels, n_classes=n_classes, folds=folds, groups=groups)


def draw_labels(n, *, shares=(0.25, 0.25, 0.25, 0.25), seed=0):
    return np.random.default_rng((SEED, seed, 1)).choice(len(shares), size=n, p=shares)


def with_rare_class(n=90):
    """Four classes, the last with too few samples to be scored."""
    labels = np.append(draw_labels(n - 3, shares=(0.5, 0.3, 0.2)), [3, 3, 3])
    return np.random.default_rng(0).permutation(labels)


def relabel(inputs, count=3):
    drawn = permute_labels(inputs.labels, inputs.folds.ids, groups=inputs.groups, permutations=count, seed=SEED)
    return drawn.labels


def fold_parts(inputs, labels):
    """Fitting side, scored samples and prior of each fold."""
    for fold in range(inputs.folds.n_folds):
        fit, scored = inputs.folds.home != fold, inputs.folds.ids == fold
        counts = np.array([(labels[fit] == y).sum() for y in range(inputs.n_classes)])
        yield fit, scored, (counts + 0.5) / (counts.sum() + inputs.n_classes / 2)


def tempered(inputs):
    temperature = label_free_temperature(inputs.log_p, seed=0)
    p = np.exp(inputs.log_p) ** (1 / temperature)
    return p / p.sum(axis=1, keepdims=True)


def naive_assignment(inputs, labels, fit, scored, prior):
    p = tempered(inputs)
    mass = np.array([p[fit & (labels == y)].sum(axis=0) for y in range(inputs.n_classes)])
    rows = np.arange(inputs.n_classes)
    maps = itertools.permutations(range(p.shape[1]), inputs.n_classes)
    sigma = max(maps, key=lambda one: mass[rows, list(one)].sum())
    chosen = p[scored][:, list(sigma)]
    return (1 - PRIOR_SHARE) * chosen / chosen.sum(axis=1, keepdims=True) + PRIOR_SHARE * prior


def naive_plug_in(inputs, labels, fit, scored, prior):
    p = tempered(inputs)
    q = np.zeros((scored.sum(), inputs.n_classes))
    for z in range(p.shape[1]):
        mass = np.array([p[fit & (labels == y), z].sum() for y in range(inputs.n_classes)])
        q += p[scored, z][:, None] * (mass + prior) / (mass.sum() + 1)
    return q


def naive_ridge(inputs, labels, fit, scored, prior):
    varied = inputs.features[:, inputs.features.std(axis=0) > 0]
    x = (varied - varied.mean(axis=0)) / varied.std(axis=0)
    model = Ridge(alpha=label_free_penalty(x) * fit.sum()).fit(x[fit], np.eye(inputs.n_classes)[labels[fit]])
    scores = np.maximum(model.predict(x[scored]), LEAST_RIDGE * prior)
    return scores / scores.sum(axis=1, keepdims=True)


def naive_neighbours(inputs, labels, fit, scored, prior):
    x = (inputs.features - inputs.features.mean(axis=0)) / inputs.features.std(axis=0)
    size = neighbour_count(int(fit.sum()))
    near = NearestNeighbors(n_neighbors=size).fit(x[fit]).kneighbors(x[scored])[1]
    votes = np.array([[(labels[fit][row] == y).sum() for y in range(inputs.n_classes)] for row in near])
    return (votes + prior) / (size + 1)


NAIVE = {
    ASSIGNMENT: naive_assignment,
    PLUG_IN: naive_plug_in,
    RIDGE: naive_ridge,
    NEIGHBOURS: naive_neighbours,
}


def naive_statistic(name, measure, inputs, labels):
    """Fit to these labels, score the discrepancy and divide by the prior's: one fold and one sample at a time."""
    powers = SHARPENINGS if measure is ZERO_ONE else (1.0,)
    above, below = np.zeros(len(powers)), 0.0
    for fit, scored, prior in fold_parts(inputs, labels):
        q = NAIVE[name](inputs, labels, fit, scored, prior)
        for k, power in enumerate(powers):
            sharp = q**power * prior ** (1 - power)
            above[k] += measure.losses(sharp / sharp.sum(axis=1, keepdims=True), labels[scored]).sum()
        below += measure.losses(np.tile(prior, (scored.sum(), 1)), labels[scored]).sum()
    return min(above) / below


@pytest.mark.parametrize("name", FOUR)
@pytest.mark.parametrize("world", ["plain", "rare class", "groups"])
def test_equals_a_naive_fit_to_every_relabelling(name, world):
    groups = np.repeat(np.arange(30), 3) if world == "groups" else None
    labels = with_rare_class() if world == "rare class" else draw_labels(90)
    inputs = make_inputs(labels, signal=0.5, n_source=5, groups=groups)
    assert (world == "rare class") == (inputs.folds.ids == -1).any()
    relabelled = relabel(inputs)
    found = permuted_statistics(inputs, relabelled, [name], ALL, seed=0)
    for measure in ALL:
        expected = [naive_statistic(name, measure, inputs, row) for row in relabelled]
        assert found[name, measure.name] == pytest.approx(expected, rel=2e-5), measure.name


def test_the_observed_labels_give_the_observed_statistic_wherever_they_stand():
    inputs = make_inputs(draw_labels(200), signal=0.3)
    relabelled = relabel(inputs, 40)
    rows = np.concatenate([relabelled, relabelled[:1], relabelled[5:6]])
    found = permuted_statistics(inputs, rows, FOUR, ALL, seed=0)
    tests = null_tests(inputs, families=FAMILIES, discrepancies=ALL, permutations=40, seed=SEED)
    for (name, measure), values in found.items():
        assert values[41] == pytest.approx(values[0], rel=1e-6)
        assert values[42] == pytest.approx(values[5], rel=1e-6)
        family = FAMILIES[[0, 2, 3, 4][FOUR.index(name)]]
        assert tests[family, measure].observed == pytest.approx(values[0], rel=1e-6)
        assert tests[family, measure].mean == pytest.approx(values[1:41].mean(), rel=1e-4)
    assert tests["partition", "kl"] == tests["channel", "kl"]


def test_blocks_and_further_statistics_change_nothing(monkeypatch):
    inputs = make_inputs(draw_labels(120), signal=0.3)
    relabelled = relabel(inputs, 10)
    whole = permuted_statistics(inputs, relabelled, FOUR, [KL, BRIER], seed=0)
    monkeypatch.setattr("gapkit.gap.null.BLOCK_ENTRIES", 5000)
    pieces = permuted_statistics(inputs, relabelled, FOUR, [KL, BRIER], seed=0)
    for name in FOUR:
        alone = permuted_statistics(inputs, relabelled, [name], [KL], seed=0)
        assert pieces[name, "kl"] == pytest.approx(whole[name, "kl"], rel=1e-5)
        assert alone[name, "kl"] == pytest.approx(whole[name, "kl"], rel=1e-5)


def test_any_loss_may_be_asked_for():
    inputs = make_inputs(draw_labels(120), signal=0.3)
    other = replace(KL, name="another")
    found = permuted_statistics(inputs, relabel(inputs), FOUR, [KL, other], seed=0)
    for name in FOUR:
        assert found[name, "another"] == pytest.approx(found[name, "kl"], rel=1e-6)


def test_a_neighbourhood_that_is_there_already_is_asked():
    inputs = make_inputs(draw_labels(120), signal=0.3)
    splits = fold_splits(inputs.labels, inputs.folds)
    relabelled = relabel(inputs)
    searched = permuted_statistics(inputs, relabelled, [NEIGHBOURS], [KL], seed=0)
    for features, same in ((inputs.features, True), (inputs.features[::-1].copy(), False)):
        given = replace(inputs, neighbourhood=make_neighbourhood(features, splits, seed=1))
        found = permuted_statistics(given, relabelled, [NEIGHBOURS], [KL], seed=0)
        assert np.allclose(found[NEIGHBOURS, "kl"], searched[NEIGHBOURS, "kl"], rtol=1e-6) == same


@pytest.mark.parametrize("confidence", [0.05, 1.0, 20.0])
def test_the_temperature_does_not_depend_on_how_confident_the_source_is(confidence):
    inputs = make_inputs(draw_labels(600), signal=0.3)
    log_p = log_softmax(confidence * inputs.log_p)
    p = tempered(replace(inputs, log_p=log_p))
    entropy = -xlogy(p, p).sum(axis=1).mean() / np.log(8)
    # A grid of quarter octaves, and 512 of 600 samples.
    assert entropy == pytest.approx(ENTROPY_SHARE, abs=0.05)


def test_the_penalty_leaves_the_wanted_degrees_of_freedom():
    x = np.random.default_rng(0).normal(size=(500, 60)) * np.arange(1, 61)
    x -= x.mean(axis=0)
    penalty = 500 * label_free_penalty(x)
    hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(60), x.T)
    assert np.trace(hat) == pytest.approx(500 / SAMPLES_PER_FREEDOM, rel=1e-3)


# Degenerate inputs.


def check_defined(inputs, undefined=()):
    tests = null_tests(inputs, families=FAMILIES, discrepancies=ALL, permutations=30)
    assert list(tests) == [(family, measure.name) for family in FAMILIES for measure in ALL]
    for (family, _), test in tests.items():
        if family in undefined:
            assert test.status == "undefined"
            assert test.reason
            assert (test.observed, test.mean, test.p, test.r) == (None, None, None, 0)
        else:
            assert test.status == "ok"
            assert np.isfinite([test.observed, test.mean, test.p]).all()
            assert 1 / 31 <= test.p <= 1
            assert test.observed >= 0
    return tests


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("n", [20, 60])
def test_exact_zeros_and_ones(n_classes, n):
    labels = np.arange(n) % n_classes
    inputs = make_inputs(labels, signal=0.5, n_folds=3)
    certain = np.where(np.eye(8)[inputs.log_p.argmax(axis=1)] > 0, 0.0, -np.inf)
    check_defined(replace(inputs, log_p=np.maximum(certain, np.log(1e-200))))
    check_defined(replace(inputs, log_p=certain))


def test_more_target_than_source_classes():
    tests = check_defined(make_inputs(np.arange(60) % 6, signal=0.5, n_source=6), ())
    assert tests["injection", "kl"].statistic == ASSIGNMENT
    inputs = make_inputs(np.arange(60) % 6, signal=0.5, n_source=6)
    few = log_softmax(inputs.log_p[:, :5])
    tests = check_defined(replace(inputs, log_p=few), ("injection",))
    assert "6 target classes do not fit into 5 source classes" in tests["injection", "kl"].reason
    one = np.zeros((60, 1))
    check_defined(replace(inputs, log_p=one), ("injection",))


@pytest.mark.parametrize("width", [0, 1, 200])
def test_features_of_any_width(width):
    inputs = make_inputs(np.arange(60) % 3, signal=0.5)
    rng = np.random.default_rng(0)
    tests = check_defined(replace(inputs, features=rng.normal(size=(60, width))))
    if width == 0:
        assert tests["linear", "kl"].p == 1.0
        assert tests["linear", "kl"].observed == pytest.approx(1.0, abs=0.01)
    check_defined(replace(inputs, features=np.ones((60, width))))


def test_rotated_features_change_nothing():
    """More columns than samples: ridge and neighbours see the same inner products."""
    inputs = make_inputs(np.arange(60) % 3, signal=0.5)
    wide = np.random.default_rng(0).normal(size=(60, 200))
    rows = relabel(inputs)
    found = permuted_statistics(replace(inputs, features=wide), rows, [RIDGE, NEIGHBOURS], [KL], seed=0)
    x = (wide - wide.mean(axis=0)) / wide.std(axis=0)
    values, vectors = np.linalg.eigh(x @ x.T)
    points = vectors * np.sqrt(np.maximum(values, 0))
    penalty = label_free_penalty(points)
    for fold_statistic, expected in ((RIDGE, []), (NEIGHBOURS, [])):
        for row in rows:
            above = below = 0.0
            for fit, scored, prior in fold_parts(inputs, row):
                if fold_statistic == RIDGE:
                    model = Ridge(alpha=penalty * fit.sum()).fit(x[fit], np.eye(3)[row[fit]])
                    q = np.maximum(model.predict(x[scored]), LEAST_RIDGE * prior)
                    q /= q.sum(axis=1, keepdims=True)
                else:
                    q = naive_neighbours(replace(inputs, features=wide), row, fit, scored, prior)
                above += KL.losses(q, row[scored]).sum()
                below += KL.losses(np.tile(prior, (scored.sum(), 1)), row[scored]).sum()
            expected.append(above / below)
        assert found[fold_statistic, "kl"] == pytest.approx(expected, rel=1e-4)


def test_a_source_that_tells_nothing_has_p_of_one():
    labels = draw_labels(100)
    inputs = make_inputs(labels, signal=0.0)
    inputs = replace(inputs, log_p=np.full((100, 8), -np.log(8)), features=np.ones((100, 3)))
    tests = check_defined(inputs)
    assert tests["channel", "kl"].p == 1.0
    assert tests["linear", "kl"].p == 1.0


def test_duplicated_samples_in_the_order_of_their_labels_are_no_signal():
    """Neighbours that are equally near are taken in random order: in theirs, the labels would decide."""
    labels = np.sort(draw_labels(200))
    p = []
    for seed in range(40):
        inputs = make_inputs(labels, signal=0.0, seed=seed)
        inputs = replace(inputs, features=np.ones((200, 2)))
        p.append(null_tests(inputs, families=["ceiling"], discrepancies=[KL], permutations=19, seed=seed))
    low = sum(tests["ceiling", "kl"].p <= 0.05 for tests in p)
    assert low <= binom.ppf(1 - 1e-4, 40, 0.05)


def test_single_groups_have_no_test():
    labels = np.tile([0, 1], 25)
    groups = np.repeat(np.arange(5), 10)
    inputs = make_inputs(labels, signal=0.5, groups=groups)
    assert all(test.status == "ok" for test in null_tests(inputs, families=FAMILIES, discrepancies=[KL]).values())
    constant = np.repeat([0, 1], 50)
    groups = np.repeat(np.arange(10), 10)
    inputs = make_inputs(constant, signal=0.5, groups=groups)
    tests = null_tests(inputs, families=FAMILIES, discrepancies=[KL])
    spread = permute_labels(constant, inputs.folds.ids, groups=groups)
    assert (not spread.reason) == all(test.status == "ok" for test in tests.values())
    alone = replace(inputs, folds=replace(inputs.folds, ids=groups, home=groups, n_folds=10))
    for test in null_tests(alone, families=FAMILIES, discrepancies=[KL]).values():
        assert test.status == "undefined"
        assert "1 way " in test.reason
