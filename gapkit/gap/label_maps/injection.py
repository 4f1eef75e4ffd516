"""The injection family: every target class is one source class of its own (the definition of Ma et al., ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Mask, Probabilities, TargetProbabilities
from gapkit.errors import DataError
from gapkit.gap.inputs import check_probabilities
from gapkit.gap.label_maps.injection_search import (
    ENUMERATION_LIMIT,
    LEAST_GAIN,
    FoundInjection,
    InjectionProblem,
    assignment_injection,
    search_injection,
)
from gapkit.gap.label_maps.mixing import choose_eps, fit_eps, mix
from gapkit.gap.label_maps.parts import Part, whole_part
from gapkit.gap.label_maps.tempering import (
    TEMPERATURES,
    Samples,
    Tempered,
    choose_temperatures,
    log_of,
    sort_samples,
    temper,
)

TRIMMINGS = 5


@dataclass(frozen=True, kw_only=True)
class Injection:
    """A fitted injection ``q(y | x) = (1 - eps) p_sigma(y) / sum_y' p_sigma(y') + eps pi_y``, p at temperature T.

    Attributes:
        sigma: (K_t,) the source class of each target class.
        temperature: T.
        eps: share of the class prior.
        prior: (K_t,) class prior pi of the fitting samples.
        loss: mean renormalised KL (nats) on the fitting samples at eps = 0, which sigma minimises.
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


def renormalise(p: Probabilities, sigma: Indices) -> TargetProbabilities:
    """``p_sigma(y) / sum_y' p_sigma(y')``: p (n, K_s) over the chosen subset, (n, K_t)."""
    chosen = p[:, sigma]
    return chosen / chosen.sum(axis=1, keepdims=True)


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
    part = whole_part(labels, n_classes=n_classes, seed=seed)
    samples, order = sort_samples(log_of(probs), labels, n_classes)
    part = part.take(order)
    chosen = injection_temperatures(samples, [part])[0] if temperature is None else temperature
    return fit_part(samples.temper(float(chosen)), part, seed=seed, enumeration=enumeration, trimmed=False)


def injection_temperatures(samples: Samples, parts: list[Part]) -> Floats:
    """T for each part: the least validation loss of the assignment map, mixed with the prior.

    At the best temperature the map is trimmed (see ``trim``), and the temperature chosen once more for that map.
    """

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered, chosen = samples.temper(temperature), [parts[int(k)] for k in which]
        problems = make_problems(tempered, [part.inner_fit for part in chosen])
        return np.array(
            [validation_loss(tempered, problem, part) for problem, part in zip(problems, chosen, strict=True)]
        )

    temperatures = choose_temperatures(losses_at, len(parts))
    for value in np.unique(temperatures):
        tempered = samples.temper(float(value))
        which = np.flatnonzero(temperatures == value).tolist()
        problems = make_problems(tempered, [parts[k].inner_fit for k in which])
        for k, problem in zip(which, problems, strict=True):
            sigma = trim(tempered, parts[k].inner_fit, parts[k].prior, assignment_injection(problem))
            temperatures[k] = best_temperature(samples, parts[k].validation, parts[k].prior, sigma, at=float(value))
    return temperatures


def best_temperature(
    samples: Samples, rows: Mask, prior: Floats, sigma: Indices, *, at: float, pseudo: float = 1.0
) -> float:
    """T on the grid with the least loss of sigma on the samples ``rows``, mixed with the prior; ``at`` among equals.

    Renormalised over the subset, p at T is the softmax of ``log p_sigma / T``: the other source classes do not matter.
    """
    labels = samples.labels[rows]
    log_p = samples.log_p[rows][:, sigma]
    candidates = (at, *(value for value in TEMPERATURES if value != at))
    own = np.stack([temper(log_p, value)[np.arange(len(labels)), labels] for value in candidates], axis=1)
    losses = fit_eps(own, prior[labels], pseudo=pseudo)[1]
    return candidates[int(np.argmin(np.round(losses, 9)))]


def trim(tempered: Tempered, mask: Mask, prior: Floats, sigma: Indices) -> Indices:
    """Sigma searched again without the samples that the prior explains better, while the mixed loss falls.

    The renormalised loss has no prior in it: a wrong label may cost more than all the others, and spoil sigma. With
    labels that are partly noise this is the loss mixed with the prior, minimised by hard expectation-maximisation.
    """
    labels = tempered.samples.labels
    own_prior = prior[labels]
    rows = np.arange(len(labels))

    def mixture(candidate: Indices) -> tuple[float, Mask]:
        chosen = tempered.columns[candidate]
        own = (chosen[labels, rows] / chosen.sum(axis=0))[mask]
        eps, loss = fit_eps(own[:, None], own_prior[mask], pseudo=0.0)
        kept = mask.copy()
        kept[mask] = (1 - eps[0]) * own >= eps[0] * own_prior[mask]
        return float(loss[0]), kept

    loss, kept = mixture(sigma)
    for _ in range(TRIMMINGS):
        if kept.sum() == mask.sum() or not kept.any():
            break
        moved = assignment_injection(make_problems(tempered, [kept])[0])
        moved_loss, moved_kept = mixture(moved)
        if moved_loss >= loss - LEAST_GAIN:
            break
        sigma, loss, kept = moved, moved_loss, moved_kept
    return sigma


def validation_loss(tempered: Tempered, problem: InjectionProblem, part: Part) -> float:
    """KL of the assignment map on the part's validation samples, mixed with the prior."""
    own = own_probability(tempered, problem, part.validation)
    return float(fit_eps(own[:, None], part.prior[tempered.samples.labels[part.validation]])[1][0])


