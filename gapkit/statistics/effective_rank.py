"""Effective rank: how many directions a layer varies in, as a real number."""

from __future__ import annotations

from typing import Literal

import numpy as np

from gapkit.arrays import Array
from gapkit.errors import OptionError, UndefinedError
from gapkit.statistics.checks import check_features
from gapkit.statistics.spectrum import tolerance

RankKind = Literal["entropy", "participation"]


def effective_rank(features: Array, *, kind: RankKind = "entropy", centred: bool = True) -> float:
    """How many directions the features vary in, as a real number.

    With the singular values s, "entropy" is ``exp(H(p))``, ``p = s / sum s`` (Roy and Vetterli, EUSIPCO 2007), and
    "participation" the participation ratio of the variances, ``(sum s^2)^2 / sum s^4``. The second weighs large
    directions more and is never the larger one; some code calls ``exp(H(s^2 / sum s^2))`` effective rank too, which
    is a third number and not offered. In [1, rank], without unit. Orthogonal maps and one positive factor change
    nothing, nor does a shift of features that are centred first.

    Without centring, entropy gives RankMe (Garrido et al., ICML 2023), there with 1e-7 added to p.

    Args:
        features: (n, d); or any matrix, such as a difference of weights, with ``centred=False``.
        kind: "entropy" or "participation".
        centred: whether to subtract the mean first. False is RankMe's way; a mean far from 0 then counts as
            one large direction.

    Raises:
        DataError: features that cannot be used.
        OptionError: another kind.
        UndefinedError: features that are all zero, or all alike with ``centred``.

    Example:
        >>> features = np.diag([3.0, 1.0])
        >>> [round(effective_rank(features, kind=kind, centred=False), 4) for kind in ("entropy", "participation")]
        [1.7548, 1.2195]
    """
    if kind not in ("entropy", "participation"):
        raise OptionError(f"kind is {kind!r}", expected="'entropy' or 'participation'", remedy="choose one of them")
    rows = 0.25 * check_features(features)
    if centred:
        rows -= rows[0].copy()
    largest = float(np.abs(rows).max())
    if largest == 0:
        raise UndefinedError(
            "the features of all samples are the same" if centred else "the features are all zero",
            expected="features that vary",
            remedy="take another layer, or check how the features were made",
        )
    rows /= largest
    if centred:
        rows -= rows.mean(axis=0)
    lengths = np.linalg.svd(rows, compute_uv=False)
    lengths = lengths[lengths > tolerance(*rows.shape) * lengths[0]]
    if kind == "participation":
        squares = np.square(lengths / lengths[0])
        return float(np.square(squares.sum()) / np.square(squares).sum())
    shares = lengths / lengths.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
