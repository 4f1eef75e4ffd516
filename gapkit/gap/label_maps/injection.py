"""The injection family: every target class is one source class of its own (the definition of Ma et al., ICML 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Probabilities, TargetProbabilities
from gapkit.errors import DataError
from gapkit.gap.inputs import check_probabilities
from gapkit.gap.label_maps.injection_mixed import (
    Search,
    best_temperature,
    make_problems,
    mixed_losses,
    own_of,
    own_probability,
    renormalise,
)
from gapkit.gap.label_maps.injection_search import (
    ENUMERATION_LIMIT,
    FoundInjection,
    InjectionProblem,
)
from gapkit.gap.label_maps.mixing import choose_eps, fit_eps, mix
from gapkit.gap.label_maps.parts import VALIDATION, Part, canonical_part
from gapkit.gap.label_maps.tempering import (
    TEMPERATURES,
    Samples,
    Tempered,
    choose_temperatures,
    log_of,
    temper,
)

CROSS_FITTED_ENTRIES = 1 << 17
"""Up to this many probabilities eps is fitted on all inner folds; from there on the validation split is enough. Up to
this many, too, sigma is searched at every temperature in sample."""

COMPARING_KICKS, FURTHER_KICKS = 12, 6
"""Of a search whose injection is only compared with those at other temperatures, and of one that starts from these."""


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A fitted injection ``q(y | x) = (1 - eps) p_sigma(y) / sum_y' p_sigma(y') + eps pi_y``, p at temperature T.

    Attributes:
        sigma: (K_t,) the source class of each target class.
        temperature: T.
        eps: share of the class prior.
        prior: (K_t,) class prior pi of the fitting samples.
        loss: mean renormalised KL (nats) on the fitting samples at eps = 0, which sigma minimises; fitted under another
            discrepancy, the mean of that, which sigma minimises mixed with the prior.
        optimal: whether every injection was compared; else it is the best that the search found.
    """

    sigma: Indices
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
        return mix(renormalise(temper(log_p, self.temperature), self.sigma), self.prior, self.eps)


@dataclass(frozen=True, kw_only=True)
class InjectionFit:
    """The injection of one part, and sigma (K_t,) of its inner fitting side, unseen by its validation split."""

    injection: Injection
    inner: Indices


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A temperature, and the inner fitting side's sigma (K_t,) that is best there."""

    temperature: float
    sigma: Indices


def fit_injection(
    probs: Array,
    labels: Array,
    *,
    n_classes: int | None = None,
    temperature: float | None = None,
    enumeration: int = ENUMERATION_LIMIT,
    seed: int = 0,
) -> Injection:
    """Fit the paper's label map: sigma under the renormalised KL, T on an inner split, eps on inner folds.

    Sigma is the best one found of the definition's loss, without the class prior. ``measure_misalignment`` goes on from
    there without the samples that the prior explains better, which labels that are partly noise need.

    Args:
        probs: (n, K_s) source conditional, rows sum to 1.
        labels: (n,) target class codes 0 .. K_t - 1.
        n_classes: K_t; by default the largest code + 1.
        temperature: T; by default chosen on the grid [0.25, 64].
        enumeration: all injections are compared where there are at most this many.
        seed: of the inner folds and the random starts.

    Raises:
        DataError: arrays that do not fit together, or fewer source than target classes.

    Example:
        >>> probs = np.tile([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1]], (20, 1))
        >>> fitted = fit_injection(probs, np.tile([0, 1], 20))
        >>> fitted.sigma.tolist(), fitted.optimal
        ([2, 0], True)
    """
    probs, labels, n_classes = check_probabilities(probs, labels, n_classes)
    if probs.shape[1] < n_classes:
        raise DataError(
            f"probs has {probs.shape[1]} source classes for {n_classes} target classes",
            expected="at least as many source as target classes (probs: source, labels: target)",
            remedy="use fit_channel",
        )
    samples, part, columns = canonical_part(log_of(probs), labels, n_classes=n_classes, seed=seed)
    search = Search(seed=seed, enumeration=enumeration, trimmed=False)
    found = fit_parts(samples, [part], search, temperature=temperature)[0].injection
    return replace(found, sigma=columns[found.sigma])


