"""The partition family: several source classes may be read as one target class, and a source class may be ignored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Probabilities, TargetProbabilities
from gapkit.errors import DataError
from gapkit.gap.inputs import check_probabilities
from gapkit.gap.label_maps import injection as injections
from gapkit.gap.label_maps.injection import Injection, InjectionFit
from gapkit.gap.label_maps.mixing import choose_eps, fit_eps, mix
from gapkit.gap.label_maps.partition_mixed import Search, gather, own_probability
from gapkit.gap.label_maps.partition_problem import IGNORED, read_injection
from gapkit.gap.label_maps.partition_search import ENUMERATION_LIMIT, FoundPartition
from gapkit.gap.label_maps.partition_walk import thin, walk_temperatures
from gapkit.gap.label_maps.parts import VALIDATION, Part, canonical_part
from gapkit.gap.label_maps.tempering import Samples, Tempered, log_of, temper

__all__ = ["IGNORED", "Partition", "PartitionFit", "fit_in_sample", "fit_partition", "fit_parts"]

CROSS_FITTED_ENTRIES = 1 << 17
"""Up to this many probabilities eps is fitted on all inner folds; from there on the validation split is enough."""
MIXED = Search(enumeration=ENUMERATION_LIMIT, trimmed=True)


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A fitted partition ``q(y | x) = (1 - eps) S_y / sum_y' S_y' + eps pi_y``, ``S_y = sum_{z: r(z) = y} p_z`` at T.

    Attributes:
        reading: (K_s,) r, the target class of each source class; -1 where it is ignored.
        temperature: T.
        eps: share of the class prior.
        prior: (K_t,) class prior pi of the fitting samples.
        loss: mean renormalised KL (nats) on the fitting samples at eps = 0, which r minimises; fitted under another
            discrepancy, the mean of that, which r minimises mixed with the prior.
        optimal: whether every partition was compared; else it is the best that the search found.
    """

    reading: Indices
    temperature: float
    eps: float
    prior: Floats
    loss: float
    optimal: bool

    def predict(self, probs: Probabilities) -> TargetProbabilities:
        """Source conditional (n, K_s) to mapped conditional q (n, K_t)."""
        return self.predict_log(log_of(probs))

    def predict_log(self, log_p: Floats, features: Features | None = None) -> TargetProbabilities:
        """As ``predict``, from log p (n, K_s); features are not read."""
        q = gather(temper(log_p, self.temperature), self.reading, len(self.prior))
        return mix(q, self.prior, self.eps)


@dataclass(frozen=True, kw_only=True)
class PartitionFit:
    """The partition of one part, and a reading that has not seen the part's validation samples.

    Attributes:
        partition: fitted on the whole fitting side.
        inner: (K_s,) reading fitted on the inner fitting side, at the same temperature.
    """

    partition: Partition
    inner: Indices


def fit_partition(
    probs: Array,
    labels: Array,
    *,
    n_classes: int | None = None,
    temperature: float | None = None,
    enumeration: int = ENUMERATION_LIMIT,
    seed: int = 0,
) -> Partition:
    """Fit the best reading of source classes as target classes under the renormalised KL, starting from the injection.

    The reading is the best one found of the loss without the class prior. ``measure_misalignment`` goes on from there
    without the samples that the prior explains better, which labels that are partly noise need.

    Args:
        probs: (n, K_s) source conditional, rows sum to 1.
        labels: (n,) target class codes 0 .. K_t - 1.
        n_classes: K_t; by default the largest code + 1.
        temperature: T; by default chosen on the grid [0.25, 64] on an inner split.
        enumeration: all partitions are compared where there are at most this many readings.
        seed: of the inner folds and the injection's random starts.

    Raises:
        DataError: arrays that do not fit together, or fewer source than target classes.

    Example:
        >>> probs = np.tile([[0.1, 0.5, 0.3, 0.1], [0.6, 0.1, 0.2, 0.1]], (20, 1))
        >>> fitted = fit_partition(probs, np.tile([0, 1], 20))
        >>> fitted.reading.tolist(), fitted.optimal
        ([1, 0, -1, -1], True)
    """
    probs, labels, n_classes = check_probabilities(probs, labels, n_classes)
    if probs.shape[1] < n_classes:
        raise DataError(
            f"probs has {probs.shape[1]} source classes for {n_classes} target classes",
            expected="at least as many source as target classes (probs: source, labels: target)",
            remedy="use fit_channel",
        )
    samples, part, columns = canonical_part(log_of(probs), labels, n_classes=n_classes, seed=seed)
    parts = [part]
    plain = injections.Search(seed=seed, enumeration=enumeration, trimmed=False)
    starts = injections.fit_parts(samples, parts, plain, temperature=temperature)
    search = Search(enumeration=enumeration, trimmed=False)
    found = _fit(samples, parts, starts, choose=temperature is None, search=search)[0].partition
    return replace(found, reading=found.reading[np.argsort(columns)])


def fit_parts(samples: Samples, parts: list[Part], injections: Sequence[InjectionFit]) -> list[PartitionFit]:
    """Each part's partition: T by the validation loss, the search from its injection and from its inner reading.

    Args:
        samples: sorted by class.
        parts: fitting sides.
        injections: of each part.
    """
    return _fit(samples, parts, injections, choose=True, search=MIXED)


