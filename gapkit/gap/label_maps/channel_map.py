"""The channel as a result: a fitted map with the evidence of its convergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gapkit.arrays import Features, Floats, Probabilities, TargetProbabilities
from gapkit.gap.label_maps.mixing import mix
from gapkit.gap.label_maps.tempering import log_of, temper

Start = Literal["row_stochastic", "relaxed", "relaxed_partition", "partition"]
"""Which run won: the row-stochastic optimum by EM; MM from it; MM from the partition mixed with 1 % of it; the
partition as it stands. Under another discrepancy than KL: L-BFGS from KL's channel, or from the partition."""
LEAST_MASS = 1e-280
"""Where the channel gives a sample less mass than this, the prior is read instead."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """A fitted channel ``q(y | x) = (1 - eps) (pA)_y / (pA 1) + eps pi_y``, p at temperature T.

    Attributes:
        matrix: (K_s, K_t) A >= 0, how source class z is read, scaled so that ``pA 1`` is 1 in the mean of the fitting
            samples; the rows of a row-stochastic one sum to 1.
        temperature: T.
        eps: share of the class prior.
        prior: (K_t,) class prior pi of the fitting samples.
        pseudo_count: c.
        start: which run won.
        objective: penalised log-likelihood per sample that it reached, in nats; of a partition without the penalty.
            Fitted under another discrepancy, minus that with the penalty.
        gap: certified distance of the row-stochastic stage from its optimum at this T and c, in nats; infinite where
            nothing is certified, under another discrepancy.
        iterations: EM steps of that stage.
        change: what the last cycle of MM gained, relative to the objective; 0 where MM did not run.
        relaxations: MM steps.
    """

    matrix: Floats
    temperature: float
    eps: float
    prior: Floats
    pseudo_count: float
    start: Start
    objective: float
    gap: float
    iterations: int
    change: float = 0.0
    relaxations: int = 0

    def predict(self, probs: Probabilities) -> TargetProbabilities:
        """Source conditional (n, K_s) to mapped conditional q (n, K_t)."""
        return self.predict_log(log_of(probs))

    def predict_log(self, log_p: Floats, features: Features | None = None) -> TargetProbabilities:
        """As ``predict``, from log p (n, K_s); features are not read."""
        return self.read(temper(log_p, self.temperature))

    def read(self, p: Probabilities) -> TargetProbabilities:
        """Tempered p (n, K_s) to q (n, K_t)."""
        return mix(conditional(p, self.matrix, self.prior), self.prior, self.eps)


@dataclass(frozen=True, kw_only=True)
class ChannelFit:
    """The channel of one part, and its map cross-fitted over the part's inner folds.

    Attributes:
        channel: fitted on the whole fitting side.
        inner: (n, K_t) q of the fitting samples from channels that have not seen them; rows of other samples are pi.
    """

    channel: Channel
    inner: TargetProbabilities


def conditional(p: Probabilities, matrix: Floats, prior: Floats) -> TargetProbabilities:
    """``(pA)_y / (pA 1)`` (n, K_t) of p (n, K_s) and A (K_s, K_t)."""
    q = p @ matrix + LEAST_MASS * prior
    return q / q.sum(axis=1, keepdims=True)