def fit_parts(
    samples: Samples, parts: list[Part], search: Search, *, temperature: float | None = None
) -> list[InjectionFit]:
    """Each part's injection: T by the inner split, sigma searched on the fitting side, eps on held-out samples.

    Args:
        samples: sorted by class.
        parts: fitting sides.
        search: how sigma is searched.
        temperature: T; by default chosen.
    """
    if temperature is None:
        chosen = choose_injections(samples, parts, search)
    else:
        tempered = samples.temper(temperature)
        chosen = [
            Choice(temperature=temperature, sigma=search.run(tempered, part.inner_fit, part.prior).sigma)
            for part in parts
        ]
    found: dict[int, InjectionFit] = {}
    for value in sorted({choice.temperature for choice in chosen}):
        tempered = samples.temper(value)
        for k in [k for k, choice in enumerate(chosen) if choice.temperature == value]:
            found[k] = InjectionFit(
                injection=fit_part(tempered, parts[k], chosen[k].sigma, search), inner=chosen[k].sigma
            )
    return [found[k] for k in range(len(parts))]


def choose_injections(samples: Samples, parts: list[Part], search: Search) -> list[Choice]:
    """T for each part by the least validation loss, mixed with the prior, and the inner fitting side's sigma there.

    The assignment map is a rough one, and its best temperature rougher still. So sigma is searched there on the inner
    fitting side and the temperature chosen again for it, and beside it, until nothing new comes; the best of all that
    was seen is taken.
    """

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered, chosen = samples.temper(temperature), [parts[int(k)] for k in which]
        problems = make_problems(tempered, [part.inner_fit for part in chosen])
        return np.array(
            [validation_loss(tempered, problem, part) for problem, part in zip(problems, chosen, strict=True)]
        )

    first, further = (replace(search, kicks=kicks) for kicks in (COMPARING_KICKS, FURTHER_KICKS))
    begin: list[float] = choose_temperatures(losses_at, len(parts)).tolist()
    best = [(np.inf, Choice(temperature=value, sigma=np.zeros(0, dtype=np.int64))) for value in begin]
    found: list[list[Indices]] = [[] for _ in parts]
    pending = {k: {value} for k, value in enumerate(begin)}
    seen: list[set[float]] = [set() for _ in parts]
    while pending:
        following: dict[int, set[float]] = {}
        for value in sorted({value for values in pending.values() for value in values}):
            tempered = samples.temper(value)
            for k in [k for k, values in pending.items() if value in values]:
                seen[k].add(value)
                part = parts[k]
                quick = further if found[k] else first
                sigma = quick.run(tempered, part.inner_fit, part.prior, found[k]).sigma
                found[k].append(sigma)
                loss, moved = best_temperature(samples, part.validation, part.prior, sigma, at=value)
                if loss < best[k][0]:
                    best[k] = loss, Choice(temperature=moved, sigma=sigma)
                    following[k] = {moved, *_beside(moved)}
        pending = {k: new for k, values in following.items() if (new := values - seen[k])}
    return [choice for _, choice in best]


def validation_loss(tempered: Tempered, problem: InjectionProblem, part: Part) -> float:
    """KL of the assignment map on the part's validation samples, mixed with the prior."""
    own = own_probability(tempered, problem, part.validation)
    return float(fit_eps(own[:, None], part.prior[tempered.samples.labels[part.validation]])[1][0])


