"""The classifier two-sample test: its area, its folds, what it says where nothing differs, and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores.c2st import C2st, c2st_auc, roc_area
from gapkit.scores.inputs import PairInputs
from gapkit.scores.subsample import canonical_order
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.probes import linear_probe


def two_samples(seed, n=30, m=24, d=3, shift=0.5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), shift + 1.3 * rng.normal(size=(m, d))


def naive_area(negative, positive):
    pairs = [(u < v) + 0.5 * (u == v) for u in negative for v in positive]
    return sum(pairs) / len(pairs)


@settings(derandomize=True, deadline=None, max_examples=30)
@given(
    negative=st.lists(st.integers(0, 5), min_size=1, max_size=9),
    positive=st.lists(st.integers(0, 5), min_size=1, max_size=9),
)
def test_the_area_counts_pairs_and_ties_half(negative, positive):
    found = roc_area(np.array(negative, dtype=np.float64), np.array(positive, dtype=np.float64))
    assert found == pytest.approx(naive_area(negative, positive), rel=1e-12)
    labels = np.repeat([0, 1], [len(negative), len(positive)])
    assert found == pytest.approx(roc_auc_score(labels, negative + positive), rel=1e-12)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize(("n", "m"), [(43, 27), (27, 43), (28, 14)])
def test_in_one_dimension_it_is_the_count_of_pairs_within_folds(n, m, grouped):
    x, y = two_samples(1, n, m, d=1, shift=2.0)
    x_groups, y_groups = np.arange(n) % 9, np.arange(m) % 7
    larger, smaller, first, second = (x, y, x_groups, y_groups) if n > m else (y, x, y_groups, x_groups)
    orders = canonical_order(larger), canonical_order(smaller)
    ordered = np.concatenate([larger[orders[0], 0], smaller[orders[1], 0]])
    labels = np.repeat([0, 1], [max(n, m), min(n, m)])
    units = np.concatenate([first[orders[0]], 100 + second[orders[1]]]) if grouped else None
    folds = stratified_folds(labels, 5, groups=units, seed=2).ids
    sign = 1 if n > m else -1  # a line through the shift orders as the values do
    right, pairs = 0.0, 0
    for fold in range(5):
        sides = [sign * ordered[(folds == fold) & (labels == code)] for code in range(2)]
        right += naive_area(*sides) * len(sides[0]) * len(sides[1])
        pairs += len(sides[0]) * len(sides[1])
    given = {"x_groups": x_groups, "y_groups": y_groups} if grouped else {}
    assert c2st_auc(x, y, seed=2, **given) == pytest.approx(right / pairs, rel=1e-12)
    assert 0.6 < right / pairs < 0.99


def test_it_is_scikit_learn_s_logistic_regression_on_the_same_folds():
    x, y = two_samples(3, 90, 60, d=6, shift=0.3)
    features = np.concatenate([side[canonical_order(side)] for side in (x, y)])
    labels = np.repeat([0, 1], [90, 60])
    folds = stratified_folds(labels, 5)
    chosen = linear_probe(features, labels, folds).chosen
    areas = []
    for fold, penalty in enumerate(chosen):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000))
        model.fit(features[folds.ids != fold], labels[folds.ids != fold])
        held = folds.ids == fold
        areas.append(roc_auc_score(labels[held], model.decision_function(features[held])))
    assert c2st_auc(x, y) == pytest.approx(np.mean(areas), abs=1 / (18 * 12))  # up to a pair or so


def test_between_gaussians_it_is_the_chance_that_one_value_exceeds_the_other():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(3000, 2)), rng.normal(size=(2000, 2))
    y[:, 0] += 1.0
    assert c2st_auc(x, y) == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.02)


def test_where_nothing_differs_one_half_is_expected_however_small_the_samples_are():
    rng = np.random.default_rng(5)
    found = np.array([c2st_auc(rng.normal(size=(12, 3)), rng.normal(size=(8, 3)), folds=4) for _ in range(150)])
    assert abs(found.mean() - 0.5) < 4 * found.std() / np.sqrt(150)
    assert found.min() < 0.3


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(8, 40), m=st.integers(8, 40), d=st.sampled_from([1, 2, 5, 60]))
def test_order_sides_shifts_and_scales_change_nothing(seed, n, m, d):
    x, y = two_samples(seed, n, m, d)
    rng, expected = np.random.default_rng(seed), c2st_auc(x, y)
    near = pytest.approx(expected, abs=1e-9)
    assert c2st_auc(rng.permutation(x), rng.permutation(y)) == near
    assert c2st_auc(y, x) == near
    assert c2st_auc(x + 30, y + 30) == near
    assert c2st_auc(1e-8 * x, 1e-8 * y) == near
    assert c2st_auc(1e8 * x, 1e8 * y) == near
    assert 0 <= expected <= 1


def test_groups_are_never_split_whatever_their_order_and_names():
    rng = np.random.default_rng(6)
    centres = rng.normal(size=(24, 40))
    x_groups, y_groups = rng.permutation(np.repeat(np.arange(12), 6)), rng.permutation(np.repeat(np.arange(12), 6))
    x = centres[x_groups] + 0.01 * rng.normal(size=(72, 40))
    y = centres[12 + y_groups] + 0.01 * rng.normal(size=(72, 40))
    grouped = c2st_auc(x, y, x_groups=x_groups, y_groups=y_groups)
    assert c2st_auc(x, y) > 0.99  # each group is recognised
    assert 0.2 < grouped < 0.8
    order, names = rng.permutation(72), np.array([f"subject {code * 7 % 12}" for code in range(12)])
    again = c2st_auc(y, x[order], x_groups=names[y_groups], y_groups=names[x_groups[order]])
    assert again == pytest.approx(grouped, abs=1e-9)


def test_groups_on_one_side_leave_the_samples_of_the_other_alone():
    x, y = two_samples(7, 40, 30, shift=2.0)
    assert c2st_auc(x, y, x_groups=np.arange(40) // 4) > 0.7
    assert c2st_auc(x, y, y_groups=np.arange(30) // 3) > 0.7
    with pytest.raises(UndefinedError, match="40 groups of samples beside 4"):
        c2st_auc(x, y, y_groups=np.arange(30) // 8)


def test_samples_that_are_on_both_sides_are_below_one_half():
    x, _ = two_samples(8, 40)
    assert c2st_auc(x, x) < 0.5


def test_samples_far_apart_are_told_apart_entirely():
    x, y = two_samples(9, 30, 30)
    assert c2st_auc(x, y + 1000) == 1.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("d", [1, 3])
def test_features_that_are_constant_tell_nothing_apart(d):
    assert c2st_auc(np.full((9, d), 0.1), np.full((7, d), 0.1)) == 0.5
    x, y = two_samples(10, d=1)
    constant = [np.hstack([side, np.full((len(side), 1), 1e6)]) for side in (x, y)]
    assert c2st_auc(*constant) == pytest.approx(c2st_auc(x, y), abs=1e-9)


def test_the_estimator_is_the_function_with_the_seed_of_the_pair():
    x, y = two_samples(11)
    assert C2st().between(PairInputs(target=x, surrogate=y, seed=3)) == c2st_auc(x, y, seed=3)
    assert C2st(folds=3).between(PairInputs(target=x, surrogate=y)) == c2st_auc(x, y, folds=3)
    groups = np.arange(30) // 5
    found = C2st().between(PairInputs(target=x, surrogate=y, target_groups=groups))
    assert found == c2st_auc(x, y, x_groups=groups) != c2st_auc(x, y)
    others = np.arange(len(y)) // 4
    found = C2st().between(PairInputs(target=x, surrogate=y, target_groups=groups, surrogate_groups=others))
    assert found == c2st_auc(x, y, x_groups=groups, y_groups=others) != c2st_auc(x, y, x_groups=groups)
    assert c2st_auc(x, y, seed=3) == c2st_auc(x, y, seed=3) != c2st_auc(x, y, seed=4)


def test_what_cannot_be_measured_is_refused_in_words():
    x, y = two_samples(12, 10, 4)
    with pytest.raises(UndefinedError, match="10 samples beside 4; expected at least 5 on either side for 5 folds"):
        c2st_auc(x, y)
    with pytest.raises(UndefinedError, match="4 samples beside 10"):
        C2st().between(PairInputs(target=y, surrogate=x))
    with pytest.raises(DataError, match=r"x_groups has shape \(3,\) beside 10 samples"):
        c2st_auc(x, x, x_groups=np.arange(3))
    with pytest.raises(OptionError, match="folds 1;"):
        c2st_auc(x, x, folds=1)
