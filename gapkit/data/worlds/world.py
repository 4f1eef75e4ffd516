"""A world and what is drawn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from gapkit.arrays import Features, Floats, Labels, LogProbabilities, TargetProbabilities, generator, log_softmax
from gapkit.data.worlds.discrepancies import Discrepancy, expected_losses
from gapkit.data.worlds.gaussians import Gaussians
from gapkit.data.worlds.options import WorldOptions, check_choice, check_whole
from gapkit.data.worlds.relations import draw_relation, normalised
from gapkit.data.worlds.sampling import Grouping, draw_classes, observe
from gapkit.data.worlds.strictest import TOLERANCE, Family, strictest_family
from gapkit.data.worlds.truth import Truth, exact_truth, mean_truth, prior_value
from gapkit.errors import OptionError
from gapkit.options import given_or_default

WORLD_STREAM, DRAW_STREAM, TRUTH_STREAM = 31, 32, 33
BLOCK_ROWS = 8192

Given = Literal["source", "all"]
Predict = Callable[[LogProbabilities, Features], TargetProbabilities]


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Samples of a world, each row one of them.

    Attributes:
        log_probabilities: the source conditional (n, K_s): softmax(tau log P(z | x)), in logarithms.
        features: x and the further columns of noise (n, d + noise_dimensions).
        labels: y (n,), as an estimator may see them.
        posterior: exact P(y | source conditional and features) (n, K_t), of each sample by itself.
        source_labels: z (n,), the source class that each label and what depends on it came from.
        groups: (n,) codes; None without groups.
    """

    log_probabilities: LogProbabilities
    features: Features
    labels: Labels
    posterior: TargetProbabilities
    source_labels: Labels
    groups: Labels | None


