"""The channel under other losses than KL: gradient, closed form, and another optimiser."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gapkit.gap.discrepancy import find_discrepancy
from gapkit.gap.label_maps.channel_em import fit_channels
from gapkit.gap.label_maps.channel_in_sample import fit_in_sample
from gapkit.gap.label_maps.channel_problems import Member, stack_problems
from gapkit.gap.label_maps.mixing import class_prior
from gapkit.gap.label_maps.tempering import log_of, sort_samples, temper
from gapkit.gap.label_maps.under import CRITERIA, Criterion, find_criterion
from gapkit.gap.label_maps.under_channel import ChannelTask, evaluate_channel, lower_channel, spread_out

NAMES = [criterion.name for criterion in CRITERIA]
LOG_LOSS = Criterion(name="kl", loss=lambda own: -np.log(own), slope=lambda own: -1 / own)


def make_task(criterion, *, seed=0, n=80, n_source=7, n_target=3, **more):
    """Noisy classes seen through random logits."""
    rng = np.random.default_rng([seed, 23])
    labels = np.sort(np.append(np.arange(n_target), rng.integers(n_target, size=n - n_target)))
    logits = rng.normal(size=(n, n_source)) + 1.5 * rng.normal(size=(n_target, n_source))[labels]
    return ChannelTask(
        p=temper(logits, 1.0),
        labels=labels,
        prior=class_prior(np.bincount(labels).astype(float)),
        criterion=criterion,
        **({"pseudo_count": 0.0} | more),
    )


def definition(task, log_matrix, eps):
    """F from the discrepancy's own loss."""
    matrix = np.exp(log_matrix)
    if task.row_stochastic:
        matrix = matrix / matrix.sum(axis=1, keepdims=True)
    q = task.p @ matrix
    q = (1 - eps) * q / q.sum(axis=1, keepdims=True) + eps * task.prior
    penalty = task.pseudo_count / len(q) * (matrix - task.prior * np.log(matrix)).sum()
    return find_discrepancy(task.criterion.name).losses(q, task.labels).mean() + penalty


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [{}, {"pseudo_count": 0.3}, {"pseudo_count": 0.3, "row_stochastic": True}])
@pytest.mark.parametrize("eps", [0.0, 0.2])
def test_loss_is_the_definition_and_its_gradient_that_of_finite_differences(name, more, eps):
    task, rng = make_task(find_criterion(name), **more), np.random.default_rng(1)
    point = rng.normal(size=(7, 3))
    loss, gradient = task.objective(point, eps)
    assert loss == pytest.approx(definition(task, point, eps), abs=1e-12)
    for z, y in np.ndindex(7, 3):
        step = np.zeros((7, 3))
        step[z, y] = 1e-5
        slope = (definition(task, point + step, eps) - definition(task, point - step, eps)) / 2e-5
        assert gradient[z, y] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("row_stochastic", [False, True])
def test_lowering_never_ends_above_its_start(name, row_stochastic):
    for seed in range(5):
        task = make_task(find_criterion(name), seed=seed, row_stochastic=row_stochastic)
        start = np.random.default_rng(seed).dirichlet(np.ones(3), size=7)
        found = lower_channel(task, start, steps=100)
        assert found.loss <= evaluate_channel(task, spread_out(start, task.prior)).loss + 1e-9
        assert found.loss == pytest.approx(evaluate_channel(task, found.matrix).loss, abs=1e-12)
        if row_stochastic:
            assert found.matrix.sum(axis=1) == pytest.approx(np.ones(7))


def test_row_stochastic_total_variation_reaches_its_closed_form():
    # 1 - (1/n) sum_zy A_zy J_zy is linear in A, so every source class is read as its heaviest target class.
    for seed in range(5):
        task = make_task(find_criterion("total_variation"), seed=seed, row_stochastic=True)
        joint = np.stack([task.p[task.labels == y].sum(axis=0) for y in range(3)], axis=1)
        least = 1 - joint.max(axis=1).sum() / len(task.labels)
        found = lower_channel(task, joint / joint.sum(axis=1, keepdims=True), steps=400)
        assert least - 1e-9 <= found.loss <= least + 1e-3


def test_row_stochastic_log_loss_reaches_the_certified_optimum_of_em():
    # The one convex case that is solved elsewhere, with a bound on what is left to gain.
    for seed in range(3):
        task = make_task(LOG_LOSS, seed=seed, row_stochastic=True)
        samples, _ = sort_samples(log_of(task.p), task.labels, 3)
        member = Member(mask=np.ones(80, dtype=bool), prior=task.prior, pseudo_count=0.0)
        known = fit_channels(stack_problems(samples.temper(1.0), [member]))
        joint = np.stack([task.p[task.labels == y].sum(axis=0) for y in range(3)], axis=1)
        # Mixed with the prior it is still row-stochastic: the bound holds at any eps.
        loss = lower_channel(task, joint / joint.sum(axis=1, keepdims=True), steps=400).loss
        assert -known.objective[0] - known.gap[0] - 1e-9 <= loss <= -known.objective[0] + 1e-3


def test_under_the_log_loss_the_channel_of_minorisation_is_not_raised():
    for seed in range(3):
        task = make_task(LOG_LOSS, seed=seed)
        samples, _ = sort_samples(log_of(task.p), task.labels, 3)
        known = fit_in_sample(samples, task.prior)
        there = replace(task, p=samples.temper(known.temperature).p)
        start = evaluate_channel(there, spread_out(known.matrix, task.prior))
        assert lower_channel(there, known.matrix, steps=400).loss <= start.loss + 1e-9
