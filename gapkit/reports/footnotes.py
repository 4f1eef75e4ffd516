"""Long reasons below a text table instead of in its cells, where they would make columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

LONG = 30
"""Characters of a reason that stays in its cell; longer cells are wrapped in HTML too."""
WIDTH = 98
"""Of the notes, with the two characters that tables are set in by."""

Cells = tuple[str, ...]


def footnoted(rows: Sequence[Cells], reasons: Iterable[str], *, most: int = LONG) -> tuple[list[Cells], list[str]]:
    """The rows with a mark in the place of each long reason, and the lines that say what the marks stand for.

    Args:
        rows: of cells; a reason is a cell of its own or stands after a colon.
        reasons: of all rows; one that stands in several has one mark.
        most: characters of a reason that stays in its cell; 0 where no column has room for any.

    Example:
        >>> reason = "fewer than two classes have five samples"
        >>> footnoted([("LEEP", f"undefined: {reason}"), ("NCE", "1.2")], [reason])
        ([('LEEP', 'undefined [1]'), ('NCE', '1.2')], ['[1] fewer than two classes have five samples'])
    """
    told = {cell.partition(": ")[2] for row in rows for cell in row} | {cell for row in rows for cell in row}
    long = dict.fromkeys(reason for reason in reasons if len(reason) > most and reason in told)
    marks = {reason: f"[{number}]" for number, reason in enumerate(long, start=1)}
    lines = [line for reason, mark in marks.items() for line in _note(mark, reason)]
    return [tuple(_short(cell, marks) for cell in row) for row in rows], lines


def _short(cell: str, marks: dict[str, str]) -> str:
    """A cell with the mark of its reason, if it has one."""
    before, colon, reason = cell.partition(": ")
    if cell in marks:
        return marks[cell]
    return f"{before} {marks[reason]}" if colon and reason in marks else cell


def _note(mark: str, reason: str) -> list[str]:
    """What a mark stands for, in lines of at most ``WIDTH`` characters."""
    return textwrap.wrap(f"{mark} {reason}", WIDTH, subsequent_indent=" " * (len(mark) + 1), break_on_hyphens=False)
