"""The mixture against scikit-learn's from the same start, and its start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture

from gapkit.errors import OptionError
from gapkit.scores import mixture as module
from gapkit.scores.mixture import Mixture, MixtureOptions, cluster, fit_mixture, improve, of_clusters, spread_out
from gapkit.statistics import mapped
from gapkit.statistics.mapped import MappedRows

FLOOR = np.full(2, 0.01)
KINDS = {"diagonal": "diag", "full": "full"}


def clouds(seed, n=200, width=3, count=4):
    """Centred, uncorrelated and with unit variances, so that scikit-learn's regularisation is a share of them too."""
    rng = np.random.default_rng([seed, 63])
    points = 3 * rng.normal(size=(count, width))[rng.integers(count, size=n)] + rng.normal(size=(n, width))
    left, _, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    return left * np.sqrt(n)


def started(points, mixture, covariance, steps, regularisation):
    """scikit-learn's mixture after as many steps from the same weights, means and covariances."""
    spreads = mixture.spreads
    return GaussianMixture(
        len(mixture.means),
        covariance_type=KINDS[covariance],
        tol=0.0,
        max_iter=steps,
        reg_covar=regularisation,
        weights_init=mixture.weights,
        means_init=mixture.means,
        precisions_init=1 / spreads if covariance == "diagonal" else np.linalg.inv(spreads),
    ).fit(points)


@pytest.mark.filterwarnings("ignore:.*did not converge.*:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("steps", [1, 7])
def test_steps_are_those_of_scikit_learn(covariance, steps):
    points = clouds(0)
    start = of_clusters(points, cluster(points, 4, seed=0), np.full(3, 0.05), covariance)
    theirs = started(points, start, covariance, steps, 0.05)
    options = MixtureOptions(covariance=covariance, regularisation=0.05, tolerance=0.0, most=steps)
    ours = fit_mixture(points, 4, options)
    assert ours.weights == pytest.approx(theirs.weights_, rel=1e-8)
    assert ours.means == pytest.approx(theirs.means_, rel=1e-7, abs=1e-9)
    assert ours.spreads == pytest.approx(theirs.covariances_, rel=1e-7, abs=1e-9)
    found, likelihood = ours.posterior(points)
    assert found == pytest.approx(theirs.predict_proba(points), rel=1e-6, abs=1e-12)
    assert likelihood == pytest.approx(theirs.score(points), rel=1e-10)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_a_fit_stops_where_steps_gain_little_and_not_before(covariance):
    points = clouds(1)
    short, long = (
        fit_mixture(points, 4, MixtureOptions(covariance=covariance, tolerance=tolerance, most=400)).posterior(points)[
            1
        ]
        for tolerance in (1e-1, 1e-10)
    )
    assert short < long < short + 0.5
    again = MixtureOptions(covariance=covariance, tolerance=1e-10, most=4000)
    assert fit_mixture(points, 4, again).posterior(points)[1] == pytest.approx(long, abs=1e-6)


def test_what_is_added_to_variances_is_a_share_of_each_coordinate():
    points = clouds(2) * [1e-8, 1.0, 1e8]
    options = MixtureOptions(regularisation=0.3)
    wide, plain = fit_mixture(points, 1, options), fit_mixture(clouds(2), 1, options)
    assert wide.spreads == pytest.approx(plain.spreads * np.square([1e-8, 1.0, 1e8]), rel=1e-10)
    assert plain.spreads == pytest.approx(np.full((1, 3), 1.3), rel=1e-10)


def test_k_means_ends_where_scikit_learn_has_nothing_to_move():
    points = clouds(3)
    own = cluster(points, 4, seed=1)
    centres = np.stack([points[own == k].mean(axis=0) for k in range(4)])
    theirs = KMeans(4, init=centres, n_init=1, max_iter=1).fit(points)
    assert (theirs.labels_ == own).all()


def test_the_start_is_spread_out_and_seeded():
    points = np.repeat(np.array([[0.0], [1.0], [50.0], [100.0]]), [97, 1, 1, 1], axis=0)
    chosen = [sorted(set(points[spread_out(points, 3, seed=seed)].ravel().tolist())) for seed in range(30)]
    assert all(len(values) == 3 for values in chosen)
    assert sum(values == [0.0, 50.0, 100.0] for values in chosen) > 25
    assert (spread_out(points, 3, seed=5) == spread_out(points, 3, seed=5)).all()
    assert len({tuple(spread_out(clouds(4), 3, seed=seed).tolist()) for seed in range(10)}) == 10


def test_fewer_points_that_differ_than_clusters_make_fewer_clusters():
    points = np.repeat(clouds(5)[:6], 5, axis=0)
    points = points - points.mean(axis=0)
    assert len(spread_out(points, 20, seed=0)) == 6
    assert cluster(points, 20, seed=0).max() == 5
    mixture = fit_mixture(points, 20)
    assert len(mixture.means) == 6
    assert np.isfinite(mixture.posterior(points)[0]).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(6))
