"""LEEP: how well the source's probabilities predict the labels, through P(target class | source class)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from gapkit.arrays import Array, Floats, Indices, Labels
from gapkit.errors import UndefinedError
from gapkit.scores.checks import check_probabilities, encode, present_classes
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.leaving_out import WithoutBlock
from gapkit.statistics.jackknife import Blocks
from gapkit.statistics.leave_out import leave_out
from gapkit.statistics.mapped import MappedRows
from gapkit.statistics.totals import CACHED, MULTIPLIED
from gapkit.types import Traits

TOGETHER = 128
"""Target classes, of several labellings together, in one product: with few, reading the probabilities takes longer."""
FEW = 32
"""Target classes up to which a product with all of them takes less time than one of each sample with its own."""


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

    def on(self, inputs: ScoreInputs) -> Predicted:
        """Take the probabilities once.

        Raises:
            UndefinedError: the source has no head; or a single class, by the function that is returned.
        """
        log_p = source_probabilities(inputs, LEEP.traits.title)
        p = MappedRows(rows=log_p, width=log_p.shape[1], function=np.exp)
        return Predicted(p=p, labels=inputs.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """LEEP of some samples, as a function of labels.

    Attributes:
        p: (n, S) probabilities.
        labels: (n,) as they are.
    """

    p: MappedRows
    labels: Array

    def __call__(self, labels: Array) -> float:
        """The score of one labelling."""
        return leep_of(self.p, labels)

    def several(self, labellings: Sequence[Array]) -> list[float]:
        """Scores of labellings, as many at once as have ``TOGETHER`` target classes together.

        Raises:
            UndefinedError: a single class.
        """
        step = max(1, TOGETHER // present_classes(labellings[0])[1])
        chunks = [labellings[start : start + step] for start in range(0, len(labellings), step)]
        return [score for chunk in chunks for score in _scores(self.p, chunk)]

    def without(self, blocks: Blocks) -> WithoutBlock:
        """The score without each block: sums over the classes of what is left, and predictions by these."""
        codes, n_classes = present_classes(self.labels)
        start = np.zeros((n_classes, self.p.width))
        joints = leave_out(blocks.ids, len(blocks.layers), start, partial(self._add, codes))

        def score(block: int, part: ScoreInputs) -> float:
            present_classes(part.labels)  # a single one is refused
            likelihoods = _likelihoods(self.p, _conditionals(joints[block][None]), [codes])[0]
            return _mean_logarithm(likelihoods[blocks.ids != block])

        return score

    def _add(self, codes: Labels, joint: Floats, index: Indices) -> Floats:
        """Sums of the probabilities of each class with some samples more."""
        return joint + self.p.class_sums(codes, len(joint), at=index)


def leep_of(p: MappedRows, labels: Array) -> float:
    """The score of one labelling, from probabilities (n, S)."""
    return _scores(p, [labels])[0]


def _scores(p: MappedRows, labellings: Sequence[Array]) -> list[float]:
    """The scores of some labellings, from probabilities (n, S)."""
    codes, counts = zip(*map(present_classes, labellings), strict=True)
    conditionals = _conditionals(_joints(p, codes, max(counts)))
    return [_mean_logarithm(row) for row in _likelihoods(p, conditionals, codes)]


def _joints(p: MappedRows, codes: Sequence[Labels], n_classes: int) -> Floats:
    """``sum of p_iz`` over the samples of each class (m, C, S), of m labellings."""
    if len(codes) == 1 or n_classes > FEW:
        return np.stack([p.class_sums(own, n_classes) for own in codes])
    columns = _columns(codes, n_classes)
    found = np.zeros((len(codes) * n_classes, p.width))
    for place, block in p.by(_nbytes(p, len(found))):
        members = np.zeros((len(block), len(found)))
        np.put_along_axis(members, columns[place], 1.0, axis=1)
        found += members.T @ block
    return found.reshape(len(codes), n_classes, p.width)


def _columns(codes: Sequence[Labels], n_classes: int) -> Array:
    """The place (n, m) of each sample's class among those of all labellings."""
    return np.stack(codes, axis=1) + n_classes * np.arange(len(codes))


def _conditionals(joints: Floats) -> Floats:
    """P(y | z) (m, C, S); 0 for a source class without mass."""
    mass = joints.sum(axis=1, keepdims=True)
    return joints / np.where(mass > 0, mass, 1.0)


def _likelihoods(p: MappedRows, conditionals: Floats, codes: Sequence[Labels]) -> Floats:
    """``sum_z P(y_i | z) p_iz`` (m, n)."""
    count, n_classes, width = conditionals.shape
    found, columns = np.empty((count, len(p))), _columns(codes, n_classes)
    flat = conditionals.reshape(-1, width)
    for place, block in p.by(_nbytes(p, len(flat)) if n_classes <= FEW else CACHED):
        if n_classes <= FEW:
            found[:, place] = np.take_along_axis(block @ flat.T, columns[place], axis=1).T
        else:
            found[:, place] = [np.einsum("iz,iz->i", block, flat[own]) for own in columns[place].T]
    return found


def _mean_logarithm(likelihoods: Floats) -> float:
    """The mean log-likelihood; rounding can leave a perfect prediction above 1."""
    return min(0.0, float(np.log(likelihoods).sum()) / len(likelihoods))


def _nbytes(p: MappedRows, columns: int) -> int:
    """Bytes of blocks of p, so that products with so many columns take no more than ``MULTIPLIED``."""
    return max(1, MULTIPLIED * p.width // max(1, p.width, columns))


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
