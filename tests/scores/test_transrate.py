"""TransRate against log-determinants of all d dimensions, at any rank and scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores.coding import coding_rate
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.transrate import TransRate, transrate


def world(seed, n=60, d=5, n_classes=3, signal=0.7):
    rng = np.random.default_rng([seed, 65])
    labels = rng.permutation(np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)))
    return signal * rng.normal(size=(n_classes, d))[labels] + rng.normal(size=(n, d)) + 2, labels


def rate(z, epsilon):
    return 0.5 * np.linalg.slogdet(np.eye(z.shape[1]) + z.T @ z / (len(z) * epsilon))[1]


def naive(features, labels, epsilon=1e-4):
    """The paper's code: centred once, classes weighted equally."""
    z = features - features.mean(axis=0)
    return rate(z, epsilon) - np.mean([rate(z[labels == label], epsilon) for label in np.unique(labels)])


@pytest.mark.parametrize(("n", "d"), [(60, 5), (60, 20), (20, 50), (300, 4)])
@pytest.mark.parametrize("epsilon", [1e-4, 0.5])
def test_equals_the_definition(n, d, epsilon):
    for seed in range(3):
        features, labels = world(seed, n, d)
        expected = naive(features, labels, epsilon)
        assert transrate(features, labels, epsilon=epsilon) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("n", "d"), [(90, 12), (15, 40)])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("rank", [1, 3])
def test_features_of_low_rank_are_those_of_fewer_dimensions(n, d, scale, rank):
    """At a scale of 1e8, the rounding of the missing directions is far above epsilon."""
    few, labels = world(2, n, rank)[0], np.arange(n) % 3  # five samples or more in every class
    features = few @ np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0][:rank]
    value = transrate(scale * features, labels)
    assert value == pytest.approx(naive(scale * few, labels), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("d", [6, 30])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_repeated_rows_and_constant_columns_change_nothing(scale, d):
    features, labels = world(3, 12, d)
    repeated = np.column_stack([scale * features, np.full(12, 0.1)])[np.arange(48) // 4]
    value = transrate(scale * features, labels)
    assert transrate(repeated, labels[np.arange(48) // 4]) == pytest.approx(value, rel=1e-8)


def test_a_class_of_a_single_sample_is_coded_too():
    features, labels = world(3)
    labels[7] = 9
    assert transrate(features, labels) == pytest.approx(naive(features, labels), rel=1e-8)


def test_constant_features_score_zero():
    for shape in ((8, 3), (4, 20)):
        assert transrate(np.full(shape, 0.3), np.arange(shape[0]) % 2) == 0.0
        assert transrate(np.full(shape, 0.3), np.arange(shape[0]) % 2, normalise=True) == 0.0


def test_by_hand():
    """Two classes on two axes: each is coded with half of the samples, in one of the two dimensions."""
    features = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    together, apart = math.log(1 + 0.5 / 0.1), 0.5 * math.log(1 + 1 / 0.1)
    assert transrate(features, np.array([0, 0, 1, 1]), epsilon=0.1) == pytest.approx(together - apart, rel=1e-12)


def test_normalised_features_have_a_mean_squared_distance_of_one():
    features, labels = world(4)
    centred = features - features.mean(axis=0)
    unit = centred / np.sqrt(np.square(centred).sum() / len(centred))
    value = transrate(features, labels, normalise=True)
    assert value == pytest.approx(naive(unit, labels), rel=1e-10)
    for scale in (1e-8, 1e8):
        assert transrate(scale * features, labels, normalise=True) == pytest.approx(value, rel=1e-8)


def test_without_normalisation_larger_features_score_otherwise():
    features, labels = world(5, 60, 30)
    values = [transrate(scale * features, labels) for scale in (1e-3, 1.0, 1e3)]
    assert len({round(value, 1) for value in values}) == 3


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), d=st.integers(1, 40), shift=st.floats(-1e3, 1e3))
def test_rotation_shift_order_and_names_change_nothing(seed, d, shift):
    features, labels = world(seed, 30, d)
    rng = np.random.default_rng(seed)
    order, turn = rng.permutation(30), np.linalg.qr(rng.normal(size=(d, d)))[0]
    moved = ((features + shift) @ turn)[order]
    assert transrate(moved, 7 - labels[order]) == pytest.approx(transrate(features, labels), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("d", [5, 80])
def test_one_estimator_scores_any_labelling_with_absent_classes(d):
    features, labels = world(6, d=d)
    score = TransRate().on(ScoreInputs(features=features, labels=labels))
    for other in (labels, np.random.default_rng(0).permutation(labels), 4 * labels, (labels > 0).astype(np.int64)):
        assert score(other) == pytest.approx(naive(features, other), rel=1e-8)


@pytest.mark.parametrize("spread", [0, 4, 8])
def test_the_coding_rate_of_both_gram_matrices_is_the_same(spread):
    z = np.random.default_rng(0).normal(size=(12, 30)) * np.geomspace(1, 10.0**-spread, 30)
    assert coding_rate(z, 1e-4) == pytest.approx(rate(z, 1e-4), rel=1e-8)
    assert coding_rate(z.T, 1e-4) == pytest.approx(rate(z.T, 1e-4), rel=1e-8)


def test_what_cannot_be_scored():
    with pytest.raises(UndefinedError, match="same label"):
        transrate(np.eye(3), np.zeros(3, dtype=int))
    with pytest.raises(DataError, match=r"labels has shape \(2,\) beside 3 samples"):
        transrate(np.eye(3), np.array([0, 1]))
    for epsilon in (0.0, -1.0, math.nan):
        with pytest.raises(OptionError, match="epsilon .*; expected a positive finite number"):
            transrate(np.eye(3), np.arange(3), epsilon=epsilon)
