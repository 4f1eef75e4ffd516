"""Moves of one source class of a partition at a time, to another target class or out of or into the reading.

Moving z changes the mass M only where z starts or stops to be read, and own S only for the samples of the two target
classes concerned; the loss times n falls by

    ignored -> b: join(z, b) - enter(z);   a -> b: join(z, b) - part(z);   a -> ignored: leave(z) - part(z)

with ``join(z, b) = sum_{i in b} log(1 + p_iz / S_i)``, ``enter(z) = sum_i log(1 + p_iz / M_i)``,
``part(z) = -sum_{i in a} log(1 - p_iz / S_i)`` and ``leave(z) = -sum_i log(1 - p_iz / M_i)``.
"""

from __future__ import annotations

import numpy as np

from gapkit.arrays import Floats, Indices, Mask
from gapkit.gap.label_maps.log_sums import sum_logs
from gapkit.gap.label_maps.partition_problem import (
    CANCELLED,
    IGNORED,
    Groups,
    PartitionProblem,
    group,
    move,
    pieces,
    without,
)

LEAST_GAIN = 1e-12
"""In nats per sample; less is rounding."""
SLACK = 1e-6
"""Bounds are rounded too: a move is ruled out only where its bound is this far below, in nats summed over samples."""
LEAST_SHARE = 1e-6
"""A mean share nearer to 1 than this is known too badly to be used in a bound."""
SWEEPS = 2
"""Through the same source classes, before the gains are worked out again."""
NEAR_SHARE = 0.1
"""Moves change the gains of other source classes: this share of them is swept along with those that gain."""


def descend(problem: PartitionProblem, reading: Indices) -> tuple[float, Indices]:
    """Sweeps of single moves until none gains anything; the loss never rises.

    From an injection, the first sweeps try every source class that a bound leaves a chance. From then on the gains are
    worked out for all at once, and those that gain, or nearly do, are swept.
    """
    groups = group(problem, reading)
    if groups.assigned.sum() == len(problem.sizes):
        moved = group(problem, _sweeps(problem, groups, _promising(problem, groups)).reading)
        groups = min(groups, moved, key=lambda item: item.loss)
    while True:
        order = _gaining(problem, groups)
        moved = group(problem, _sweeps(problem, groups, order).reading)
        if moved.loss >= groups.loss - LEAST_GAIN:
            return groups.loss, groups.reading
        groups = moved


def _sweeps(problem: PartitionProblem, groups: Groups, order: Indices) -> Groups:
    """At most twice each source class in turn to where it gains most, until none moves."""
    sizes = np.bincount(groups.reading + 1, minlength=len(problem.sizes) + 1)
    for _ in range(SWEEPS):
        before = groups
        for z in order.tolist():
            origin = int(groups.reading[z])
            if origin != IGNORED and sizes[origin + 1] == 1:
                continue
            gain, target = best_move(problem, groups, z)
            if gain > LEAST_GAIN * len(groups.own):
                groups = move(problem, groups, z, target)
                sizes[origin + 1] -= 1
                sizes[target + 1] += 1
        if groups is before:
            break
    return groups


def best_move(problem: PartitionProblem, groups: Groups, source: int) -> tuple[float, int]:
    """What the best move of one source class takes off the loss (times n), and where it leads."""
    column, origin = problem.columns[source], int(groups.reading[source])
    joins = problem.class_sums(np.log1p(column / groups.own))
    if origin == IGNORED:
        target = int(joins.argmax())
        return float(joins[target] - np.log1p(column / groups.mass).sum()), target
    joins[origin] = -np.inf
    target, rows, reading = int(joins.argmax()), problem.blocks[origin], groups.reading.copy()
    reading[source] = IGNORED
    own, mass = groups.own[rows], groups.mass
    part = np.log(own / without(own, column[rows], problem.columns[:, rows], reading == origin)).sum()
    leave = np.log(mass / without(mass, column, problem.columns, reading != IGNORED)).sum()
    return (float(joins[target] - part), target) if joins[target] > leave else (float(leave - part), IGNORED)


def _promising(problem: PartitionProblem, groups: Groups) -> Indices:
    """Source classes with a move that no bound rules out, those with the highest bound first."""
    joins, cost = _bounds(problem, groups)
    bounds = np.where(groups.assigned & np.isfinite(cost), np.inf, joins.max(axis=1) - cost)
    return np.argsort(-bounds, kind="stable")[: int((bounds > -SLACK).sum())]


