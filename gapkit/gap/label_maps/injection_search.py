"""The best injection under the renormalised loss, at one temperature.

With sigma: target class -> source class and ``S_i = sum_y p_{i sigma(y)}`` the loss is
``L(sigma) = sum_y C[y, sigma(y)] + (1/n) sum_i log S_i``, with ``C[y, z] = -(1/n) sum_{i: y_i = y} log p_iz``. For a
fixed subset of source classes the second term is fixed too, so the best permutation is a linear assignment. Since log
is concave, ``log S' <= log S + S' / S - 1``: the assignment for ``C[y, z] + (1/n) sum_i p_iz / S_i`` never raises the
loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from math import perm

import numpy as np

from gapkit.arrays import Array, Floats, Indices, PerSample, generator
from gapkit.gap.label_maps.log_sums import sum_logs
from gapkit.gap.label_maps.optimisers import assign
from gapkit.gap.label_maps.tempering import take_samples

INJECTION_STREAM = 4
ENUMERATION_LIMIT = 5000
RANDOM_STARTS = 5
KICKS, AGREEING = 60, 20
"""Kicks at most, and how often they have to come back to the best injection for the search to end."""
RENEWED = (None, 2, 3, 5)
"""Source classes that kicks replace, in turn; None: all. Few find what is near, all what is elsewhere: of twelve
searches each on digits, speech and letters these found the best injection known 34 times, halves and all 31 times."""
LEANINGS = (-1, 0, 1)
"""Exponents of a source class's mass in the draws of kicks, in turn. The best injection of ten digits into 352 classes
at T = 0.25 holds rare ones: a search that starts from ten classes found it in 38 of 100 draws with the exponent -1, in
1 of 100 with 0; where a source knows the target, its classes hold the mass."""
KICKED_ENTRIES = 1 << 29
"""Samples times source and target classes that all kicks of a search may look at: some tenths of a second."""
LEAST_GAIN = 1e-12
BLOCK_ENTRIES = 1 << 17
SWEPT = 8
"""Source classes that a sweep compares at once."""
FEW_DESCENTS = 4
"""So many products with one vector take less time than one with as many."""
LEAST_MASS = 1e-300
"""Of a subset without one source class, so that its inverse is finite; one that is left holds the floor at least."""
Answers = dict[tuple[int, tuple[int, ...]], tuple[int, float]]
"""Target class and sigma to the source class that is best for it, the others as they are, and the loss with it."""


@dataclass(frozen=True, kw_only=True)
class ClassMeans:
    """A lower bound of ``(1/n) sum_i log(r_i + p_iz)`` from geometric means within the target classes.

    ``mean log(r + p) >= log(exp(mean log r) + exp(mean log p))`` (Mahler), class by class: with the means of all
    samples it is looser, for r is small where the source class that is replaced holds the mass.

    Attributes:
        starts: (K,) the first sample of each target class that has some; samples are sorted by class.
        sizes: (K,) samples of these classes.
        shares: (K,) the same as parts of all.
        means: (K_s, K) geometric means of each source class.
    """

    starts: Indices
    sizes: Floats
    shares: Floats
    means: Floats

    def bound(self, log_rest: PerSample) -> Floats:
        """The bound for each source class (K_s,), from ``log r`` (n,)."""
        rest = np.exp(np.add.reduceat(log_rest, self.starts) / self.sizes)
        return np.log(rest + self.means) @ self.shares


@dataclass(frozen=True, kw_only=True)
class InjectionProblem:
    """What the search needs of the fitting samples.

    Attributes:
        columns: (K_s, n) tempered probabilities, transposed: the search reads whole source classes. Samples are sorted
            by target class.
        weights: (n,) 1/m for the m fitting samples, 0 for the others.
        shares: (K_t,) weight of each target class.
        log_cost: (K_t, K_s) C above.
        mass_cost: (K_t, K_s) ``(1/m) sum_{i: y_i = y} (1 - p_iz)``.
        centred_cost: (K_t, K_s) as C, for ``log p - mean_i log p``.
    """

    columns: Floats
    weights: PerSample
    shares: Floats
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
        return float(own) + self.log_mass(sigma)

    def compact(self) -> InjectionProblem:
        """The same problem without the samples that it is not fitted to."""
        fitted = self.weights > 0
        return replace(self, columns=take_samples(self.columns, fitted), weights=self.weights[fitted])

    @cached_property
    def class_means(self) -> ClassMeans:
        """What bounds the loss from below; of a compact problem."""
        present = np.flatnonzero(self.shares)
        shares: Floats = self.shares[present]
        sizes = np.rint(shares * len(self.weights))
        return ClassMeans(
            starts=(np.cumsum(sizes) - sizes).astype(np.int64),
            sizes=sizes,
            shares=shares,
            means=np.ascontiguousarray(np.exp(-self.log_cost[present] / shares[:, None]).T),
        )

    def log_mass(self, subset: Indices) -> float:
        """``(1/n) sum_i log S_i`` of a subset of source classes."""
        return float(self.weights @ np.log(self.columns[subset].sum(axis=0)))


@dataclass(frozen=True, kw_only=True)
class FoundInjection:
    """Sigma (K_t,), its loss, and whether every injection was compared."""

    sigma: Indices
    loss: float
    optimal: bool


def assignment_injection(problem: InjectionProblem) -> Indices:
    """The cheap map: the better of two assignments, each followed by assignments for the upper bound of the loss."""
    return _descend(problem, [assign(cost) for cost in (problem.log_cost, problem.centred_cost)])[1]


def search_injection(
    problem: InjectionProblem,
    *,
    seed: int,
    enumeration: int = ENUMERATION_LIMIT,
    kicks: int = KICKS,
    known: Sequence[Indices] = (),
) -> FoundInjection:
    """The best injection found: by enumeration where there are few, else by descent from several starts.

    Starts: the assignments for ``-log p``, ``1 - p`` and ``-(log p - mean log p)`` and five random injections, each
    followed by assignments for the upper bound; the best one then goes through swaps and substitutions until none gains
    anything, and so does each that is known. The best of these is then kicked, at most ``kicks`` times: some of its
    source classes or all are replaced at random and the search goes on from there, until it has come back often enough.
    (Of 352 source classes for ten digits, at T = 0.25, the starts alone gave 1.39, or 1.49 after a change of log p in
    the seventh digit; with kicks 1.31 was found each time.)

    Args:
        problem: samples and costs.
        seed: of random starts and kicks.
        enumeration: all injections are compared where there are at most this many.
        kicks: at most.
        known: injections (K_t,) to start from, too.
    """
    n_target, n_source = problem.shape
    if perm(n_source, n_target) <= enumeration:
        sigma = _enumerate(problem)
        return FoundInjection(sigma=sigma, loss=problem.loss(sigma), optimal=True)
    problem = problem.compact()
    rng = generator(seed, INJECTION_STREAM)
    starts = [assign(cost) for cost in (problem.log_cost, problem.mass_cost, problem.centred_cost)]
    starts += [rng.permutation(n_source)[:n_target] for _ in range(RANDOM_STARTS)]
    _, descended = _descend(problem, starts)
    answers: Answers = {}
    found = [_local_search(problem, descended), *(_settle(problem, sigma, answers) for sigma in known)]
    loss, sigma = _kicked(problem, min(found, key=lambda item: item[0]), answers, rng, kicks)
    return FoundInjection(sigma=sigma, loss=loss, optimal=False)


def _kicked(
    problem: InjectionProblem, best: tuple[float, Indices], answers: Answers, rng: np.random.Generator, kicks: int
) -> tuple[float, Indices]:
    """Iterated local search (Lourenco, Martin and Stuetzle 2003): the best of what is found after each kick."""
    (loss, sigma), (n_target, n_source), again = best, problem.shape, 0
    log_masses = np.log(problem.columns @ problem.weights)
    for kick in range(min(kicks, KICKED_ENTRIES // (len(problem.weights) * n_target * n_source))):
        if again == AGREEING:
            break
        renewed = min(n_target, RENEWED[kick % len(RENEWED)] or n_target)
        # Source classes in an order drawn without replacement, each with a chance in proportion to mass ** leaning.
        leaning = LEANINGS[kick % len(LEANINGS)]
        drawn = np.argsort(-leaning * log_masses - rng.gumbel(size=n_source))
        order, start = rng.permutation(n_target), sigma.copy()
        start[order[:renewed]] = drawn[~np.isin(drawn, sigma[order[renewed:]])][:renewed]
        found, moved = _settle(problem, start, answers)
        if found < loss - LEAST_GAIN:
            loss, sigma, again = found, moved, 0
        elif np.array_equal(moved, sigma):
            again += 1
    return loss, sigma


def _descend(problem: InjectionProblem, starts: Sequence[Indices]) -> tuple[float, Indices]:
    """Assignments for the upper bound of the loss from each start until it stays; the least loss of all.

    All go one step at a time, with one product for all, and where two meet they go on as one.
    """
    losses = {tuple(start.tolist()): problem.loss(start) for start in starts}
    active = list(losses)
    ended: list[tuple[int, ...]] = []
    while active:
        costs = _bound_costs(problem, np.array(active, dtype=np.int64))
        following: list[tuple[int, ...]] = []
        for sigma, cost in zip(active, costs, strict=True):
            moved = assign(cost)
            key = tuple(moved.tolist())
            known = key in losses
            loss = losses[key] if known else problem.loss(moved)
            if loss >= losses[sigma] - LEAST_GAIN:
                ended.append(sigma)
            elif not known:
                losses[key] = loss
                following.append(key)
        active = following
    best = min(ended, key=lambda sigma: losses[sigma])
    return losses[best], np.array(best, dtype=np.int64)


def _bound_costs(problem: InjectionProblem, sigmas: Array) -> Array:
    """``C[y, z] + (1/n) sum_i p_iz / S_i`` (m, K_t, K_s) of m injections (m, K_t)."""
    weights = [problem.weights / problem.columns[sigma].sum(axis=0) for sigma in sigmas]
    if len(weights) <= FEW_DESCENTS:
        means = np.stack([problem.columns @ row for row in weights])
    else:
        means = (problem.columns @ np.stack(weights, axis=1)).T
    return problem.log_cost + means[:, None]


def _local_search(problem: InjectionProblem, sigma: Indices) -> tuple[float, Indices]:
    """Best-improvement substitutions, permutations re-assigned after each, until no substitution gains anything.

    Sigma comes from ``_descend``, so its permutation is the best one already.
    """
    loss = problem.loss(sigma)
    while True:
        moved = _best_substitution(problem, sigma)
        moved_loss = problem.loss(moved)
        if moved_loss >= loss - LEAST_GAIN:
            return loss, sigma
        sigma = _permute(problem, moved)
        loss = problem.loss(sigma)


def _settle(problem: InjectionProblem, sigma: Indices, known: Answers) -> tuple[float, Indices]:
    """Sweeps and permutations in turn, until neither gains anything: a local optimum, as ``_local_search`` finds them.

    A sweep takes the best source class for one target class after the other, which costs a fraction of the comparison
    of all substitutions at once. What is best beside given others is kept in ``known``: kicks come back to it.
    """
    sigma = _permute(problem, sigma)
    loss = problem.loss(sigma)
    while True:
        swept = _sweep(problem, sigma, loss, known)
        moved = _permute(problem, swept)
        moved_loss = problem.loss(moved)
        if moved_loss >= loss - LEAST_GAIN:
            return loss, sigma
        loss, sigma = moved_loss, moved
        if np.array_equal(moved, swept):  # another sweep would move nothing
            return loss, sigma


def _sweep(problem: InjectionProblem, sigma: Indices, loss: float, known: Answers) -> Indices:
    """The best source class for one target class at a time, round and round, until none moves."""
    sigma, stayed, y = sigma.copy(), 0, 0
    while stayed < len(sigma):
        key = (y, tuple(sigma.tolist()))
        if key not in known:
            known[key] = _best_for(problem, sigma, y, loss)
        moved, loss = known[key]
        stayed = stayed + 1 if moved == sigma[y] else 1
        sigma[y] = moved
        # The answer for the moved sigma is the same: others are as they were, and none of them gains anything.
        known[y, tuple(sigma.tolist())] = moved, loss
        y = (y + 1) % len(sigma)
    return sigma


def _best_for(problem: InjectionProblem, sigma: Indices, y: int, loss: float) -> tuple[int, float]:
    """The source class for target class y that has the least loss, the others as they are, and that loss.

    Args:
        problem: a compact one.
        sigma: (K_t,) the injection.
        y: the target class.
        loss: of sigma.
    """
    columns, stay = problem.columns, np.arange(len(sigma)) != y
    others = sigma[stay]
    rest = np.maximum(columns[others].sum(axis=0), LEAST_MASS)
    least = problem.log_cost[y] + problem.log_cost[stay, others].sum()
    least[sigma] = np.inf
    best, move = loss - LEAST_GAIN, int(sigma[y])
    bound = least + problem.class_means.bound(np.log(rest))
    order = np.flatnonzero(bound < best)
    order = order[np.argsort(bound[order], kind="stable")]
    for start in range(0, len(order), SWEPT):
        z = order[start : start + SWEPT]
        if bound[z[0]] >= best:
            break
        losses = least[z] + _log_masses(columns[z], rest)
        first = int(np.argmin(losses))
        if losses[first] < best:
            best, move = float(losses[first]), int(z[first])
    return (move, best) if move != sigma[y] else (move, loss)


def _log_masses(chosen: Floats, rest: Floats) -> Floats:
    """``(1/n) sum_i log(r_i + p_iz)`` (m,) of some source classes (m, n), which are overwritten."""
    chosen += rest
    return sum_logs(chosen) / chosen.shape[1]


def _permute(problem: InjectionProblem, sigma: Indices) -> Indices:
    """The best permutation within the subset of source classes: all swaps at once, exactly."""
    return sigma[assign(problem.log_cost[:, sigma])]


def _best_substitution(problem: InjectionProblem, sigma: Indices) -> Indices:
    """The injection with one source class replaced that has the least loss; sigma where none has less.

    With r the mass of the classes that stay, ``mean log(r + p_z) >= log(exp(mean log r) + exp(mean log p_z))``
    (Mahler), which costs nothing. Substitutions are tried in the order of this bound, until it says that no other one
    can be better.
    """
    n_target, columns = len(sigma), problem.columns
    # Summed afresh: subtracting the replaced column would cancel where it holds nearly all the mass.
    rest = np.stack([columns[np.delete(sigma, y)].sum(axis=0) for y in range(n_target)])
    rest = np.maximum(rest, LEAST_MASS)
    log_rest = (np.log(rest) @ problem.weights)[:, None]
    own = problem.log_cost - problem.log_cost[np.arange(n_target), sigma][:, None] - problem.log_mass(sigma)
    own[:, sigma] = np.inf
    bound = own + np.logaddexp(log_rest, -problem.log_cost.sum(axis=0))
    order = np.argsort(bound, axis=None, kind="stable")
    best, move = -LEAST_GAIN, None
    step = max(8, BLOCK_ENTRIES // len(problem.weights))
    for start in range(0, len(order), step):
        y, z = np.unravel_index(order[start : start + step], bound.shape)
        if bound[y[0], z[0]] >= best:
            break
        change = own[y, z] + _log_masses(columns[z], rest[y])
        least = int(np.argmin(change))
        if change[least] < best:
            best, move = change[least], (y[least], z[least])
    if move is None:
        return sigma
    moved = sigma.copy()
    moved[move[0]] = move[1]
    return moved


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
