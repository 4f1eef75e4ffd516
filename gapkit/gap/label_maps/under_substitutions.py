"""Injections under another loss than KL, at one eps: substitutions of one source class, permuted anew after each."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from gapkit.arrays import Array, Floats, Indices
from gapkit.gap.label_maps.optimisers import assign
from gapkit.gap.label_maps.partition_problem import IGNORED, read_injection
from gapkit.gap.label_maps.under import Answers
from gapkit.gap.label_maps.under_readings import LEAST_GAIN, ReadingTask, pieces, sum_rest

SHORT_LIST = 50
"""Source classes that a target class tries first; all of them once none of these gains anything."""


def substitute(task: ReadingTask, reading: Indices, eps: float) -> Indices:
    """For each target class in turn the best substitution, the whole permuted anew, until none gains anything."""
    n_source = len(reading)
    sigma, width = _permute(task, sigma_of(reading), eps), min(SHORT_LIST, n_source)
    loss = task.loss(read_injection(sigma, n_source), eps)
    while True:
        moved, moved_loss = _substitute_each(task, sigma, eps, width)
        if moved_loss < loss - LEAST_GAIN:
            sigma, loss = moved, moved_loss
        elif width < n_source:
            width = n_source
        else:
            return read_injection(sigma, n_source)


def _substitute_each(task: ReadingTask, sigma: Indices, eps: float, width: int) -> tuple[Indices, float]:
    """Each target class's source class replaced by the best of ``width`` others, where that gains; and the loss."""
    n_source = len(task.problem.columns)
    loss = task.loss(read_injection(sigma, n_source), eps)
    for y in range(len(sigma)):
        sources = _short_list(task, sigma, y, width)
        losses = _substituted(task, sigma, y, sources, eps)
        if losses.min(initial=np.inf) < loss - LEAST_GAIN:
            sigma = sigma.copy()
            sigma[y] = sources[losses.argmin()]
            sigma = _permute(task, sigma, eps)
            loss = task.loss(read_injection(sigma, n_source), eps)
    return sigma, loss


def sigma_of(reading: Array) -> Indices:
    """The injection (K_t,) that a reading (K_s,) is; it has one source class for each target class."""
    sources = np.flatnonzero(reading != IGNORED)
    return sources[np.argsort(reading[sources])]


def all_injections(n_source: int, n_target: int) -> Array:
    """Every injection as a reading (m, K_s)."""
    sigmas = np.array(list(permutations(range(n_source), n_target)), dtype=np.int64)
    readings = np.full((len(sigmas), n_source), IGNORED, dtype=np.int64)
    np.put_along_axis(readings, sigmas, np.arange(n_target, dtype=np.int64)[None], axis=1)
    return readings


def mass_assignment(task: ReadingTask) -> Indices:
    """The exact assignment for the separable loss ``1 - p``, total variation on mass that is not renormalised."""
    cost = -task.problem.class_sums(task.problem.columns).T
    return read_injection(assign(cost), len(task.problem.columns))


def _permute(task: ReadingTask, sigma: Indices, eps: float) -> Indices:
    """The best permutation of the chosen source classes: their mass is fixed, so the loss is a linear assignment."""
    chosen = task.problem.columns[sigma]
    q = (1 - eps) * chosen / chosen.sum(axis=0)
    cost = task.problem.class_sums(task.criterion.loss(q + eps * task.own_prior)).T
    # Of the sum of squares only 2 eps sum_y pi_y q_y depends on the permutation, q being (1 - eps) q_A here.
    cost = cost + 2 * task.criterion.square * eps * task.prior[:, None] * q.sum(axis=1)
    return sigma[assign(cost)]


def _short_list(task: ReadingTask, sigma: Array, y: int, width: int) -> Indices:
    """The source classes, not chosen yet, that cost least of total variation as more of y, to first order.

    With ``S / M`` the own class's share, ``t p_z`` more of y changes ``1 - S / M`` by ``t p_z (S / M - 1) / M`` for the
    samples of y and by ``t p_z S / M^2`` for the others.
    """
    free = np.setdiff1d(np.arange(len(task.problem.columns), dtype=np.int64), sigma)
    if len(free) <= width:
        return free
    columns, here = task.problem.columns, task.problem.blocks[y]
    mass = columns[sigma].sum(axis=0)
    share = columns[sigma[task.labels], np.arange(len(task.labels))] / mass
    cost = columns @ (share / mass) - columns[:, here] @ (1 / mass[here])
    return free[np.argsort(cost[free], kind="stable")[:width]]


def _substituted(task: ReadingTask, sigma: Array, y: int, sources: Array, eps: float) -> Floats:
    """Mean loss (m,) with each of some source classes as y, instead of the one in sigma."""
    columns, labels, losses = task.problem.columns, task.labels, np.zeros(len(sources))
    others, prior = np.delete(sigma, y), np.delete(task.prior, y)
    for piece in pieces(len(labels), len(sources)):
        p, left = columns[sources, piece], sum_rest(task, columns[others, piece], prior)
        mass = left.total + p
        # The row of the own class itself is not read where the label is y.
        own = columns[sigma[labels[piece]], np.arange(len(labels))[piece]]
        answers = Answers(
            own=np.where(labels[piece] == y, p, own) / mass,
            prior=task.own_prior[piece],
            spread=left.spread(mass, p, task.prior[y]),
        )
        losses += answers.losses(task.criterion, eps).sum(axis=1)
    return losses / len(labels)
