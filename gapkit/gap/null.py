"""The null: a cheap statistic for each family, observed and with labels permuted within folds, by the same code.

A statistic is the held-out discrepancy over that of the class prior. Names and formulas are in
``gapkit.gap.null_statistics``, what is chosen without labels in ``gapkit.gap.null_sides``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from gapkit.arrays import Array, Floats
from gapkit.estimates import Null
from gapkit.gap.discrepancy import Discrepancy
from gapkit.gap.label_maps.mixing import class_prior
from gapkit.gap.null_losses import prior_losses, summed_losses
from gapkit.gap.null_sides import NullInputs, Side, Sides, prepare_sides
from gapkit.gap.null_statistics import (
    assignment_conditional,
    neighbour_conditional,
    plug_in_conditional,
    ridge_conditional,
)
from gapkit.statistics.permutation import permutation_p, permute_labels

__all__ = ["STATISTICS", "NullInputs", "null_tests", "permuted_statistics"]

ASSIGNMENT, PLUG_IN, RIDGE, NEIGHBOURS = "assignment map", "plug-in", "cross-fitted ridge", "nearest neighbours"
STATISTICS = {
    "injection": ASSIGNMENT,
    "injection_strict": ASSIGNMENT,
    "partition": PLUG_IN,
    "channel": PLUG_IN,
    "linear": RIDGE,
    "linear_plain": RIDGE,
    "ceiling": NEIGHBOURS,
}
"""The statistic that stands for each family."""
PRIOR = "prior"
TAILS = (0.025, 0.975)
BLOCK_ENTRIES = 1 << 21
"""Entries of q, or of sums, that are held at once (8 MB each)."""
Key = tuple[str, str]


def null_tests(
    inputs: NullInputs,
    *,
    families: Sequence[str],
    discrepancies: Sequence[Discrepancy],
    permutations: int = 200,
    seed: int = 0,
) -> dict[Key, Null]:
    """The permutation test of each family under each discrepancy, by (family, name of the discrepancy).

    Where the labels tell nothing, they are as likely as any others that a permutation within folds makes of them; p is
    the share of relabellings, the observed one among them, whose statistic is at most the observed one. Families with
    the same statistic have the same test.

    Args:
        inputs: source conditional, features, labels, folds and groups.
        families: label-map families.
        discrepancies: under each of which there is a test.
        permutations: R.
        seed: of the permutations, and of ties between neighbours.

    Example:
        >>> from gapkit.gap.discrepancy import KL
        >>> from gapkit.statistics.folds import stratified_folds
        >>> labels = np.tile([0, 1, 2], 20)
        >>> log_p = np.log(np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]])[labels])
        >>> inputs = NullInputs(
        ...     log_p=log_p, features=log_p, labels=labels, n_classes=3, folds=stratified_folds(labels)
        ... )
        >>> test = null_tests(inputs, families=["channel"], discrepancies=[KL])["channel", "kl"]
        >>> test.statistic, round(test.p, 3), test.r
        ('plug-in', 0.005, 200)
    """
    wanted = {family: STATISTICS[family] for family in families}
    reasons: dict[str, str] = {}
    n_source = inputs.log_p.shape[1]
    if n_source < inputs.n_classes:
        reasons[ASSIGNMENT] = f"{inputs.n_classes} target classes do not fit into {n_source} source classes one to one"
    drawn = permute_labels(inputs.labels, inputs.folds.ids, groups=inputs.groups, permutations=permutations, seed=seed)
    if drawn.reason:
        reasons = {name: reasons.get(name, drawn.reason) for name in wanted.values()}
    statistics = [name for name in dict.fromkeys(wanted.values()) if name not in reasons]
    found = permuted_statistics(inputs, drawn.labels, statistics, discrepancies, seed=seed)
    return {
        (family, measure.name): _null(name, found.get((name, measure.name)), reasons.get(name, ""))
        for family, name in wanted.items()
        for measure in discrepancies
    }


def permuted_statistics(
    inputs: NullInputs, relabelled: Array, statistics: Sequence[str], discrepancies: Sequence[Discrepancy], *, seed: int
) -> dict[Key, Floats]:
    """Each statistic under each discrepancy, (b,): one value for every relabelling.

    Args:
        inputs: all but the labels are read.
        relabelled: (b, n) labels.
        statistics: names.
        discrepancies: a discrepancy under which the class prior loses nothing is left out.
        seed: of ties between neighbours.
    """
    if not statistics:
        return {}
    sides = prepare_sides(
        inputs,
        label_maps=bool({ASSIGNMENT, PLUG_IN} & set(statistics)),
        ridge=RIDGE in statistics,
        neighbours=NEIGHBOURS in statistics,
        seed=seed,
    )
    pieces = [_losses(sides, relabelled[rows], statistics, discrepancies) for rows in _blocks(sides, len(relabelled))]
    losses = {key: np.concatenate([piece[key] for piece in pieces], axis=1) for key in pieces[0]}
    return {
        (name, measure.name): (losses[name, measure.name] / losses[PRIOR, measure.name]).min(axis=0)
        for name in statistics
        for measure in discrepancies
        if losses[PRIOR, measure.name].min() > 0
    }


def _blocks(sides: Sides, count: int) -> Iterator[slice]:
    """Relabellings whose q and whose sums fit into ``BLOCK_ENTRIES``."""
    widest = max(len(side.scored) for side in sides.folds)
    entries = sides.n_classes * max(widest, sides.columns[0].shape[1] * len(sides.parts))
    step = max(1, BLOCK_ENTRIES // entries)
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))


def _losses(
    sides: Sides, relabelled: Array, statistics: Sequence[str], discrepancies: Sequence[Discrepancy]
) -> dict[Key, Floats]:
    """Losses (g, b) of each statistic and of the prior, summed over all folds' scored samples."""
    n_classes, count = sides.n_classes, len(relabelled)
    # The same labels by sample, in few bytes: neighbours' labels are then copied in runs.
    by_sample = np.ascontiguousarray(relabelled.T.astype(np.min_scalar_type(n_classes)))
    sums = [
        class_sums(relabelled[:, part], columns, n_classes)
        for part, columns in zip(sides.parts, sides.columns, strict=True)
    ]
    total = np.sum(sums, axis=0)
    found: dict[Key, Floats] = {}
    for side, own in zip(sides.folds, sums[:-1], strict=True):
        fit, labels = total - own, relabelled[:, side.scored]
        prior = class_prior(fit[:, :, -1].astype(np.float64))
        scored = np.stack([(labels == y).sum(axis=1) for y in range(n_classes)], axis=1).astype(np.float64)
        for measure in discrepancies:
            lost = np.broadcast_to(prior_losses(measure, prior, scored), (1, count))
            found[PRIOR, measure.name] = found.get((PRIOR, measure.name), 0.0) + lost
        for name in statistics:
            q = _conditional(name, side, fit, sides.n_source, by_sample)
            for measure in discrepancies:
                lost = summed_losses(measure, q, prior, labels)
                found[name, measure.name] = found.get((name, measure.name), 0.0) + lost
    return found