@dataclass(frozen=True, kw_only=True)
class World:
    """A source, a target and their relation; the formulas are in ``gapkit.data.worlds``.

    ``make_world`` draws all of it from options; ``dataclasses.replace`` puts other arrays in.

    Attributes:
        options: noise, overconfidence, signal, groups and seed count; the rest went into the arrays.
        means: mu (K_s, d).
        source_prior: w (K_s,), positive.
        drawn: t (K_s,).
        relation: A before label noise (K_s, K_t); rows sum to 1 where t > 0.
    """

    options: WorldOptions
    means: Floats
    source_prior: Floats
    drawn: Floats
    relation: Floats

    def __post_init__(self) -> None:
        """Check arrays that were put in.

        Raises:
            OptionError: an array of another shape than the options say, or not a distribution.
        """
        k, t = self.options.n_source, self.options.n_target
        shapes = {"source_prior": (k,), "drawn": (k,), "relation": (k, t), "means": (k, *self.means.shape[1:2])}
        for name, shape in shapes.items():
            if (got := getattr(self, name).shape) != shape:
                raise OptionError(f"{name} of shape {got}", expected=f"{shape}", remedy="make the options agree")
        rows = self.relation[self.drawn > 0].sum(axis=1)
        sums = np.concatenate([[self.source_prior.sum(), self.drawn.sum()], rows])
        least = min(float(self.drawn.min()), float(self.relation.min()))
        if not np.allclose(sums, 1) or least < 0 or self.source_prior.min() <= 0 or self.prior.min() <= 0:
            raise OptionError(
                "source_prior, drawn or relation that is no distribution",
                expected="numbers of at least 0 that sum to 1, above 0 in source_prior and for every target class",
                remedy="divide by the sums, and leave out classes that never occur",
            )

    @cached_property
    def noise(self) -> Floats:
        """Nu (K_t,): what a label that is replaced is replaced by."""
        if self.options.noise == "uniform":
            return np.full(self.options.n_target, 1 / self.options.n_target)
        return self.drawn @ self.relation if self.options.noise == "prior" else normalised(self.options.noise)

    @cached_property
    def channel(self) -> Floats:
        """P(y | z) after label noise (K_s, K_t); zero in rows of source classes that the target never shows."""
        rate = self.options.label_noise
        return np.where(self.drawn[:, None] > 0, (1 - rate) * self.relation + rate * self.noise, 0.0)

    @cached_property
    def prior(self) -> Floats:
        """P(y) (K_t,), after label noise."""
        return self.drawn @ self.channel

    @cached_property
    def label_map(self) -> Floats:
        """A' (K_s, K_t) with ``p A' / (p A' 1) = P(y | x)`` for the calibrated p: ``(t_z / w_z) A_zy``."""
        return (self.drawn / self.source_prior)[:, None] * self.channel

    @cached_property
    def _strictest(self) -> tuple[Family, float]:
        """The family and its eps; where p says nothing, the class prior is a member of every family that there is."""
        shown = self.drawn > 0
        varies = self.informs("source") and np.ptp(self.means[shown], axis=0).any()
        if not varies or np.ptp(self.channel[shown], axis=0).max() <= TOLERANCE:
            return ("injection" if self.options.n_target <= self.options.n_source else "channel"), 1.0
        weights = self.drawn[shown] / self.source_prior[shown]
        return strictest_family(self.channel[shown], weights=weights, prior=self.prior)

    @property
    def family(self) -> Family:
        """The strictest family of label maps that holds P(y | p) exactly, at temperature ``overconfidence``."""
        return self._strictest[0]

    @property
    def epsilon(self) -> float:
        """The share of the class prior in that member of the family: ``q = (1 - eps) q_A + eps P(y)``."""
        return self._strictest[1]

    def informs(self, given: Given) -> bool:
        """Whether the label depends on the source conditional ("source"), or on it or the features ("all")."""
        check_choice("given", given, get_args(Given))
        return self.options.signal in ("both", "source") or (given == "all" and self.options.signal == "features")

    def posterior(self, x: Features) -> TargetProbabilities:
        """Exact P(y | x) (n, K_t) for the x that the labels depend on."""
        shown = self.drawn > 0
        classes = Gaussians(means=self.means[shown], prior=self.drawn[shown])
        return np.exp(classes.log_posterior(x)) @ self.channel[shown]

    def source_conditional(self, x: Features) -> LogProbabilities:
        """What the source says of x (n, K_s), in logarithms: P(z | x) to the power of tau, normalised."""
        exact = Gaussians(means=self.means, prior=self.source_prior).log_posterior(x)
        return exact if self.options.overconfidence == 1 else log_softmax(self.options.overconfidence * exact)

    def draw(self, n: int, *, seed: int = 0) -> Draw:
        """N samples; the same for the same world and seed, independent of those of any other seed.

        Raises:
            OptionError: n is no positive number, or seed is negative.
        """
        check_whole("n", n, 1)
        return next(self.draws(n, seed=seed, rows=n + self.options.group_size))

    def draws(self, n: int, *, seed: int = 0, rows: int = BLOCK_ROWS) -> Iterator[Draw]:
        """N samples in blocks of about ``rows``, for which memory would be short at once.

        Blocks hold whole groups, and group codes run on from block to block. Other ``rows``, other samples.

        Raises:
            OptionError: n or rows is no positive number, or seed is negative.
        """
        for name, value, least in (("n", n, 1), ("rows", rows, 1), ("seed", seed, 0)):
            check_whole(name, value, least)
        return self._blocks(n, (DRAW_STREAM, seed), -(-rows // self.options.group_size) * self.options.group_size)

    def _blocks(self, n: int, stream: tuple[int, int], rows: int) -> Iterator[Draw]:
        """The blocks of ``draws``, each from a generator of its own."""
        for block, start in enumerate(range(0, n, rows)):
            rng = generator(self.options.seed, *stream, block)
            yield self._draw(min(rows, n - start), rng, first_group=start // self.options.group_size)

    def _draw(self, n: int, rng: np.random.Generator, *, first_group: int) -> Draw:
        """One block: x carries the label; where a part must not, it is given the x of other samples."""
        options = self.options
        grouping = Grouping(size=options.group_size, shift=options.group_shift, label=options.group_label)
        z, y, x = self._sample(n, grouping, rng)
        posterior = self.posterior(x) if self.informs("all") else np.tile(self.prior, (n, 1))
        other = x if options.signal == "both" else self._sample(n, replace(grouping, label=False), rng)[2]
        features = x if options.signal in ("both", "features") else other
        if options.noise_dimensions:
            features = np.hstack([features, rng.standard_normal((n, options.noise_dimensions))])
        return Draw(
            log_probabilities=self.source_conditional(x if self.informs("source") else other),
            features=features,
            labels=y,
            posterior=posterior,
            source_labels=z,
            groups=None if options.group_size == 1 else grouping.codes(n) + first_group,
        )

    def _sample(self, n: int, grouping: Grouping, rng: np.random.Generator) -> tuple[Labels, Labels, Features]:
        """Z, y (n,) and x (n, d)."""
        z, y = draw_classes(self.drawn, self.channel, n, grouping, rng)
        return z, y, observe(self.means, z, grouping, rng)

    def truth(
        self, discrepancy: Discrepancy = "kl", *, n: int = 100_000, seed: int = 0, given: Given = "source"
    ) -> Truth:
        """The gap D of ``family`` and of every freer one: the discrepancy of the exact conditional from the labels.

        The mean over n fresh x of ``E[d(e_Y, P(. | x)) | x]`` (entropy of the posterior for KL), from which the noise
        of the labels is gone; where nothing depends on the label, the class prior's value, exactly. The package's
        docstring says when a family has this D.

        Args:
            discrepancy: "kl", "zero_one" or "brier".
            n: samples.
            seed: of the samples; no draw has them.
            given: what is known of a sample: "source" (its source conditional, all that label maps see) or "all" (the
                features too: what no estimator can beat). They differ if the signal is in the features alone.

        Raises:
            OptionError: unknown discrepancy or given, n below 2, or a negative seed.
        """
        _check_monte_carlo(discrepancy, n, seed)
        if not self.informs(given):
            return exact_truth(prior_value(self.prior, discrepancy), self.prior, discrepancy)
        posteriors = (
            self.posterior(self._sample(min(BLOCK_ROWS, n - start), Grouping(), rng)[2])
            for start, rng in self._generators(n, seed)
        )
        losses = (expected_losses(rows, rows, discrepancy) for rows in posteriors)
        return mean_truth(losses, self.prior, discrepancy)

    def expected_loss(
        self, predict: Predict, discrepancy: Discrepancy = "kl", *, n: int = 100_000, seed: int = 0
    ) -> Truth:
        """What a fitted map really costs: its expected discrepancy from the labels of new samples (of new groups).

        The mean over the n samples of ``truth`` with the same n and seed, so that the difference of the two has less
        noise than either. Never below ``truth(given="all")`` but for Monte Carlo error.

        Args:
            predict: log source conditional (b, K_s) and features (b, d) to q (b, K_t), called in blocks.
            discrepancy: "kl" (infinite where q is 0 and the label is not impossible), "zero_one" or "brier".
            n: samples.
            seed: of the samples.

        Raises:
            OptionError: unknown discrepancy, n below 2, or a negative seed.
        """
        _check_monte_carlo(discrepancy, n, seed)
        alone = replace(self, options=replace(self.options, group_size=1, group_shift=0.0, group_label=False))
        draws = (
            alone._draw(min(BLOCK_ROWS, n - start), rng, first_group=0) for start, rng in self._generators(n, seed)
        )
        losses = (
            expected_losses(predict(draw.log_probabilities, draw.features), draw.posterior, discrepancy)
            for draw in draws
        )
        return mean_truth(losses, self.prior, discrepancy)

    def _generators(self, n: int, seed: int) -> Iterator[tuple[int, np.random.Generator]]:
        """The first row and the generator of each block of a Monte Carlo mean."""
        for block, start in enumerate(range(0, n, BLOCK_ROWS)):
            yield start, generator(self.options.seed, TRUTH_STREAM, seed, block)


def _check_monte_carlo(discrepancy: str, n: int, seed: int) -> None:
    """Refuse what no mean can be taken of."""
    check_choice("discrepancy", discrepancy, get_args(Discrepancy))
    check_whole("n", n, 2)
    check_whole("seed", seed, 0)


def make_world(options: WorldOptions | None = None, *, separation: float | None = None) -> World:
    """The world of the options and their seed.

    Args:
        options: None: the defaults.
        separation: in place of the options' one; the directions of the means stay the same.

    Example:
        >>> world = make_world(WorldOptions(n_source=6, n_target=2, label_noise=0.2))
        >>> world.means.shape, world.prior.tolist(), world.family, round(world.epsilon, 6)
        ((6, 8), [0.5, 0.5], 'injection', 0.2)
    """
    options = given_or_default(options, WorldOptions)
    if separation is not None:
        options = replace(options, separation=separation)
    rng = generator(options.seed, WORLD_STREAM)
    directions = rng.standard_normal((options.n_source, options.dimension)) / np.sqrt(options.dimension)
    related = draw_relation(options, rng)
    return World(
        options=options,
        means=options.separation * directions,
        source_prior=related.source_prior,
        drawn=related.drawn,
        relation=related.relation,
    )
