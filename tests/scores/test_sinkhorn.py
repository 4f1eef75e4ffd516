"""Sinkhorn divergence: POT's couplings, the dual solved by another method, closed forms, limits, and its evidence."""

from __future__ import annotations

import dataclasses

import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from scipy.stats import norm

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.scores.inputs import PairInputs
from gapkit.scores.sinkhorn import Sinkhorn, sinkhorn_divergence
from gapkit.scores.subsample import subsample_pair


def two_samples(seed, n=15, m=11, d=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), 0.5 + 1.3 * rng.normal(size=(m, d))


def pot_objective(x, y, epsilon):
    """<P, C> + epsilon KL(P || a b') at POT's coupling, and the same by its dual potentials."""
    n, m = len(x), len(y)
    cost = cdist(x, y, "sqeuclidean")
    a, b = np.full(n, 1 / n), np.full(m, 1 / m)
    plan, log = ot.bregman.sinkhorn_log(a, b, cost, epsilon, numItermax=2000, stopThr=1e-12, warn=False, log=True)
    positive = plan > 0
    primal = (plan * cost).sum() + epsilon * (plan[positive] * np.log(plan[positive] * n * m)).sum()
    dual = epsilon * (a @ (log["log_u"] - np.log(a)) + b @ (log["log_v"] - np.log(b)))
    return primal, dual


def dual_by_bfgs(x, y, epsilon):
    """The dual maximised by a method that knows nothing of Sinkhorn: f alone, g its soft minimum."""
    cost = cdist(x, y, "sqeuclidean")
    n = len(x)

    def loss(f):
        scores = (f[:, None] - cost) / epsilon
        top = scores.max(axis=0)
        weights = np.exp(scores - top)
        g = -epsilon * (top + np.log(weights.mean(axis=0)))
        return -(f.mean() + g.mean()), (weights / weights.sum(axis=0)).mean(axis=1) - 1 / n

    return -minimize(loss, np.zeros(n), jac=True, method="BFGS", options={"gtol": 1e-10}).fun


@pytest.mark.parametrize("regularisation", [0.02, 0.05, 0.3, 3.0])
def test_each_problem_is_pot_s_at_the_same_epsilon(regularisation):
    x, y = two_samples(0)
    found = sinkhorn_divergence(x, y, regularisation=regularisation, tolerance=1e-10)
    assert found.epsilon == pytest.approx(regularisation * np.median(cdist(x, y, "sqeuclidean")), rel=1e-10)
    for part, (first, second) in zip((found.cross, found.x_self, found.y_self), ((x, y), (x, x), (y, y)), strict=True):
        primal, dual = pot_objective(first, second, found.epsilon)
        assert primal == pytest.approx(dual, rel=1e-5)
        assert part.value == pytest.approx(primal, rel=1e-5)
        assert part.value == pytest.approx(dual_by_bfgs(first, second, found.epsilon), rel=1e-8)
    expected = found.cross.value - found.x_self.value / 2 - found.y_self.value / 2
    assert found.value == pytest.approx(expected, rel=1e-12)


def test_two_points_have_a_closed_form():
    # Of {0, 1} with itself, by symmetry f is constant: OT = -epsilon log((1 + exp(-1 / epsilon)) / 2).
    x = np.array([[0.0], [1.0]])
    found = sinkhorn_divergence(x, x + 3)
    own = -found.epsilon * np.log((1 + np.exp(-1 / found.epsilon)) / 2)
    assert found.x_self.value == pytest.approx(own, rel=1e-8)
    assert found.y_self.value == pytest.approx(own, rel=1e-8)
    assert found.value == pytest.approx(9.0, rel=1e-8)  # a shift costs its square, whatever epsilon is


def test_a_single_sample_has_one_coupling_only():
    x, y = two_samples(1, n=1)
    found = sinkhorn_divergence(x, y)
    assert found.cross.value == pytest.approx(cdist(x, y, "sqeuclidean").mean(), rel=1e-10)
    assert found.x_self.value == 0.0


