"""Slow and obvious twins of the misalignment's mathematics: loops, brute force and scipy's generic optimisers.

A test that wants them loads this file by its path, because under ``--import-mode=importlib`` tests are no package::

    spec = importlib.util.spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
    naive = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(naive)

This file holds what is fitted to one set of samples: prior, mixing, discrepancies, label maps. What is estimated across
folds is in ``naive_estimates.py``, loaded the same way. Nothing here imports gapkit. Letters: n samples, K_s source
and K_t target classes, p (n, K_s) a source conditional and log_p its logarithm, ``labels`` (n,) in 0..K_t-1,
A (K_s, K_t) a label map, ``prior`` = pi (K_t,) the class prior, c a pseudo-count. Losses are in nats.
"""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import logsumexp, softmax


def class_prior(counts):
    """pi_y = (n_y + 1/2) / (n + K_t / 2)."""
    n = sum(counts)
    return np.array([(count + 0.5) / (n + len(counts) / 2) for count in counts])


def mix(q, prior, eps):
    """(1 - eps) q + eps pi."""
    return (1 - eps) * np.asarray(q) + eps * np.asarray(prior)


def eps_objective(own, prior, eps, pseudo=0.0):
    """-sum_i log((1 - eps) own_i + eps pi_i) - pseudo log eps: what a q gives to each label and what the prior does."""
    with np.errstate(divide="ignore"):
        penalty = -pseudo * np.log(eps) if pseudo else 0.0
        return float(-np.log(mix(own, prior, eps)).sum() + penalty)


def fit_eps(own, prior, pseudo=0.0):
    """The eps in [0, 1] of least ``eps_objective``; with pseudo = 1 it is at least 1 / (n + 1).

    One pseudo-sample that only the prior explains has own = 0, so it adds -log(eps) and a constant. In the likelihood
    equation every sample has a share of the prior, the pseudo-sample all of it: eps = (1 + sum_i share_i) / (n + 1).
    """
    found = minimize_scalar(
        lambda eps: eps_objective(own, prior, eps, pseudo), bounds=(0, 1), method="bounded", options={"xatol": 1e-13}
    )
    candidates = [float(found.x), 1.0] + ([0.0] if pseudo == 0 else [])
    return min(candidates, key=lambda eps: eps_objective(own, prior, eps, pseudo))


def fit_eps_floor(own, prior):
    """The other reading of "eps >= 1 / (n + 1)": the unpenalised optimum, cut off below (the objective is convex)."""
    return max(fit_eps(own, prior), 1 / (len(own) + 1))


# Discrepancies of one sample: q the mapped source conditional, t the target conditional (one-hot or soft), both (K_t,).


def kl(q, t):
    """sum_y t_y log(t_y / q_y), 0 log 0 = 0; against one-hot t it is -log q_y."""
    return sum(t[y] * (np.log(t[y]) - (np.log(q[y]) if q[y] > 0 else -np.inf)) for y in range(len(t)) if t[y] > 0)


def brier(q, t):
    """sum_y (q_y - t_y)^2, between 0 and 2."""
    return sum((a - b) ** 2 for a, b in zip(q, t, strict=True))


def total_variation(q, t):
    """(1/2) sum_y |q_y - t_y|, which is 1 - q_y against one-hot t."""
    return sum(abs(a - b) for a, b in zip(q, t, strict=True)) / 2


def zero_one(q, t):
    """1 - t_y at the y of greatest q_y, averaged over all y that tie (ties up to rounding)."""
    tied = [y for y in range(len(q)) if q[y] >= max(q) * (1 - 1e-12)]
    return sum(1 - t[y] for y in tied) / len(tied)


def squared_hellinger(q, t):
    """(1/2) sum_y (sqrt q_y - sqrt t_y)^2, which is 1 - sqrt(q_y) against one-hot t."""
    return sum((np.sqrt(a) - np.sqrt(b)) ** 2 for a, b in zip(q, t, strict=True)) / 2


def jensen_shannon(q, t):
    """(KL(q, m) + KL(t, m)) / 2 with m = (q + t) / 2, at most log 2."""
    middle = [(a + b) / 2 for a, b in zip(q, t, strict=True)]
    return (kl(middle, q) + kl(middle, t)) / 2


