"""Means of expected discrepancies over large numbers of fresh samples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Floats, PerSample
from gapkit.data.worlds.discrepancies import Discrepancy, expected_losses


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A discrepancy in the limit of infinitely many samples, as far as Monte Carlo knows it.

    Attributes:
        value: E d, in nats for KL.
        standard_error: of the value; 0 where it is exact.
        normalised: value / prior_value: 0 all is known, 1 no more than the class prior.
        normalised_standard_error: likewise; the prior's value is exact.
        prior_value: the same discrepancy of the class prior P(y): H(Y), 1 - max P(y) or 1 - sum P(y)^2.
        n: samples averaged; 0 where the value is exact.
        discrepancy: which one.
    """

    value: float
    standard_error: float
    normalised: float
    normalised_standard_error: float
    prior_value: float
    n: int
    discrepancy: Discrepancy


def prior_value(prior: Floats, discrepancy: Discrepancy) -> float:
    """The discrepancy of the class prior (K_t,) from labels drawn from it."""
    return float(expected_losses(prior[None], prior[None], discrepancy)[0])


def exact_truth(value: float, prior: Floats, discrepancy: Discrepancy) -> Truth:
    """A value that needs no Monte Carlo."""
    below = prior_value(prior, discrepancy)
    return Truth(
        value=value,
        standard_error=0.0,
        normalised=value / below,
        normalised_standard_error=0.0,
        prior_value=below,
        n=0,
        discrepancy=discrepancy,
    )


def mean_truth(losses: Iterable[PerSample], prior: Floats, discrepancy: Discrepancy) -> Truth:
    """The mean of independent losses, given in blocks, with the standard error of a mean."""
    every = np.concatenate(list(losses))
    value, error = float(every.mean()), np.inf
    if np.isfinite(value):
        error = float(every.std(ddof=1) / np.sqrt(len(every)))
    below = prior_value(prior, discrepancy)
    return Truth(
        value=value,
        standard_error=error,
        normalised=value / below,
        normalised_standard_error=error / below,
        prior_value=below,
        n=len(every),
        discrepancy=discrepancy,
    )
