"""RSA against scipy's distances and rank correlation, ties, and the subsample."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group, pearsonr, spearmanr

from gapkit.errors import OptionError, UndefinedError
from gapkit.reuse import rsa
from gapkit.reuse.paired import draw_paired

DISTANCES = ["correlation", "cosine", "euclidean"]


def layers(seed, n, d, e):
    rng = np.random.default_rng([seed, 74])
    x = rng.normal(size=(n, d)) + 1
    return x, x @ rng.normal(size=(d, e)) + rng.normal(size=(n, e))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(("n", "d", "e"), [(30, 6, 4), (30, 3, 50), (3, 4, 4), (12, 40, 40)])
def test_equals_scipy(n, d, e, distance):
    x, y = layers(n, n, d, e)
    first, second = pdist(x, distance), pdist(y, distance)
    assert rsa(x, y, distance=distance) == pytest.approx(spearmanr(first, second)[0], abs=1e-12)
    found = rsa(x, y, distance=distance, correlation="pearson")
    assert found == pytest.approx(pearsonr(first, second)[0], abs=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
def test_ties_share_their_rank_and_rounding_breaks_none(distance):
    """Integer features, of which many pairs are at one distance, also after a turn that rounds every entry."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 2, size=(25, 4)) + 0.0, rng.integers(0, 3, size=(25, 4)) + 0.0
    x[:, 0], y[:, 0] = 3, 4  # no zeros
    expected = spearmanr(*(np.round(pdist(side, distance), 9) for side in (x, y)))[0]
    assert rsa(x, y, distance=distance) == pytest.approx(expected, abs=1e-10)
    if distance != "correlation":
        turn = ortho_group.rvs(4, random_state=rng)
        assert rsa(x @ turn, y / 3, distance=distance) == pytest.approx(expected, abs=1e-10)


def test_invariances_follow_the_distance():
    x, y = layers(2, 30, 5, 4)
    rng = np.random.default_rng(2)
    turn, shift = ortho_group.rvs(5, random_state=rng), rng.normal(size=5)
    factors, offsets = rng.uniform(0.1, 9, size=(30, 1)), rng.normal(size=(30, 1))
    changed = {
        "turned": x @ turn,
        "shifted": x + shift,
        "samples scaled": x * factors,
        "samples shifted": x + offsets,
        "scaled": 7 * x,
    }
    kept = {
        "correlation": {"samples scaled", "samples shifted", "scaled"},
        "cosine": {"turned", "samples scaled", "scaled"},
        "euclidean": {"turned", "shifted", "scaled"},
    }
    for distance in DISTANCES:
        value = rsa(x, y, distance=distance)
        same = {name for name, rows in changed.items() if abs(rsa(rows, y, distance=distance) - value) < 1e-10}
        assert same == kept[distance]


def test_rows_without_a_direction_are_far_from_all_but_their_like():
    x, y = layers(3, 8, 4, 4)
    x[2], x[5] = 0.1, 7.0  # constant: no correlation
    units = x - x.mean(axis=1, keepdims=True)
    units[[2, 5]] = 0
    lengths = np.linalg.norm(units, axis=1)
    units /= np.where(lengths > 0, lengths, 1)[:, None]
    distances = 1 - units @ units.T
    distances[2, 5] = 0
    expected = spearmanr(distances[np.triu_indices(8, 1)], pdist(y, "correlation"))[0]
    assert rsa(x, y) == pytest.approx(expected, abs=1e-10)
    x[2], x[5] = 0.0, 0.0
    cosines = 1 - (x @ x.T) / np.outer(*[np.where(np.linalg.norm(x, axis=1) > 0, np.linalg.norm(x, axis=1), 1)] * 2)
    cosines[2, 5] = 0
    expected = spearmanr(cosines[np.triu_indices(8, 1)], pdist(y, "cosine"))[0]
    assert rsa(x, y, distance="cosine") == pytest.approx(expected, abs=1e-10)


def test_samples_of_very_different_size_have_correlations():
    x, y = layers(4, 20, 5, 4)
    factors = 10.0 ** np.linspace(-150, 150, 20)[:, None]
    assert rsa(x * factors, y) == pytest.approx(rsa(x, y), abs=1e-10)


def test_independent_features_correlate_by_chance_only():
    rng = np.random.default_rng(5)
    values = np.array([rsa(rng.normal(size=(40, 10)), rng.normal(size=(40, 20))) for _ in range(100)])
    assert abs(values.mean()) < 3 * values.std() / 10


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_subsample_is_drawn_of_both_sides_alike(distance):
    x, y = layers(6, 300, 5, 4)
    value = rsa(x, y, distance=distance, samples=60, seed=1)
    order = np.random.default_rng(6).permutation(300)
    assert rsa(x[order], y[order], distance=distance, samples=60, seed=1) == pytest.approx(value, abs=1e-12)
    assert rsa(y, x, distance=distance, samples=60, seed=1) == pytest.approx(value, abs=1e-12)
    assert rsa(x * 3, y, distance=distance, samples=60, seed=1) == pytest.approx(value, abs=1e-12)
    assert rsa(x, x, distance=distance, samples=60) == pytest.approx(1, abs=1e-12)
    assert value == pytest.approx(rsa(x, y, distance=distance), abs=0.15)
    assert value != rsa(x, y, distance=distance, samples=60, seed=2)


def test_the_subsample_is_spread_over_all_samples():
    x, y = layers(7, 300, 5, 4)
    drawn = np.concatenate([draw_paired(x, y, 50, seed=seed, stream=1) for seed in range(120)])
    assert len(set(drawn[:50])) == 50
    counts = np.bincount(drawn, minlength=300)
    assert counts.min() > 3  # 20 on average
    assert counts.max() < 45
    assert (draw_paired(x, y, 300, seed=0, stream=1) == np.arange(300)).all()


def test_what_cannot_be_said_is_said():
    x, y = layers(8, 20, 5, 4)
    with pytest.raises(UndefinedError, match="at least 3 for RSA"):
        rsa(x[:2], y[:2])
    for correlation in ("spearman", "pearson"):
        with pytest.raises(UndefinedError, match="y has all pairs of samples at the same distance"):
            rsa(x, np.eye(20), distance="euclidean", correlation=correlation)
        with pytest.raises(UndefinedError, match="x has all pairs of samples at the same distance"):
            rsa(x[:, :1], y, correlation=correlation)
        with pytest.raises(UndefinedError, match="x has all pairs"):
            rsa(np.ones((20, 3)) / 3, y, distance="cosine", correlation=correlation)
    for options in ({"distance": "cosin"}, {"correlation": "kendall"}, {"samples": 2}):
        with pytest.raises(OptionError, match=f"{next(iter(options))} is"):
            rsa(x, y, **options)