def _fit(
    samples: Samples, parts: list[Part], starts: Sequence[InjectionFit], *, choose: bool, search: Search
) -> list[PartitionFit]:
    """T for each part (the injection's, unless it is to be chosen), then inner reading and partition at it."""
    temperatures = np.array([start.injection.temperature for start in starts])
    warm = [[read_injection(start.inner, samples.log_p.shape[1])] for start in starts]
    if choose:
        chosen = partition_temperatures(samples, parts, temperatures, warm, search)
        temperatures = np.array([value for value, _ in chosen])
        warm = [[*own, reading] for own, (_, reading) in zip(warm, chosen, strict=True)]
    found: dict[int, PartitionFit] = {}
    for value in np.unique(temperatures):
        tempered = samples.temper(float(value))
        for k in np.flatnonzero(temperatures == value).tolist():
            inner = search.inside(tempered, parts[k].inner_fit, parts[k].prior, *warm[k]).reading
            partition = fit_part(tempered, parts[k], starts[k].injection, inner, search)
            found[k] = PartitionFit(partition=partition, inner=inner)
    return [found[k] for k in range(len(parts))]


def partition_temperatures(
    samples: Samples, parts: list[Part], starts: Floats, inner: list[list[Indices]], search: Search
) -> list[tuple[float, Indices]]:
    """T for each part, by the validation loss mixed with the prior, and a first reading at it.

    Args:
        samples: sorted by class.
        parts: fitting sides.
        starts: (m,) where the walk over temperatures starts.
        inner: readings to start from that have not seen the validation samples.
        search: how readings are searched.
    """

    def loss(k: int, tempered: Tempered, reading: Indices) -> float:
        rows = parts[k].validation
        own = own_probability(tempered, rows, reading)
        return float(fit_eps(own[:, None], parts[k].prior[samples.labels[rows]])[1][0])

    def find(k: int, tempered: Tempered, warm: list[Indices]) -> Indices:
        return search.inside(tempered, masks[k], parts[k].prior, *inner[k], *warm).reading

    masks = [thin(part.inner_fit) for part in parts]
    return walk_temperatures(samples, find, starts, loss)


def fit_part(tempered: Tempered, part: Part, start: Injection, inner: Indices, search: Search = MIXED) -> Partition:
    """The reading of the whole fitting side, from its injection and its inner reading; eps on held-out samples."""
    n_source = tempered.p.shape[1]
    found = search.run(tempered, part.fit, part.prior, [read_injection(start.sigma, n_source), inner])
    rows, own = part.validation, np.empty(len(part.fit))
    own[rows] = own_probability(tempered, rows, inner)
    if part.fit.sum() * n_source <= CROSS_FITTED_ENTRIES:
        for fold in range(VALIDATION + 1, part.n_inner):
            fresh = part.inner == fold
            other = search.inside(tempered, part.without(fold), part.prior).reading
            own[fresh] = own_probability(tempered, fresh, other)
        rows = part.fit
    eps, _ = choose_eps(own[rows], part.prior[tempered.samples.labels[rows]])
    return _as_partition(found, tempered, part.prior, eps)


def _as_partition(found: FoundPartition, tempered: Tempered, prior: Floats, eps: float) -> Partition:
    return Partition(
        reading=found.reading,
        temperature=tempered.temperature,
        eps=eps,
        prior=prior,
        loss=found.loss,
        optimal=found.optimal,
    )


def fit_in_sample(samples: Samples, prior: Floats, start: Injection) -> Partition:
    """The optimum on all samples, with T and eps fitted to the same samples and no floor on eps.

    The injection is a candidate as it stands, because the reading that is best at eps = 0 may not be so once mixed: the
    mixed loss never exceeds the injection's.
    """
    everything = np.ones(len(samples.labels), dtype=bool)
    sigma = read_injection(start.sigma, samples.log_p.shape[1])

    def evaluate(tempered: Tempered, found: FoundPartition) -> tuple[float, Partition]:
        own = own_probability(tempered, everything, found.reading)
        eps, loss = fit_eps(own[:, None], prior[samples.labels], pseudo=0.0)
        return float(loss[0]), _as_partition(found, tempered, prior, float(eps[0]))

    def loss(k: int, tempered: Tempered, reading: Indices) -> float:
        return evaluate(tempered, FoundPartition(reading=reading, loss=0.0, optimal=False))[0]

    def find(k: int, tempered: Tempered, warm: list[Indices]) -> Indices:
        return MIXED.inside(tempered, thin(everything), prior, sigma, *warm).reading

    value, warm = walk_temperatures(samples, find, np.array([start.temperature]), loss)[0]
    tempered = samples.temper(value)
    best = evaluate(tempered, MIXED.run(tempered, everything, prior, [sigma, warm]))
    tempered = samples.temper(start.temperature)
    given = FoundPartition(reading=sigma, loss=start.loss, optimal=False)
    there = evaluate(tempered, MIXED.run(tempered, everything, prior, [sigma]))
    return min(best, evaluate(tempered, given), there, key=lambda item: item[0])[1]
