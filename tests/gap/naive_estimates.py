"""Slow and obvious twins of the honest estimation: cross-fitting, bootstrap, permutation, as plain loops.

Loaded by its path like ``naive.py``, which it loads itself (``estimates.naive``); see there for the letters. Besides:
``folds`` (n,) is the fold in which a sample is scored, -1 where it never is; ``home`` (n,), by default the same, the
fold whose fitting side leaves it out, -1 where none does (who is never scored may have to leave with its group);
``x`` and ``y`` are per-sample losses of a map and of the class prior (or ones, for raw values), of the scored
samples only; ``resamples`` is a list of integer arrays, each the units (samples, or groups in sorted order) of one
bootstrap resample, so that two implementations can be fed with the same draws (from counts:
``np.repeat(np.arange(len(counts)), counts)``).
"""

from __future__ import annotations

import importlib.util
from itertools import permutations, product
from pathlib import Path

import numpy as np

_spec = importlib.util.spec_from_file_location("naive", Path(__file__).with_name("naive.py"))
naive = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(naive)


def cross_fitted_prior(labels, folds, n_target, home=None):
    """(n, K_t): for a sample of fold k the ``class_prior`` of all samples outside fold k, NaN where never scored."""
    home = folds if home is None else home
    prior = np.full((len(labels), n_target), np.nan)
    for i, fold in enumerate(folds):
        if fold >= 0:
            counts = [sum(labels[home != fold] == y) for y in range(n_target)]
            prior[i] = naive.class_prior(counts)
    return prior


def paired_losses(name, q, labels, folds, target=None, home=None):
    """(x, y): losses of q and of the cross-fitted prior on the scored samples, against labels or soft ``target``.

    Zero-one of the prior is the error of its mode, by the same function (equal modes share the error).
    """
    scored = folds >= 0
    against = labels[scored] if target is None else target[scored]
    prior = cross_fitted_prior(labels, folds, q.shape[1], home)
    return naive.discrepancies(name, q[scored], against), naive.discrepancies(name, prior[scored], against)


def raw_value(name, q, labels, folds):
    """Mean loss over the scored samples (each once, so folds weigh by their size)."""
    return paired_losses(name, q, labels, folds)[0].mean()


def normalised_value(name, q, labels, folds, target=None, home=None):
    """Sum of losses over the same sum for the cross-fitted class prior: 0 perfect, 1 no better than the prior."""
    x, y = paired_losses(name, q, labels, folds, target, home)
    return x.sum() / y.sum()


def mcfadden_share(q, labels, folds):
    """1 - normalised KL = 1 - log-likelihood of q / log-likelihood of the prior."""
    return 1 - normalised_value("kl", q, labels, folds)


def decomposition(injection, channel, linear, ceiling):
    """The four parts of normalised KL, which sum to ``injection``; of numbers, or of arrays of per-sample losses."""
    return {
        "relabelling": injection - channel,
        "readout": channel - linear,
        "nonlinear": linear - ceiling,
        "absent_or_noise": ceiling,
    }


def unit_sums(values, groups=None):
    """Sums over each group, groups in sorted order; without groups every sample is a unit of its own."""
    if groups is None:
        return np.asarray(values, dtype=float)
    return np.array([values[groups == group].sum(axis=0) for group in np.unique(groups)], dtype=float)


def macro_ratio(x, y):
    """(value, e, totals) of the unweighted mean over labels of sum x / sum y; x, y (units, labels).

    e (units,) is what a unit adds to the value to first order, mean over labels of (x - ratio y) / sum y, of sum 0.
    """
    totals = y.sum(axis=0)
    ratios = x.sum(axis=0) / totals
    return ratios.mean(), ((x - ratios * y) / totals).mean(axis=1), totals


def standard_error(e):
    """sqrt(g / (g - 1) sum e^2) over g units: the linearised (delta method) error of ``macro_ratio``."""
    return np.sqrt(len(e) / (len(e) - 1) * (e**2).sum())


