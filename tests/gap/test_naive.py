"""The reference implementations against closed forms and examples worked by hand."""

from __future__ import annotations

import importlib.util
from math import comb, perm
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
naive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(naive)

PSEUDO = [0.0, 0.1, 1.0]


def drawn(seed, *, n=40, n_source=4, n_target=3):
    """(log_p, p, labels, prior) of a world whose labels follow a random channel; every class is there."""
    rng = np.random.default_rng([seed, 71])
    log_p = naive.temper(2 * rng.normal(size=(n, n_source)), 1.0)
    channel = rng.dirichlet(np.full(n_target, 0.3), size=n_source)
    labels = np.array([rng.choice(n_target, p=row) for row in np.exp(log_p) @ channel])
    labels[:n_target] = np.arange(n_target)
    return log_p, np.exp(log_p), labels, naive.class_prior(np.bincount(labels))


def certain(counts):
    """(log_p, p, labels) of a source that is always certain: ``counts`` (K_s, K_t) samples of each pair."""
    pairs = [(z, y) for z, row in enumerate(counts) for y, count in enumerate(row) for _ in range(count)]
    p = np.eye(len(counts))[[z for z, _ in pairs]]
    with np.errstate(divide="ignore"):
        return np.log(p), p, np.array([y for _, y in pairs])


def test_prior_and_mixture_by_hand():
    assert naive.class_prior([3, 1, 0]).tolist() == [3.5 / 5.5, 1.5 / 5.5, 0.5 / 5.5]
    assert naive.mix([1.0, 0.0], [0.25, 0.75], 0.2) == pytest.approx([0.85, 0.15])


@pytest.mark.parametrize(("right", "wrong"), [(30, 0), (30, 3), (10, 20), (0, 5)])
def test_eps_where_the_map_is_certain_and_the_prior_even(right, wrong):
    """q_y = 1 - eps / 2 or eps / 2: the share of wrong ones is eps / 2, at most 1 / 2; the pseudo-sample is wrong."""
    own, prior, n = np.repeat([1.0, 0.0], [right, wrong]), np.full(right + wrong, 0.5), right + wrong
    assert naive.fit_eps(own, prior) == pytest.approx(min(1, 2 * wrong / n), abs=1e-6)
    assert naive.fit_eps(own, prior, pseudo=1) == pytest.approx(min(1, 2 * (wrong + 1) / (n + 1)), abs=1e-6)
    assert naive.fit_eps_floor(own, prior) == pytest.approx(min(1, max(2 * wrong / n, 1 / (n + 1))), abs=1e-6)


def test_eps_balances_the_shares_of_the_prior():
    rng = np.random.default_rng(0)
    for n in (1, 7, 60):
        own, prior = rng.beta(0.5, 0.5, size=n), rng.uniform(0.05, 0.9, size=n)
        eps = naive.fit_eps(own, prior, pseudo=1)
        shares = eps * prior / naive.mix(own, prior, eps)
        assert eps == pytest.approx(1.0 if eps == 1 else (1 + shares.sum()) / (n + 1), abs=1e-5)
        assert eps >= 1 / (n + 1) - 1e-6
        grid = np.linspace(1e-4, 1, 3000)
        assert (
            naive.eps_objective(own, prior, eps, 1) <= min(naive.eps_objective(own, prior, e, 1) for e in grid) + 1e-9
        )


def test_discrepancies_against_a_label_by_hand():
    q, label = np.array([[0.5, 0.3, 0.2]]), np.array([1])
    half = -0.5 * np.log(0.65)
    expected = {
        "kl": -np.log(0.3),
        "brier": 0.25 + 0.49 + 0.04,
        "total_variation": 0.7,
        "zero_one": 1.0,
        "squared_hellinger": 1 - np.sqrt(0.3),
        "jensen_shannon": half + 0.5 * (0.3 * np.log(0.3 / 0.65) + 0.7 * np.log(2)),
    }
    found = {name: naive.discrepancies(name, q, label)[0] for name in naive.DISCREPANCIES}
    assert found == pytest.approx(expected, abs=1e-12)


