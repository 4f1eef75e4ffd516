"""Folds: stratified, grouped, seeded, and honest about what is never scored."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.errors import DataError, OptionError
from gapkit.statistics.folds import inner_folds, stratified_folds


def draw(seed: int, n: int, n_classes: int, n_groups: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(n_classes, size=n), rng.integers(n_groups, size=n)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(20, 200), n_classes=st.integers(2, 8), n_folds=st.integers(2, 6))
def test_classes_are_spread_evenly(seed, n, n_classes, n_folds):
    labels, _ = draw(seed, n, n_classes, 1)
    if (np.bincount(labels) >= n_folds).sum() < 2:
        return
    folds = stratified_folds(labels, n_folds, seed=seed)
    sizes = np.bincount(folds.ids[folds.ids >= 0], minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for label in range(n_classes):
        own = folds.ids[labels == label]
        if len(own) < n_folds:
            assert (own == -1).all()
            assert label in folds.unscored or len(own) == 0
        else:
            counts = np.bincount(own, minlength=n_folds)
            assert counts.max() - counts.min() <= 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n_classes=st.integers(2, 6), n_groups=st.integers(6, 60))
def test_groups_never_straddle(seed, n_classes, n_groups):
    labels, groups = draw(seed, 150, n_classes, n_groups)
    labels[:2] = n_classes
    folds = stratified_folds(labels, 5, groups=groups, seed=seed)
    assert n_classes in folds.unscored
    for fold in range(5):
        fitting, scored = folds.fitting(fold), folds.scored(fold)
        assert not set(groups[fitting]) & set(groups[scored])
        assert not set(fitting) & set(scored)
    assert sorted(np.concatenate([folds.scored(k) for k in range(5)])) == np.flatnonzero(folds.ids >= 0).tolist()


def test_rare_class_of_a_group_without_scored_samples_is_always_fitted():
    labels = np.array([0, 1] * 20 + [2, 2])
    groups = np.append(np.arange(40) // 2, [20, 20])
    folds = stratified_folds(labels, 4, groups=groups)
    assert all(set(folds.fitting(fold)) >= {40, 41} for fold in range(4))


def test_grouped_folds_are_balanced():
    labels, groups = draw(3, 2000, 4, 200)
    folds = stratified_folds(labels, 5, groups=groups, seed=1)
    for label in range(4):
        counts = np.bincount(folds.ids[labels == label], minlength=5)
        assert counts.min() > 0.8 * counts.max()


def test_names_of_classes_and_groups_do_not_matter():
    labels, groups = draw(0, 120, 5, 30)
    renamed, regrouped = np.array([3, 0, 4, 1, 2])[labels], 1000 - groups
    for given_groups, other in ((None, None), (groups, regrouped)):
        first = stratified_folds(labels, 5, groups=given_groups, seed=4)
        second = stratified_folds(renamed, 5, groups=other, seed=4)
        assert np.array_equal(first.ids, second.ids)


def test_samples_of_two_classes_that_change_places_take_their_folds_along_and_no_other_moves():
    labels, _ = draw(1, 200, 4, 1)
    for fold in (lambda given: stratified_folds(given, 5).ids, lambda given: inner_folds(given, 4)):
        before = fold(labels)
        first = 1 + int(np.argmax(labels[20:-1] != labels[21:])) + 19
        order = np.arange(200)
        order[[first, first + 1]] = first + 1, first
        assert labels[first] != labels[first + 1]
        assert np.array_equal(fold(labels[order]), before[order])


def test_seed_decides():
    labels, _ = draw(0, 100, 3, 1)
    assert np.array_equal(stratified_folds(labels, seed=1).ids, stratified_folds(labels, seed=1).ids)
    assert not np.array_equal(stratified_folds(labels, seed=1).ids, stratified_folds(labels, seed=2).ids)


@pytest.mark.parametrize(
    ("labels", "groups", "word"),
    [
        (np.array([0] * 9 + [1] * 3), None, "samples"),
        (np.arange(10), None, "samples"),
        (np.array([0, 1] * 10), np.repeat([0, 1], 10), "--group none"),
    ],
)
def test_fewer_than_two_scorable_classes_is_an_error(labels, groups, word):
    with pytest.raises(DataError, match=word):
        stratified_folds(labels, 5, groups=groups)


def test_one_fold_is_an_error():
    with pytest.raises(OptionError, match="at least 2"):
        stratified_folds(np.array([0, 1, 0, 1]), 1)


@pytest.mark.parametrize("n_groups", [1, 2, 3, 50])
def test_inner_folds_cover_everything_and_keep_groups(n_groups):
    labels, groups = draw(1, 60, 3, n_groups)
    labels[0] = 7
    folds = inner_folds(labels, groups=groups)
    assert set(folds) == set(range(min(4, n_groups) if n_groups > 1 else 4))
    if n_groups > 1:
        assert all(len(set(folds[groups == group])) == 1 for group in set(groups))


def test_inner_folds_of_very_few_samples():
    assert sorted(inner_folds(np.array([0, 1]))) == [0, 1]
    with pytest.raises(DataError, match="at least 2"):
        inner_folds(np.array([0]))
