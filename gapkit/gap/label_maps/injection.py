"""The injection family: every target class is one source class of its own (the definition of Ma et al., ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Mask, Probabilities, TargetProbabilities
from gapkit.errors import DataError
from gapkit.gap.inputs import check_probabilities
from gapkit.gap.label_maps.injection_search import (
    ENUMERATION_LIMIT,
    InjectionProblem,
    assignment_injection,
    search_injection,
)
from gapkit.gap.label_maps.mixing import fit_eps, mix
from gapkit.gap.label_maps.parts import Part, whole_part
from gapkit.gap.label_maps.tempering import Samples, Tempered, choose_temperatures, log_of, sort_samples, temper


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
    return fit_part(samples.temper(float(chosen)), part, seed=seed, enumeration=enumeration)


def injection_temperatures(samples: Samples, parts: list[Part]) -> Floats:
    """T for each part: the least validation loss of the assignment map, mixed with the prior."""

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered, chosen = samples.temper(temperature), [parts[int(k)] for k in which]
        problems = make_problems(tempered, [part.inner_fit for part in chosen])
        return np.array(
            [validation_loss(tempered, problem, part) for problem, part in zip(problems, chosen, strict=True)]
        )

    return choose_temperatures(losses_at, len(parts))


def validation_loss(tempered: Tempered, problem: InjectionProblem, part: Part) -> float:
    """KL of the assignment map on the part's validation samples, mixed with the prior."""
    own = own_probability(tempered, problem, part.validation)
    return float(fit_eps(own[:, None], part.prior[tempered.samples.labels[part.validation]])[1][0])


def own_probability(tempered: Tempered, problem: InjectionProblem, rows: Mask) -> Floats:
    """What the problem's assignment map gives to the own class of the samples ``rows``."""
    labels = tempered.samples.labels[rows]
    q = renormalise(tempered.p[rows], assignment_injection(problem))
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
            p=tempered.p[mask],
            log_cost=-log_sums[..., m],
            mass_cost=shares[:, m, None] - mass_sums[..., m],
            centred_cost=shares[:, m, None] * log_sums[..., m].sum(axis=0) - log_sums[..., m],
        )
        for m, mask in enumerate(masks)
    ]


def fit_part(tempered: Tempered, part: Part, *, seed: int, enumeration: int = ENUMERATION_LIMIT) -> Injection:
    """Sigma searched on the whole fitting side; eps on the assignment maps cross-fitted over its inner folds."""
    masks = [part.fit] + [part.without(fold) for fold in range(part.n_inner)]
    whole, *inner = make_problems(tempered, masks)
    found = search_injection(whole, seed=seed, enumeration=enumeration)
    own = np.empty(len(part.fit))
    for fold, problem in enumerate(inner):
        rows = part.inner == fold
        own[rows] = own_probability(tempered, problem, rows)
    labels = tempered.samples.labels[part.fit]
    eps, _ = fit_eps(own[part.fit, None], part.prior[labels])
    return Injection(
        sigma=found.sigma,
        temperature=tempered.temperature,
        eps=float(eps[0]),
        prior=part.prior,
        loss=found.loss,
        optimal=found.optimal,
    )


def fit_in_sample(samples: Samples, prior: Floats, *, seed: int, strict: bool = False) -> Injection:
    """The optimum on all samples, with T and eps fitted to the same samples and no floor on eps.

    Args:
        samples: sorted by class.
        prior: (K_t,) class prior of all samples.
        seed: of the random starts.
        strict: the definition to the letter, eps = 0.
    """
    everything = np.ones(len(samples.labels), dtype=bool)
    own_prior = prior[samples.labels]

    def eps_and_loss(own: Floats) -> tuple[Floats, Floats]:
        if strict:
            return np.zeros(1), -np.log(own[:, None]).mean(axis=0)
        return fit_eps(own[:, None], own_prior, pseudo=0.0)

    def losses_at(temperature: float, which: Indices) -> Floats:
        tempered = samples.temper(temperature)
        return eps_and_loss(own_probability(tempered, make_problems(tempered, [everything])[0], everything))[1]

    tempered = samples.temper(float(choose_temperatures(losses_at, 1)[0]))
    found = search_injection(make_problems(tempered, [everything])[0], seed=seed)
    q = renormalise(tempered.p, found.sigma)
    eps, _ = eps_and_loss(q[np.arange(len(q)), samples.labels])
    return Injection(
        sigma=found.sigma,
        temperature=tempered.temperature,
        eps=float(eps[0]),
        prior=prior,
        loss=found.loss,
        optimal=found.optimal,
    )
