"""LEEP: how well the source's probabilities predict the labels, through P(target class | source class)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array
from gapkit.errors import UndefinedError
from gapkit.scores.checks import check_probabilities, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.statistics.mapped import MappedRows
from gapkit.types import Traits


def leep(probs: Array, labels: Array) -> float:
    """Log expected empirical prediction: the mean log-likelihood of the labels (Nguyen et al., ICML 2020).

    ``1/n sum_i log sum_z P(y_i | z) p_iz`` with ``P(y, z) = 1/n sum_{i: y_i = y} p_iz`` and P(y | z) from it, both from
    the same samples. In nats, in [-H(Y), 0], H(Y) the entropy of the labels; higher is better. Invariant to the order
    of samples and to the names of source and target classes.

    A source class without any probability predicts nothing and carries nothing. (The original code divides 0 by 0
    there, and the score becomes NaN.)

    Args:
        probs: (n, S) probabilities of the source classes; rows sum to 1, not logits.
        labels: (n,) target classes, integers or strings.

    Raises:
        DataError: arrays that cannot be used, or that have changed places.
        UndefinedError: a single target class.

    Example:
        >>> probs = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
        >>> leep(probs, np.array(["cat", "cat", "dog", "dog"])), round(leep(probs, np.array([0, 1, 0, 1])), 6)
        (0.0, -0.693147)
    """
    p = check_probabilities(probs, labels)
    return leep_of(p, encode(labels, len(p)))


@dataclass(frozen=True, kw_only=True)
class LEEP:
    """Estimator of ``leep``."""

    traits: ClassVar[Traits] = Traits(
        name="leep",
        title="LEEP",
        formula="1/n sum_i log sum_z P(y_i|z) p_iz, P(y,z) = 1/n sum_{i: y_i = y} p_iz",
        paper="Nguyen et al., LEEP: A New Measure to Evaluate Transferability of Learned Representations, ICML 2020",
        needs=("probabilities", "labels"),
        lowest=None,
        highest=0.0,
        better="higher",
        unit="nats",
        conditional=True,
        invariant=("sample_order", "class_names"),
        cost="O(n S) for each labelling",
        avoids="0/0 for source classes without mass; the product of all samples, source and target classes",
    )

    def on(self, inputs: ScoreInputs) -> Callable[[Array], float]:
        """Take the probabilities once.

        Raises:
            UndefinedError: the source has no head; or a single class, by the function that is returned.
        """
        log_p = source_probabilities(inputs, LEEP.traits.title)
        p = MappedRows(rows=log_p, width=log_p.shape[1], function=np.exp)
        return lambda labels: leep_of(p, labels)


def leep_of(p: MappedRows, labels: Array) -> float:
    """The score of one labelling, from probabilities (n, S)."""
    codes, n_classes = present_classes(labels)
    joint = p.class_sums(codes, n_classes)
    mass = joint.sum(axis=0)
    conditional = joint / np.where(mass > 0, mass, 1.0)
    found = 0.0
    for place, block in p:
        found += float(np.log(np.einsum("iz,iz->i", block, conditional[codes[place]])).sum())
    # Rounding can leave a perfect prediction above 1.
    return min(0.0, found / len(codes))


def source_probabilities(inputs: ScoreInputs, title: str) -> Array:
    """Log-probabilities (n, S).

    Raises:
        UndefinedError: the source has no head.
    """
    if inputs.log_probabilities is None:
        raise UndefinedError(
            f"{title} of a source without a head",
            expected="probabilities of source classes",
            remedy="give the source a head, or choose a score of the features such as LogME",
        )
    return inputs.log_probabilities
