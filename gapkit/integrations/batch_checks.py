"""What streaming metrics check of the batches that they are given."""

from __future__ import annotations

import torch
from torch import Tensor

from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.integrations.streamed import ClassSums


def check_sizes(**sizes: int) -> None:
    """Refuse states of nothing.

    Raises:
        OptionError: names the size.
    """
    for name, size in sizes.items():
        if size < 1:
            raise OptionError(f"{name} is {size}", expected="at least 1", remedy="give the width of the layer")


def check_batch(rows: Tensor, features: int, name: str, *, count: int | None = None) -> None:
    """Refuse what is no batch of features.

    Raises:
        DataError: another shape, or NaN or infinite values.
    """
    if rows.ndim != 2 or rows.shape[1] != features or (count is not None and len(rows) != count):
        raise DataError(
            f"{name} has shape {tuple(rows.shape)}",
            expected=f"({'B' if count is None else count}, {features})",
            remedy="give one row for each sample, of the width that the metric was made with",
        )
    if not torch.isfinite(rows).all():
        raise DataError(f"{name} has NaN or infinite values", expected="finite numbers", remedy="check the model")


def check_labelled(features: Tensor, labels: Tensor, sums: ClassSums) -> Tensor:
    """Class codes, int64, beside features.

    Raises:
        DataError: other shapes or labels, or NaN or infinite values.
    """
    check_batch(features, sums.features, "features")
    fits = labels.shape == features.shape[:1] and not labels.is_floating_point()
    if not fits or (len(labels) and not (int(labels.min()) >= 0 and int(labels.max()) < sums.classes)):
        raise DataError(
            f"labels of shape {tuple(labels.shape)} and dtype {labels.dtype}",
            expected=f"one integer from 0 to {sums.classes - 1} for each of {len(features)} samples",
            remedy="encode them, or make the metric with more classes",
        )
    return labels.to(torch.int64)


def check_pairs(counts: Tensor) -> None:
    """Refuse samples of which no two have the same class.

    Raises:
        UndefinedError: no pair.
    """
    if not (counts > 1).any():
        raise UndefinedError(
            "no class has two samples", expected="a class with two or more", remedy="give more samples"
        )
