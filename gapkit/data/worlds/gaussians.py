"""Gaussian classes of unit variance and the posterior of the class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Features, Floats, LogProbabilities, log_softmax


@dataclass(frozen=True, kw_only=True)
class Gaussians:
    """Classes ``x | z ~ N(mu_z, I)``.

    Attributes:
        means: mu (k, d).
        prior: of the classes (k,), positive.
    """

    means: Floats
    prior: Floats

    def log_posterior(self, x: Features) -> LogProbabilities:
        """``log P(z | x)`` (n, k), by one matrix product: ``|x|^2`` is the same for all classes and left out.

        Example:
            >>> two = Gaussians(means=np.array([[0.0], [2.0]]), prior=np.array([0.5, 0.5]))
            >>> np.exp(two.log_posterior(np.array([[1.0], [2.0]]))).round(3).tolist()
            [[0.5, 0.5], [0.119, 0.881]]
        """
        logits = x @ self.means.T
        logits += np.log(self.prior) - 0.5 * np.square(self.means).sum(axis=1)
        return log_softmax(logits)
