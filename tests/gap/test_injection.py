"""The injection: assignment, search and enumeration against brute force over all injections."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from gapkit.errors import DataError
from gapkit.gap import fit_injection
from gapkit.gap.label_maps.injection import make_problems
from gapkit.gap.label_maps.injection_search import assignment_injection, search_injection
from gapkit.gap.label_maps.optimisers import assign
from gapkit.gap.label_maps.tempering import log_of, sort_samples


def small_problem(seed):
    """A search problem with K_s <= 6, K_t <= 4, and what it was made of."""
    rng = np.random.default_rng([seed, 5])
    n_target = int(rng.integers(2, 5))
    n_source = int(rng.integers(n_target, 7))
    labels = np.append(np.arange(n_target), rng.integers(n_target, size=30))
    logits = rng.normal(size=(len(labels), n_source)) * 2 + 2 * rng.normal(size=(n_target, n_source))[labels]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    samples, _ = sort_samples(log_of(probs), labels, n_target)
    tempered = samples.temper(1.0)
    problem = make_problems(tempered, [np.ones(len(labels), dtype=bool)])[0]
    return problem, tempered.p, samples.labels


def naive_loss(p, labels, sigma):
    """Mean of -log p_sigma(y) / sum over the subset, sample by sample."""
    losses = [-np.log(row[sigma[y]] / sum(row[z] for z in sigma)) for row, y in zip(p, labels, strict=True)]
    return float(np.mean(losses))


def brute_force(p, labels, loss):
    """The least of ``loss(own, total)`` over all injections: mean over samples of own probability and subset's mass."""
    n_target = int(labels.max()) + 1
    sigmas = np.array(list(permutations(range(p.shape[1]), n_target)))
    chosen = p[:, sigmas]
    own = np.take_along_axis(chosen, labels[:, None, None], axis=2)[..., 0]
    return loss(own, chosen.sum(axis=2)).mean(axis=0).min()


def renormalised(own, total):
    return -np.log(own / total)


def test_search_loss_and_enumeration_equal_brute_force():
    for seed in range(20):
        problem, p, labels = small_problem(seed)
        found = search_injection(problem, seed=0)
        assert found.optimal
        assert len(set(found.sigma)) == len(found.sigma)
        assert found.loss == pytest.approx(naive_loss(p, labels, found.sigma), abs=1e-12)
        assert found.loss == pytest.approx(brute_force(p, labels, renormalised), abs=1e-9)


def test_search_without_enumeration_equals_brute_force_in_nearly_all_worlds():
    equal = 0
    for seed in range(200):
        problem, p, labels = small_problem(seed)
        found = search_injection(problem, seed=0, enumeration=0)
        assert not found.optimal
        assert len(set(found.sigma)) == len(found.sigma)
        equal += found.loss <= brute_force(p, labels, renormalised) + 1e-9
    assert equal >= 198


def test_assignment_is_exact_for_separable_losses():
    for seed in range(200):
        problem, p, labels = small_problem(seed)
        rows = np.arange(len(labels))
        found = -np.log(p[rows, assign(problem.log_cost)[labels]]).mean()
        assert found == pytest.approx(brute_force(p, labels, lambda own, total: -np.log(own)), abs=1e-9)
        found = (1 - p[rows, assign(problem.mass_cost)[labels]]).mean()
        assert found == pytest.approx(brute_force(p, labels, lambda own, total: 1 - own), abs=1e-9)


def test_no_substitution_or_swap_betters_a_large_search(world):
    made = world(n=120, n_source=60, signal=0.7, sharpness=4.0)
    samples, _ = sort_samples(made.log_p, made.labels, 4)
    problem = make_problems(samples.temper(1.0), [np.ones(120, dtype=bool)])[0]
    found = search_injection(problem, seed=0)
    assert found.loss <= problem.loss(assignment_injection(problem)) + 1e-12
    for y in range(4):
        for z in set(range(60)) - set(found.sigma.tolist()):
            moved = found.sigma.copy()
            moved[y] = z
            assert problem.loss(moved) >= found.loss - 1e-9
        for other in range(y):
            moved = found.sigma.copy()
            moved[[y, other]] = moved[[other, y]]
            assert problem.loss(moved) >= found.loss - 1e-9


