"""Measures of reuse that are sums over batches, as ``torchmetrics`` metrics (extra ``torchmetrics``).

Each gives what the function of ``gapkit.reuse`` gives for all samples at once, whatever the batches are and however
many processes share them. States are float64 and have a fixed size, which is said of each; on devices without float64
(MPS) keep the metric on the CPU. Where a measure is undefined, ``compute`` says so; in the step of a training use
``update``, as ``forward`` computes the value of each batch by itself.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Floats
from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.integrations.batch_checks import check_batch, check_labelled, check_pairs, check_sizes
from gapkit.integrations.extras import base_class
from gapkit.integrations.streamed import EXACT, ClassSums, PairSums, beyond_error
from gapkit.reuse.cka import CANCELLED
from gapkit.reuse.denominators import no_denominator
from gapkit.reuse.retention import BEYOND, LEAST_COPIES, MORE
from gapkit.reuse.u_centring import LEAST_SAMPLES
from gapkit.statistics.geometry import collapse

EXTRA = "torchmetrics"


class LinearCKA(base_class("torchmetrics", "Metric", extra=EXTRA)):
    """``gapkit.reuse.cka`` of two layers, debiased or not, from sums over batches.

    The biased estimator needs cross-products of features alone: ``|S_xy|_F^2 / (|S_xx|_F |S_yy|_F)``, S scatters. The
    debiased one, HSIC_1 of all n samples, is a function of sums too: with centred z, w and scatters S,

        ``HSIC_1(x, y) ~ |S_xy|_F^2 - n / (n - 2) sum_i |z_i|^2 |w_i|^2 + tr S_xx tr S_yy / ((n - 1) (n - 2))``,

    and the middle sum about the mean of all samples follows from ``sum |x|^2 |y|^2``, ``sum |x|^2 y``, ``sum |y|^2 x``
    and scatters about any other point. So both are exact for any batches. Averages of HSIC_1 over minibatches (Nguyen
    et al., ICLR 2021) are another estimator: each is unbiased for the same HSIC, but a ratio of such averages depends
    on the batch size, and is noisier.

    State: ``(d + d')^2 + 3 (d + d') + 4`` numbers.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(self, features: int, others: int | None = None, *, debiased: bool = True) -> None:
        """Make an empty state.

        Args:
            features: d of the first layer.
            others: d' of the second; d where it is None.
            debiased: as in ``cka``.

        Raises:
            OptionError: no features.
        """
        super().__init__()
        check_sizes(features=features, others=features if others is None else others)
        self.debiased, self.sums = debiased, PairSums(first=features, second=others or features)
        self.add_state("state", torch.zeros(self.sums.size, dtype=EXACT), dist_reduce_fx=self.sums.merge)

    def update(self, x: Tensor, y: Tensor) -> None:
        """Take a batch, (B, d) and (B, d') of the same samples.

        Raises:
            DataError: other shapes, or NaN or infinite values.
        """
        check_batch(x, self.sums.first, "x")
        check_batch(y, self.sums.second, "y", count=len(x))
        if len(x):
            self.state = self.sums.merge(torch.stack([self.state, self.sums.measure(x, y).to(self.state.device)]))

    def compute(self) -> Tensor:
        """The alignment, in [-1, 1], or [0, 1] where it is biased.

        Raises:
            UndefinedError: fewer than 4 samples (2 where it is biased), or a layer whose self term has lost its digits
                to cancellation, as of nearly constant features or samples equally far from each other.
        """
        n, _, scatter, _, fourths = self.sums.parts(self.state)
        least = LEAST_SAMPLES if self.debiased else 2
        if n < least:
            raise UndefinedError(f"{int(n)} samples", expected=f"at least {least} for CKA", remedy="give more samples")
        d = self.sums.first
        xx, xy, yy = scatter[:d, :d], scatter[:d, d:], scatter[d:, d:]
        cross, own = xy.square().sum(), [xx.square().sum(), yy.square().sum()]
        if self.debiased:
            traces = xx.trace(), yy.trace()
            cross = self._debias(cross, fourths[1], traces[0] * traces[1], n)
            own = [self._debias(own[k], fourths[2 * k], traces[k] ** 2, n) for k in range(2)]
        for k, name in enumerate("xy"):
            if own[k] <= CANCELLED * fourths[2 * k]:
                raise UndefinedError(
                    f"{name} has a self term that is lost in rounding, or constant features",
                    expected="samples at different distances",
                    remedy="give more samples, or use gapkit.reuse.cka on all of them",
                )
        value = cross / torch.sqrt(own[0] * own[1])
        return value.clamp(-1.0 if self.debiased else 0.0, 1.0)

    def _debias(self, product: Tensor, fourths: Tensor, traces: Tensor, n: Tensor) -> Tensor:
        """HSIC_1 but for its divisor."""
        return product - n / (n - 2) * fourths + traces / ((n - 1) * (n - 2))