def test_discrepancies_between_two_conditionals_by_hand():
    q, t = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    expected = {
        "kl": 0.25 * np.log(0.5) + 0.75 * np.log(1.5),
        "brier": 0.125,
        "total_variation": 0.25,
        "zero_one": 0.5,
        "squared_hellinger": 1 - np.sqrt(0.125) - np.sqrt(0.375),
        "jensen_shannon": 0.5
        * (np.log(0.5 / 0.375) / 2 + np.log(0.5 / 0.625) / 2 + np.log(0.25 / 0.375) / 4 + 3 * np.log(0.75 / 0.625) / 4),
    }
    found = {name: naive.discrepancies(name, q, t)[0] for name in naive.DISCREPANCIES}
    assert found == pytest.approx(expected, abs=1e-12)
    same = {name: naive.discrepancies(name, t, t)[0] for name in naive.DISCREPANCIES}
    assert same == pytest.approx(dict.fromkeys(expected, 0.0) | {"zero_one": 0.25}, abs=1e-12)


def best_reports(t):
    """The q of least expected loss when labels follow t, from the derivations beside ``PROPER``."""
    low, high = 1e-3, 50.0
    for _ in range(200):  # the multiplier for which Jensen-Shannon's q sums to one
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / np.expm1(middle / t)).sum() > 1 else (low, middle)
    reports = dict.fromkeys(naive.PROPER, t)
    reports["total_variation"] = np.eye(len(t))[t.argmax()]
    return reports | {"squared_hellinger": t**2 / (t**2).sum(), "jensen_shannon": 1 / np.expm1(low / t)}


@pytest.mark.parametrize("name", list(naive.DISCREPANCIES))
def test_which_losses_are_least_at_the_truth(name):
    """Nothing on a grid beats the derived report; for the improper losses it beats the truth."""
    t = np.array([0.6, 0.3, 0.1])
    grid = [np.array([a, b, 40 - a - b]) / 40 for a in range(41) for b in range(41 - a)]

    def expected_loss(q):
        return sum(t[y] * naive.DISCREPANCIES[name](q, np.eye(3)[y]) for y in range(3))

    best = expected_loss(best_reports(t)[name])
    assert min(expected_loss(q) for q in grid) >= best - 1e-12
    assert (expected_loss(t) > best + 0.01) == (name not in naive.PROPER)


def test_maps_by_hand():
    log_p = np.log([[0.5, 0.3, 0.2]])
    a = np.array([[1.0, 0], [0, 0], [0, 1.0]])
    assert np.exp(naive.map_log(log_p, a))[0] == pytest.approx([5 / 7, 2 / 7])
    assert np.exp(naive.map_log(naive.temper(log_p, 0.5), a))[0] == pytest.approx([25 / 29, 4 / 29])
    assert naive.map_loss(log_p, np.array([1]), a) == (pytest.approx(np.log(3.5)), 0.0)
    assert naive.map_loss(log_p, np.array([1]), a, np.array([0.4, 0.6])) == (pytest.approx(-np.log(0.6)), 1.0)
    assert np.isneginf(naive.map_log(np.array([[-np.inf, 0.0, -np.inf]]), a)).all()


def test_all_injections_and_partitions_are_counted():
    assert len({a.tobytes() for a in naive.injections(5, 3)}) == perm(5, 3)
    onto = {j: sum((-1) ** i * comb(3, i) * (3 - i) ** j for i in range(4)) for j in range(3, 6)}
    assert len({a.tobytes() for a in naive.partitions(5, 3)}) == sum(comb(5, j) * onto[j] for j in onto)
    injections = {a.tobytes() for a in naive.injections(4, 2)}
    assert injections < {a.tobytes() for a in naive.partitions(4, 2)}


