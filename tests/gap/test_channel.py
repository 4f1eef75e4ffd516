"""The channel: monotone EM, a certified gap, LEEP as its start."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapkit.gap import fit_channel, fit_injection
from gapkit.gap.label_maps.channel import fit_in_sample
from gapkit.gap.label_maps.channel_em import em_step, fit_channels
from gapkit.gap.label_maps.channel_problems import ChannelProblems
from gapkit.gap.label_maps.injection import Search
from gapkit.gap.label_maps.injection import fit_in_sample as fit_injection_in_sample
from gapkit.gap.label_maps.mixing import class_prior
from gapkit.gap.label_maps.tempering import sort_samples


def problems_of(made, pseudo, *, temperature=1.0, share=1.0):
    """One problem for each pseudo-count; with ``share`` below 1 each has its own fitting samples."""
    n_classes = int(made.labels.max()) + 1
    samples, _ = sort_samples(made.log_p, made.labels, n_classes)
    rng = np.random.default_rng(0)
    weights = (rng.random((len(made.labels), len(pseudo))) < share).astype(float)
    prior = class_prior(np.bincount(made.labels).astype(float))
    return ChannelProblems(
        tempered=samples.temper(temperature),
        weights=weights,
        priors=np.tile(prior[:, None], len(pseudo)),
        pseudo=np.array(pseudo),
    )


def naive_objective(problems, channels, m):
    """F sample by sample, from the docstring."""
    p, labels = problems.tempered.p, problems.tempered.samples.labels
    total = 0.0
    for i, y in enumerate(labels):
        if problems.weights[i, m]:
            total += np.log(sum(p[i, z] * channels[y, z, m] for z in range(p.shape[1])))
    penalty = sum(
        problems.pseudo[m] * problems.priors[y, m] * np.log(channels[y, z, m])
        for y in range(channels.shape[0])
        for z in range(channels.shape[1])
        if problems.pseudo[m] > 0
    )
    return (total + penalty) / problems.weights[:, m].sum()


def test_objective_equals_a_naive_loop(world):
    problems = problems_of(world(n=40), [0.0, 0.5], share=0.7)
    channels = problems.plug_in()
    objective = em_step(problems, channels).value
    for m in range(2):
        assert objective[m] == pytest.approx(naive_objective(problems, channels, m), rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), temperature=st.sampled_from([0.25, 1.0, 8.0, 64.0]))
def test_objective_never_falls_and_the_gap_is_an_upper_bound(world, seed, temperature):
    made = world(seed, n=60, n_source=8, shares=(0.5, 0.3, 0.2), sharpness=3.0)
    problems = problems_of(made, [0.0, 0.1, 3.0], temperature=temperature, share=0.8)
    best = fit_channels(problems, tolerance=1e-9, max_cycles=3000).objective
    last = np.full(3, -np.inf)
    for cycles in range(12):
        fits = fit_channels(problems, tolerance=0.0, max_cycles=cycles)
        assert (fits.objective >= last - 1e-12).all()
        assert (fits.objective + fits.gap >= best - 1e-12).all()
        assert np.allclose(fits.channels.sum(axis=0), 1)
        last = fits.objective
    plain = problems.plug_in()
    for _ in range(10):
        taken = em_step(problems, plain)
        following, value, gap = taken.following, taken.value, taken.gap
        assert (em_step(problems, following).value >= value - 1e-12).all()
        assert (value + gap >= best - 1e-12).all()
        plain = following


def test_stops_at_the_certified_gap(world):
    fits = fit_channels(problems_of(world(n=200, n_source=20), [0.0, 0.1, 1.0]), tolerance=1e-6, max_cycles=5000)
    assert (fits.gap <= 1e-6).all()
    assert fit_channel(world().probs, world().labels).gap <= 1e-4


def naive_leep(probs, labels):
    """LEEP (Nguyen et al. 2020), loop by loop."""
    n, n_source = probs.shape
    n_target = int(labels.max()) + 1
    joint = np.zeros((n_target, n_source))
    for i in range(n):
        for z in range(n_source):
            joint[labels[i], z] += probs[i, z] / n
    conditional = joint / joint.sum(axis=0)
    return float(
        np.mean([np.log(sum(conditional[labels[i], z] * probs[i, z] for z in range(n_source))) for i in range(n)])
    )


@pytest.mark.parametrize("seed", range(4))
def test_in_sample_kl_is_at_most_minus_leep(world, seed):
    made = world(seed, n=60, n_source=7, sharpness=4.0)
    samples, _ = sort_samples(made.log_p, made.labels, 4)
    prior = class_prior(np.bincount(made.labels).astype(float))
    best = fit_in_sample(samples, prior)
    assert -best.objective <= -naive_leep(made.probs, made.labels) + 1e-12
    start = problems_of(made, [0.0])
    assert em_step(start, start.plug_in()).value[0] == pytest.approx(naive_leep(made.probs, made.labels), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_channel_is_at_most_the_injection_where_it_contains_it(world, seed):
    # With K_s = K_t an injection is a permutation matrix, and mixed with the prior still a row-stochastic one.
    made = world(seed, n=80, n_source=4)
    samples, _ = sort_samples(made.log_p, made.labels, 4)
    prior = class_prior(np.bincount(made.labels).astype(float))
    injection = fit_injection_in_sample(samples, prior, Search(seed=0))
    own = injection.predict_log(samples.log_p)[np.arange(80), samples.labels]
    channel = fit_in_sample(samples, prior, temperatures=(injection.temperature,))
    assert -channel.objective <= -np.log(own).mean() + channel.gap + 1e-9


def test_recovers_a_known_channel():
    rng = np.random.default_rng(3)
    matrix = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    probs = rng.dirichlet(np.full(3, 0.3), size=4000)
    labels = (rng.random(4000) < (probs @ matrix)[:, 1]).astype(int)
    fitted = fit_channel(probs, labels, temperature=1.0, pseudo_count=0.0)
    rows = fitted.matrix / fitted.matrix.sum(axis=1, keepdims=True)
    assert np.abs(rows - matrix).max() < 0.08
    assert np.allclose(fitted.predict(probs).sum(axis=1), 1)


def test_more_pseudo_counts_pull_towards_the_prior(world):
    made = world(n=80)
    rows = [fit_channel(made.probs, made.labels, temperature=1.0, pseudo_count=c) for c in (0.1, 10.0, 1e6)]
    distances = [np.abs(fitted.matrix - fitted.prior).max() for fitted in rows]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 1e-3


def test_injection_and_channel_agree_on_a_perfect_source():
    labels = np.arange(60) % 3
    probs = np.eye(4)[labels]
    for fitted in (fit_injection(probs, labels), fit_channel(probs, labels)):
        own = fitted.predict(probs)[np.arange(60), labels]
        assert own.min() > 0.95
