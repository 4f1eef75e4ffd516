"""Nearest neighbours against scikit-learn and exhaustive sorting."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from gapkit.statistics import mapped, neighbours
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.neighbours import SIZES, choose_neighbours, make_neighbourhood, nearest, vote
from gapkit.statistics.splits import Split, fold_splits


@pytest.mark.parametrize(
    ("n_queries", "n_references", "width", "count"), [(40, 60, 3, 7), (5, 20, 30, 20), (300, 500, 12, 30), (9, 1, 2, 1)]
)
def test_equals_scikit_learn(n_queries, n_references, width, count):
    rng = np.random.default_rng(0)
    queries, references = rng.normal(size=(n_queries, width)), rng.normal(size=(n_references, width))
    searched = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(references)
    assert (nearest(queries, references, count) == searched.kneighbors(queries, return_distance=False)).all()


def test_ties_come_in_the_order_of_the_references():
    rng = np.random.default_rng(1)
    queries, references = rng.integers(4, size=(60, 2)), rng.integers(4, size=(90, 2))
    scale = 0.37  # so that equal distances differ by rounding
    found = nearest(queries * scale, references * scale, 25)
    for query, row in zip(queries, found, strict=True):
        distances = np.square(references - query).sum(axis=1)
        assert row.tolist() == sorted(range(90), key=lambda j: (distances[j], j))[:25]


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(2)
    points = np.repeat(rng.normal(size=(70, 5)), 2, axis=0)
    whole = nearest(points, points, 20)
    monkeypatch.setattr(neighbours, "BLOCK_ENTRIES", 300)
    assert (nearest(points, points, 20) == whole).all()
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 600)  # 12 rows: fewer than there are neighbours
    assert (nearest(points, points, 20) == whole).all()
    monkeypatch.setattr(mapped, "HELD", 0)
    assert (nearest(points, points, 20) == whole).all()


def test_an_outlier_does_not_blur_the_distances_of_others():
    rng = np.random.default_rng(3)
    references = rng.normal(size=(200, 4))
    queries = np.vstack([rng.normal(size=(20, 4)), np.full((1, 4), 1e12)])
    searched = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(references)
    assert (nearest(queries[:20], references, 5) == nearest(queries, references, 5)[:20]).all()
    assert (nearest(queries, references, 5)[:20] == searched.kneighbors(queries[:20], return_distance=False)).all()


def exhaustive(neighbourhood, rows, allowed, count):
    """By distance, then by the seeded order."""
    rank = np.argsort(neighbourhood.order)
    members = np.flatnonzero(allowed)
    points = neighbourhood.scaling.apply(neighbourhood.features)
    found = []
    for row in rows:
        distances = np.square(points[members] - points[row]).sum(axis=1)
        found.append(members[np.lexsort((rank[members], distances.round(9)))][:count])
    return np.array(found)


@pytest.mark.parametrize("case", ["plain", "groups", "duplicates"])
def test_neighbours_of_every_fold_from_one_pass_equal_an_exhaustive_search(case, monkeypatch):
    monkeypatch.setattr(neighbours, "SIZES", (1, 3, 10))
    rng = np.random.default_rng(4)
    groups = np.arange(160) // 16 if case == "groups" else None
    centres = 20 * rng.normal(size=(10, 3))  # groups lie apart: most neighbours are in the sample's own group
    features = rng.normal(size=(160, 3)) + (centres[groups] if groups is not None else 0)
    if case == "duplicates":
        features = features[rng.integers(20, size=160)]
    labels = rng.integers(3, size=160)
    splits = fold_splits(labels, stratified_folds(labels, 4, groups=groups), groups=groups)
    neighbourhood = make_neighbourhood(features, splits, seed=0, most=10)
    assert neighbourhood.candidates.shape[1] < 160
    short = 0
    for split in splits:
        for rows, allowed in ((split.scored, split.fit), (split.validation, split.inner_fit)):
            rows = np.flatnonzero(rows)
            short += int((allowed[neighbourhood.candidates[rows]].sum(axis=1) < 10).sum())
            assert (neighbourhood.among(rows, allowed, 10) == exhaustive(neighbourhood, rows, allowed, 10)).all()
    assert (short > 0) == (case == "groups")


def test_the_vote_counts_labels_and_adds_one_prior_sample():
    rng = np.random.default_rng(5)
    labels, prior = rng.integers(4, size=(30, 7)), np.array([0.4, 0.3, 0.2, 0.1])
    naive = [[(list(row).count(y) + prior[y]) / 8 for y in range(4)] for row in labels]
    assert vote(labels, prior) == pytest.approx(np.array(naive))


def one_split(rng, n):
    fold = rng.integers(5, size=n)
    return Split(fit=fold > 0, validation=fold == 1, scored=fold == 0)


@pytest.mark.parametrize("seed", range(4))
def test_k_and_probabilities_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng([seed, 6])
    labels = rng.integers(3, size=400)
    features = 0.7 * rng.normal(size=(3, 8))[labels] * 2 + rng.normal(size=(400, 8)) * rng.uniform(0.1, 10, size=8)
    split, prior = one_split(rng, 400), np.array([0.2, 0.3, 0.5])
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)

    def reference(fit, rows, size):
        model = KNeighborsClassifier(size, algorithm="brute").fit(scaled[fit], labels[fit])
        return (size * model.predict_proba(scaled[rows]) + prior) / (size + 1)

    losses = [
        -np.log(
            reference(split.inner_fit, split.validation, size)[range(split.validation.sum()), labels[split.validation]]
        )
        for size in SIZES
    ]
    best = SIZES[int(np.argmin([loss.mean() for loss in losses]))]
    chosen = choose_neighbours(make_neighbourhood(features, [split], seed=0), labels, split, prior)
    assert chosen.model.size == best
    assert chosen.validation == pytest.approx(reference(split.inner_fit, split.validation, best))
    assert chosen.scored == pytest.approx(reference(split.fit, split.scored, best))
    assert chosen.model.predict(features[split.scored]) == pytest.approx(chosen.scored)
    assert (vote(labels[chosen.nearest[:, :best]], prior) == chosen.scored).all()


def test_samples_that_are_all_alike_vote_alike_whatever_their_order():
    labels = np.sort(np.random.default_rng(7).integers(2, size=200))  # sorted by class, as label maps have them
    split = one_split(np.random.default_rng(8), 200)
    neighbourhood = make_neighbourhood(np.zeros((200, 2)), [split], seed=0)
    chosen = choose_neighbours(neighbourhood, labels, split, np.full(2, 0.5))
    assert (chosen.scored == chosen.scored[0]).all()
    assert chosen.model.size == 100
    share = labels[split.fit].mean()
    assert abs(chosen.scored[0, 1] - share) < 4 * np.sqrt(share * (1 - share) / 100)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("features", [np.zeros((20, 0)), np.full((20, 2), 7.0), np.arange(20.0)[:, None], np.eye(20)])
def test_small_and_degenerate_features_give_finite_probabilities(features):
    labels = np.arange(20) % 2
    splits = fold_splits(labels, stratified_folds(labels))
    neighbourhood = make_neighbourhood(features, splits, seed=0)
    for split in splits:
        chosen = choose_neighbours(neighbourhood, labels, split, np.full(2, 0.5))
        assert np.isfinite(np.log(chosen.scored)).all()
        assert chosen.model.size <= split.inner_fit.sum()
        assert chosen.model.predict(features[split.scored]) == pytest.approx(chosen.scored)