def test_brute_force_finds_planted_maps():
    rng = np.random.default_rng(4)
    for planted, maps in (([2, None, 0, 1, None], naive.injections), ([2, 1, 0, 1, 2], naive.partitions)):
        used = [z for z, y in enumerate(planted) if y is not None]
        sources = rng.choice(used, size=60)
        log_p = naive.temper(6 * np.eye(5)[sources] + 0.3 * rng.normal(size=(60, 5)), 1.0)
        _, a, _ = naive.best_map(maps(5, 3), log_p, np.array([planted[z] for z in sources]))
        assert [row.argmax() if row.any() else None for row in a] == planted


@pytest.mark.parametrize("seed", range(3))
def test_optima_never_rise_from_family_to_family(seed):
    log_p, p, labels, prior = drawn(seed, n=25)
    for mixed in (None, prior):
        injection, _, _ = naive.best_map(naive.injections(4, 3), log_p, labels, mixed)
        partition, a, _ = naive.best_map(naive.partitions(4, 3), log_p, labels, mixed)
        assert partition <= injection
    free = naive.map_loss(log_p, labels, naive.free_optimum(p, labels, 0.0, prior))[0]
    stochastic = naive.row_stochastic_optimum(p, labels, 0.0, prior)
    own, _ = naive.map_loss(log_p, labels, stochastic)
    assert free <= min(own, naive.map_loss(log_p, labels, a)[0]) + 1e-6
    assert own <= -naive.leep(p, labels, 3) + 1e-9
    # Mixed with the prior a row-stochastic map stays row-stochastic, so its optimum needs no mixing.
    mixed, eps = naive.map_loss(log_p, labels, stochastic, prior)
    assert mixed == pytest.approx(own, abs=1e-8)
    assert eps < 1e-3


def test_fitting_eps_after_the_map_may_raise_the_optimum():
    """The best partition without mixing is, once mixed, worse than the best injection: (A, eps) are fitted together."""
    rng = np.random.default_rng(5)
    log_p = naive.temper(4 * rng.normal(size=(30, 4)), 1.0)
    channel = rng.dirichlet(np.full(3, 0.3), size=4)
    labels = np.array([rng.choice(3, p=row) for row in np.exp(log_p) @ channel])
    labels[:3] = np.arange(3)
    prior = naive.class_prior(np.bincount(labels))
    maps = [list(family(4, 3)) for family in (naive.injections, naive.partitions)]
    before = [naive.best_map(family, log_p, labels) for family in maps]
    after = [naive.map_loss(log_p, labels, a, prior)[0] for _, a, _ in before]
    together = [naive.best_map(family, log_p, labels, prior)[0] for family in maps]
    assert before[1][0] <= before[0][0]
    assert after[1] > after[0] + 0.01
    assert together[1] <= together[0]


@pytest.mark.parametrize("c", PSEUDO)
def test_a_certain_source_has_counts_as_its_optimum(c):
    """With p one-hot, log (pA)_iy = log A(z_i, y), so every row is (counts + c pi) / (sum + c)."""
    counts = np.array([[5, 1, 2], [0, 4, 3]])
    log_p, p, labels = certain(counts)
    prior = naive.class_prior(counts.sum(axis=0))
    expected = (counts + c * prior) / (counts.sum(axis=1, keepdims=True) + c)
    assert naive.plug_in(p, labels, c, prior) == pytest.approx(expected)
    assert naive.row_stochastic_optimum(p, labels, c, prior) == pytest.approx(expected, abs=1e-4)
    free = naive.free_optimum(p, labels, c, prior)
    assert free / free.sum(axis=1, keepdims=True) == pytest.approx(expected, abs=1e-4)
    fit = sum(counts[z, y] * np.log(counts[z].sum() / counts[z, y]) for z in (0, 1) for y in range(3) if counts[z, y])
    assert -naive.leep(p, labels, 3) == pytest.approx(fit / counts.sum())
    if not c:
        assert naive.map_loss(log_p, labels, expected)[0] == pytest.approx(fit / counts.sum())


