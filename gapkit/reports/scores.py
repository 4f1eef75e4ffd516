"""Scores and distances as rows of cells, for the text table and for HTML."""

from __future__ import annotations

from collections.abc import Sequence

from gapkit.estimates import DistanceRow, Interval, Null, ScoreRow
from gapkit.reports.footnotes import LONG, Cells, footnoted
from gapkit.results import GapResult

SCORE_HEAD = ("score", "value", "95 % interval", "better", "p", "permuted")
DISTANCE_HEAD = ("distance to the surrogate", "value", "95 % interval", "halves", "floor", "p", "permuted")
SCORE_NOTE = "Permuted: the mean of the score, or of its cheaper stand-in, over permuted labels."
DISTANCE_NOTE = (
    "Floor: the distance between two halves of one set, where there is none to be measured; halves: between a half of "
    "the target and a half of the surrogate of the same size, to be read beside the floor."
)


def number(value: float | None) -> str:
    """A number with four significant digits; empty where there is none.

    Example:
        >>> number(-1234.5678), number(0.00012345), number(0.0), number(None)
        ('-1235', '0.0001234', '0', '')
    """
    return "" if value is None else f"{value:.4g}"


def ends(interval: Interval | None) -> str:
    """An interval; its ends may be negative."""
    return "" if interval is None else f"{number(interval[0])} to {number(interval[1])}"


def named(row: ScoreRow | DistanceRow) -> str:
    """The title with its unit."""
    return f"{row.title} ({row.unit})" if row.unit else row.title


def score_cells(rows: Sequence[ScoreRow]) -> list[Cells]:
    """The cells of each score; an undefined one has its reason."""
    return [_score(row) for row in rows]


def distance_cells(rows: Sequence[DistanceRow]) -> list[Cells]:
    """The cells of each distance; an undefined one has its reason."""
    return [_distance(row) for row in rows]


def _score(row: ScoreRow) -> Cells:
    """The cells of one score."""
    if row.value is None:
        return (named(row), f"undefined: {row.reason}")
    return (named(row), number(row.value), ends(row.interval) or row.reason, row.direction, *_test(row.null))


def _distance(row: DistanceRow) -> Cells:
    """The cells of one distance; the reason stands where there is no interval, or else no floor."""
    if row.value is None:
        return (named(row), f"undefined: {row.reason}")
    floor = number(row.floor) or (row.reason if row.interval is not None else "")
    beside = (number(row.halves), floor)
    return (named(row), number(row.value), ends(row.interval) or row.reason, *beside, *_test(row.null))


def score_lines(result: GapResult) -> list[str]:
    """The lines of the text table: scores, then distances, as far as there are any."""
    lines: list[str] = []
    if result.scores:
        reasons = [row.reason for row in result.scores]
        lines += ["", *table_lines(SCORE_HEAD, score_cells(result.scores), reasons)]
    if result.distances:
        reasons = [row.reason for row in result.distances]
        lines += ["", *table_lines(DISTANCE_HEAD, distance_cells(result.distances), reasons)]
    return lines


def _test(null: Null | None) -> tuple[str, str]:
    """P and the mean over permutations."""
    if null is None or null.p is None:
        return ("", "")
    return (f"{null.p:.3f}", number(null.mean))


def table_lines(head: Cells, rows: Sequence[Cells], reasons: Sequence[str] = (), *, most: int = LONG) -> list[str]:
    """Left-aligned columns, long reasons below them; the last cell of a short row may be longer than its column."""
    short, notes = footnoted(rows, reasons, most=most)
    table = [head, *short]
    fixed = [row if len(row) == len(head) else row[:-1] for row in table]
    widths = [max(len(row[place]) for row in fixed if len(row) > place) for place in range(len(head))]
    aligned = ["".join(cell.ljust(width + 2) for cell, width in zip(row, widths, strict=False)) for row in table]
    return [f"  {line}".rstrip() for line in (*aligned, *notes)]