def test_between_gaussians_it_is_their_closed_form():
    # Janati, Muzellec, Peyre and Cuturi, NeurIPS 2020, theorem 1, in one dimension: cost |u - v|^2, 2 s^2 = epsilon.
    def entropic(mean, first, second, epsilon):
        s2 = epsilon / 2
        root = np.sqrt(4 * first * second + s2**2)
        gap = mean**2 + first + second
        return gap - root + s2 * (1 - np.log(2 * s2)) + s2 * np.log(root + s2)

    quantiles = norm.ppf((np.arange(600) + 0.5) / 600)[:, None]
    x, y = quantiles, 1.0 + 2.0 * quantiles
    found = sinkhorn_divergence(x, y, regularisation=0.3)
    epsilon = found.epsilon
    assert found.cross.value == pytest.approx(entropic(1.0, 1.0, 4.0, epsilon), rel=0.01)
    assert found.x_self.value == pytest.approx(entropic(0.0, 1.0, 1.0, epsilon), rel=0.01)
    expected = entropic(1, 1, 4, epsilon) - entropic(0, 1, 1, epsilon) / 2 - entropic(0, 4, 4, epsilon) / 2
    assert found.value == pytest.approx(expected, rel=0.01)


def test_small_epsilon_gives_exact_transport():
    x, y = two_samples(2, 12, 9)
    exact = ot.emd2(np.full(12, 1 / 12), np.full(9, 1 / 9), cdist(x, y, "sqeuclidean"))
    found = sinkhorn_divergence(x, y, regularisation=1e-3, max_iterations=100_000)
    assert found.converged
    assert 0 <= found.cross.value - exact <= found.epsilon * np.log(9)
    assert found.value == pytest.approx(exact, abs=2 * found.epsilon * np.log(12))
    assert abs(found.value - exact) < 0.01 * exact


def test_large_epsilon_gives_the_distance_of_the_means():
    x, y = two_samples(3)
    expected = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    assert sinkhorn_divergence(x, y, regularisation=1e5).value == pytest.approx(expected, rel=1e-3)


def test_it_is_not_the_transport_cost_without_entropy():
    x, y = two_samples(4, 20, 20)
    found = sinkhorn_divergence(x, y, regularisation=1.0)
    without = ot.bregman.empirical_sinkhorn_divergence(x, y, found.epsilon, stopThr=1e-12)
    assert abs(float(without) - found.value) > 0.05 * found.value


@settings(derandomize=True, deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    d=st.integers(1, 6),
    regularisation=st.sampled_from([0.05, 0.2, 2.0]),
)
def test_order_sides_shifts_and_rotations_change_nothing_and_scales_multiply(seed, n, m, d, regularisation):
    x, y = two_samples(seed, n, m, d)
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]

    def value(first, second):
        return sinkhorn_divergence(first, second, regularisation=regularisation, tolerance=1e-9).value

    expected = value(x, y)
    near = pytest.approx(expected, rel=1e-8, abs=1e-9)
    assert value(rng.permutation(x), rng.permutation(y)) == near
    assert value(y, x) == near
    assert value(x @ turn + 10, y @ turn + 10) == near
    for scale in (1e-8, 1e8):
        assert value(scale * x, scale * y) / scale**2 == near
    assert expected > 0
    assert value(x, rng.permutation(x)) == pytest.approx(0.0, abs=1e-9)


def test_the_default_tolerance_leaves_no_more_than_its_square():
    x, y = two_samples(5, 60, 50)
    exact = sinkhorn_divergence(x, y, tolerance=1e-13)
    for tolerance, left in ((1e-6, 1e-9), (1e-3, 1e-4)):
        found = sinkhorn_divergence(x, y, tolerance=tolerance)
        assert found.value == pytest.approx(exact.value, rel=left)
        for name in ("cross", "x_self", "y_self"):
            part, best = getattr(found, name), getattr(exact, name)
            assert part.residual <= tolerance
            assert part.iterations < best.iterations
            assert part.value <= best.value * (1 + 1e-12)  # a lower bound


@pytest.mark.parametrize("max_iterations", [1, 2, 5])
def test_what_has_not_converged_says_so(max_iterations):
    x, y = two_samples(6, 30, 30)
    found = sinkhorn_divergence(x, y, regularisation=0.01, max_iterations=max_iterations)
    assert not found.converged
    assert max_iterations <= found.cross.iterations <= max_iterations + 15  # one at least for each level of annealing
    assert found.cross.residual > 1e-6
    assert 0 < found.cross.value < sinkhorn_divergence(x, y, regularisation=0.01).cross.value
    estimator = Sinkhorn(regularisation=0.01, max_iterations=max_iterations)
    with pytest.raises(UndefinedError, match=r"residual of .* after \d+ iterations; expected marginals"):
        estimator.between(PairInputs(target=x, surrogate=y))


