"""The channel family, row-stochastic: ``q(y | x) = sum_z p(z | x) A_zy`` with a pseudo-count towards the prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Features, Floats, Indices, Probabilities, TargetProbabilities
from gapkit.gap.inputs import check_probabilities
from gapkit.gap.label_maps.channel_em import ChannelFits, ChannelProblems, fit_channels
from gapkit.gap.label_maps.mixing import fit_eps, mix
from gapkit.gap.label_maps.parts import Part, whole_part
from gapkit.gap.label_maps.tempering import Samples, Tempered, choose_temperatures, log_of, sort_samples, temper

PSEUDO_COUNTS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
COARSE_COUNTS = (1, 3, 5)
CHOICE_TOLERANCE = 1e-3
CHOICE_CYCLES = 8
"""Choosing T and c needs the losses only to about a thousandth of a nat."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A fitted channel ``q(y | x) = (1 - eps) (pA)_y + eps pi_y``, p at temperature T.

    Attributes:
        matrix: (K_s, K_t) A, rows sum to 1: how source class z is read.
        temperature: T.
        eps: share of the class prior.
        prior: (K_t,) class prior pi of the fitting samples.
        pseudo_count: c.
        objective: penalised log-likelihood per sample that EM reached, in nats.
        gap: certified distance of ``objective`` from its optimum at this T and c, in nats.
        iterations: EM steps.
    """

    matrix: Floats
    temperature: float
    eps: float
    prior: Floats
    pseudo_count: float
    objective: float
    gap: float
    iterations: int

    def predict(self, probs: Probabilities) -> TargetProbabilities:
        """Source conditional (n, K_s) to mapped conditional q (n, K_t)."""
        return self.predict_log(log_of(probs))

    def predict_log(self, log_p: Floats, features: Features | None = None) -> TargetProbabilities:
        """As ``predict``, from log p (n, K_s); features are not read."""
        return self.read(temper(log_p, self.temperature))

    def read(self, p: Probabilities) -> TargetProbabilities:
        """Tempered p (n, K_s) to q (n, K_t)."""
        return mix(p @ self.matrix, self.prior, self.eps)


@dataclass(frozen=True, kw_only=True)
class ChannelFit:
    """The channel of one part, and its map cross-fitted over the part's inner folds.

    Attributes:
        channel: fitted on the whole fitting side.
        inner: (n, K_t) q of the fitting samples from channels that have not seen them; rows of other samples are pi.
    """

    channel: Channel
    inner: TargetProbabilities


def fit_channel(
    probs: Array,
    labels: Array,
    *,
    n_classes: int | None = None,
    temperature: float | None = None,
    pseudo_count: float | None = None,
    seed: int = 0,
) -> Channel:
    """Fit the row-stochastic channel by EM under KL; T and c on an inner split, eps on inner folds.

    Args:
        probs: (n, K_s) source conditional, rows sum to 1.
        labels: (n,) target class codes 0 .. K_t - 1.
        n_classes: K_t; by default the largest code + 1.
        temperature: T; by default chosen on the grid [0.25, 64].
        pseudo_count: c, in samples per source class; by default chosen from 0 to 3.
        seed: of the inner folds.

    Raises:
        DataError: arrays that do not fit together.

    Example:
        >>> probs = np.tile([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1]], (20, 1))
        >>> fit_channel(probs, np.tile([0, 1], 20)).matrix.argmax(axis=1).tolist()
        [1, 1, 0]
    """
    probs, labels, n_classes = check_probabilities(probs, labels, n_classes)
    part = whole_part(labels, n_classes=n_classes, seed=seed)
    samples, order = sort_samples(log_of(probs), labels, n_classes)
    parts = [part.take(order)]
    counts = None if pseudo_count is None else (float(pseudo_count),)
    chosen = choose_channels(samples, parts, temperature=temperature, counts=counts)
    return fit_parts(samples, parts, *chosen)[0].channel


def choose_channels(
    samples: Samples,
    parts: list[Part],
    *,
    temperature: float | None = None,
    counts: tuple[float, ...] | None = None,
) -> tuple[Floats, Floats]:
    """T and c of each part: the least validation loss of the channel mixed with the prior.

    The temperature is chosen over every second pseudo-count, then the pseudo-count is refined by its neighbours.
    """
    coarse = tuple(PSEUDO_COUNTS[k] for k in COARSE_COUNTS) if counts is None else counts
    best: dict[float, Indices] = {}

    def losses_at(value: float, which: Indices) -> Floats:
        losses = validation_losses(samples.temper(value), [parts[k] for k in which], [coarse] * len(which))
        best.setdefault(value, np.zeros(len(parts), dtype=np.int64))[which] = losses.argmin(axis=1)
        return losses.min(axis=1)

    if temperature is None:
        temperatures = choose_temperatures(losses_at, len(parts))
    else:
        losses_at(temperature, np.arange(len(parts)))
        temperatures = np.full(len(parts), temperature)
    found = np.array([best[float(value)][k] for k, value in enumerate(temperatures)])
    if counts is not None:
        return temperatures, np.array(counts)[found]
    return temperatures, _refine_counts(samples, parts, temperatures, np.array(COARSE_COUNTS)[found])


def _refine_counts(samples: Samples, parts: list[Part], temperatures: Floats, positions: Array) -> Floats:
    """The best of a pseudo-count and its two neighbours on the grid, at each part's temperature."""
    grid = np.array(PSEUDO_COUNTS)
    around = np.clip(positions[:, None] + np.array([0, -1, 1]), 0, len(grid) - 1)
    chosen = np.empty(len(parts))
    for value in np.unique(temperatures):
        which = np.flatnonzero(temperatures == value)
        near = [tuple(grid[around[k]].tolist()) for k in which]
        losses = validation_losses(samples.temper(float(value)), [parts[k] for k in which], near)
        chosen[which] = grid[around[which, losses.argmin(axis=1)]]
    return chosen


