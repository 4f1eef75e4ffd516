"""Losses that tell how much source knowledge an encoder holds, on a batch of the surrogate."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gapkit.errors import DataError, OptionError, UndefinedError


def align_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Mean squared distance ``|u_i - u_j|^2`` of L2-normalised samples of the same class, over all pairs i != j.

    Wang and Isola, ICML 2020, with samples of a class as positive pairs. In [0, 4], without unit; the same number as
    ``gapkit.statistics.geometry.alignment``, with a gradient. O(n d): the squared distances of the pairs of a class sum
    to n_c times those from its mean. Computed in float32 at least, also under autocast. A row of zeros has no
    direction: it stays zero and gets no gradient.

    Args:
        features: (n, d).
        labels: (n,) integers.

    Returns:
        A scalar.

    Raises:
        DataError: shapes that do not fit.
        UndefinedError: no class has two samples.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, 0.0]])
        >>> align_loss(features, torch.tensor([0, 0, 1])).item()
        2.0
    """
    _check(features, labels)
    with torch.autocast(features.device.type, enabled=False):
        units = directions(features)
        classes, codes, counts = torch.unique(labels, return_inverse=True, return_counts=True)
        if len(classes) == len(labels):
            raise UndefinedError(
                f"the batch has {len(labels)} samples, each of another class",
                expected="two samples of a class, as pairs of a class are compared",
                remedy="use larger batches, or draw them with several samples of a class",
            )
        sizes = counts.to(units.dtype)
        sums = units.new_zeros(len(classes), units.shape[1]).index_add(0, codes, units)
        residuals = units - (sums / sizes[:, None])[codes]
        pairs = (sizes * (sizes - 1)).sum() / 2
        return (sizes[codes] * residuals.square().sum(dim=1)).sum() / pairs


def uniform_loss(features: Tensor, t: float = 2.0) -> Tensor:
    """``log mean_{i != j} exp(-t |u_i - u_j|^2)`` of L2-normalised samples (Wang and Isola, ICML 2020).

    In [-4 t, 0], without unit; the same number as ``gapkit.statistics.geometry.uniformity``, with a gradient. O(n^2 d)
    time and O(n^2) memory: distances come from one matrix product, and the mean from a log-sum-exp, which no t
    underflows. Computed in float32 at least, also under autocast. A row of zeros stays zero, at distance 1 from others,
    and gets no gradient.

    Args:
        features: (n, d), n >= 2.
        t: how fast a pair ceases to count with its distance, positive.

    Returns:
        A scalar.

    Raises:
        DataError: features that are no matrix.
        OptionError: t that is not positive.
        UndefinedError: a single sample.

    Example:
        >>> uniform_loss(torch.tensor([[1.0, 0.0], [-5.0, 0.0]])).item(), round(uniform_loss(torch.eye(3)).item(), 6)
        (-8.0, -4.0)
    """
    _check(features)
    if not 0 < t < math.inf:
        raise OptionError(f"t is {t}", expected="a positive number", remedy="2 is usual")
    n = len(features)
    if n < 2:
        raise UndefinedError(
            f"the batch has {n} samples", expected="at least two, as pairs are compared", remedy="use larger batches"
        )
    with torch.autocast(features.device.type, enabled=False):
        units = directions(features)
        squares = units.square().sum(dim=1)
        distances = squares[:, None] + squares[None, :] - 2 * units @ units.T
        itself = torch.eye(n, dtype=torch.bool, device=units.device)
        exponents = (-t * distances).masked_fill(itself, -math.inf)
        return exponents.flatten().logsumexp(dim=0) - math.log(n * (n - 1))


def knowledge_loss(features: Tensor, labels: Tensor) -> Tensor:
    """``align_loss + uniform_loss``, weighted 1:1: lower where an encoder tells the classes of the surrogate better.

    L_src of MoNA (Ma et al., ICML 2024, which takes Wang and Isola's two losses for the quality of features).

    Args:
        features: (n, d).
        labels: (n,) integers.

    Returns:
        A scalar in [-8, 4].

    Raises:
        DataError: shapes that do not fit.
        UndefinedError: no class has two samples.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [-3.0, 0.0]])
        >>> round(knowledge_loss(features, torch.tensor([0, 0, 1, 1])).item(), 4)
        -1.0979
    """
    return align_loss(features, labels) + uniform_loss(features)


def recognition_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy ``-log softmax(logits)_y`` in nats on surrogate samples: L_src by a head of the source.

    Computed in float32 at least, also under autocast.

    Args:
        logits: (n, K) of a linear head on the encoder's features.
        labels: (n,) codes 0 .. K-1.

    Returns:
        A scalar.

    Raises:
        DataError: shapes that do not fit.

    Example:
        >>> round(recognition_loss(torch.zeros(3, 4), torch.tensor([0, 1, 3])).item(), 4)
        1.3863
    """
    _check(logits, labels)
    with torch.autocast(logits.device.type, enabled=False):
        return F.cross_entropy(_at_least_float32(logits), labels.long())


def directions(features: Tensor) -> Tensor:
    """Rows (n, d) divided by their lengths, in float32 at least; a row of zeros stays zero and has no gradient."""
    wide = _at_least_float32(features)
    # A factor per row changes no direction, so it may be held constant; without it squares could overflow or vanish.
    largest = wide.detach().abs().amax(dim=1, keepdim=True)
    empty = largest == 0
    scaled = (wide / largest.masked_fill(empty, 1.0)).masked_fill(empty, 0.0)
    # The norm has no derivative at 0, so that rows of zeros are divided by the norm of other, constant rows.
    lengths = scaled.masked_fill(empty, 1.0).square().sum(dim=1, keepdim=True).sqrt()
    return scaled / lengths


def _at_least_float32(values: Tensor) -> Tensor:
    """Half precision as float32, everything else as it is."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _check(features: Tensor, labels: Tensor | None = None) -> None:
    """Refuse what is no matrix with a label for each row.

    Raises:
        DataError: names the shapes.
    """
    if features.ndim != 2 or 0 in features.shape:
        raise DataError(
            f"features of shape {tuple(features.shape)}",
            expected="(samples, features), at least one of both",
            remedy="pool the encoder's hidden states first",
        )
    if labels is not None and labels.shape != features.shape[:1]:
        raise DataError(
            f"labels of shape {tuple(labels.shape)} beside {len(features)} rows of features",
            expected="one label for each row",
            remedy="take features and labels of the same batch",
        )