DISCREPANCIES = {
    "kl": kl,
    "brier": brier,
    "total_variation": total_variation,
    "zero_one": zero_one,
    "squared_hellinger": squared_hellinger,
    "jensen_shannon": jensen_shannon,
}
# Proper: if labels follow t, no q has a smaller expected loss than t. The best q (t_y loss'(q_y) the same for all y):
#   kl, brier            q = t and nothing else (strictly proper)
#   zero_one             any q with its greatest entry where t has it, so t too (proper, not strictly)
#   total_variation      all mass on the greatest t_y: the expected loss 1 - sum_y t_y q_y is linear
#   squared_hellinger    q_y ~ t_y^2, of expected loss 1 - sqrt(sum_y t_y^2)
#   jensen_shannon       q_y = 1 / (exp(lambda / t_y) - 1), since loss'(q_y) = -(1/2) log((1 + q_y) / q_y)
# The last three sharpen every t that is not uniform.
PROPER = {"kl", "brier", "zero_one"}


def discrepancies(name, q, t):
    """One value per sample; t is (n, K_t) or integer labels (n,)."""
    t = np.eye(q.shape[1])[t] if np.ndim(t) == 1 else t
    return np.array([DISCREPANCIES[name](*pair) for pair in zip(q, t, strict=True)], dtype=float)


# Label maps.


def temper(log_p, temperature):
    """Logarithm of p_z^(1/T) / sum_z p_z^(1/T)."""
    return log_p / temperature - logsumexp(log_p / temperature, axis=1, keepdims=True)


def map_log(log_p, a):
    """Logarithm of q_A(y|x) = (pA)_y / (pA 1); a sample without any mass on mapped classes gets -inf everywhere."""
    with np.errstate(divide="ignore", invalid="ignore"):
        mass = np.stack([logsumexp(log_p, axis=1, b=column) for column in a.T], axis=1)
        return np.nan_to_num(mass - logsumexp(mass, axis=1, keepdims=True), nan=-np.inf, neginf=-np.inf)


def map_loss(log_p, labels, a, prior=None):
    """(mean of -log q_y, eps): of q_A itself, eps = 0, or of its mixture with ``prior`` (K_t,) at the best eps."""
    log_own = map_log(log_p, a)[np.arange(len(labels)), labels]
    if prior is None:
        return -log_own.mean(), 0.0
    eps = fit_eps(np.exp(log_own), prior[labels])
    return eps_objective(np.exp(log_own), prior[labels], eps) / len(labels), eps


def injections(n_source, n_target):
    """Every map with one 1 in each column and at most one in each row."""
    for chosen in permutations(range(n_source), n_target):
        a = np.zeros((n_source, n_target))
        for y, z in enumerate(chosen):
            a[z, y] = 1
        yield a


def partitions(n_source, n_target):
    """Every map with at most one 1 in each row and at least one in each column."""
    for targets in product([None, *range(n_target)], repeat=n_source):
        if set(targets) >= set(range(n_target)):
            yield np.array([[float(y == target) for y in range(n_target)] for target in targets])


def best_map(maps, log_p, labels, prior=None):
    """(loss, A, eps) of least ``map_loss`` among all ``maps``, which is brute force; the first one among equals."""
    best = (np.inf, None, 0.0)
    for a in maps:
        loss, eps = map_loss(log_p, labels, a, prior)
        if loss < best[0]:
            best = (loss, a, eps)
    return best


def joint(p, labels, n_target):
    """J(z, y) = sum over the samples i of class y of p_iz."""
    j = np.zeros((p.shape[1], n_target))
    for row, y in zip(p, labels, strict=True):
        j[:, y] += row
    return j


def plug_in(p, labels, c, prior):
    """A(z, y) = (J(z, y) + c pi_y) / (sum_y J(z, y) + c): LEEP's at c = 0, the null's at c = 1."""
    j = joint(p, labels, len(prior))
    return np.array([(row + c * prior) / (row.sum() + c) if row.sum() + c > 0 else prior for row in j])


def leep(p, labels, n_target):
    """(1/n) sum_i log sum_z P(y_i | z) p_iz with the empirical P(y | z) = J(z, y) / sum_y J(z, y)."""
    a = plug_in(p, labels, 0.0, np.full(n_target, 1 / n_target))
    return float(np.mean([np.log(row @ a[:, y]) for row, y in zip(p, labels, strict=True)]))


def label_gain(p, labels, a):
    """G(z, y) = sum_{i: y_i = y} p_iz / (pA)_{i y}."""
    gain = np.zeros(a.shape)
    for row, y in zip(p, labels, strict=True):
        gain[:, y] += row / (row @ a[:, y])
    return gain


def mass_cost(p, a):
    """D(z) = sum_i p_iz / (pA 1)_i."""
    return sum(row / (row @ a).sum() for row in p)


def penalty(a, c, prior):
    """Value of c sum_z sum_y pi_y log A(z, y), 0 at c = 0."""
    return c * sum(prior[y] * np.log(a[z, y]) for z in range(len(a)) for y in range(len(prior))) if c else 0.0


