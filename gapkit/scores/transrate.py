"""TransRate: by how much the coding rate of the features exceeds that of the features within classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import numpy as np

from gapkit.arrays import Array, Floats, Indices
from gapkit.errors import UndefinedError
from gapkit.options import check_number
from gapkit.scores.checks import check_features, encode, present_classes
from gapkit.scores.coding import rate_of, rate_of_rows
from gapkit.scores.coding_blocks import rates_without
from gapkit.scores.inputs import ScoreInputs
from gapkit.scores.leaving_out import WithoutBlock
from gapkit.scores.row_products import products_pay, row_products
from gapkit.statistics.class_sums import by_class, class_counts
from gapkit.statistics.jackknife import Blocks
from gapkit.statistics.leave_out import leave_out
from gapkit.statistics.stacked import take_rows
from gapkit.statistics.totals import Mean, absorb_mean
from gapkit.types import Traits

EPSILON = 1e-4
"""As in the paper's code."""
LARGEST_RATIO = 1e300
"""Of epsilon and the features' squares, to either side."""


def transrate(features: Array, labels: Array, *, epsilon: float = EPSILON, normalise: bool = False) -> float:
    """``R(F) - 1/C sum_c R(F_c)``, ``R(Z) = 1/2 log |I + Z'Z / (n_Z epsilon)|`` (Huang et al., ICML 2022).

    F is centred by its mean, and F_c are the rows of class c of it, not centred again; classes are weighted equally, as
    in the paper's code. In nats; any real number, higher is better. Defined for n_c < d, for a class of one sample and
    for constant features, whose score is 0.

    Invariant to shift and rotation of the features. **Not** invariant to their scale: with epsilon fixed, larger
    features are coded more finely, and sources of different scale should be compared with ``normalise=True``
    only. Nor to the number of samples: below a few times d samples per class, it falls steeply with n.

    Args:
        features: (n, d).
        labels: (n,) integers or strings.
        epsilon: variance along a direction below which it is hardly coded.
        normalise: divide the features by the root of their mean squared distance from the mean, which makes the score
            invariant to scale. The paper's code does not.

    Raises:
        DataError: arrays that cannot be used.
        OptionError: an epsilon that is not positive.
        UndefinedError: a single class.

    Example:
        >>> rng, labels = np.random.default_rng(0), np.arange(60) % 3
        >>> features = rng.normal(size=(60, 5)) + 3 * np.eye(5)[labels]
        >>> transrate(features, labels) > transrate(features, rng.permutation(labels))
        True
    """
    x = check_features(features)
    codes = encode(labels, len(x))
    estimator = TransRate(epsilon=epsilon, normalise=normalise)
    return estimator.on(ScoreInputs(features=x, labels=codes))(codes)


@dataclass(frozen=True, kw_only=True)
class TransRate:
    """Estimator of ``transrate``.

    Attributes:
        epsilon: variance along a direction below which it is hardly coded.
        normalise: whether the features' mean squared distance from their mean is made 1.
    """

    epsilon: float = EPSILON
    normalise: bool = False

    traits: ClassVar[Traits] = Traits(
        name="transrate",
        title="TransRate",
        formula="R(F) - 1/C sum_c R(F_c), R(Z) = 1/2 logdet(I + Z'Z / (n_Z epsilon)), epsilon = 1e-4, F centred",
        paper="Huang et al., Frustratingly Easy Transferability Estimation, ICML 2022",
        needs=("features", "labels"),
        lowest=None,
        highest=None,
        better="higher",
        unit="nats",
        conditional=True,
        invariant=("sample_order", "class_names", "shift", "orthogonal"),
        cost="O(n d^2 + d^3) once, O(n d m + C m^3), m = min(d, n / C), for each labelling",
        permutations=39,
        avoids="absent classes that count; d x d determinants of classes of fewer than d samples",
    )

    def __post_init__(self) -> None:
        """Check epsilon.

        Raises:
            OptionError: it is not positive.
        """
        check_number("epsilon", self.epsilon)

    def on(self, inputs: ScoreInputs) -> Coded:
        """Code all features once.

        Raises:
            UndefinedError: features that epsilon cannot be compared with in float64; a single class, by the function
                that is returned.
        """
        spectrum = inputs.spectrum
        variance = float(spectrum.values.sum()) / spectrum.n
        scale = variance if self.normalise else 1 / inputs.unit / inputs.unit
        epsilon = self.epsilon * scale if variance > 0 else self.epsilon
        if not 1 / LARGEST_RATIO < epsilon < LARGEST_RATIO:
            raise UndefinedError(
                f"features of the size of {inputs.unit:.1g} beside an epsilon of {self.epsilon}",
                expected="squares of the features that can be compared with epsilon",
                remedy="normalise, or divide the features by one number",
            )
        whole = 0.5 * float(np.log1p(spectrum.values / (spectrum.n * epsilon)).sum())
        return Coded(estimator=self, inputs=inputs, epsilon=epsilon, whole=whole)


@dataclass(frozen=True, kw_only=True, eq=False)
class Coded:
    """Features that are coded, as a function of labels.

    Attributes:
        estimator: whose options hold.
        inputs: the features.
        epsilon: in the unit of the features.
        whole: the coding rate of all of them.
    """

    estimator: TransRate
    inputs: ScoreInputs
    epsilon: float
    whole: float

    def __call__(self, labels: Array) -> float:
        """The score of one labelling."""
        codes, n_classes = present_classes(labels)
        points = self.inputs.spectrum.points
        within = sum(rate_of_rows(points, index, self.epsilon) for index in by_class(codes, n_classes))
        return self.whole - within / n_classes

    def several(self, labellings: Sequence[Array]) -> list[float]:
        """Scores of labellings, from the inner products of all samples where the labellings read these many times.

        Raises:
            UndefinedError: a single class.
        """
        points = self.inputs.spectrum.points
        n, d = points.rows.shape
        coded = [present_classes(labels) for labels in labellings]
        sizes = [class_counts(codes, n_classes) for codes, n_classes in coded]
        # Of a class of more samples than features, another matrix is the smaller one.
        pairs = sum(int(np.square(counts[counts <= d]).sum()) for counts in sizes)
        if not products_pay(n, pairs):
            return [self(labels) for labels in labellings]
        products = row_products(points)

        def rate(index: Indices) -> float:
            if len(index) > d:
                return rate_of_rows(points, index, self.epsilon)
            gram = products.among(index)
            gram *= 1 / (len(index) * self.epsilon)
            return rate_of(gram)

        return [self.whole - sum(map(rate, by_class(*one))) / one[1] for one in coded]

    def without(self, blocks: Blocks) -> WithoutBlock:
        """The score without each block, whose classes share what is left of them."""
        within = None if self.estimator.normalise else self._within(blocks)

        def score(block: int, part: ScoreInputs) -> float:
            coded = self.estimator.on(part)
            if within is None or part.unit != self.inputs.unit:
                return coded(part.labels)
            return coded.whole - float(within[block]) / present_classes(part.labels)[1]

        return score

    def _within(self, blocks: Blocks) -> Floats:
        """The sum over classes of their coding rates without each block (g,)."""
        features, count = self.inputs.features, len(blocks.layers)
        means = leave_out(blocks.ids, count, None, partial(absorb_mean, features))
        centres = np.array([cast("Mean", means[block]).value for block in range(count)])
        codes, n_classes = present_classes(self.inputs.labels)
        centre, found = self.inputs.totals.mean, np.zeros(count)
        for index in by_class(codes, n_classes):
            found += rates_without(take_rows(features, index), blocks.ids[index], centre, centres, self.epsilon)
        return found