def test_points_that_rounding_alone_tells_apart_are_one_cluster(seed):
    noisy = np.repeat(clouds(5)[:6], 5, axis=0)
    noisy = noisy - noisy.mean(axis=0) + 1e-14 * np.random.default_rng(seed).normal(size=noisy.shape)
    assert len(spread_out(noisy, 20, seed=seed)) == 6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(6))
def test_of_centres_that_are_no_points_nearest_one_no_number_is_left(seed):
    """Twins so close that the product by which the nearest centre is found does not tell them apart."""
    apart = 100 * np.random.default_rng(seed).normal(size=8)
    points = np.append(apart, apart + 1e-8 * np.arange(1, 9))[:, None]
    assert len(spread_out(points, 16, seed=seed)) == 16
    own = cluster(points, 16, seed=seed)
    assert own.max() < 15
    assert sorted(set(own.tolist())) == list(range(own.max() + 1))


def test_no_other_covariance_is_taken_for_one_of_the_two():
    with pytest.raises(OptionError, match="covariance 'ful'; .* did you mean 'full'"):
        MixtureOptions(covariance="ful")


def test_nothing_added_to_variances_is_refused():
    with pytest.raises(OptionError, match="regularisation 0.0; expected a positive"):
        MixtureOptions(regularisation=0.0)


@pytest.mark.filterwarnings("error")
def test_a_component_without_mass_takes_no_part():
    mixture = Mixture(weights=np.array([1.0, 0.0]), means=np.zeros((2, 2)), spreads=np.ones((2, 2)))
    points = clouds(6, width=2)
    posterior, likelihood = mixture.posterior(points)
    assert (posterior == [1.0, 0.0]).all()
    for spreads in (mixture.spreads, np.tile(np.eye(2), (2, 1, 1))):
        again = improve(replace(mixture, means=np.array([[0.0, 0.0], [5.0, 5.0]]), spreads=spreads), points, FLOOR)[0]
        assert np.isfinite(again.posterior(points)[1])
        assert (again.weights == [1.0, 0.0]).all()
    expected = -np.log(2 * np.pi) - np.square(points).sum(axis=1).mean() / 2
    assert likelihood == pytest.approx(expected)


def naive_step(points, posterior, floor, covariance):
    """Weights, means and spreads from posteriors (n, m) of all points at once."""
    masses = posterior.sum(axis=0)
    means = np.stack([np.average(points, axis=0, weights=own) for own in posterior.T])
    spreads = np.stack(
        [np.cov(points.T, aweights=own, ddof=0) + np.diag(floor) for own in posterior.T]  # about the mean of each
    )
    return masses / len(points), means, np.einsum("mii->mi", spreads) if covariance == "diagonal" else spreads


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_sums_over_blocks_are_those_over_all_points(covariance, held, monkeypatch):
    points = clouds(7)
    rows = MappedRows(rows=np.arange(200), width=3, function=lambda index: points[index])
    monkeypatch.setattr(mapped, "HELD", 1 << 20 if held else 0)
    monkeypatch.setattr(mapped, "CACHED", 7 * 24)
    monkeypatch.setattr(module, "MULTIPLIED", 13 * 32)
    nearest = cluster(rows, 4, seed=2)
    assert (nearest == cluster(points, 4, seed=2)).all()
    floor, first = np.full(3, 0.02), of_clusters(rows, nearest, np.full(3, 0.02), covariance)
    second, likelihood = improve(first, rows, floor)
    posterior, expected = first.posterior(points)
    assert likelihood == pytest.approx(expected, rel=1e-12)
    for found, own in ((first, np.eye(4)[nearest]), (second, posterior)):
        weights, means, spreads = naive_step(points, own, floor, covariance)
        assert found.weights == pytest.approx(weights, rel=1e-10)
        assert found.means == pytest.approx(means, rel=1e-9, abs=1e-10)
        assert found.spreads == pytest.approx(spreads, rel=1e-9, abs=1e-10)