def fit_part(tempered: Tempered, part: Part, inner: Indices, search: Search) -> Injection:
    """Sigma searched on the whole fitting side; eps on samples that the maps have not seen.

    Of large problems that is the validation split, with the inner fitting side's sigma; of small ones every inner fold.
    """
    own, rows = np.empty(len(part.fit)), part.validation
    own[rows] = own_of(tempered, inner, rows)
    if part.fit.sum() * tempered.p.shape[1] <= CROSS_FITTED_ENTRIES:
        for fold in range(VALIDATION + 1, part.n_inner):
            fresh = part.inner == fold
            own[fresh] = own_of(tempered, search.run(tempered, part.without(fold), part.prior).sigma, fresh)
        rows = part.fit
    eps, _ = choose_eps(own[rows], part.prior[tempered.samples.labels[rows]])
    return _as_injection(search.run(tempered, part.fit, part.prior, [inner]), tempered, part.prior, eps)


def _as_injection(found: FoundInjection, tempered: Tempered, prior: Floats, eps: float) -> Injection:
    """What was found as a result."""
    return Injection(
        sigma=found.sigma,
        temperature=tempered.temperature,
        eps=eps,
        prior=prior,
        loss=found.loss,
        optimal=found.optimal,
    )


def fit_in_sample(
    samples: Samples, prior: Floats, search: Search, *, known: Sequence[Injection] = (), strict: bool = False
) -> Injection:
    """The optimum on all samples, with T and eps fitted to the same samples and no floor on eps.

    Sigma is searched at the temperature of the last injection that is known, or where the assignment map does best; the
    temperature is then chosen again for that sigma, and sigma searched again there, and beside the best temperature so
    far, until nothing new comes. In small problems it is searched at every temperature. The best loss of all is kept.

    Args:
        samples: sorted by class.
        prior: (K_t,) class prior of all samples.
        search: how sigma is searched.
        known: fitted to some of the samples; searches start from these, too.
        strict: the definition to the letter, eps = 0.
    """
    everything = np.ones(len(samples.labels), dtype=bool)
    mixed_prior = None if strict else prior

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered = samples.temper(temperature)
        own = own_probability(tempered, make_problems(tempered, [everything])[0], everything)
        return mixed_losses(own[:, None], samples.labels, mixed_prior, pseudo=0.0)[1]

    def evaluate(tempered: Tempered, found: FoundInjection) -> tuple[float, Injection]:
        own = own_of(tempered, found.sigma, everything)
        eps, loss = mixed_losses(own[:, None], samples.labels, mixed_prior, pseudo=0.0)
        return float(loss[0]), _as_injection(found, tempered, prior, float(eps[0]))

    def search_at(temperature: float) -> tuple[list[tuple[float, Injection]], float]:
        tempered = samples.temper(temperature)
        starts = [injection.sigma for injection in (*known, *(injection for _, injection in tried))]
        found = search.run(tempered, everything, prior, starts)
        moved = best_temperature(samples, everything, mixed_prior, found.sigma, at=temperature, pseudo=0.0)[1]
        there = samples.temper(moved)
        same = replace(found, loss=make_problems(there, [everything])[0].loss(found.sigma), optimal=False)
        return [evaluate(tempered, found), evaluate(there, same)], moved

    tried: list[tuple[float, Injection]] = []
    small = samples.log_p.size <= CROSS_FITTED_ENTRIES
    pending = list(TEMPERATURES) if small else [injection.temperature for injection in known[-1:]]
    pending = pending or [float(choose_temperatures(losses_at, 1)[0])]
    seen, best = set[float](), np.inf
    while pending:
        temperature = pending.pop(0)
        if temperature in seen:
            continue
        seen.add(temperature)
        found, moved = search_at(temperature)
        tried += found
        least = min(loss for loss, _ in found)
        if not small:
            pending += [moved, *(_beside(temperature) if least < best else [])]
        best = min(best, least)
    return min(tried, key=lambda item: item[0])[1]


def _beside(temperature: float) -> list[float]:
    """The temperatures of the grid next to this one."""
    place = int(np.argmin([abs(value - temperature) for value in TEMPERATURES]))
    return [TEMPERATURES[other] for other in (place - 1, place + 1) if 0 <= other < len(TEMPERATURES)]