def own_probability(tempered: Tempered, problem: InjectionProblem, rows: Mask) -> Floats:
    """What the problem's assignment map gives to the own class of the samples ``rows``."""
    return own_of(tempered, assignment_injection(problem), rows)


def own_of(tempered: Tempered, sigma: Indices, rows: Mask) -> Floats:
    """What sigma gives to the own class of the samples ``rows``."""
    labels = tempered.samples.labels[rows]
    q = renormalise(tempered.p[rows], sigma)
    return q[np.arange(len(labels)), labels]


def make_problems(tempered: Tempered, masks: list[Mask]) -> list[InjectionProblem]:
    """The search problem on each choice of samples, the sums over samples in one product."""
    weights = np.stack(masks, axis=1).astype(np.float64)
    sizes = weights.sum(axis=0)
    log_sums = tempered.class_sums(tempered.log_p, weights) / sizes
    mass_sums = tempered.class_sums(tempered.p, weights) / sizes
    shares = np.stack([weights[rows].sum(axis=0) for rows in tempered.samples.blocks]) / sizes
    return [
        InjectionProblem(
            p=tempered.p,
            columns=tempered.columns,
            weights=weights[:, m] / sizes[m],
            log_cost=-log_sums[..., m],
            mass_cost=shares[:, m, None] - mass_sums[..., m],
            centred_cost=shares[:, m, None] * log_sums[..., m].sum(axis=0) - log_sums[..., m],
        )
        for m in range(len(masks))
    ]


def search_mixed(
    tempered: Tempered, mask: Mask, prior: Floats, *, seed: int, enumeration: int = ENUMERATION_LIMIT
) -> FoundInjection:
    """The best injection found of the samples ``mask``, then trimmed; ``loss`` stays that of all of them, unmixed."""
    problem = make_problems(tempered, [mask])[0]
    found = search_injection(problem, seed=seed, enumeration=enumeration)
    sigma = trim(tempered, mask, prior, found.sigma)
    if np.array_equal(sigma, found.sigma):
        return found
    return FoundInjection(sigma=sigma, loss=problem.loss(sigma), optimal=False)


def fit_part(
    tempered: Tempered, part: Part, *, seed: int, enumeration: int = ENUMERATION_LIMIT, trimmed: bool = True
) -> Injection:
    """Sigma searched on the whole fitting side; eps on the assignment maps cross-fitted over its inner folds."""
    masks = [part.without(fold) for fold in range(part.n_inner)]
    own = np.empty(len(part.fit))
    for fold, (problem, mask) in enumerate(zip(make_problems(tempered, masks), masks, strict=True)):
        rows, sigma = part.inner == fold, assignment_injection(problem)
        own[rows] = own_of(tempered, trim(tempered, mask, part.prior, sigma) if trimmed else sigma, rows)
    eps, _ = choose_eps(own[part.fit], part.prior[tempered.samples.labels[part.fit]])
    if trimmed:
        found = search_mixed(tempered, part.fit, part.prior, seed=seed, enumeration=enumeration)
    else:
        found = search_injection(make_problems(tempered, [part.fit])[0], seed=seed, enumeration=enumeration)
    return _as_injection(found, tempered, part.prior, eps)


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


def fit_in_sample(samples: Samples, prior: Floats, *, seed: int) -> Injection:
    """The optimum on all samples, with T and eps fitted to the same samples and no floor on eps.

    Sigma is searched at the temperature where the assignment map does best; the temperature is then chosen once more
    for that sigma, and sigma searched once more there. The best of the three mixed losses is kept.
    """
    everything = np.ones(len(samples.labels), dtype=bool)
    own_prior = prior[samples.labels]

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered = samples.temper(temperature)
        own = own_probability(tempered, make_problems(tempered, [everything])[0], everything)
        return fit_eps(own[:, None], own_prior, pseudo=0.0)[1]

    def evaluate(tempered: Tempered, found: FoundInjection) -> tuple[float, Injection]:
        eps, loss = fit_eps(own_of(tempered, found.sigma, everything)[:, None], own_prior, pseudo=0.0)
        return float(loss[0]), _as_injection(found, tempered, prior, float(eps[0]))

    tempered = samples.temper(float(choose_temperatures(losses_at, 1)[0]))
    found = search_mixed(tempered, everything, prior, seed=seed)
    tried = [evaluate(tempered, found)]
    again = best_temperature(samples, everything, prior, found.sigma, at=tempered.temperature, pseudo=0.0)
    if again != tempered.temperature:
        tempered = samples.temper(again)
        moved = replace(found, loss=make_problems(tempered, [everything])[0].loss(found.sigma), optimal=False)
        tried += [evaluate(tempered, moved), evaluate(tempered, search_mixed(tempered, everything, prior, seed=seed))]
    return min(tried, key=lambda item: item[0])[1]


def fit_in_sample_strict(samples: Samples, prior: Floats, *, seed: int) -> Injection:
    """The optimum of the definition to the letter, eps = 0, on all samples, with T fitted to them."""
    everything = np.ones(len(samples.labels), dtype=bool)

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered = samples.temper(temperature)
        problem = make_problems(tempered, [everything])[0]
        return np.array([problem.loss(assignment_injection(problem))])

    tempered = samples.temper(float(choose_temperatures(losses_at, 1)[0]))
    found = search_injection(make_problems(tempered, [everything])[0], seed=seed)
    return _as_injection(found, tempered, prior, 0.0)
