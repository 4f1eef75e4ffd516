"""The best injection under the renormalised loss, at one temperature.

With sigma: target class -> source class and ``S_i = sum_y p_{i sigma(y)}`` the loss is
``L(sigma) = sum_y C[y, sigma(y)] + (1/n) sum_i log S_i``, with ``C[y, z] = -(1/n) sum_{i: y_i = y} log p_iz``. For a fixed subset B
of source classes the second term is fixed too, so the best permutation is a linear assignment. Since log is concave,
``log S' <= log S + S' / S - 1``: the assignment for ``C[y, z] + (1/n) sum_i p_iz / S_i`` never raises the loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import perm

import numpy as np
from scipy.optimize import linear_sum_assignment  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from gapkit.arrays import Floats, Indices, Probabilities, generator

INJECTION_STREAM = 4
ENUMERATION_LIMIT = 5000
CHEAPEST = 50
RANDOM_STARTS = 5
SEARCHED_STARTS = 3
LEAST_GAIN = 1e-12
BLOCK_ENTRIES = 1 << 18


@dataclass(frozen=True, kw_only=True)
class InjectionProblem:
    """What the search needs of the fitting samples.

    Attributes:
        p: (n, K_s) tempered probabilities of the fitting samples.
        log_cost: (K_t, K_s) C above.
        mass_cost: (K_t, K_s) ``(1/n) sum_{i: y_i = y} (1 - p_iz)``.
        centred_cost: (K_t, K_s) as C, for ``log p - mean_i log p``.
    """

    p: Probabilities
    log_cost: Floats
    mass_cost: Floats
    centred_cost: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """K_t and K_s."""
        return self.log_cost.shape[0], self.log_cost.shape[1]

    def loss(self, sigma: Indices) -> float:
        """Mean renormalised KL of an injection (K_t,), in nats."""
        own = self.log_cost[np.arange(len(sigma)), sigma].sum()
        return float(own + np.log(self.p[:, sigma].sum(axis=1)).mean())

    def log_mass(self, subset: Indices) -> float:
        """``(1/n) sum_i log S_i`` of a subset of source classes."""
        return float(np.log(self.p[:, subset].sum(axis=1)).mean())


@dataclass(frozen=True, kw_only=True)
class FoundInjection:
    """Sigma (K_t,), its loss, and whether every injection was compared."""

    sigma: Indices
    loss: float
    optimal: bool


def assign(cost: Floats) -> Indices:
    """The injection (K_t,) of least total cost (K_t, K_s), exactly.

    Example:
        >>> assign(np.array([[1.0, 0.0, 2.0], [1.0, 0.0, 2.0]])).tolist()
        [0, 1]
    """
    return np.asarray(linear_sum_assignment(cost)[1], dtype=np.int64)


def assignment_injection(problem: InjectionProblem) -> Indices:
    """The cheap map: the better of two assignments, each followed by assignments for the upper bound of the loss."""
    found = [_descend(problem, assign(cost)) for cost in (problem.log_cost, problem.centred_cost)]
    return min(found, key=lambda item: item[0])[1]


def search_injection(problem: InjectionProblem, *, seed: int, enumeration: int = ENUMERATION_LIMIT) -> FoundInjection:
    """The best injection found: by enumeration where there are few, else by descent from several starts.

    Starts: the assignments for ``-log p``, ``1 - p`` and ``-(log p - mean log p)`` and five random injections, each
    followed by assignments for the upper bound; the best three distinct ones then go through swaps and substitutions until
    a full sweep over all of them gains nothing.
    """
    n_target, n_source = problem.shape
    if perm(n_source, n_target) <= enumeration:
        sigma = _enumerate(problem)
        return FoundInjection(sigma=sigma, loss=problem.loss(sigma), optimal=True)
    rng = generator(seed, INJECTION_STREAM)
    starts = [assign(cost) for cost in (problem.log_cost, problem.mass_cost, problem.centred_cost)]
    starts += [rng.permutation(n_source)[:n_target] for _ in range(RANDOM_STARTS)]
    descended = sorted((_descend(problem, start) for start in starts), key=lambda item: item[0])
    distinct = {tuple(sigma.tolist()): sigma for _, sigma in descended}
    found = [_local_search(problem, sigma) for sigma in list(distinct.values())[:SEARCHED_STARTS]]
    loss, sigma = min(found, key=lambda item: item[0])
    return FoundInjection(sigma=sigma, loss=loss, optimal=False)


def _descend(problem: InjectionProblem, sigma: Indices) -> tuple[float, Indices]:
    """Assignments for the upper bound of the loss until it stays."""
    loss = problem.loss(sigma)
    while True:
        moved = assign(_bound_cost(problem, sigma))
        moved_loss = problem.loss(moved)
        if moved_loss >= loss - LEAST_GAIN:
            return loss, sigma
        loss, sigma = moved_loss, moved


def _bound_cost(problem: InjectionProblem, sigma: Indices) -> Floats:
    """``C[y, z] + (1/n) sum_i p_iz / S_i`` (K_t, K_s)."""
    mass = problem.p[:, sigma].sum(axis=1)
    return problem.log_cost + (1 / mass) @ problem.p / len(mass)


def _local_search(problem: InjectionProblem, sigma: Indices) -> tuple[float, Indices]:
    """Best-improvement substitutions, permutations re-assigned after each, until a full sweep gains nothing."""
    n_target, n_source = problem.shape
    sigma = _permute(problem, sigma)
    loss = problem.loss(sigma)
    while True:
        cost = _bound_cost(problem, sigma)
        cost[:, sigma] = np.inf
        order = np.argsort(cost, axis=1, kind="stable")
        n_free = n_source - n_target
        for width in sorted({min(CHEAPEST, n_free), n_free}):
            moved = _best_substitution(problem, sigma, order[:, :width])
            moved_loss = loss if moved is None else problem.loss(moved)
            if moved_loss < loss - LEAST_GAIN:
                break
        else:
            return loss, sigma
        sigma = _permute(problem, sigma if moved is None else moved)
        loss = problem.loss(sigma)


def _permute(problem: InjectionProblem, sigma: Indices) -> Indices:
    """The best permutation within the subset of source classes: all swaps at once, exactly."""
    return sigma[assign(problem.log_cost[:, sigma])]


def _best_substitution(problem: InjectionProblem, sigma: Indices, candidates: Indices) -> Indices | None:
    """The injection with one source class replaced, over candidates (K_t, c), that has the least loss."""
    if candidates.shape[1] == 0:
        return None
    chosen = problem.p[:, sigma]
    change = np.empty(candidates.shape)
    for y in range(len(sigma)):
        # Summed afresh: subtracting the replaced column would cancel where it holds nearly all the mass.
        rest = np.delete(chosen, y, axis=1).sum(axis=1)
        own = problem.log_cost[y, candidates[y]] - problem.log_cost[y, sigma[y]]
        change[y] = own + _mean_log(problem.p, rest, candidates[y])
    y, position = np.unravel_index(int(np.argmin(change)), change.shape)
    moved = sigma.copy()
    moved[y] = candidates[y, position]
    return moved


def _mean_log(p: Probabilities, rest: Floats, columns: Indices) -> Floats:
    """``(1/n) sum_i log(rest_i + p_iz)`` for some columns z, in blocks that stay in the processor's cache."""
    total, step = np.zeros(len(columns)), max(1, BLOCK_ENTRIES // len(columns))
    for start in range(0, len(p), step):
        block = p[start : start + step, columns]
        block += rest[start : start + step, None]
        total += np.log(block, out=block).sum(axis=0)
    return total / len(p)


def _enumerate(problem: InjectionProblem) -> Indices:
    """Every subset of source classes with its best permutation."""
    n_target, n_source = problem.shape
    best_loss, best = np.inf, np.arange(n_target)
    for subset in combinations(range(n_source), n_target):
        columns = np.array(subset)
        sigma = _permute(problem, columns)
        loss = problem.log_cost[np.arange(n_target), sigma].sum() + problem.log_mass(columns)
        if loss < best_loss - LEAST_GAIN:
            best_loss, best = loss, sigma
    return best
