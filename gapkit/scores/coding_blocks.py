"""Coding rates of one class without each block of its samples, from eliminations that blocks share.

Without block b the samples' mean is another, ``z_i`` becomes ``z_i + t_b``, and n' samples of the class are left:

    R_b = 1/2 log |I + s (Z + 1 t')(Z + 1 t')'|,  s = 1 / (n' epsilon),  Z the rows that are left, t = t_b

Fewer samples than features: with ``A = I + s Z Z'`` and ``u = Z t`` the matrix is A and a change of rank two, so that

    |A + s (u 1' + 1 u' + |t|^2 1 1')| = |A| ((1 + s 1'A^-1 u)^2 + s 1'A^-1 1 (|t|^2 - s u'A^-1 u)),

and rows that several blocks leave are eliminated from A once for all of these (``LeaveOut``): what remains is a Schur
complement, beside the sums that make up the products. Eliminating rows in another order is as stable as a Cholesky
factor of the rows that are left. More samples than features: scatters are added up instead, and
``Z'Z + (Z'1) t' + t (Z'1)' + n' t t'`` is factored for each block. Where digits would be lost, as by an outlier that
moves the mean, a block is coded by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from scipy import linalg  # pyright: ignore[reportMissingTypeStubs]

from gapkit.arrays import Floats, Indices, Labels, Mask, spans
from gapkit.scores.coding import SMALL, TRUSTED, cholesky, rate_of_rows, trusted
from gapkit.statistics.centred import CentredRows
from gapkit.statistics.leave_out import LeaveOut, leave_out
from gapkit.statistics.spectrum import ROUNDING
from gapkit.statistics.stacked import HELD, FeatureRows


def rates_without(rows: FeatureRows, ids: Labels, centre: Floats, centres: Floats, epsilon: float) -> Floats:
    """``R_b`` (g,) of one class without each block; 0 where nothing is left of it.

    Args:
        rows: (m, d) the samples of the class.
        ids: (m,) the block of each, -1 of one that is in none.
        centre: (d,) mean of the samples of all classes.
        centres: (g, d) the same without each block.
        epsilon: variance along a direction below which it is hardly coded.
    """
    found = np.zeros(len(centres))
    shifts = centre - centres
    sizes = np.bincount(ids + 1, minlength=len(centres) + 1)[1:]
    of_samples = len(rows) <= rows.shape[1]
    for size in np.unique(sizes[sizes < len(rows)]):
        blocks = np.flatnonzero(sizes == size)
        # The others' rows are in every one of these.
        own = np.full(len(centres) + 1, -1, dtype=np.int64)
        own[blocks] = np.arange(len(blocks))
        shared = _Class(
            rows=CentredRows(rows=rows, centre=centre),
            ids=own[ids],
            shifts=shifts[blocks],
            scale=1 / ((len(rows) - size) * epsilon),
        )
        rates = shared.by_samples() if of_samples else shared.by_features()
        for block, rate in zip(blocks.tolist(), rates, strict=True):
            if rate is None:
                left = CentredRows(rows=rows, centre=centres[block])
                rate = rate_of_rows(left, np.flatnonzero(ids != block), epsilon)
            found[block] = rate
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Eliminated:
    """What is left when some rows are eliminated from ``[A | 1, u_1 .. u_g]``.

    Attributes:
        rest: positions of the rows that are not, ascending.
        remaining: (r, r + 1 + g) their Schur complement, and the sides beside it.
        cross: (1 + g) ``1'A^-1 x`` of the sides x, as far as it is summed up.
        squares: (1 + g) ``x'A^-1 x``, likewise.
        log_pivots: the sum of their logarithms.
        least: the least pivot, 0 where one was not positive.
    """

    rest: Indices
    remaining: Floats
    cross: Floats
    squares: Floats
    log_pivots: float = 0.0
    least: float = 1.0


def _eliminate(state: _Eliminated, index: Indices) -> _Eliminated:
    """Eliminate the rows at ``index``."""
    if state.least <= 0:
        return state
    gone: Mask = np.isin(state.rest, index, assume_unique=True)
    stay = np.ones(state.remaining.shape[1], dtype=bool)
    stay[: len(gone)] = ~gone
    rows, count = state.remaining[gone], len(gone) - int(gone.sum())
    factor, pivots = cholesky(rows[:, np.flatnonzero(gone)])
    if not pivots.all():
        return replace(state, least=0.0)
    solve = cast("Any", linalg).solve_triangular
    solved: Floats = solve(factor, rows[:, stay], lower=True, check_finite=False, overwrite_b=True)
    sides = solved[:, count:]
    return _Eliminated(
        rest=state.rest[~gone],
        remaining=state.remaining[~gone][:, stay] - solved[:, :count].T @ solved,
        cross=state.cross + sides[:, 0] @ sides,
        squares=state.squares + np.einsum("ij,ij->j", sides, sides),
        log_pivots=state.log_pivots + float(np.log(pivots).sum()),
        least=min(state.least, float(pivots.min())),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Class:
    """A class, and blocks that have the same number of its samples.

    Attributes:
        rows: (m, d) about the mean of all samples.
        ids: (m,) the block of each, -1 of one that is in none of these.
        shifts: (g, d) t_b.
        scale: s.
    """

    rows: CentredRows
    ids: Labels
    shifts: Floats
    scale: float

    def by_samples(self) -> Iterator[float | None]:
        """Rates by m x m matrices; None where one is not to be trusted."""
        m, g = len(self.ids), len(self.shifts)
        rows = self.rows.take(np.arange(m))  # at most d
        gram = self.scale * (rows @ rows.T)
        trace = float(np.trace(gram))
        gram[np.diag_indices(m)] += 1
        sides = np.column_stack([np.ones(m), rows @ self.shifts.T])
        start = _Eliminated(
            rest=np.arange(m), remaining=np.hstack([gram, sides]), cross=np.zeros(1 + g), squares=np.zeros(1 + g)
        )
        states: LeaveOut[_Eliminated] = leave_out(self.ids, g, start, _eliminate)
        lengths = np.square(self.shifts).sum(axis=1)
        for block in range(g):
            yield self._rate(states[block], block, trace, float(lengths[block]))

    def _rate(self, state: _Eliminated, block: int, trace: float, length: float) -> float | None:
        """The rate without one block, if rounding leaves its digits."""
        if not trusted(np.array([state.least]), trace):
            return None
        ones, cross = float(state.squares[0]), self.scale * float(state.cross[1 + block])
        square = self.scale * float(state.squares[1 + block])
        change = (1 + cross) ** 2 + self.scale * ones * (length - square)
        terms = (1 + abs(cross)) ** 2 + self.scale * ones * length
        if ROUNDING * (1 + trace) * terms > TRUSTED * state.least * change:
            return None
        return _large(0.5 * (state.log_pivots + float(np.log(change))))

    def by_features(self) -> Iterator[float | None]:
        """The same by d x d matrices."""
        d = self.rows.rows.shape[1]
        states: LeaveOut[Floats] = leave_out(self.ids, len(self.shifts), np.zeros((d, d + 1)), self._add)
        for block, shift in enumerate(self.shifts):
            scatter, total = states[block][:, :d], states[block][:, d]
            count = int((self.ids != block).sum())
            cross = np.outer(total + count / 2 * shift, self.scale * shift)
            gram = self.scale * scatter + cross + cross.T
            trace = max(self.scale * float(np.trace(scatter)), float(np.trace(gram)))
            gram[np.diag_indices(d)] += 1
            pivots = cholesky(gram)[1]
            yield _large(0.5 * float(np.log(pivots).sum())) if trusted(pivots, trace) else None

    def _add(self, sums: Floats, index: Indices) -> Floats:
        """Scatter and sum with some rows more."""
        d = self.rows.rows.shape[1]
        for span in spans(len(index), 8 * d, HELD // 2):
            rows = self.rows.take(index[span])
            sums = sums + np.column_stack([rows.T @ rows, rows.sum(axis=0)])
        return sums


def _large(rate: float) -> float | None:
    """A rate beside which the rounding of the ones that were added is nothing."""
    return rate if rate > 10 * SMALL else None
