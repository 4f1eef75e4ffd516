"""Sums of logarithms by products, and the searches that read them, against one logarithm for each factor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gapkit.gap.label_maps import injection_search
from gapkit.gap.label_maps.injection_mixed import make_problems
from gapkit.gap.label_maps.injection_search import LEAST_GAIN, _best_for, _descend, _sweep, search_injection
from gapkit.gap.label_maps.log_sums import FEW, sum_logs
from gapkit.gap.label_maps.optimisers import assign
from gapkit.gap.label_maps.tempering import log_of, sort_samples


@pytest.mark.parametrize("width", [1, 2, 3, 7, 8, 9, 2047, 2048, 4099])
@pytest.mark.parametrize("spread", [0.1, 30.0, 400.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_logs_are_those_of_each_factor(width, spread, sign):
    exponents = sign * np.abs(np.random.default_rng(width).normal(size=(5, width))) * spread
    factors = np.exp(np.clip(exponents, -600, 600))
    kept = factors.copy()
    assert sum_logs(factors) == pytest.approx(np.log(factors).sum(axis=1), rel=1e-13, abs=1e-11)
    assert np.array_equal(factors, kept)


@pytest.mark.parametrize("width", [0, 1, 2, 3, 4, 5, 6, 7])
def test_many_rows_of_few_factors_are_summed_too(width):
    factors = 1 + np.random.default_rng(width).random((FEW, width))
    assert sum_logs(factors) == pytest.approx(np.log(factors).sum(axis=1), rel=1e-13)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 16.0])
def test_bounds_from_class_means_are_below_the_loss_and_closer_than_those_of_all_samples(temperature):
    problem = drawn_problem(3, temperature)
    for seed in range(5):
        rest = problem.columns[np.random.default_rng(seed).permutation(24)[:4]].sum(axis=0)
        exact = np.log(rest + problem.columns).mean(axis=1)
        bound = problem.class_means.bound(np.log(rest))
        loose = np.logaddexp(np.log(rest).mean(), -problem.log_cost.sum(axis=0))
        assert (bound <= exact + 1e-12).all()
        assert (bound >= loose - 1e-12).all()


def test_target_classes_without_a_fitted_sample_bound_nothing():
    problem = drawn_problem(5)
    fewer = problem.shares.copy()
    kept = np.arange(len(problem.weights)) >= np.rint(fewer[0] * len(problem.weights))
    fewer[0] = 0
    scale = 1 / fewer.sum()
    costs = problem.log_cost * scale
    costs[0] = 0
    smaller = replace(
        problem,
        columns=problem.columns[:, kept],
        weights=problem.weights[kept] * scale,
        shares=fewer * scale,
        log_cost=costs,
    )
    rest = smaller.columns[:4].sum(axis=0)
    assert (smaller.class_means.bound(np.log(rest)) <= np.log(rest + smaller.columns).mean(axis=1) + 1e-12).all()


def test_rows_out_of_range_are_summed_one_by_one_and_others_are_not_touched_by_them():
    factors = np.full((3, FEW), 1.5)
    factors[1, :] = 1e-100
    factors[2, [3, 3 + FEW // 2]] = 1e200
    assert sum_logs(factors) == pytest.approx(np.log(factors).sum(axis=1), rel=1e-14)


def drawn_problem(seed, temperature=1.0, n=700, n_source=24, n_target=5):
    """Rugged enough that searches from several starts end in several places."""
    rng = np.random.default_rng([seed, 9])
    labels = np.append(np.arange(n_target), rng.integers(n_target, size=n - n_target))
    logits = 2 * rng.normal(size=(n, n_source)) + 2 * rng.normal(size=(n_target, n_source))[labels]
    probs = np.exp(logits - logits.max(axis=1, keepdims=True))
    samples, _ = sort_samples(log_of(probs / probs.sum(axis=1, keepdims=True)), labels, n_target)
    return make_problems(samples.temper(temperature), [np.arange(n) % 4 > 0])[0].compact()


def naive_best(problem, sigma, y):
    """The source class with the least loss for target class y, each tried; the one that is there among equals."""
    trials = {}
    for z in set(range(problem.shape[1])) - set(np.delete(sigma, y).tolist()):
        moved = sigma.copy()
        moved[y] = z
        own = sum(problem.log_cost[k, moved[k]] for k in range(len(moved)))
        trials[z] = own + (problem.weights * np.log(problem.columns[moved].sum(axis=0))).sum()
    best = min(trials, key=lambda z: trials[z])
    return best if trials[best] < trials[int(sigma[y])] - LEAST_GAIN else int(sigma[y])


@pytest.mark.parametrize("temperature", [0.25, 1.0, 16.0])
def test_the_best_source_class_for_a_target_class_is_that_of_trying_each(temperature):
    moves = 0
    for seed in range(8):
        problem, rng = drawn_problem(seed, temperature), np.random.default_rng(seed)
        for y in range(problem.shape[0]):
            sigma = rng.permutation(problem.shape[1])[: problem.shape[0]]
            expected = naive_best(problem, sigma, y)
            found, loss = _best_for(problem, sigma, y, problem.loss(sigma))
            assert found == expected
            moves += expected != sigma[y]
            sigma[y] = expected
            assert loss == pytest.approx(problem.loss(sigma), rel=1e-12)
    assert moves > 20


def test_what_sweeps_have_answered_before_changes_nothing(monkeypatch):
    problem, rng, asked = drawn_problem(0), np.random.default_rng(0), []

    def best_for(problem, sigma, y, loss):
        asked.append((y, *sigma.tolist()))
        return _best_for(problem, sigma, y, loss)

    monkeypatch.setattr(injection_search, "_best_for", best_for)
    known = {}
    starts = [rng.permutation(24)[:5] for _ in range(6)]
    for start in (*starts, *starts):
        expected, stayed, y = start.copy(), 0, 0
        while stayed < 5:
            moved = naive_best(problem, expected, y)
            stayed, expected[y], y = (stayed + 1 if moved == expected[y] else 1), moved, (y + 1) % 5
        assert np.array_equal(_sweep(problem, start, problem.loss(start), known), expected)
    assert len(set(asked)) == len(asked)
    before = len(asked)
    _sweep(problem, starts[0], problem.loss(starts[0]), known)
    assert len(asked) == before


@pytest.mark.parametrize("temperature", [0.25, 1.0])
def test_descents_from_several_starts_end_where_the_best_single_one_does(temperature):
    for seed in range(10):
        problem, rng = drawn_problem(seed, temperature), np.random.default_rng(seed)
        starts = [assign(problem.log_cost), *(rng.permutation(24)[:5] for _ in range(4))]
        ends = []
        for start in starts:
            sigma, loss = start, problem.loss(start)
            while True:
                scale = problem.weights / problem.columns[sigma].sum(axis=0)
                moved = assign(problem.log_cost + (scale * problem.columns).sum(axis=1))
                if problem.loss(moved) >= loss - LEAST_GAIN:
                    break
                sigma, loss = moved, problem.loss(moved)
            ends.append(loss)
        loss, sigma = _descend(problem, starts)
        assert loss == pytest.approx(min(ends), abs=1e-12)
        assert loss == problem.loss(sigma)


def test_one_target_class_alone_takes_the_source_class_it_likes_best():
    problem = drawn_problem(3, n_target=1)
    found = search_injection(problem, seed=0, enumeration=0)
    assert found.loss == pytest.approx(0.0, abs=1e-12)
