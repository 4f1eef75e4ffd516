"""How the classes of a target are made from those of a source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats
from gapkit.data.worlds.options import WorldOptions

CHANNEL_FLOOR = 0.01
"""Share of a channel's rows that is uniform, so that any shares can be had by scaling."""
MARGINAL_TOLERANCE = 1e-13
MAX_SCALINGS = 20_000


@dataclass(frozen=True, kw_only=True)
class Related:
    """A source, a target and what relates them, before label noise.

    Attributes:
        source_prior: w (K_s,), positive, sums to 1.
        drawn: t (K_s,), sums to 1; zero for source classes that the target never shows.
        relation: A (K_s, K_t); rows of the classes shown sum to 1, the others are zero.
    """

    source_prior: Floats
    drawn: Floats
    relation: Floats


def draw_relation(options: WorldOptions, rng: np.random.Generator) -> Related:
    """The relation that the options ask for."""
    make = {"injection": _injection, "partition": _partition, "channel": _channel}[options.relation]
    relation = make(options, rng)
    shown = relation.sum(axis=1) > 0
    drawn = shown / shown.sum()
    if options.shares is not None and options.relation != "channel":
        drawn = relation @ (normalised(options.shares) / relation.sum(axis=0))
    source_prior = np.full(options.n_source, 1 / options.n_source)
    if not options.label_shift:
        source_prior = np.where(shown, shown.mean() * drawn, source_prior)
    return Related(source_prior=source_prior, drawn=drawn, relation=relation)


def normalised(shares: object) -> Floats:
    """Shares that sum to 1 exactly, as far as floats do."""
    values = np.asarray(shares, dtype=np.float64)
    return values / values.sum()


def _injection(options: WorldOptions, rng: np.random.Generator) -> Floats:
    """A source class of its own for each target class."""
    relation = np.zeros((options.n_source, options.n_target))
    chosen = rng.choice(options.n_source, size=options.n_target, replace=False)
    relation[chosen, np.arange(options.n_target)] = 1.0
    return relation


def _partition(options: WorldOptions, rng: np.random.Generator) -> Floats:
    """A target class for each source class that is not ignored, every target class at least once."""
    relation = np.zeros((options.n_source, options.n_target))
    shown = rng.permutation(options.n_source)[options.n_ignored :]
    further = rng.integers(options.n_target, size=len(shown) - options.n_target)
    relation[shown, np.concatenate([np.arange(options.n_target), further])] = 1.0
    return relation


def _channel(options: WorldOptions, rng: np.random.Generator) -> Floats:
    """Dirichlet rows, scaled to the shares where there are any."""
    relation = np.zeros((options.n_source, options.n_target))
    shown = rng.permutation(options.n_source)[options.n_ignored :]
    rows = rng.dirichlet(np.full(options.n_target, options.concentration), size=len(shown))
    rows = (1 - CHANNEL_FLOOR) * rows + CHANNEL_FLOOR / options.n_target
    if options.shares is not None:
        rows = scaled_to(rows, normalised(options.shares))
    relation[shown] = rows / rows.sum(axis=1, keepdims=True)
    return relation


def scaled_to(rows: Floats, shares: Floats) -> Floats:
    """A positive matrix scaled to rows of sum 1 and columns of mean ``shares`` (iterative proportional fitting).

    Example:
        >>> scaled = scaled_to(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0.7, 0.3]))
        >>> scaled.sum(axis=1).round(6).tolist(), scaled.mean(axis=0).round(6).tolist()
        ([1.0, 1.0], [0.7, 0.3])
    """
    for _ in range(MAX_SCALINGS):
        rows = rows / rows.sum(axis=1, keepdims=True)
        columns = rows.mean(axis=0)
        if np.abs(columns - shares).max() < MARGINAL_TOLERANCE:
            break
        rows = rows * (shares / columns)
    return rows