@pytest.mark.parametrize("c", PSEUDO)
def test_gap_is_certified_and_em_meets_the_generic_optimum(c):
    rng = np.random.default_rng(5)
    for seed in range(3):
        _, p, labels, prior = drawn(seed)
        optimum = naive.row_stochastic_optimum(p, labels, c, prior)
        best = naive.stochastic_objective(p, labels, optimum, c, prior)
        assert -1e-12 <= naive.certified_gap(p, labels, optimum, c, prior) < 1e-6
        for _ in range(20):
            a = rng.dirichlet(np.ones(3), size=4)
            missing = best - naive.stochastic_objective(p, labels, a, c, prior)
            assert -1e-9 <= missing <= naive.certified_gap(p, labels, a, c, prior) + 1e-9
        a = naive.plug_in(p, labels, c, prior)
        for _ in range(800):
            a = naive.em_step(p, labels, a, c, prior)
        assert naive.stochastic_objective(p, labels, a, c, prior) == pytest.approx(best, abs=1e-6)


def test_the_gap_without_the_pseudo_count_does_not_certify_the_penalised_optimum():
    _, p, labels, prior = drawn(0)
    optimum = naive.row_stochastic_optimum(p, labels, 1.0, prior)
    assert naive.certified_gap(p, labels, optimum, 1.0, prior) < 1e-6
    assert naive.certified_gap(p, labels, optimum, 0.0, prior) > 1e-3


@pytest.mark.parametrize("c", PSEUDO)
def test_mm_never_lowers_its_objective_and_rests_at_the_generic_optimum(c):
    rng = np.random.default_rng(6)
    for seed in range(2):
        _, p, labels, prior = drawn(seed)
        free = naive.free_optimum(p, labels, c, prior)
        best = naive.mm_objective(p, labels, free, c, prior)
        a = rng.gamma(1.0, size=(4, 3))
        last = naive.mm_objective(p, labels, a, c, prior)
        for _ in range(60):
            a = naive.mm_step(p, labels, a, c, prior)
            value = naive.mm_objective(p, labels, a, c, prior)
            assert last - 1e-9 <= value <= best + 1e-4
            last = value
        stepped = naive.mm_step(p, labels, free, c, prior)
        assert naive.mm_objective(p, labels, stepped, c, prior) == pytest.approx(best, abs=1e-5)


def test_mm_step_and_objective_by_hand():
    """One sample p = (3/4, 1/4) of class 0, A = [[1, 1], [1, 0]]: (pA) = (1, 3/4), G = (3/4, 1/4), D = (3/7, 1/7)."""
    p, labels, prior = np.array([[0.75, 0.25]]), np.array([0]), np.array([0.75, 0.25])
    a = np.array([[1.0, 1.0], [1.0, 0.0]])
    assert naive.mm_objective(p, labels, a, 0.0, prior) == pytest.approx(-np.log(1.75))
    assert naive.mm_step(p, labels, a, 0.0, prior) == pytest.approx(np.array([[1.75, 0], [1.75, 0]]))
    expected = [[1.5 / (10 / 7), 0.25 / (10 / 7)], [1.0 / (8 / 7), 0.25 / (8 / 7)]]
    assert naive.mm_step(p, labels, a, 1.0, prior) == pytest.approx(np.array(expected))


def test_penalties_agree_on_row_stochastic_maps():
    _, p, labels, prior = drawn(1)
    for a in np.random.default_rng(7).dirichlet(np.ones(3), size=(5, 4)):
        stochastic = 40 * naive.stochastic_objective(p, labels, a, 0.3, prior)
        assert naive.mm_objective(p, labels, a, 0.3, prior) == pytest.approx(stochastic - 0.3 * 4)
