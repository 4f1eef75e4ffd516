"""Injections at one temperature: the search problem of some samples, and the search for the mixed loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, Indices, Labels, Mask, Probabilities, TargetProbabilities
from gapkit.gap.label_maps.injection_search import (
    ENUMERATION_LIMIT,
    KICKS,
    LEAST_GAIN,
    FoundInjection,
    InjectionProblem,
    assignment_injection,
    search_injection,
)
from gapkit.gap.label_maps.mixing import fit_eps
from gapkit.gap.label_maps.tempering import TEMPERATURES, Samples, Tempered, take_samples, temper

TRIMMINGS = 5


@dataclass(frozen=True, kw_only=True)
class Search:
    """How injections are searched.

    Attributes:
        seed: of the random starts.
        enumeration: all injections are compared where there are at most this many.
        trimmed: whether for the loss mixed with the prior; else for the renormalised loss alone.
        kicks: at most, of a search; few do where injections are only compared.
    """

    seed: int
    enumeration: int = ENUMERATION_LIMIT
    trimmed: bool = True
    kicks: int = KICKS

    def run(self, tempered: Tempered, mask: Mask, prior: Floats, known: Sequence[Indices] = ()) -> FoundInjection:
        """The best injection found of the samples ``mask`` (n,); ``loss`` is that of all of them, unmixed.

        Args:
            tempered: samples at one temperature.
            mask: those that are looked at.
            prior: (K_t,) class prior.
            known: injections (K_t,) to start from, too.
        """
        problem = make_problems(tempered, [mask])[0]
        found = search_injection(problem, seed=self.seed, enumeration=self.enumeration, kicks=self.kicks, known=known)
        if not self.trimmed:
            return found
        sigma = trim(tempered, mask, prior, found.sigma)
        if np.array_equal(sigma, found.sigma):
            return found
        return FoundInjection(sigma=sigma, loss=problem.loss(sigma), optimal=False)


def renormalise(p: Probabilities, sigma: Indices) -> TargetProbabilities:
    """``p_sigma(y) / sum_y' p_sigma(y')``: p (n, K_s) over the chosen subset, (n, K_t)."""
    chosen = p[:, sigma]
    return chosen / chosen.sum(axis=1, keepdims=True)


def make_problems(tempered: Tempered, masks: list[Mask]) -> list[InjectionProblem]:
    """The search problem on each choice of samples, the sums over samples in one product."""
    weights = np.stack(masks, axis=1).astype(np.float64)
    sizes = weights.sum(axis=0)
    log_sums = tempered.log_sums(weights) / sizes
    mass_sums = tempered.class_sums(tempered.p, weights) / sizes
    shares = np.stack([weights[rows].sum(axis=0) for rows in tempered.samples.blocks]) / sizes
    return [
        InjectionProblem(
            columns=tempered.columns,
            weights=weights[:, m] / sizes[m],
            shares=shares[:, m],
            log_cost=-log_sums[..., m],
            mass_cost=shares[:, m, None] - mass_sums[..., m],
            centred_cost=shares[:, m, None] * log_sums[..., m].sum(axis=0) - log_sums[..., m],
        )
        for m in range(len(masks))
    ]


def own_of(tempered: Tempered, sigma: Indices, rows: Mask) -> Floats:
    """What sigma gives to the own class of the samples ``rows``."""
    labels = tempered.samples.labels[rows]
    chosen = take_samples(tempered.columns[sigma], rows)
    return chosen[labels, np.arange(len(labels))] / chosen.sum(axis=0)


def own_probability(tempered: Tempered, problem: InjectionProblem, rows: Mask) -> Floats:
    """What the problem's assignment map gives to the own class of the samples ``rows``."""
    return own_of(tempered, assignment_injection(problem), rows)


def trim(tempered: Tempered, mask: Mask, prior: Floats, sigma: Indices) -> Indices:
    """Sigma searched again without the samples that the prior explains better, while the mixed loss falls.

    The renormalised loss has no prior in it: a wrong label may cost more than all the others, and spoil sigma. With
    labels that are partly noise this is the loss mixed with the prior, minimised by hard expectation-maximisation.
    """
    own_prior = prior[tempered.samples.labels[mask]]

    def mixture(candidate: Indices) -> tuple[float, Mask]:
        own = own_of(tempered, candidate, mask)
        eps, loss = fit_eps(own[:, None], own_prior, pseudo=0.0)
        kept = mask.copy()
        kept[mask] = (1 - eps[0]) * own >= eps[0] * own_prior
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


def best_temperature(
    samples: Samples, rows: Mask, prior: Floats | None, sigma: Indices, *, at: float, pseudo: float = 1.0
) -> tuple[float, float]:
    """The least loss of sigma on the samples ``rows``, mixed with the prior if there is one, and its T.

    Renormalised over the subset, p at T is the softmax of ``log p_sigma / T``: the other source classes do not matter.
    Among equals T is ``at``.
    """
    labels = samples.labels[rows]
    log_p = samples.log_p[rows][:, sigma]
    candidates = (at, *(value for value in TEMPERATURES if value != at))
    own = np.stack([temper(log_p, value)[np.arange(len(labels)), labels] for value in candidates], axis=1)
    losses = np.round(mixed_losses(own, labels, prior, pseudo=pseudo)[1], 9)
    return float(losses.min()), candidates[int(np.argmin(losses))]


def mixed_losses(own: Floats, labels: Labels, prior: Floats | None, *, pseudo: float) -> tuple[Floats, Floats]:
    """Eps (m,) and mean KL (m,) of own probabilities (n, m) mixed with the prior (K_t,); eps is 0 without one."""
    if prior is None:
        losses: Floats = -np.log(own).mean(axis=0)
        return np.zeros_like(losses), losses
    return fit_eps(own, prior[labels], pseudo=pseudo)
