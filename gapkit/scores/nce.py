"""NCE: how certain the target class is, given the source class that the source predicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Labels
from gapkit.scores.checks import check_source_labels, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.leaving_out import WithoutBlock
from gapkit.scores.leep import source_probabilities
from gapkit.statistics.jackknife import Blocks
from gapkit.types import Traits


def nce(source_labels: Array, labels: Array) -> float:
    """Negative conditional entropy ``-H(Y | Z) = sum_{y, z} P(y, z) log(P(y, z) / P(z))`` (Tran et al., ICCV 2019).

    Z is the source class of each sample, as the source predicts it, and P are shares of the samples. In nats, in
    [-log C, 0], higher is better. It grows with the number of source classes: 0 where every sample has one of its own.
    Nothing is added to shares, as the original codes do (1e-20, or 1e-5 with a visible bias).

    The order of the arguments matters, as H(Y | Z) is not H(Z | Y), and two label arrays cannot be told apart: the
    source's come first.

    Args:
        source_labels: (n,) source classes, integers or strings; ``probs.argmax(axis=1)`` of probabilities.
        labels: (n,) target classes, integers or strings.

    Raises:
        DataError: arrays that cannot be used, or that have changed places.
        UndefinedError: a single target class.

    Example:
        >>> source_labels, labels = np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1])
        >>> nce(source_labels, labels), round(nce(labels, source_labels), 6)
        (0.0, -0.346574)
    """
    given = check_source_labels(source_labels, labels)
    n = len(given)
    return negative_conditional_entropy(encode(given, n, "source_labels"), encode(labels, n))


def negative_conditional_entropy(source_codes: Labels, labels: Labels) -> float:
    """``-H(labels | source_codes)`` in nats.

    Raises:
        UndefinedError: a single class.
    """
    codes, n_classes = present_classes(labels)
    joint = np.bincount(source_codes * n_classes + codes)
    joint = np.append(joint, np.zeros(-len(joint) % n_classes, dtype=joint.dtype)).reshape(-1, n_classes)
    source, target = np.nonzero(joint)
    together, alone = joint[source, target], joint.sum(axis=1)[source]
    return float(together @ np.log(together / alone)) / len(codes)


@dataclass(frozen=True, kw_only=True)
class NCE:
    """Estimator of ``nce``, with the most probable source class of each sample."""

    traits: ClassVar[Traits] = Traits(
        name="nce",
        title="NCE",
        formula="-H(Y|Z) = sum_{y,z} P(y,z) log(P(y,z) / P(z)), z = argmax p",
        paper="Tran et al., Transferability and Hardness of Supervised Classification Tasks, ICCV 2019",
        needs=("probabilities", "labels"),
        lowest=None,
        highest=0.0,
        better="higher",
        unit="nats",
        conditional=True,
        invariant=("sample_order", "class_names"),
        cost="O(n S) once, O(n + S C) for each labelling",
        avoids="epsilons that bias the shares",
    )

    def on(self, inputs: ScoreInputs) -> Confused:
        """Find the most probable source class of each sample, the first of equal ones, once.

        Raises:
            UndefinedError: the source has no head; or a single class, by the function that is returned.
        """
        return Confused(source_codes=source_probabilities(inputs, NCE.traits.title).argmax(axis=1).astype(np.int64))


@dataclass(frozen=True, kw_only=True, eq=False)
class Confused:
    """NCE of some samples, as a function of labels.

    Attributes:
        source_codes: (n,) source classes.
    """

    source_codes: Labels

    def __call__(self, labels: Array) -> float:
        """The score of one labelling."""
        return negative_conditional_entropy(self.source_codes, labels)

    def without(self, blocks: Blocks) -> WithoutBlock:
        """The score without each block."""
        return lambda block, part: negative_conditional_entropy(self.source_codes[blocks.ids != block], part.labels)
