"""PARC against scipy's rank correlation of whole distance matrices, its edge cases and its invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.decomposition import PCA

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores import pair_ranks
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.pair_ranks import centred_ranks, unit_rows
from gapkit.scores.parc import PARC, parc


def blobs(seed, n=40, width=6, n_classes=3, signal=1.0):
    rng = np.random.default_rng([seed, 62])
    labels = rng.permutation(np.append(np.arange(n_classes), rng.integers(n_classes, size=n - n_classes)))
    return signal * rng.normal(size=(n_classes, width))[labels] + rng.normal(size=(n, width)), labels


def spearman(features, distances):
    """Over the upper triangles; rounded, so that rounding breaks no tie."""
    points = features - features.mean(axis=0)
    points = points / np.where(points.std(axis=0) > 0, points.std(axis=0), 1.0)
    upper = np.triu_indices(len(points), 1)
    return 100 * spearmanr((1 - np.corrcoef(points))[upper].round(9), np.asarray(distances)[upper].round(9)).statistic


def one_hot_distances(labels):
    return 1 - np.corrcoef(np.eye(labels.max() + 1)[labels])


@pytest.mark.parametrize(("n", "width", "n_classes"), [(40, 6, 3), (15, 50, 2), (30, 2, 5), (300, 8, 40)])
def test_equals_the_rank_correlation_of_both_matrices(n, width, n_classes):
    features, labels = blobs(n, n=n, width=width, n_classes=n_classes)
    expected = spearman(features, one_hot_distances(labels))
    assert abs(expected) > 1
    assert parc(features, labels) == pytest.approx(expected, rel=1e-8)


def test_ties_of_duplicated_samples_share_their_average_rank():
    features, labels = blobs(1, n=12)
    features, labels = np.repeat(features, 4, axis=0), np.repeat(labels, 4)
    labels[::5] = 0
    assert parc(features, labels) == pytest.approx(spearman(features, one_hot_distances(labels)), rel=1e-8)


def test_several_labels_are_compared_as_rows():
    features, _ = blobs(2)
    labels = np.random.default_rng(2).integers(2, size=(40, 5))
    labels[:, 0] = (features[:, 0] > 0).astype(int)
    labels = labels[(labels.sum(axis=1) % 5) != 0]
    features = features[: len(labels)]
    assert parc(features, labels) == pytest.approx(spearman(features, 1 - np.corrcoef(labels)), rel=1e-8)


def test_of_several_labels_none_and_all_are_apart_from_others_and_alike_among_themselves():
    features, _ = blobs(3, n=30)
    labels = np.random.default_rng(3).integers(2, size=(30, 4))
    labels[:3], labels[3:5] = 0, 1
    with np.errstate(invalid="ignore", divide="ignore"):
        distances = 1 - np.corrcoef(labels)
    bare, full = ~labels.any(axis=1), labels.all(axis=1)
    for i in np.flatnonzero(bare | full):
        distances[i] = distances[:, i] = 1
    for group in (bare, full):
        distances[np.ix_(group, group)] = 0
    assert parc(features, labels) == pytest.approx(spearman(features, distances), rel=1e-8)


@pytest.mark.parametrize("kind", ["all different", "few values"])
def test_numbers_are_compared_by_their_difference(kind):
    features, _ = blobs(4)
    target = features[:, 0] + np.random.default_rng(4).normal(size=40)
    if kind == "few values":
        target = 0.1 * np.round(2 * target)
    distances = np.abs(target[:, None] - target)
    expected = spearman(features, distances)
    assert parc(features, target, task="regression") == pytest.approx(expected, rel=1e-8)
    assert parc(features, 1e8 * target - 3, task="regression") == pytest.approx(expected, rel=1e-8)


def test_principal_components_are_standardised_and_signed_by_their_third_moment():
    features, labels = blobs(5)
    features *= [5, 3, 1, 1, 1, 1]
    coordinates = PCA(3).fit_transform(features)
    coordinates *= np.sign((coordinates**3).sum(axis=0))
    expected = spearman(coordinates, one_hot_distances(labels))
    assert parc(features, labels, components=3) == pytest.approx(expected, rel=1e-6)
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    assert parc(features @ rotation, labels, components=3) == pytest.approx(expected, rel=1e-6)


def test_components_without_variance_are_left_out():
    features, labels = blobs(6)
    flat = features[:, :3] @ np.random.default_rng(6).normal(size=(3, 20))
    assert parc(flat, labels, components=20) == pytest.approx(parc(flat, labels, components=3), rel=1e-8)


@pytest.mark.parametrize("labels", ["classes", "several", "numbers"])
def test_one_estimator_scores_any_labelling(labels):
    features, given = blobs(7)
    if labels == "several":
        given = np.eye(3, dtype=np.int64)[given] | np.random.default_rng(7).integers(2, size=(40, 3))
    if labels == "numbers":
        given = np.random.default_rng(7).integers(30, size=40).astype(np.float64)
    score = PARC().on(ScoreInputs(features=features, labels=given))
    task = "regression" if labels == "numbers" else None
    for seed in range(3):
        other = given[np.random.default_rng(seed).permutation(40)]
        assert score(other) == parc(features, other, task=task)
    other = given[np.random.default_rng(8).integers(40, size=40)]  # not a permutation
    assert score(other) == parc(features, other, task=task)


def test_permuted_labels_of_the_same_values_are_not_ranked_again(monkeypatch):
    features, _ = blobs(8)
    target = np.random.default_rng(8).normal(size=40)
    score = PARC().on(ScoreInputs(features=features, labels=target))
    assert score(target**3) == parc(features, target**3, task="regression")
    monkeypatch.setattr(pair_ranks, "centred_ranks", None)
    assert score(target[::-1].copy()) != score(target)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), n=st.integers(6, 30), width=st.integers(2, 12), power=st.sampled_from([-8, 0, 8]))
def test_order_names_shift_and_scale_do_not_matter(seed, n, width, power):
    features, labels = blobs(seed, n=n, width=width)
    rng = np.random.default_rng(seed)
    order, names = rng.permutation(n), np.array(["b", "c", "a"])
    value = parc(features, labels)
    assert -100 <= value <= 100
    assert parc(features[order], labels[order]) == pytest.approx(value, rel=1e-8, abs=1e-8)
    assert parc(features, names[labels]) == value
    assert parc(features + 100 * rng.normal(size=width), labels) == pytest.approx(value, rel=1e-8, abs=1e-8)
    assert parc(features * 10.0**power, labels) == pytest.approx(value, rel=1e-8, abs=1e-8)


def test_classes_that_only_order_can_tell_reach_both_ends():
    angles = np.array([0.0, 0.1, 2.0, 2.1, 4.0, 4.1])
    plane = np.linalg.svd(np.eye(3) - 1 / 3)[0][:, :2]  # rows without a mean, so that they correlate by their angle
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T
    near = parc(features, np.array([0, 0, 1, 1, 2, 2]))
    upper = np.triu_indices(6, 1)
    best = np.ones(15)
    best[np.isin(upper[0] * 6 + upper[1], [1, 15, 29])] = 0
    # No labelling can do better than to have the least distances inside classes.
    assert near == pytest.approx(100 * spearmanr(np.sort(rankdata(np.arange(15))), np.sort(best)).statistic)
    assert parc(features, np.array([0, 1, 2, 0, 1, 2])) < 0


@pytest.mark.parametrize("power", [-50, -8, 8, 50])
def test_constant_columns_and_extreme_scales_change_nothing(power):
    features, labels = blobs(9)
    padded = np.hstack([features, np.full((40, 1), 0.1), np.full((40, 1), 1e9)]) * 10.0**power
    assert parc(padded, labels) == pytest.approx(parc(features, labels), rel=1e-8)


def test_rows_without_a_correlation_are_apart_from_all_but_their_like():
    # Columns come in pairs that are equal for some rows: standardised alike, these rows are constant.
    rng = np.random.default_rng(10)
    first = rng.normal(size=20)
    features = np.stack([first, rng.permutation(first)], axis=1)
    features[3, 1], features[7, 1] = features[3, 0], features[7, 0]
    features[:, 1] = (features[:, 1] - features[:, 1].mean()) / features[:, 1].std()
    features[:, 0] = (features[:, 0] - features[:, 0].mean()) / features[:, 0].std()
    features[3] = features[7] = 0  # the mean of what is made symmetric below
    features = np.vstack([features, -features])
    labels = rng.integers(2, size=40)
    with np.errstate(invalid="ignore", divide="ignore"):
        distances = 1 - np.corrcoef(features / features.std(axis=0))
    constant = [3, 7, 23, 27]
    distances[constant] = distances[:, constant] = 1
    distances[np.ix_(constant, constant)] = 0
    upper = np.triu_indices(40, 1)
    expected = 100 * spearmanr(distances[upper].round(9), one_hot_distances(labels)[upper].round(9)).statistic
    assert parc(features, labels) == pytest.approx(expected, rel=1e-8)


def test_a_subsample_is_seeded_stratified_and_the_same_in_any_order():
    features, labels = blobs(11, n=200, signal=2.0)
    labels[:4] = 3  # rare
    value = parc(features, labels, samples=60)
    assert value == parc(features, labels, samples=60)
    assert value != parc(features, labels, samples=60, seed=1)
    assert abs(value - parc(features, labels)) < 15
    order = np.random.default_rng(11).permutation(200)
    assert parc(features[order], labels[order], samples=60) == pytest.approx(value, rel=1e-8)
    only = [
        parc(features, (labels == code).astype(int), samples=60) for code in range(4)
    ]  # a class that were left out would be an error
    assert np.isfinite(only).all()
    assert parc(features, labels, samples=200) == parc(features, labels)


@pytest.mark.parametrize("labels", ["several", "numbers"])
def test_a_subsample_of_other_labels_is_that_of_its_samples(labels):
    features, codes = blobs(17, n=200)
    given = np.eye(3, dtype=np.int64)[codes] if labels == "several" else codes + features[:, 0]
    task = "regression" if labels == "numbers" else None
    value = parc(features, given, task=task, samples=150)
    assert abs(value - parc(features, given, task=task)) < 5
    score = PARC(samples=150).on(ScoreInputs(features=features, labels=given))
    assert score(given) == value
    assert score(given[::-1].copy()) == pytest.approx(0, abs=10)


def test_a_row_that_is_constant_up_to_rounding_correlates_with_no_other():
    rows = np.random.default_rng(18).normal(size=(3, 5))
    rows[1] = 0.7 + 1e-11 * rows[1]
    assert (unit_rows(rows) @ unit_rows(rows).T)[1].tolist() == [0.0, 1.0, 0.0]


def test_ranks_of_more_distances_than_bits_are_still_ordered(monkeypatch):
    values = np.random.default_rng(12).integers(500, size=3000) / 256
    expected = 2 * rankdata(values) - 3001
    assert (centred_ranks([values[:1000], values[1000:]], 3000)[0] == expected).all()
    monkeypatch.setattr(pair_ranks, "RESOLUTION_BITS", 60)  # 12 bits of the position leave 49 of these
    assert (centred_ranks([values], 3000)[0] == expected).all()


def test_weights_count_as_repetitions():
    rng = np.random.default_rng(13)
    values, weights = rng.integers(6, size=20) / 4, rng.integers(4, size=20)
    repeated, norm = centred_ranks([np.repeat(values, weights)], int(weights.sum()))
    ranks, same = centred_ranks([values], 20, weights)
    assert (np.repeat(ranks, weights) == repeated).all()
    assert same == pytest.approx(norm) == np.sqrt((repeated.astype(float) ** 2).sum())


def test_blocks_do_not_matter(monkeypatch):
    features, labels = blobs(14)
    target = features[:, 0] ** 2
    before = parc(features, labels), parc(features, target, task="regression")
    monkeypatch.setattr(pair_ranks, "BLOCK_ROWS", 7)
    assert (parc(features, labels), parc(features, target, task="regression")) == pytest.approx(before, rel=1e-12)


def test_absent_classes_and_float32_change_nothing():
    features, labels = blobs(15)
    single = features.astype(np.float32)
    assert parc(single, labels * 10 + 3) == parc(single.astype(np.float64), labels)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones((9, 4)) * [0.1, 1e9, 1 / 3, 2], np.arange(9) % 2, "features of all pairs of samples correlate alike"),
        (np.arange(9.0)[:, None], np.arange(9) % 2, "features of all pairs of samples correlate alike"),
        (np.eye(2), np.arange(2), "features of all pairs of samples correlate alike"),
        (np.eye(1), np.arange(1), "features of all pairs of samples correlate alike"),
        (np.eye(9), np.arange(9) % 2, "features of all pairs of samples correlate alike"),
        (np.tri(9), np.zeros(9, dtype=int), "all samples have the same label"),
        (np.tri(9), np.zeros((9, 3), dtype=int), "all samples have the same label"),
        (np.tri(9), np.arange(9), "no two samples have the same label"),
        (np.tri(9), np.eye(9, dtype=int), "no two samples have the same label"),
    ],
)
def test_what_cannot_be_scored_is_said(features, labels, message):
    with pytest.raises(UndefinedError, match=message):
        parc(features, labels)


def test_what_cannot_be_used_is_refused():
    with pytest.raises(DataError, match="labels has 8 rows beside 9 samples"):
        parc(np.tri(9), np.arange(8))
    with pytest.raises(DataError, match="regression"):
        parc(np.tri(9), np.linspace(0, 1, 9))
    with pytest.raises(DataError, match="shape"):
        parc(np.zeros(9), np.arange(9))


def test_the_features_stay_as_they_are():
    features, labels = blobs(16)
    before = features.copy()
    parc(features, labels)
    parc(features, labels, components=2)
    assert (features == before).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "clasification"}, "task 'clasification'; expected one of .*; did you mean 'classification'"),
        ({"components": 0}, "components 0; expected at least 1"),
        ({"components": 1.5}, "components 1.5; expected a whole number of at least 1"),
        ({"samples": 2}, "samples 2; expected at least 3"),
        ({"samples": "all"}, "samples 'all'; expected a whole number of at least 3"),
        ({"seed": -1}, "seed -1; expected at least 0"),
    ],
)
def test_options_out_of_range_are_refused_in_words(options: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parc(np.eye(6), np.arange(6) % 2, **options)