def _gaining(problem: PartitionProblem, groups: Groups) -> Indices:
    """Source classes with a move that gains something, best first, then those that come nearest to it."""
    gains = best_gains(problem, groups)
    count = int((gains > 0).sum())
    near = min(count + int(NEAR_SHARE * len(gains)), int(np.isfinite(gains).sum()))
    return np.argsort(-gains, kind="stable")[: near if count else 0]


def best_gains(problem: PartitionProblem, groups: Groups) -> Floats:
    """What the best move of each source class takes off the loss (times n).

    A gain of -inf says that no move can gain anything: its bound rules it out, or the class is the last one of its
    target class. Only the others are worked out exactly.
    """
    joins, cost = _bounds(problem, groups)
    movable, assigned = np.isfinite(cost), groups.assigned
    leaves, leaving = np.full(len(cost), -np.inf), np.flatnonzero(movable & assigned)
    leaves[leaving] = _removed(problem.columns, 1 / groups.mass, leaving, assigned)
    able = np.maximum(joins.max(axis=1), leaves) > cost - SLACK
    entering = np.flatnonzero(able & ~assigned)
    cost[entering] = _joined(problem.columns, 1 / groups.mass, entering)
    for y, rows in enumerate(problem.blocks):
        own = np.flatnonzero(able & (groups.reading == y))
        cost[own] = _removed(problem.columns[:, rows], 1 / groups.own[rows], own, groups.reading == y)
    joins = _join(problem, groups, joins, cost)
    return np.where(able, np.maximum(joins.max(axis=1), leaves) - cost, -np.inf)


def _bounds(problem: PartitionProblem, groups: Groups) -> tuple[Floats, Floats]:
    """Upper bounds of join (K_s, K_t), and lower bounds (K_s,) of what stands against it: part, or enter.

    ``join(z, b) <= n_b log(1 + mean_b p_z / S)`` and ``part(z) >= -n_a log(1 - mean_a p_z / S)`` by Jensen, ``enter(z)
    >= sum_y n_y log(1 + exp(mean_y log p_z - mean_y log M))`` by Mahler. Part is infinite for the last source class of
    a target class.
    """
    shares = problem.class_means(1 / groups.own)
    joins = problem.sizes * np.log1p(shares)
    log_mass = problem.class_sums(np.log(groups.mass)) / np.maximum(problem.sizes, 1)
    # Means of log p and log M differ by less than 700: exp stays finite.
    cost = np.log1p(np.exp(problem.log_means - log_mass)) @ problem.sizes
    assigned = np.flatnonzero(groups.assigned)
    own = groups.reading[assigned]
    cost[assigned] = -problem.sizes[own] * np.log(np.maximum(1 - shares[assigned, own], LEAST_SHARE))
    cost[assigned[np.bincount(own)[own] == 1]] = np.inf
    joins[assigned, own] = -np.inf
    return joins, cost


def _join(problem: PartitionProblem, groups: Groups, joins: Floats, cost: Floats) -> Floats:
    """``sum_{i in b} log(1 + p_iz / S_i)`` (K_s, K_t) where its upper bound ``joins`` exceeds the cost, else -inf."""
    exact = np.full(joins.shape, -np.inf)
    for y, rows in enumerate(problem.blocks):
        which = np.flatnonzero(joins[:, y] > cost - SLACK)
        exact[which, y] = _joined(problem.columns[:, rows], 1 / groups.own[rows], which)
    return exact


def _joined(columns: Floats, scale: Floats, sources: Indices) -> Floats:
    """``sum_i log(1 + p_iz scale_i)`` for each of some source classes."""
    sums = np.empty(len(sources))
    for part in pieces(len(sources), len(scale)):
        ratio = columns[sources[part]]
        ratio *= scale
        ratio += 1
        sums[part] = sum_logs(ratio)
    return sums


def _removed(columns: Floats, scale: Floats, sources: Indices, members: Mask) -> Floats:
    """``-sum_i log(1 - p_iz scale_i)`` for some of the source classes whose sum ``1 / scale`` is."""
    sums, others = np.empty(len(sources)), np.flatnonzero(members)
    for part in pieces(len(sources), len(scale)):
        rest = columns[sources[part]]
        rest *= -scale
        rest += 1
        own, rows = np.nonzero(rest < CANCELLED)
        # At most one source class holds so much of a sample: these are no more than the samples.
        for some in pieces(len(rows), len(others)):
            block = columns[np.ix_(others, rows[some])]
            block[np.searchsorted(others, sources[part][own[some]]), np.arange(block.shape[1])] = 0.0
            rest[own[some], rows[some]] = block.sum(axis=0) * scale[rows[some]]
        sums[part] = -sum_logs(rest)
    return sums