def test_large_scalings_are_taken_into_the_potentials():
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(size=(10, 1)), 40 + rng.normal(size=(10, 1))])
    y = np.concatenate([rng.normal(size=(14, 1)), 40 + rng.normal(size=(6, 1))])
    found = sinkhorn_divergence(x, y, regularisation=0.5, tolerance=1e-9, max_iterations=200_000)
    assert found.converged
    assert found.cross.value == pytest.approx(dual_by_bfgs(x, y, found.epsilon), rel=1e-6)
    exact = ot.emd2([], [], cdist(x, y, "sqeuclidean"))
    assert 0 <= found.cross.value - exact <= found.epsilon * np.log(20)


def test_the_estimator_is_the_function_and_the_epsilon_of_one_pair_serves_another():
    x, y = two_samples(9, 20, 24)
    pair, options = PairInputs(target=x, surrogate=y), {"regularisation": 0.2, "tolerance": 1e-8}
    found = sinkhorn_divergence(x, y, **options)
    assert Sinkhorn(**options).between(pair) == found.value
    halves = PairInputs(target=x[:10], surrogate=x[10:])
    own = np.median(cdist(x[:10], x[10:], "sqeuclidean"))
    expected = sinkhorn_divergence(x[:10], x[10:], regularisation=found.epsilon / own, tolerance=1e-8).value
    assert Sinkhorn(**options).anchored(pair)(halves) == pytest.approx(expected, rel=1e-8)
    assert abs(Sinkhorn(**options).between(halves) - expected) > 1e-4


def test_a_subsample_depends_neither_on_the_order_nor_on_the_sides_nor_on_the_axes():
    x, y = two_samples(10, 40, 50, 3)
    rng, distance = np.random.default_rng(0), Sinkhorn(limit=25, tolerance=1e-10)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    expected = distance.between(PairInputs(target=x, surrogate=y))
    drawn = subsample_pair(x, y, 25, seed=0)
    assert expected == sinkhorn_divergence(*drawn, tolerance=1e-10).value
    assert expected != Sinkhorn(tolerance=1e-10).between(PairInputs(target=x, surrogate=y))
    for first, second in [(rng.permutation(x), rng.permutation(y)), (y, x), (x @ turn + 3, y @ turn + 3)]:
        assert distance.between(PairInputs(target=first, surrogate=second)) == pytest.approx(expected, rel=1e-8)
    assert distance.between(PairInputs(target=x, surrogate=y, seed=1)) != expected


@pytest.mark.filterwarnings("error")
def test_degenerate_samples():
    same = np.full((4, 2), 0.1)
    found = sinkhorn_divergence(same, same[:3])
    assert (found.value, found.epsilon, found.converged) == (0.0, 0.0, True)
    assert sinkhorn_divergence(same, same + np.array([3.0, 4.0])).value == pytest.approx(25.0, rel=1e-10)
    x, y = two_samples(11, 6, 5, 40)
    doubled = sinkhorn_divergence(np.tile(x, (2, 1)), y, tolerance=1e-10)
    assert doubled.value == pytest.approx(sinkhorn_divergence(x, y, tolerance=1e-10).value, rel=1e-8)


def test_the_result_is_frozen_and_the_same_each_time():
    x, y = two_samples(12)
    found = sinkhorn_divergence(x, y)
    assert found == sinkhorn_divergence(x, y)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.value = 0.0


def test_what_cannot_be_measured_is_refused_in_words():
    x = np.arange(6.0).reshape(3, 2)
    with pytest.raises(DataError, match="x has 2 features and y has 1"):
        sinkhorn_divergence(x, x[:, :1])
    for option in ("regularisation", "tolerance", "max_iterations"):
        with pytest.raises(OptionError, match=f"{option} 0;"):
            sinkhorn_divergence(x, x + 1, **{option: 0})
        with pytest.raises(OptionError, match=f"{option} -1;"):
            Sinkhorn(**{option: -1}).between(PairInputs(target=x, surrogate=x + 1))
