"""A partition's search problem, at one temperature: sums over the source classes that are read as one target class.

A reading r takes source class z to the target class r(z), or to none. With ``S_i = sum_{z: r(z) = y_i} p_iz`` (own) and
``M_i = sum_{z: r(z) >= 0} p_iz`` (mass) the loss is ``(1/n) sum_i log M_i - log S_i``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels, Mask
from gapkit.gap.label_maps.injection_search import InjectionProblem, assignment_injection
from gapkit.gap.label_maps.tempering import Tempered, take_samples

IGNORED = -1
CANCELLED = 1e-4
"""What a source class leaves behind is summed afresh where it is less than this share of the whole."""
BLOCK_ENTRIES = 1 << 17


@dataclass(frozen=True, kw_only=True)
class PartitionProblem:
    """What the search needs of the fitting samples.

    Attributes:
        tempered: all samples.
        mask: (n_all,) those to fit on.
        columns: (K_s, n) p of these transposed, samples sorted by class: the search reads whole source classes.
        bounds: (K_t + 1,) class y is the samples ``bounds[y]:bounds[y + 1]``.
    """

    tempered: Tempered
    mask: Mask
    columns: Floats
    bounds: Indices

    @cached_property
    def blocks(self) -> list[slice]:
        """Samples of each target class."""
        return [slice(int(low), int(high)) for low, high in zip(self.bounds[:-1], self.bounds[1:], strict=True)]

    @cached_property
    def sizes(self) -> Floats:
        """(K_t,) number of samples of each target class."""
        return np.diff(self.bounds).astype(np.float64)

    @property
    def size(self) -> int:
        """Samples to fit on."""
        return int(self.bounds[-1])

    @property
    def labels(self) -> Labels:
        """Class code of each of them (n,)."""
        return self.tempered.samples.labels[self.mask]

    @cached_property
    def _starts(self) -> tuple[Indices, Mask]:
        """First sample of each target class that has any, and which those are."""
        filled = self.sizes > 0
        return self.bounds[:-1][filled], filled

    @cached_property
    def log_means(self) -> Floats:
        """(K_s, K_t) mean log p over each target class's samples."""
        weights = self.mask.astype(np.float64)[:, None]
        return self.tempered.log_sums(weights)[..., 0].T / np.maximum(self.sizes, 1)

    def loss(self, reading: Indices) -> float:
        """Mean renormalised KL of a reading (K_s,), in nats."""
        return group(self, reading).loss

    def class_sums(self, values: Floats) -> Floats:
        """Sums (..., K_t) of values (..., n) over the samples of each target class."""
        starts, filled = self._starts
        if len(starts) == len(self.sizes):
            return np.add.reduceat(values, starts, axis=-1)
        sums = np.zeros((*values.shape[:-1], len(self.sizes)))
        sums[..., filled] = np.add.reduceat(values, starts, axis=-1)
        return sums

    def class_means(self, values: Floats) -> Floats:
        """``(1/n_y) sum_{i: y_i = y} p_iz v_i`` for values (n,), as (K_s, K_t)."""
        return np.stack([self.columns[:, rows] @ values[rows] for rows in self.blocks], axis=1) / np.maximum(
            self.sizes, 1
        )


@dataclass(frozen=True, kw_only=True)
class Groups:
    """A reading (K_s,) with its mass M (n,) and own S (n,)."""

    reading: Indices
    mass: Floats
    own: Floats

    @property
    def loss(self) -> float:
        """Mean of log M - log S, in nats."""
        return float((np.log(self.mass) - np.log(self.own)).mean())

    @property
    def assigned(self) -> Mask:
        """(K_s,) whether a source class is read at all."""
        return self.reading != IGNORED


def make_problem(tempered: Tempered, mask: Mask) -> PartitionProblem:
    """The search problem on some of the samples (n,)."""
    counts = [int(mask[rows].sum()) for rows in tempered.samples.blocks]
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return PartitionProblem(tempered=tempered, mask=mask, columns=take_samples(tempered.columns, mask), bounds=bounds)


def assignment_reading(problem: PartitionProblem) -> Indices:
    """The assignment injection of the problem's samples, as a reading (K_s,)."""
    size = problem.size
    shares = problem.sizes / size
    log_sums = problem.log_means.T * shares[:, None]
    injection = InjectionProblem(
        columns=problem.columns,
        weights=np.full(size, 1 / size),
        shares=shares,
        log_cost=-log_sums,
        mass_cost=shares[:, None] - problem.class_sums(problem.columns).T / size,
        centred_cost=shares[:, None] * log_sums.sum(axis=0) - log_sums,
    )
    return read_injection(assignment_injection(injection), len(problem.columns))


def read_injection(sigma: Array, n_source: int) -> Indices:
    """An injection (K_t,) as a reading (K_s,) that ignores every other source class."""
    reading = np.full(n_source, IGNORED, dtype=np.int64)
    reading[sigma] = np.arange(len(sigma))
    return reading


def group(problem: PartitionProblem, reading: Indices) -> Groups:
    """The sums of a reading, added up afresh."""
    columns = problem.columns
    mass = (reading != IGNORED).astype(np.float64) @ columns
    own = [columns[reading == y, rows].sum(axis=0) for y, rows in enumerate(problem.blocks)]
    return Groups(reading=reading, mass=mass, own=np.concatenate(own))


def move(problem: PartitionProblem, groups: Groups, source: int, target: int) -> Groups:
    """The reading with one source class moved, its sums brought up to date."""
    column, origin = problem.columns[source], int(groups.reading[source])
    reading, own, mass = groups.reading.copy(), groups.own.copy(), groups.mass
    reading[source] = target
    if origin != IGNORED:
        rows = problem.blocks[origin]
        own[rows] = without(own[rows], column[rows], problem.columns[:, rows], reading == origin)
    if target != IGNORED:
        own[problem.blocks[target]] += column[problem.blocks[target]]
    if origin == IGNORED:
        mass = mass + column
    elif target == IGNORED:
        mass = without(mass, column, problem.columns, reading != IGNORED)
    return Groups(reading=reading, mass=mass, own=own)


def without(total: Floats, column: Floats, columns: Floats, others: Mask) -> Floats:
    """Total less one column, summed afresh over the other columns where the difference cancels."""
    rest = total - column
    cancelled = rest < CANCELLED * total
    if cancelled.any():
        rest[cancelled] = columns[np.ix_(others, cancelled)].sum(axis=0)
    return rest


def pieces(count: int, width: int) -> list[slice]:
    """``count`` rows of ``width`` numbers, in pieces that stay in the cache."""
    step = max(1, BLOCK_ENTRIES // max(1, width))
    return [slice(start, start + step) for start in range(0, count, step)]
