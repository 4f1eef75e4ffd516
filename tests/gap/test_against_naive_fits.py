"""Label maps against brute force and generic optimisers: at T = 1, and the ladder in sample."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.gap import ConditionalInputs, GapOptions
from gapkit.gap.conditional import fit_and_score
from gapkit.gap.label_maps.channel import fit_channel
from gapkit.gap.label_maps.channel_em import em_step, fit_channels
from gapkit.gap.label_maps.channel_mm import mm_step
from gapkit.gap.label_maps.channel_problems import Member, stack_problems
from gapkit.gap.label_maps.injection import fit_injection
from gapkit.gap.label_maps.partition import IGNORED, fit_partition
from gapkit.gap.label_maps.parts import canonical_part
from gapkit.gap.label_maps.tempering import TEMPERATURES, log_of, sort_samples

# Fits at T = 1 against brute force and generic optimisers.


def random_source(seed):
    """(p, labels, K_t) of a small world; in turns soft, overconfident, with exact zeros and ones, with duplicates."""
    rng = np.random.default_rng([seed, 81])
    n, n_target = int(rng.integers(12, 30)), int(rng.integers(2, 4))
    n_source = n_target + int(rng.integers(0, 3))
    labels = rng.permutation(np.arange(n) % n_target)
    probs = rng.dirichlet(np.full(n_source, (1.0, 0.05, 0.5, 0.5)[seed % 4]), size=n)
    helped = rng.random(n) < 0.5
    probs[helped] = 0.4 * probs[helped] + 0.6 * np.eye(n_source)[labels[helped]]
    if seed % 4 == 2:
        hard = rng.random(n) < 0.6
        probs[hard] = np.eye(n_source)[probs[hard].argmax(axis=1)]
    if seed % 4 == 3:
        probs[n // 2 :], labels[n // 2 :] = probs[: n - n // 2], labels[: n - n // 2]
    return probs, labels, n_target


@pytest.mark.parametrize("seed", range(8))
def test_injection_and_partition_equal_brute_force(naive, seed):
    probs, labels, n_target = random_source(seed)
    log_p, n_source = log_of(probs), probs.shape[1]
    found = fit_injection(probs, labels, n_classes=n_target, temperature=1.0)
    best, _, _ = naive.best_map(naive.injections(n_source, n_target), log_p, labels)
    own = np.zeros((n_source, n_target))
    own[found.sigma, np.arange(n_target)] = 1
    assert found.loss == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert naive.map_loss(log_p, labels, own)[0] == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert found.optimal
    read = fit_partition(probs, labels, n_classes=n_target, temperature=1.0)
    best, _, _ = naive.best_map(naive.partitions(n_source, n_target), log_p, labels)
    assert read.loss == pytest.approx(best, rel=1e-9, abs=1e-12)
    for fitted, a in ((found, own), (read, (read.reading[:, None] == np.arange(n_target)).astype(float))):
        assert naive.map_loss(log_p, labels, a)[0] == pytest.approx(fitted.loss, rel=1e-9, abs=1e-12)
        q = naive.mix(np.exp(naive.map_log(log_p, a)), naive.class_prior(np.bincount(labels)), fitted.eps)
        np.testing.assert_allclose(fitted.predict(probs), q, atol=1e-12)
    assert set(read.reading.tolist()) - {IGNORED} == set(range(n_target))


def naive_eps(naive, own, prior):
    """One standard error of gain over the prior, or the prior alone."""
    eps = naive.fit_eps(own, prior, pseudo=1.0)
    gain = np.log(naive.mix(own, prior, eps)) - np.log(prior)
    return eps if gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain)) else 1.0


@pytest.mark.parametrize("seed", range(6))
def test_eps_of_an_injection_is_that_of_maps_fitted_without_the_inner_fold(naive, seed):
    """Where the source is soft the assignments end at the optimum, which brute force finds."""
    probs, labels, n_target = random_source(4 * seed)
    samples, part, _ = canonical_part(np.log(probs), labels, n_classes=n_target, seed=0)
    log_p, labels = samples.log_p, samples.labels
    prior, own = naive.class_prior(np.bincount(labels)), np.empty(len(labels))
    for fold in range(part.n_inner):
        inside, rows = part.inner != fold, part.inner == fold
        _, a, _ = naive.best_map(naive.injections(probs.shape[1], n_target), log_p[inside], labels[inside])
        own[rows] = np.exp(naive.map_log(log_p[rows], a))[np.arange(rows.sum()), labels[rows]]
    found = fit_injection(np.exp(log_p), labels, n_classes=n_target, temperature=1.0)
    assert found.eps == pytest.approx(naive_eps(naive, own, prior[labels]), abs=1e-5)


def channel_problem(seed, count):
    probs, labels, n_target = random_source(seed)
    prior = np.random.default_rng(seed).dirichlet(np.ones(n_target))
    samples, order = sort_samples(log_of(probs), labels, n_target)
    member = Member(mask=np.ones(len(labels), dtype=bool), prior=prior, pseudo_count=count)
    return stack_problems(samples.temper(1.0), [member]), probs[order], labels[order], prior


@pytest.mark.parametrize(("seed", "count"), [(0, 0.1), (1, 1.0), (4, 0.0), (7, 0.3)])
def test_row_stochastic_channel_is_the_naive_optimum(naive, seed, count):
    problems, probs, labels, prior = channel_problem(seed, count)
    found = fit_channels(problems, tolerance=1e-6, max_cycles=20_000)
    a = found.channels[..., 0].T
    best = naive.row_stochastic_optimum(probs, labels, count, prior)
    value = naive.stochastic_objective(probs, labels, a, count, prior)
    assert found.gap[0] <= 1e-6
    assert found.objective[0] == pytest.approx(value, abs=1e-9)
    assert naive.stochastic_objective(probs, labels, best, count, prior) == pytest.approx(value, abs=1.1e-6)
    assert a.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("seed", "count"), [(0, 0.1), (2, 1.0), (5, 0.0), (7, 0.3)])
def test_steps_and_certificate_equal_the_naive_loops(naive, seed, count):
    problems, probs, labels, prior = channel_problem(seed, count)
    a = np.random.default_rng(seed).gamma(0.7, size=(probs.shape[1], len(prior))) + 1e-6
    moved = mm_step(problems, a.T[..., None])
    np.testing.assert_allclose(moved.following[..., 0].T, naive.mm_step(probs, labels, a, count, prior), rtol=1e-9)
    value = naive.mm_objective(probs, labels, a, count, prior) / len(labels)
    assert moved.value[0] == pytest.approx(value, rel=1e-9)
    a /= a.sum(axis=1, keepdims=True)
    taken = em_step(problems, a.T[..., None])
    np.testing.assert_allclose(taken.following[..., 0].T, naive.em_step(probs, labels, a, count, prior), rtol=1e-9)
    assert taken.gap[0] == pytest.approx(naive.certified_gap(probs, labels, a, count, prior), rel=1e-9)
    assert taken.value[0] == pytest.approx(naive.stochastic_objective(probs, labels, a, count, prior), rel=1e-9)


@pytest.mark.parametrize(("seed", "count"), [(0, 0.1), (1, 1.0), (2, 0.3), (3, 0.03)])
def test_channel_at_a_given_pseudo_count_reads_as_it_says(naive, seed, count):
    probs, labels, n_target = random_source(seed)
    found = fit_channel(probs, labels, n_classes=n_target, temperature=1.0, pseudo_count=count)
    prior = naive.class_prior(np.bincount(labels))
    q = np.exp(naive.map_log(log_of(probs), found.matrix))
    np.testing.assert_allclose(found.predict(probs), naive.mix(q, prior, found.eps), atol=1e-9)
    assert (found.matrix >= 0).all()
    if found.start == "row_stochastic":
        best = naive.row_stochastic_optimum(probs, labels, count, prior)
        best = naive.stochastic_objective(probs, labels, best, count, prior)
        assert found.objective >= best - found.gap - 1e-7
        assert found.objective <= best + 1e-6
    else:
        # MM scales A so that its objective is best: at a fixed point the entries sum to K_s.
        a = found.matrix * probs.shape[1] / found.matrix.sum()
        assert found.objective == pytest.approx(
            naive.mm_objective(probs, labels, a, count, prior) / len(labels), abs=1e-3
        )


# The ladder in sample.


LADDER = GapOptions(families=("injection", "partition", "channel"), bootstrap=100, permutations=0, folds=2)


def check_ladder(naive, seed):
    probs, labels, n_target = random_source(seed)
    inputs = ConditionalInputs(log_probabilities=log_of(probs), features=probs, labels=labels, n_classes=n_target)
    measured = fit_and_score(inputs, LADDER)
    codes = measured.problem.samples.labels
    losses = {name: naive.discrepancies("kl", fit.in_sample, codes).mean() for name, fit in measured.fits.items()}
    assert losses["injection"] >= losses["partition"] - 1e-9
    assert losses["partition"] >= losses["channel"] - 1e-9
    assert losses["channel"] <= -naive.leep(probs, labels, n_target) + 1e-9


@settings(max_examples=5, deadline=None, derandomize=True)
@given(seed=st.integers(0, 100_000))
def test_in_sample_kl_never_rises_along_the_ladder(naive, seed):
    check_ladder(naive, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_in_sample_kl_never_rises_along_the_ladder_in_60_worlds(naive, seed):
    check_ladder(naive, seed)


@pytest.mark.parametrize("seed", [25, 26, 28, 46])
def test_in_sample_injection_to_the_letter_is_nearly_the_best_of_all_at_all_temperatures(naive, seed):
    """Worlds where the cheap assignment chooses another temperature than brute force."""
    probs, labels, n_target = random_source(seed)
    inputs = ConditionalInputs(log_probabilities=log_of(probs), features=probs, labels=labels, n_classes=n_target)
    measured = fit_and_score(inputs, replace(LADDER, families=("injection_strict",)))
    codes, q = measured.problem.samples.labels, measured.fits["injection_strict"].in_sample
    maps = list(naive.injections(probs.shape[1], n_target))
    best = min(naive.best_map(maps, naive.temper(log_of(probs), value), labels)[0] for value in TEMPERATURES)
    assert best - 1e-9 <= naive.discrepancies("kl", q, codes).mean() <= best + 0.02
