"""Estimates as cells of tables: the value with its interval, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Iterable

from gapkit.estimates import Estimate
from gapkit.reports.reading import span

ABSENT = "-"
"""Stands where nothing was measured."""
PARTIAL = "*"
"""Stands behind a value that leaves something out; ``partial_note`` says what."""


def told(found: Estimate | None, digits: int = 2) -> str:
    """A value with its interval; an undefined one with its reason.

    Example:
        >>> told(Estimate(value=0.5, interval=(0.4, 0.6), n=9)), told(None)
        ('0.50 (0.40 - 0.60)', '-')
        >>> told(Estimate(value=None, interval=None, n=9, status="undefined", reason="no head"))
        'undefined: no head'
    """
    if found is None:
        return ABSENT
    if found.value is None:
        return f"{found.status}: {found.reason}"
    ends = "" if found.interval is None else f" ({span(found.interval, digits)})"
    return f"{found.value:z.{digits}f}{ends}{PARTIAL if found.status == 'partial' else ''}"


def value_of(found: Estimate | None, digits: int = 2) -> str:
    """The value alone, where its interval stands elsewhere.

    Example:
        >>> value_of(Estimate(value=0.5, interval=(0.4, 0.6), n=9)), value_of(None)
        ('0.50', '-')
    """
    if found is None:
        return ABSENT
    return found.status if found.value is None else f"{found.value:z.{digits}f}"


def reasons_of(found: Iterable[Estimate | None]) -> list[str]:
    """Why those that are undefined are, for the footnotes of a table."""
    return [one.reason for one in found if one is not None and one.value is None]


def partial_note(found: Iterable[Estimate | None]) -> str:
    """What the marked values leave out, each reason once; empty where no value is marked."""
    marked = [one.reason for one in found if one is not None and one.value is not None and one.status == "partial"]
    return f"{PARTIAL} partial: {'; '.join(dict.fromkeys(marked))}." if marked else ""
