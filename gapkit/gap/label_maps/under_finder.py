"""How readings are searched under another loss than KL: injections by substitutions, partitions by single moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import perm

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Mask, generator
from gapkit.gap.label_maps.injection import Injection
from gapkit.gap.label_maps.injection_search import ENUMERATION_LIMIT, INJECTION_STREAM, RANDOM_STARTS
from gapkit.gap.label_maps.partition import Partition
from gapkit.gap.label_maps.partition_problem import IGNORED, assignment_reading, read_injection
from gapkit.gap.label_maps.tempering import Tempered
from gapkit.gap.label_maps.under import Criterion
from gapkit.gap.label_maps.under_moves import sweep
from gapkit.gap.label_maps.under_readings import Improve, Mixture, best_of, make_task, search_mixture
from gapkit.gap.label_maps.under_substitutions import all_injections, mass_assignment, sigma_of, substitute


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A reading (K_s,) with T, eps, its mean loss at eps = 0, and whether it is the best of all at this T."""

    reading: Indices
    temperature: float
    eps: float
    loss: float
    optimal: bool

    def injection(self, prior: Floats) -> Injection:
        """The reading as an injection, which it is."""
        return Injection(
            sigma=sigma_of(self.reading),
            temperature=self.temperature,
            eps=self.eps,
            prior=prior,
            loss=self.loss,
            optimal=self.optimal,
        )

    def partition(self, prior: Floats) -> Partition:
        """The reading as a partition."""
        return Partition(
            reading=self.reading,
            temperature=self.temperature,
            eps=self.eps,
            prior=prior,
            loss=self.loss,
            optimal=self.optimal,
        )


@dataclass(frozen=True, kw_only=True)
class Finder:
    """How the readings of one family are searched.

    Attributes:
        criterion: the loss.
        improve: moves at one eps.
        list_all: K_s and K_t to all readings (m, K_s), or None where there are too many to compare.
        mixed: whether eps is fitted; else it is 0.
        random_starts: injections to start from beside the given readings.
        seed: of these.
    """

    criterion: Criterion
    improve: Improve
    list_all: Callable[[int, int], Array | None]
    mixed: bool = True
    random_starts: int = 0
    seed: int = 0

    def quick(self, tempered: Tempered, mask: Mask, prior: Floats, starts: Sequence[Indices] = ()) -> Indices:
        """A reading of the samples ``mask`` (n,), from the best of their assignments and of ``starts``."""
        task = make_task(tempered, mask, prior, self.criterion, mixed=self.mixed)
        begun = [assignment_reading(task.problem), mass_assignment(task), *starts]
        return search_mixture(task, begun, self.improve, searched=1).reading

    def run(self, tempered: Tempered, mask: Mask, prior: Floats, starts: Sequence[Indices]) -> Mixture:
        """The best reading of the samples ``mask`` (n,): of all, or from assignments, ``starts`` and random ones."""
        task = make_task(tempered, mask, prior, self.criterion, mixed=self.mixed)
        begun = [assignment_reading(task.problem), mass_assignment(task), *starts]
        everything = self.list_all(tempered.p.shape[1], len(prior))
        if everything is not None:
            return best_of(task, everything, search_mixture(task, begun, self.improve, searched=1))
        n_source, rng = tempered.p.shape[1], generator(self.seed, INJECTION_STREAM)
        sigmas = [rng.permutation(n_source)[: len(prior)] for _ in range(self.random_starts)]
        begun += [read_injection(sigma, n_source) for sigma in sigmas]
        return search_mixture(task, begun, self.improve)

    def report(self, tempered: Tempered, mask: Mask, prior: Floats, found: Mixture) -> Fitted:
        """What was found, with its loss on the samples ``mask`` without the prior."""
        loss = make_task(tempered, mask, prior, self.criterion).loss(found.reading, 0.0)
        return Fitted(
            reading=found.reading,
            temperature=tempered.temperature,
            eps=found.eps,
            loss=loss,
            optimal=found.optimal,
        )

    def evaluate(self, tempered: Tempered, prior: Floats, reading: Indices) -> Mixture:
        """A reading as it stands, on all samples."""
        everything = np.ones(len(tempered.p), dtype=bool)
        return make_task(tempered, everything, prior, self.criterion, mixed=self.mixed).mixture(reading)


def find_injections(criterion: Criterion, *, seed: int, mixed: bool = True) -> Finder:
    """Substitutions and permutations; all injections where there are at most ``ENUMERATION_LIMIT``."""

    def list_all(n_source: int, n_target: int) -> Array | None:
        few = perm(n_source, n_target) <= ENUMERATION_LIMIT
        return all_injections(n_source, n_target) if few else None

    return Finder(
        criterion=criterion,
        improve=substitute,
        list_all=list_all,
        mixed=mixed,
        random_starts=RANDOM_STARTS,
        seed=seed,
    )


def find_partitions(criterion: Criterion) -> Finder:
    """Single moves; all partitions where there are at most ``ENUMERATION_LIMIT`` readings."""

    def list_all(n_source: int, n_target: int) -> Array | None:
        if (n_target + 1) ** n_source > ENUMERATION_LIMIT:
            return None
        readings = np.array(list(product(range(IGNORED, n_target), repeat=n_source)), dtype=np.int64)
        return readings[np.all([(readings == y).any(axis=1) for y in range(n_target)], axis=0)]

    return Finder(criterion=criterion, improve=sweep, list_all=list_all)