def stochastic_objective(p, labels, a, c, prior):
    """(1/n) [sum_i log (pA)_{i y_i} + c sum_z sum_y pi_y log A(z, y)], concave; for row-stochastic A."""
    fit = sum(np.log(row @ a[:, y]) for row, y in zip(p, labels, strict=True))
    return (fit + penalty(a, c, prior)) / len(labels)


def certified_gap(p, labels, a, c, prior):
    """What ``stochastic_objective`` can still gain is at most sum_z [max_y H(z, y) - sum_y A(z, y) H(z, y)].

    H = (G + c pi_y / A) / n is the gradient, and a concave function lies below its tangent plane, which is highest over
    the row-stochastic maps where each row puts all on its greatest H. Without the term of c, G / n certifies the
    optimum of another problem, that of c = 0.
    """
    slope = label_gain(p, labels, a)
    if c:
        slope = slope + c * prior / a
    return sum(slope[z].max() - a[z] @ slope[z] for z in range(len(a))) / len(labels)


def em_step(p, labels, a, c, prior):
    """A(z, y) <- (A G + c pi_y) / sum_y of the same."""
    new = a * label_gain(p, labels, a) + c * prior
    return new / new.sum(axis=1, keepdims=True)


def row_stochastic_optimum(p, labels, c, prior, starts=3):
    """The row-stochastic A of greatest ``stochastic_objective`` by L-BFGS on A = softmax of free numbers."""

    def negative(free):
        a = np.maximum(softmax(free.reshape(shape), axis=1), 1e-300)
        slope = (label_gain(p, labels, a) + c * prior / a) / len(labels)
        inner = a * (slope - (a * slope).sum(axis=1, keepdims=True))
        return -stochastic_objective(p, labels, a, c, prior), -inner.ravel()

    shape, rng = (p.shape[1], len(prior)), np.random.default_rng(0)
    return softmax(_best_of(negative, [rng.normal(size=shape) for _ in range(starts)]), axis=1)


def mm_objective(p, labels, a, c, prior):
    """sum_i log[(pA)_{i y_i} / (pA 1)_i] + c sum_z sum_y [pi_y log A(z, y) - A(z, y)], what the MM update never lowers.

    At A_0, log (pA)_iy >= sum_z r_iz log A(z, y) + const with r_iz = p_iz A_0(z, y) / (pA_0)_iy, and -log s is above
    its tangent at s_0 = (pA_0 1)_i. Both bounds, sum_zy A_0 G log A - sum_z D(z) sum_y A(z, y), and the penalty have
    their greatest sum at A = (A_0 G + c pi') / (D + c). For row-stochastic A it is n ``stochastic_objective`` - c K_s.
    """
    fit = sum(np.log(row @ a[:, y]) - np.log((row @ a).sum()) for row, y in zip(p, labels, strict=True))
    return fit + penalty(a, c, prior) - c * a.sum()


def mm_step(p, labels, a, c, prior):
    """A(z, y) <- (A(z, y) G(z, y) + c pi_y) / (D(z) + c); a row that no sample reaches stays as it is at c = 0."""
    gain, cost, new = label_gain(p, labels, a), mass_cost(p, a), a.copy()
    for z in range(a.shape[0]):
        for y in range(a.shape[1]):
            if cost[z] + c > 0:
                new[z, y] = (a[z, y] * gain[z, y] + c * prior[y]) / (cost[z] + c)
    return new


def free_optimum(p, labels, c, prior, starts=8):
    """The A >= 0 of greatest ``mm_objective`` by L-BFGS on log A; not concave, so the best of many starts is kept."""

    def negative(free):
        a = np.exp(np.clip(free.reshape(shape), -300, 300))
        slope = a * (label_gain(p, labels, a) - mass_cost(p, a)[:, None] - c) + c * prior
        return -mm_objective(p, labels, a, c, prior) / len(labels), -slope.ravel() / len(labels)

    shape, rng = (p.shape[1], len(prior)), np.random.default_rng(0)
    first = [np.log(plug_in(p, labels, 0.1, prior))]
    random = [rng.normal(size=shape) * spread for spread in np.linspace(0.1, 4, starts - 1)]
    return np.exp(np.clip(_best_of(negative, first + random), -300, 300))


def _best_of(negative, starts):
    """The least of L-BFGS's ends; ``negative`` returns a value and its gradient."""
    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 20}
    ends = [minimize(negative, start.ravel(), jac=True, method="L-BFGS-B", options=options) for start in starts]
    return min(ends, key=lambda end: end.fun).x.reshape(starts[0].shape)
