"""Sinkhorn against POT, its certificate, and what makes it stop."""

from __future__ import annotations

import numpy as np
import ot
import pytest

from gapkit.scores.coupling import exact_plan, squared_distances
from gapkit.scores.entropic import solve_entropic


def cost_of(n, m, *, seed=0, width=3):
    rng = np.random.default_rng(seed)
    return squared_distances(rng.normal(size=(n, width)), rng.normal(size=(m, width)) + 1)


@pytest.mark.parametrize("share", [1.0, 0.1, 0.02])
def test_plan_and_objective_equal_those_of_pot(share):
    cost = cost_of(30, 25)
    epsilon = share * cost.mean()
    solved = solve_entropic(cost, epsilon, tolerance=1e-11, max_iterations=20_000)
    weights = np.full(30, 1 / 30), np.full(25, 1 / 25)
    plan = ot.sinkhorn(*weights, cost, epsilon, method="sinkhorn_log", stopThr=1e-12, numItermax=50_000)
    assert solved.evidence.converged
    assert solved.plan.mass == pytest.approx(plan, rel=1e-5, abs=1e-12)
    assert solved.entropy == pytest.approx((plan * np.log(plan / np.outer(*weights))).sum(), rel=1e-6)


@pytest.mark.parametrize("limit", [1, 5, 60, 10_000])
def test_the_gap_certifies_a_solution_however_early_it_was_stopped(limit):
    cost = cost_of(40, 30, seed=1)
    epsilon = 0.02 * cost.mean()
    best = solve_entropic(cost, epsilon, tolerance=1e-12, max_iterations=50_000)
    found = solve_entropic(cost, epsilon, tolerance=1e-9, max_iterations=limit)
    objective, least = (float((solved.plan.mass * cost).sum()) + epsilon * solved.entropy for solved in (found, best))
    assert found.evidence.converged == (limit == 10_000)
    assert found.evidence.iterations <= limit + 10  # annealing is gone through, one sweep a level
    assert objective >= least - 1e-12
    assert objective - found.evidence.gap <= least + 1e-9  # the dual is a lower bound
    assert found.evidence.gap > 1e-6 or limit == 10_000
    assert found.plan.mass.sum(axis=1) == pytest.approx(np.full(40, 1 / 40), rel=1e-12)
    assert found.plan.mass.sum(axis=0) == pytest.approx(np.full(30, 1 / 30), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-16, 1.0, 1e16])
def test_scale_free(scale):
    cost = cost_of(20, 20, seed=2)
    one, other = (
        solve_entropic(factor * cost, factor * 0.05 * cost.mean(), tolerance=1e-9, max_iterations=5000)
        for factor in (1.0, scale)
    )
    assert other.plan.mass == pytest.approx(one.plan.mass, rel=1e-8)
    assert other.evidence.iterations == one.evidence.iterations


def test_small_regularisation_and_far_points_do_not_underflow():
    """Costs of 10 000 times epsilon: plain scaling has nothing but zeros."""
    rng = np.random.default_rng(3)
    x = np.vstack([rng.normal(size=(20, 2)), rng.normal(size=(20, 2)) + 100, [[1e4, 0]]])
    y = np.vstack([rng.normal(size=(15, 2)), rng.normal(size=(25, 2)) + 100])
    cost = squared_distances(x, y)
    solved = solve_entropic(cost, 0.5, tolerance=1e-8, max_iterations=20_000)
    exact = float(exact_plan(cost.copy())[0].mean_squared_distance(x, y))
    assert solved.evidence.converged
    assert float((solved.plan.mass * cost).sum()) >= exact - 1e-6
    assert float((solved.plan.mass * cost).sum()) == pytest.approx(exact, abs=2 * 0.5 * np.log(41 * 40))


def test_a_sample_with_itself_takes_few_steps():
    """Alternating steps take more than 10 000 here."""
    x = np.random.default_rng(4).normal(size=(60, 4)) * (1 + np.arange(60) % 3)[:, None] ** 2
    cost = squared_distances(x, x)
    solved = solve_entropic(cost, 0.02 * cost.mean(), tolerance=1e-9, max_iterations=200)
    assert solved.evidence.converged
    assert solved.plan.mass == pytest.approx(solved.plan.mass.T, abs=1e-9)


def test_overrelaxation_saves_steps():
    cost = cost_of(60, 50, seed=5)
    epsilon = 0.005 * cost.mean()
    solved = solve_entropic(cost, epsilon, tolerance=1e-8, max_iterations=50_000)
    f, g, plain = np.zeros(60), np.zeros(50), 0
    while True:
        f = -epsilon * np.log(np.exp((g - cost) / epsilon).mean(axis=1))
        plan = np.exp((f[:, None] + g - cost) / epsilon) / 3000
        if np.abs(plan.sum(axis=0) - 1 / 50).sum() <= 1e-8:
            break
        g = -epsilon * np.log(np.exp((f[:, None] - cost) / epsilon).mean(axis=0))
        plain += 1
    assert solved.evidence.converged
    assert solved.evidence.iterations < plain / 2
