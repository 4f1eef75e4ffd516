"""Ranks of the distances between samples, centred, with ties at their average rank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Features, Floats, Labels

RESOLUTION_BITS = 36
"""Distances, of at most 2, that differ by less than 2^-36 are ties; rounding is far below it. Where there are more than
2^25 of them, it is one bit fewer for each doubling."""
KEY_BITS = 61
"""Of a distance and its position together, in one integer of 64 bits with a sign."""
LEAST_NORM = 1e-10
"""Of a row that varies, as a share of the typical one; below it is rounding."""
BLOCK_ROWS = 256


@dataclass(frozen=True, kw_only=True, eq=False)
class PairRanks:
    """Ranks of n (n - 1) / 2 distances, doubled and centred, so that they are whole numbers that sum to 0.

    Attributes:
        table: (n, n) symmetric, 0 on the diagonal.
        norm: root of the sum over pairs of their squares; 0 where all distances are equal.
    """

    table: Array
    norm: float


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelRanks:
    """Ranks of the distances between labels, doubled and centred.

    Attributes:
        values: (g, ...) the different labels.
        counts: (g,) how many samples have each.
        table: (g, g) of two samples with these labels.
        norm: root of the sum over pairs of samples of their squares.
    """

    values: Array
    counts: Labels
    table: Array
    norm: float

    def fits(self, values: Array, counts: Labels) -> bool:
        """Whether a labelling has the same labels equally often, as a permuted one does."""
        return np.array_equal(self.values, values) and np.array_equal(self.counts, counts)


def centred_ranks(parts: Iterable[Array], count: int, weights: Labels | None = None) -> tuple[Array, float]:
    """``2 rank - (N + 1)`` of each distance, N the sum of weights, and the root of their weighted sum of squares.

    Distance and position are joined into one integer, so that the sort is in place and takes 8 bytes for a distance.

    Args:
        parts: (m_1,), (m_2,), ... distances in [0, 2], one part after another.
        count: of all distances.
        weights: (count,) how many times each counts; once, by default.

    Example:
        >>> centred_ranks([np.array([0.5, 0.2]), np.array([0.5])], 3)[0].tolist()
        [1, -2, 1]
    """
    bits = count.bit_length()
    packed = _packed(parts, count, bits)
    packed.sort()
    starts = np.append(0, np.flatnonzero((packed[1:] ^ packed[:-1]) >> bits) + 1)
    packed &= (1 << bits) - 1
    total = count if weights is None else int(weights.sum())
    dtype = np.int32 if total < 2**30 else np.int64
    sizes = np.diff(starts, append=count).astype(dtype)
    held = sizes if weights is None else np.add.reduceat(weights[packed], starts).astype(dtype)
    del starts
    centred = np.cumsum(held, dtype=dtype)
    centred *= 2
    centred -= held
    centred -= dtype(total)
    ranks = np.empty(count, dtype=dtype)
    ranks[packed] = np.repeat(centred, sizes)
    norm = np.sqrt(np.einsum("i,i,i->", held, centred, centred, dtype=np.float64))
    return ranks, float(norm)


def _packed(parts: Iterable[Array], count: int, bits: int) -> Array:
    """Integers that sort as the distances do; the last ``bits`` bits hold the position."""
    unit = 2.0 ** min(RESOLUTION_BITS, KEY_BITS - bits)
    packed = np.empty(count, dtype=np.int64)
    filled = 0
    for part in parts:
        keys = np.rint(part * unit).astype(np.int64)
        keys <<= bits
        keys += np.arange(filled, filled + len(part))
        packed[filled : filled + len(part)] = keys
        filled += len(part)
    return packed


def unit_rows(rows: Features) -> Floats:
    """Rows (n, k), of entries about 1, less their mean and divided by their norm, so that their products correlate.

    A row that is constant has no correlation. It gets an entry of its own in one more column, by which it correlates
    fully with others that are constant and not at all with the rest.

    Example:
        >>> rows = unit_rows(np.array([[1.0, 3.0], [3.0, 1.0], [2.0, 2.0], [7.0, 7.0]]))
        >>> (rows @ rows.T).round(9).tolist()[0], (rows @ rows.T).tolist()[2]
        ([1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0])
    """
    centred = rows - rows.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.square(centred).sum(axis=1))
    constant = norms <= LEAST_NORM * np.sqrt(rows.shape[1])
    centred /= np.where(constant, 1.0, norms)[:, None]
    centred[constant] = 0.0
    return np.hstack([centred, constant[:, None].astype(np.float64)])


def rank_pairs(rows: Floats) -> PairRanks:
    """Ranks of ``1 - u . v`` over the pairs of rows (n, k).

    Example:
        >>> rank_pairs(np.eye(3)[[0, 0, 1]]).table.tolist()
        [[0, -2, 1], [-2, 0, 1], [1, 1, 0]]
    """
    n = len(rows)
    ranks, norm = centred_ranks(_pair_distances(rows), n * (n - 1) // 2)
    return PairRanks(table=_symmetric(ranks, n, diagonal=False), norm=norm)


def _pair_distances(rows: Floats) -> Iterator[Array]:
    """``1 - u . v`` of each row and those after it."""
    for start in range(0, len(rows), BLOCK_ROWS):
        distances = 1 - rows[start : start + BLOCK_ROWS] @ rows[start:].T
        for i, row in enumerate(distances):
            yield row[i + 1 :]


def rank_labels(values: Array, counts: Labels) -> LabelRanks:
    """Ranks of label distances over the pairs of samples.

    The distance is ``|u - v|`` of numbers and ``1 - correlation`` of rows of zeros and ones. Rows without any label,
    and rows with all of them, have no correlation: they are at the distance 0 from their like and 1 from all others.

    Args:
        values: (g,) different numbers, or (g, k) different rows; two at least.
        counts: (g,) how many samples have each.

    Example:
        >>> rank_labels(np.array([0.0, 1.0, 3.0]), np.array([2, 1, 1])).table.tolist()
        [[-5, -2, 4], [-2, -5, 1], [4, 1, -5]]
    """
    count = len(values)
    weights = np.concatenate([own * counts[i:] for i, own in enumerate(counts)])
    first = np.cumsum(np.append(0, np.arange(count, 1, -1)))
    weights[first] = counts * (counts - 1) // 2
    ranks, norm = centred_ranks(_label_distances(values), count * (count + 1) // 2, weights)
    return LabelRanks(values=values, counts=counts, table=_symmetric(ranks, count, diagonal=True), norm=norm)


def _label_distances(values: Array) -> Iterator[Array]:
    """Of each label, itself and those after it."""
    if values.ndim == 1:
        shares = values - values.min()
        shares = shares / shares.max()
        for i in range(len(shares)):
            yield np.abs(shares[i:] - shares[i])
    else:
        full, bare = values.all(axis=1), ~values.any(axis=1)
        rows = np.column_stack([unit_rows(values.astype(np.float64))[:, :-1], full, bare]).astype(np.float64)
        for i in range(len(rows)):
            yield 1 - rows[i:] @ rows[i]


def _symmetric(upper: Array, n: int, *, diagonal: bool) -> Array:
    """The matrix (n, n) whose upper triangle is given row by row, with the diagonal or without."""
    table = np.zeros((n, n), dtype=upper.dtype)
    filled, offset = 0, 0 if diagonal else 1
    for i in range(n):
        size = max(0, n - i - offset)
        table[i, i + offset :] = upper[filled : filled + size]
        filled += size
    for start in range(0, n, BLOCK_ROWS):
        stop = start + BLOCK_ROWS
        table[start:stop, start:stop] += np.triu(table[start:stop, start:stop], 1).T
        table[stop:, start:stop] = table[start:stop, stop:].T
    return table
