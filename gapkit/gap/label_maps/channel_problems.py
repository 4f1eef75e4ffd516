"""What channels are fitted on: many problems on the same source conditional at once, in double or single precision.

Problems differ in their samples (weights), priors and pseudo-counts and share every product with p. Channels are
arrays (K_t, K_s, m), A transposed, with m the problems. Choosing between channels and coming near an optimum need
losses to about a thousandth of a nat, for which single precision is enough; it halves the time of the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Mask
from gapkit.gap.label_maps.tempering import Samples, Tempered

LEAST_LIKELIHOOD = {"f8": 1e-290, "f4": 1e-30}
"""Only samples that are not fitted on can have less; a ratio with it would overflow."""
SINGLE_FLOOR = 1e-18
"""Least p in single precision: the product of two such numbers is still above the smallest float32."""


@dataclass(frozen=True, kw_only=True)
class SingleTempered:
    """As ``Tempered``, p (n, K_s) in float32."""

    samples: Samples
    temperature: float
    p: Array

    def class_sums(self, values: Array, weights: Array) -> Array:
        """``sum_{i: y_i = y} w_im v_iz`` for values (n, K_s) and weights (n, m), as (K_t, K_s, m)."""
        return np.stack([values[rows].T @ weights[rows] for rows in self.samples.blocks])


@dataclass(frozen=True, kw_only=True)
class Tempering:
    """What every temperature needs: ``log p - max log p`` (n, K_s) in float32; the last p is kept."""

    samples: Samples
    shifted: Array

    def at(self, temperature: float) -> SingleTempered:
        """P at the temperature, in float32."""
        if temperature not in self._kept:
            self._kept.clear()
            self._kept[temperature] = self._temper(temperature)
        return self._kept[temperature]

    @cached_property
    def _kept(self) -> dict[float, SingleTempered]:
        """What was asked for last."""
        return {}

    def _temper(self, temperature: float) -> SingleTempered:
        """P at the temperature, computed."""
        p = self.shifted * np.float32(1 / temperature)
        np.exp(p, out=p)
        p /= p.sum(axis=1, keepdims=True)
        np.maximum(p, np.float32(SINGLE_FLOOR), out=p)
        return SingleTempered(samples=self.samples, temperature=temperature, p=p)


def make_tempering(samples: Samples) -> Tempering:
    """Log p shifted once, for every temperature."""
    shifted = (samples.log_p - samples.log_p.max(axis=1, keepdims=True)).astype(np.float32)
    return Tempering(samples=samples, shifted=shifted)


@dataclass(frozen=True, kw_only=True)
class ChannelProblems:
    """M problems on one tempered source conditional; all arrays have the precision of its p.

    Attributes:
        tempered: p, sorted by class.
        weights: (n, m) 1 for samples to fit on, else 0.
        priors: (K_t, m) class priors pi.
        pseudo: (m,) pseudo-counts c.
    """

    tempered: Tempered | SingleTempered
    weights: Array
    priors: Array
    pseudo: Array

    def take(self, which: Indices) -> ChannelProblems:
        """Some of the problems."""
        return ChannelProblems(
            tempered=self.tempered,
            weights=self.weights[:, which],
            priors=self.priors[:, which],
            pseudo=self.pseudo[which],
        )

    def on(self, tempered: Tempered | SingleTempered) -> ChannelProblems:
        """The same problems on another tempered p, in its precision."""
        kind = tempered.p.dtype
        return ChannelProblems(
            tempered=tempered,
            weights=self.weights.astype(kind),
            priors=self.priors.astype(kind),
            pseudo=self.pseudo.astype(kind),
        )

    @property
    def sizes(self) -> Floats:
        """Samples that each problem is fitted on (m,)."""
        return self.weights.sum(axis=0, dtype=np.float64)

    @property
    def pull(self) -> Array:
        """``c pi_y`` (K_t, 1, m)."""
        return (self.pseudo * self.priors)[:, None, :]

    def plug_in(self) -> Array:
        """LEEP's estimate of P(y | z) with the pseudo-count: ``(J + c pi) / (sum_y J + c)``, J the summed mass."""
        return self.normalise(self.tempered.class_sums(self.tempered.p, self.weights))

    def normalise(self, expected: Array) -> Array:
        """Expected counts (K_t, K_s, m) to the row-stochastic channel that is the most likely one for them."""
        added = expected + self.pull
        return added / np.maximum(added.sum(axis=0), np.finfo(added.dtype).tiny)

    def likelihood(self, channels: Array) -> Array:
        """``(pA)_{i y_i}`` (n, m), of samples that are fitted on and of others alike."""
        p = self.tempered.p
        return np.concatenate([p[rows] @ channels[y] for y, rows in enumerate(self.tempered.samples.blocks)])

    def sweep(self, channels: Array, weights: Array) -> tuple[Array, Array]:
        """``L_im = (pA)_{i y_i}`` (n, m) and ``sum_{i: y_i = y} w_im p_iz / L_im`` (K_t, K_s, m).

        Class by class, so that a block of p is still in the cache when it is read the second time.
        """
        p, sums = self.tempered.p, np.empty_like(channels)
        likelihood = np.empty((len(p), channels.shape[2]), dtype=p.dtype)
        # Once in many millions of products OpenBLAS raises the flag for finite operands and a finite product.
        with np.errstate(invalid="ignore"):
            for y, rows in enumerate(self.tempered.samples.blocks):
                block = p[rows]
                likelihood[rows] = self.floor(block @ channels[y])
                np.matmul(block.T, weights[rows] / likelihood[rows], out=sums[y])
        return likelihood, sums

    def floor(self, likelihood: Array) -> Array:
        """The likelihood, at least the smallest that a ratio can be formed with."""
        return np.maximum(likelihood, np.array(LEAST_LIKELIHOOD[likelihood.dtype.str[1:]], dtype=likelihood.dtype))


@dataclass(frozen=True, kw_only=True)
class Member:
    """One problem of many: a choice of samples (n,), its class prior (K_t,) and pseudo-count."""

    mask: Mask
    prior: Floats
    pseudo_count: float


def stack_problems(tempered: Tempered | SingleTempered, members: Sequence[Member]) -> ChannelProblems:
    """The problems of several members on one p, in its precision."""
    kind = tempered.p.dtype
    return ChannelProblems(
        tempered=tempered,
        weights=np.stack([member.mask for member in members], axis=1).astype(kind),
        priors=np.stack([member.prior for member in members], axis=1).astype(kind),
        pseudo=np.array([member.pseudo_count for member in members], dtype=kind),
    )