class _OfClasses(base_class("torchmetrics", "Metric", extra=EXTRA)):
    """What is read off ``ClassSums``."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    scattered: ClassVar[bool]

    def __init__(self, features: int, classes: int) -> None:
        """Make an empty state.

        Args:
            features: d.
            classes: the largest C; labels are 0 .. C - 1.

        Raises:
            OptionError: no features or classes.
        """
        super().__init__()
        check_sizes(features=features, classes=classes)
        self.sums = ClassSums(classes=classes, features=features, scattered=self.scattered)
        self.add_state("state", torch.zeros(self.sums.size, dtype=EXACT), dist_reduce_fx=self.sums.merge)

    def take(self, features: Tensor, codes: Tensor) -> None:
        """Add a batch that has been checked, (B, d) and (B,)."""
        batch = self.sums.measure(features, codes).to(self.state.device)
        self.state = self.sums.merge(torch.stack([self.state, batch]))


class Alignment(_OfClasses):
    """``gapkit.reuse.alignment``, mean |u - v|^2 of unit features over pairs of a class, from sums over batches.

    State: ``C (d + 2)`` numbers.
    """

    scattered = False

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take a batch, (B, d) and class codes (B,).

        Raises:
            DataError: other shapes or labels, or NaN or infinite values.
            UndefinedError: a sample of zeros, which has no direction.
        """
        codes = check_labelled(features, labels, self.sums)
        largest = features.abs().amax(dim=1, keepdim=True) if len(features) else features
        if (largest == 0).any():
            raise UndefinedError(
                "a sample is all zero and has no direction",
                expected="features that are not all zero",
                remedy="leave such samples out, or take another layer",
            )
        if len(features):
            scaled = features.to(EXACT) / largest
            units = scaled / scaled.square().sum(dim=1, keepdim=True).sqrt()
            self.take(units, codes)

    def compute(self) -> Tensor:
        """The mean squared distance, in [0, 4].

        Raises:
            UndefinedError: no class has two samples.
        """
        counts, _, squares = self.sums.parts(self.state)
        check_pairs(counts)
        return (counts * squares).sum() / ((counts * (counts - 1)).sum() / 2)


class NC1(_OfClasses):
    """``gapkit.reuse.nc1``, tr(S_W pinv(S_B)) / C, from sums over batches; C counts the classes that have samples.

    State: ``C (d + 1) + d^2`` numbers.
    """

    scattered = True

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Take a batch, (B, d) and class codes (B,).

        Raises:
            DataError: other shapes or labels, or NaN or infinite values.
        """
        codes = check_labelled(features, labels, self.sums)
        if len(features):
            self.take(features, codes)

    def compute(self) -> Tensor:
        """Variance inside classes over that between them, in [0, inf).

        Raises:
            UndefinedError: fewer than two classes, no class with two samples, or class means that are all the same.
        """
        counts, means, within = (part.cpu().numpy() for part in self.sums.parts(self.state))
        check_pairs(torch.from_numpy(counts))
        there = counts > 0
        if there.sum() < 2:
            raise UndefinedError(
                "all samples have the same label",
                expected="samples of at least two classes",
                remedy="take samples of other classes in",
            )

        def along(directions: Floats) -> Floats:
            return np.einsum("kd,de,ke->k", directions, within, directions)

        value = collapse(counts[there].astype(np.int64), means[there], float(np.trace(within)), along)
        return torch.tensor(value, dtype=EXACT, device=self.state.device)


class AccuracyRetention(base_class("torchmetrics", "Metric", extra=EXTRA)):
    """``(a_after - a_rand) / (a_before - a_rand)`` of hits, as ``gapkit.reuse.retention.retention``, without interval.

    Hits are those of probes, or of heads, that have not seen the samples. State: ``1 + (s + 2) + (s + 2)^2`` numbers,
    of which the products are for the standard error of the denominator.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    def __init__(self, copies: int = 3) -> None:
        """Make an empty state.

        Args:
            copies: s, of the model with random weights, at least 3.

        Raises:
            OptionError: fewer.
        """
        super().__init__()
        if copies < LEAST_COPIES:
            raise OptionError(f"{copies} copies", expected=f"at least {LEAST_COPIES}", remedy="use copies=3")
        self.copies = copies
        self.add_state("count", torch.zeros((), dtype=EXACT), dist_reduce_fx="sum")
        self.add_state("hits", torch.zeros(copies + 2, dtype=EXACT), dist_reduce_fx="sum")
        self.add_state("products", torch.zeros(copies + 2, copies + 2, dtype=EXACT), dist_reduce_fx="sum")

    def update(self, before: Tensor, after: Tensor, random: Tensor) -> None:
        """Take a batch of hits: (B,) of the model before and after, (s, B) of the copies, 0 and 1 or booleans.

        Raises:
            DataError: other shapes or values.
        """
        shapes = tuple(before.shape), tuple(after.shape), tuple(random.shape)
        if before.ndim != 1 or shapes[1] != shapes[0] or shapes[2] != (self.copies, len(before)):
            raise DataError(
                f"hits have shapes {shapes}", expected=f"(B,), (B,) and ({self.copies}, B)", remedy="pass one for each"
            )
        table = torch.cat([torch.stack([before, after]), random]).to(self.count.device, EXACT)
        if not ((table >= 0) & (table <= 1)).all():
            raise DataError("hits outside of [0, 1]", expected="0 or 1", remedy="pass predictions == labels")
        self.count = self.count + table.shape[1]
        self.hits = self.hits + table.sum(dim=1)
        self.products = self.products + table @ table.T

    def compute(self) -> Tensor:
        """The share that is left, not clipped.

        Raises:
            UndefinedError: fewer than two samples, or ``a_before - a_rand < 2 SE``.
        """
        n = float(self.count)
        if n < 2:
            raise UndefinedError(f"{int(n)} samples", expected="at least two", remedy="give more samples")
        means = self.hits.cpu().numpy() / n
        before, after, floor = means[0], means[1], means[2:].mean()
        beyond, error = float(before - floor), beyond_error(means, self.products.cpu().numpy(), n)
        if reason := no_denominator(beyond, error, BEYOND, remedy=MORE):
            raise reason
        return torch.tensor((after - floor) / beyond, dtype=EXACT, device=self.count.device)