def rugged_problem(seed, *, disturbed=0.0):
    """A large problem with many local optima: sharp probabilities that know little of eight classes."""
    rng = np.random.default_rng([seed, 6])
    labels = np.arange(240) % 8
    logits = rng.normal(size=(240, 80)) * 2 + rng.normal(size=(8, 80))[labels]
    logits += disturbed * np.random.default_rng([seed, 7]).normal(size=logits.shape)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    samples, _ = sort_samples(log_of(probs), labels, 8)
    return make_problems(samples.temper(0.25), [np.ones(240, dtype=bool)])[0]


def naive_descent(problem, sigma):
    """The best of all single substitutions and swaps, again and again."""
    loss, moving = problem.loss(sigma), True
    while moving:
        moving = False
        others = [z for z in range(problem.shape[1]) if z not in sigma]
        moves = [np.where(np.arange(8) == y, z, sigma) for y in range(8) for z in others]
        for y, other in permutations(range(8), 2):
            swapped = sigma.copy()
            swapped[[y, other]] = swapped[[other, y]]
            moves.append(swapped)
        losses = [problem.loss(move) for move in moves]
        if min(losses) < loss - 1e-12:
            loss, sigma, moving = min(losses), moves[int(np.argmin(losses))], True
    return loss


def test_a_rugged_search_finds_what_many_naive_descents_find():
    reached = 0
    for seed in range(6):
        problem = rugged_problem(seed)
        rng = np.random.default_rng(seed)
        naive = min(naive_descent(problem, rng.permutation(80)[:8]) for _ in range(15))
        reached += search_injection(problem, seed=0).loss <= naive + 1e-9
    assert reached == 6


def test_a_rugged_search_does_not_hang_on_the_seventh_digit():
    for seed in range(6):
        found = [search_injection(rugged_problem(seed, disturbed=scale), seed=0) for scale in (0.0, 3e-7)]
        assert np.array_equal(found[0].sigma, found[1].sigma)


def test_recovers_a_known_injection():
    rng = np.random.default_rng(0)
    sigma, labels = np.array([7, 2, 5]), rng.integers(3, size=300)
    logits = rng.normal(size=(300, 9))
    logits[np.arange(300), sigma[labels]] += 6
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    fitted = fit_injection(probs, labels)
    assert fitted.sigma.tolist() == sigma.tolist()
    q = fitted.predict(probs)
    assert q.shape == (300, 3)
    assert np.allclose(q.sum(axis=1), 1)
    assert (q.argmax(axis=1) == labels).mean() > 0.97
    assert 1 / 301 <= fitted.eps < 0.05


def test_renaming_source_classes_renames_the_map(world):
    made = world(n=100, n_source=30)
    order = np.random.default_rng(1).permutation(30)
    plain = fit_injection(made.probs, made.labels)
    renamed = fit_injection(made.probs[:, order], made.labels)
    assert np.array_equal(order[renamed.sigma], plain.sigma)
    assert renamed.eps == pytest.approx(plain.eps)
    assert renamed.temperature == plain.temperature


@pytest.mark.parametrize(
    ("probs", "labels", "words"),
    [
        (np.zeros((4, 3)), np.zeros(4, dtype=int), "not logits"),
        (np.full((4, 2), 0.5), np.array([0, 1, 2, 0]), "at least as many source as target classes"),
        (np.full((4, 2), 0.5), np.array([0, 1, 0]), "probabilities first, then the target labels"),
        (np.full((4, 2), 0.5), np.array([0.0, 1.0, 0.5, 0.0]), "integers"),
        (np.array([0, 1, 1]), np.full((3, 2), 0.5), "probabilities first, then the target labels"),
        (np.full((4, 2), 0.5), np.array([0, -1, 0, 1]), "codes from 0"),
        (np.full((2, 4), 0.5), np.array([0, 1]), "source classes in columns"),
    ],
)
def test_unusable_arguments_are_explained(probs, labels, words):
    with pytest.raises(DataError, match=words):
        fit_injection(probs, labels)