def class_sums(labels: Array, columns: Array, n_classes: int) -> Array:
    """``sum_{i: y_i = y} x_i`` for labels (b, m) and columns x (m, c): (K_t, b, c), in one product."""
    count, m = labels.shape
    one_hot = np.zeros((n_classes, count, m), dtype=np.float32)
    one_hot.reshape(-1)[(labels * count + np.arange(count)[:, None]) * m + np.arange(m)] = 1
    return (one_hot.reshape(n_classes * count, m) @ columns).reshape(n_classes, count, columns.shape[1])


def _conditional(name: str, side: Side, fit: Array, n_source: int, by_sample: Array) -> Array:
    """Q (K_t, b, m) of one statistic from the fitting side's sums (K_t, b, K_s + d + 1)."""
    counts = fit[:, :, -1]
    prior = class_prior(counts.astype(np.float64)).astype(np.float32)
    if name == NEIGHBOURS:
        return neighbour_conditional(by_sample, side.near, prior)
    if name == RIDGE:
        cross = fit[:, :, n_source:-1] - counts[:, :, None] * side.mean.astype(np.float32)
        return ridge_conditional(side.hat, cross, counts / counts.sum(axis=0), prior)
    # Total minus part may be just below zero where it should be zero.
    joint = np.maximum(fit[:, :, :n_source], np.float32(0))
    label_map = assignment_conditional if name == ASSIGNMENT else plug_in_conditional
    return label_map(side.p, joint, prior)


def _null(statistic: str, values: Floats | None, reason: str) -> Null:
    """The test from the statistic's values, the observed one first; without values it is undefined."""
    if values is None:
        reason = reason or "the class prior is without loss, so there is nothing to divide by"
        return Null(statistic=statistic, observed=None, mean=None, p=None, r=0, status="undefined", reason=reason)
    observed, null = float(values[0]), values[1:]
    low, high = np.quantile(null, TAILS)
    return Null(
        statistic=statistic,
        observed=observed,
        mean=float(null.mean()),
        p=permutation_p(observed, null),
        r=len(null),
        interval=(float(low), float(high)),
    )