def validation_losses(tempered: Tempered, parts: list[Part], counts: list[tuple[float, ...]]) -> Floats:
    """Mean validation KL (parts, counts) of channels fitted on the inner fitting side, mixed with the prior."""
    per_part = len(counts[0])
    problems = ChannelProblems(
        tempered=tempered,
        weights=np.repeat(np.stack([part.inner_fit for part in parts], axis=1), per_part, axis=1).astype(np.float64),
        priors=np.repeat(np.stack([part.prior for part in parts], axis=1), per_part, axis=1),
        pseudo=np.array(counts).reshape(-1),
    )
    fits = fit_channels(problems, tolerance=CHOICE_TOLERANCE, max_cycles=CHOICE_CYCLES)
    likelihood = problems.likelihood(fits.channels).reshape(len(tempered.p), len(parts), per_part)
    labels = tempered.samples.labels
    return np.stack(
        [
            fit_eps(likelihood[part.validation, k], part.prior[labels[part.validation]])[1]
            for k, part in enumerate(parts)
        ]
    )


def fit_parts(samples: Samples, parts: list[Part], temperatures: Floats, counts: Floats) -> list[ChannelFit]:
    """Each part's channel on its fitting side and on the outside of each of its inner folds, at its T and c."""
    found: dict[int, ChannelFit] = {}
    for value in np.unique(temperatures):
        which = [int(k) for k in np.flatnonzero(temperatures == value)]
        tempered = samples.temper(float(value))
        members = [(k, fold) for k in which for fold in range(-1, parts[k].n_inner)]
        masks = [parts[k].fit if fold < 0 else parts[k].without(fold) for k, fold in members]
        problems = ChannelProblems(
            tempered=tempered,
            weights=np.stack(masks, axis=1).astype(np.float64),
            priors=np.stack([parts[k].prior for k, _ in members], axis=1),
            pseudo=np.array([counts[k] for k, _ in members]),
        )
        fits = fit_channels(problems)
        for k in which:
            own = [m for m, (part, _) in enumerate(members) if part == k]
            found[k] = _assemble(tempered, parts[k], fits, own, float(counts[k]))
    return [found[k] for k in range(len(parts))]


def _assemble(tempered: Tempered, part: Part, fits: ChannelFits, own: list[int], pseudo_count: float) -> ChannelFit:
    """The part's channel, with eps from its inner folds; ``own`` lists the whole fit first, then the inner ones."""
    inner = np.tile(part.prior, (len(part.fit), 1))
    for fold, m in enumerate(own[1:]):
        rows = part.inner == fold
        inner[rows] = tempered.p[rows] @ fits.channels[..., m].T
    labels = tempered.samples.labels
    eps, _ = fit_eps(inner[part.fit, labels[part.fit]][:, None], part.prior[labels[part.fit]])
    channel = make_channel(tempered, fits, own[0], part.prior, eps=float(eps[0]), pseudo_count=pseudo_count)
    return ChannelFit(channel=channel, inner=mix(inner, part.prior, channel.eps))


def make_channel(
    tempered: Tempered, fits: ChannelFits, which: int, prior: Floats, *, eps: float, pseudo_count: float
) -> Channel:
    """One of several fits as a result."""
    return Channel(
        matrix=np.ascontiguousarray(fits.channels[..., which].T),
        temperature=tempered.temperature,
        eps=eps,
        prior=prior,
        pseudo_count=pseudo_count,
        objective=float(fits.objective[which]),
        gap=float(fits.gap[which]),
        iterations=int(fits.steps[which]),
    )


def fit_in_sample(samples: Samples, prior: Floats, *, temperatures: tuple[float, ...] = ()) -> Channel:
    """The optimum on all samples with c = 0, over the grid of T and ``temperatures``; eps is 0, A can hold the prior.

    EM starts from LEEP's plug-in, T = 1 is a candidate and no EM step lowers the likelihood, so KL <= -LEEP.
    """
    whole = np.ones((len(samples.labels), 1))
    fitted: dict[float, ChannelFits] = {}

    def problem(temperature: float) -> ChannelProblems:
        tempered = samples.temper(temperature)
        return ChannelProblems(tempered=tempered, weights=whole, priors=prior[:, None], pseudo=np.zeros(1))

    def losses_at(temperature: float, which: Indices) -> Floats:
        fitted[temperature] = fit_channels(problem(temperature), tolerance=CHOICE_TOLERANCE, max_cycles=CHOICE_CYCLES)
        return -fitted[temperature].objective

    choose_temperatures(losses_at, 1)
    for temperature in sorted({1.0, *temperatures} - set(fitted)):
        losses_at(temperature, np.zeros(1, dtype=np.int64))
    best = max(fitted, key=lambda temperature: float(fitted[temperature].objective[0]))
    last = problem(best)
    fits = fit_channels(last, start=fitted[best].channels)
    return make_channel(last.tempered, fits, 0, prior, eps=0.0, pseudo_count=0.0)
