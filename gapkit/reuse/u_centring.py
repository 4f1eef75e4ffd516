"""U-centring: what is left of inner products between samples when neither means nor their own lengths count."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64

from gapkit.arrays import AnyShape, Features

Pairs = Float64[np.ndarray[AnyShape, np.dtype[np.float64]], "a b"]
"""One number for each pair of samples."""
BLOCK_ENTRIES = 1 << 20
"""Pairs that are held at once (8 MB)."""
LEAST_SAMPLES = 4
"""Of three samples, U-centring leaves nothing: it takes n degrees of freedom from n (n - 1) / 2."""


def row_blocks(n: int) -> Iterator[slice]:
    """Consecutive samples, so many that their pairs with all n are ``BLOCK_ENTRIES``.

    Example:
        >>> [(block.start, block.stop) for block in row_blocks(3)]
        [(0, 3)]
    """
    step = max(1, BLOCK_ENTRIES // n)
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


def u_centred(rows: Features, block: slice) -> Pairs:
    """Rows of the U-centred Gram matrix (b, n) of centred features, n >= 4 (Szekely and Rizzo, Annals of Stat. 2014).

    With K' the inner products without their diagonal, r its row sums and s its sum, the entry is ``K'_ij -
    (r_i + r_j) / (n - 2) + s / ((n - 1) (n - 2))`` for i != j and 0 on the diagonal. Of centred features all row sums
    of K are 0, so that r_i is ``-|z_i|^2``. It projects on the matrices with zero diagonal and zero row sums; the mean
    product of two of them, with divisor n (n - 3), is HSIC_1 of Song et al. (JMLR 2012).

    Args:
        rows: (n, d) with zero column means.
        block: the samples whose rows are wanted.

    Example:
        >>> rows = np.array([[1.0], [-1.0], [2.0], [-2.0]])
        >>> found = u_centred(rows, slice(0, 4))
        >>> bool(np.abs(found.sum(axis=0)).max() < 1e-12), found[0].round(6).tolist()
        (True, [0.0, -1.666667, 2.833333, -1.166667])
    """
    n = len(rows)
    squares = np.einsum("ij,ij->i", rows, rows)
    found = rows[block] @ rows.T
    found += (squares[block, None] + squares) / (n - 2)
    found -= squares.sum() / ((n - 1) * (n - 2))
    positions = np.arange(n)[block]
    found[np.arange(len(positions)), positions] = 0.0
    return found
