"""The exact solver against linear programming, one dimension and permutations; couplings and their marginals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from gapkit.scores.coupling import DensePlan, SparsePlan, exact_plan, squared_distances
from gapkit.scores.otdd_sliced import quantile_coupling


def linear_program(cost):
    """The optimum over couplings of uniform weights, by scipy's simplex."""
    n, m = cost.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    weights = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return linprog(cost.ravel(), A_eq=np.vstack([rows, columns]), b_eq=weights).fun


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (3, 5), (6, 6), (7, 4)])
def test_equals_linear_programming(n, m):
    cost = np.random.default_rng(n * m).uniform(size=(n, m))
    plan, evidence = exact_plan(cost.copy())
    assert plan.mass @ cost[plan.rows, plan.columns] == pytest.approx(linear_program(cost), rel=1e-9)
    assert abs(evidence.gap) < 1e-12
    assert evidence.residual < 1e-12
    assert evidence.converged
    assert len(plan.mass) <= n + m - 1


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**60])
def test_scale_free(scale):
    """POT adds 1 to the largest cost: unscaled, tiny costs would drown in it."""
    cost = np.random.default_rng(0).uniform(size=(30, 40))
    one, other = exact_plan(cost.copy())[0], exact_plan(scale * cost)[0]
    assert (one.rows == other.rows).all()
    assert (one.columns == other.columns).all()


def test_equal_numbers_are_matched_as_by_the_best_permutation():
    cost = np.random.default_rng(1).uniform(size=(6, 6))
    plan, _ = exact_plan(cost.copy())
    best = min(cost[np.arange(6), list(order)].mean() for order in itertools.permutations(range(6)))
    assert plan.mass @ cost[plan.rows, plan.columns] == pytest.approx(best)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (4, 7), (12, 9), (1, 6)])
def test_sorting_is_optimal_in_one_dimension(n, m):
    rng = np.random.default_rng(n + m)
    x, y = np.sort(rng.normal(size=n)), np.sort(rng.normal(size=m))
    rows, columns, mass = quantile_coupling(n, m)
    assert np.bincount(rows, mass) == pytest.approx(np.full(n, 1 / n), rel=1e-13)
    assert np.bincount(columns, mass) == pytest.approx(np.full(m, 1 / m), rel=1e-13)
    cost = squared_distances(x[:, None], y[:, None])
    plan, _ = exact_plan(cost.copy())
    assert mass @ np.square(x[rows] - y[columns]) == pytest.approx(plan.mass @ cost[plan.rows, plan.columns], rel=1e-9)


def test_dense_and_sparse_plans_agree():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(8, 3)), rng.normal(size=(6, 3))
    first, second = np.array([0, 0, 1, 2, 2, 2, 1, 0]), np.array([1, 0, 1, 1, 0, 1])
    sparse, _ = exact_plan(squared_distances(x, y))
    mass = np.zeros((8, 6))
    mass[sparse.rows, sparse.columns] = sparse.mass
    dense = DensePlan(mass=mass)
    assert sparse.mean_squared_distance(x, y) == pytest.approx(dense.mean_squared_distance(x, y), rel=1e-12)
    expected = [[mass[np.ix_(first == a, second == b)].sum() for b in range(2)] for a in range(3)]
    for plan in (sparse, dense):
        assert plan.between_classes(first, second) == pytest.approx(np.array(expected), rel=1e-12)


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 4))
    plan = SparsePlan(rows=np.arange(9), columns=np.arange(9)[::-1].copy(), mass=np.full(9, 1 / 9))
    whole = plan.mean_squared_distance(x, y)
    monkeypatch.setattr("gapkit.scores.coupling.BLOCK_ENTRIES", 8)
    assert plan.mean_squared_distance(x, y) == pytest.approx(whole, rel=1e-14)
    assert whole == pytest.approx(np.square(x - y[::-1]).sum(axis=1).mean())


@pytest.mark.parametrize("pivots", [1, 30, 100])
def test_a_solver_that_is_stopped_says_so_and_how_far_it_may_be_off(pivots, monkeypatch):
    cost = np.random.default_rng(4).uniform(size=(60, 50)) * 3e4
    best, certified = exact_plan(cost.copy())
    monkeypatch.setattr("gapkit.scores.coupling.PIVOTS", pivots)
    plan, evidence = exact_plan(cost.copy())
    excess = plan.mass @ cost[plan.rows, plan.columns] - best.mass @ cost[best.rows, best.columns]
    assert not evidence.converged
    assert certified.converged
    assert evidence.gap + evidence.residual >= excess - 1e-6
    assert evidence.gap > 1.0
    assert abs(certified.gap) < 1e-9