def macro_interval(x, y, resamples, groups=None, least=0.0):
    """(value, low, high): 95 % studentised bootstrap of ``macro_ratio``, one resample for all labels.

    t = (value* - value) / error* in each resample; [value - error t_0.975, value - error t_0.025], quantiles by linear
    interpolation. ``least`` is a lower bound of error*^2 (with one label, of (error* sum* y)^2), for implementations
    that keep resamples of nearly no spread from exploding; a resample without any error and any shift has t = 0.
    """
    x, y = unit_sums(x, groups), unit_sums(y, groups)
    value, e, _ = macro_ratio(x, y)
    statistics = []
    for chosen in resamples:
        shifted, e_star, totals = macro_ratio(x[chosen], y[chosen])
        floor = np.sqrt(least) / (totals[0] if len(totals) == 1 else 1.0)
        spread, shift = max(standard_error(e_star), floor), shifted - value
        statistics.append(shift / spread if spread > 0 else np.sign(shift) * np.inf if shift else 0.0)
    low, high = np.quantile(statistics, [0.025, 0.975])
    return value, value - high * standard_error(e), value - low * standard_error(e)


def bootstrap_interval(x, y, resamples, groups=None, least=0.0):
    """``macro_interval`` of one ratio sum x / sum y.

    Raw value: y = 1. Normalised: y = the prior's losses. A part of the decomposition: x = the difference of the losses
    of two families, y = the prior's. All with the same ``resamples``.
    """
    return macro_interval(np.asarray(x, dtype=float)[:, None], np.asarray(y)[:, None], resamples, groups, least)


def macro_value(name, per_label_q, indicators, folds):
    """Unweighted mean over labels of the normalised value of "with label l" against "without"; ``folds`` (n, L)."""
    values = [normalised_value(name, q, indicators[:, label], folds[:, label]) for label, q in enumerate(per_label_q)]
    return sum(values) / len(values)


def binned_r_squared(q, bins, values, folds, home=None):
    """1 - SSE / SSE of the cross-fitted mean, over scored samples; the prediction is sum_b q_b mean(values in bin b).

    Both means are of the fitting side, the samples outside the fold; a bin that is empty there gets the mean of all.
    """
    home, errors, around = folds if home is None else home, 0.0, 0.0
    for i, fold in enumerate(folds):
        if fold < 0:
            continue
        fit = home != fold
        means = [
            values[fit & (bins == b)].mean() if (fit & (bins == b)).any() else values[fit].mean()
            for b in range(q.shape[1])
        ]
        errors += (values[i] - sum(q[i, b] * means[b] for b in range(q.shape[1]))) ** 2
        around += (values[i] - values[fit].mean()) ** 2
    return 1 - errors / around


def permutation_p_value(observed, null, tolerance=0.0):
    """(1 + #{null <= observed}) / (1 + R): small values of the statistic are evidence, ties count against it.

    ``tolerance`` makes two numbers a tie that differ by rounding only.
    """
    return (1 + sum(value <= observed + tolerance for value in null)) / (1 + len(null))


def _blocks(labels, folds, groups):
    """Lists of units whose labels may be exchanged, each unit the samples that carry one label together.

    Without groups: the samples of each fold. With groups (each in one fold): the samples of each group that has several
    labels, and as wholes the groups of a fold that have one. Where there are groups of both kinds, only wholes of equal
    size: that a group happens to have one label says something about this label, the more the larger the group is.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    units = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    whole = [unit for unit in units if len(set(labels[unit])) == 1]
    mixed = [unit for unit in units if len(set(labels[unit])) > 1]
    yield from ([[i] for i in unit] for unit in mixed)
    kinds = [(folds[unit[0]], len(unit) if mixed else 0) for unit in whole]
    for kind in sorted(set(kinds)):
        yield [unit for unit, own in zip(whole, kinds, strict=True) if own == kind]


def permute_within(labels, folds, rng, groups=None):
    """One relabelling drawn from those under which nothing changes if the source knows nothing; see ``_blocks``."""
    new = labels.copy()
    for units in _blocks(labels, folds, groups):
        for unit, source in zip(units, rng.permutation(len(units)), strict=True):
            new[unit] = labels[units[source][0]]
    return new


def every_permutation(labels, folds, groups=None):
    """All relabellings ``permute_within`` can draw, each as often as it is likely; for a handful of samples only."""
    blocks = list(_blocks(labels, folds, groups))
    for orders in product(*(permutations(range(len(units))) for units in blocks)):
        new = labels.copy()
        for units, order in zip(blocks, orders, strict=True):
            for unit, source in zip(units, order, strict=True):
                new[unit] = labels[units[source][0]]
        yield new
