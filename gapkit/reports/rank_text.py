"""A ranking as text and as rows of cells."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from gapkit.estimates import ScoreRow
from gapkit.reports.scores import ends, named, number, table_lines
from gapkit.reports.tables import Table
from gapkit.reports.text import LINE_WIDTH, paragraph, target_line
from gapkit.results import Agreement, RankResult
from gapkit.results.rank import Rank

NO_RANK = "-"
MOST_LINES = 30
RANK_NOTE = (
    "Ranks, 1 is the best, with 95 % intervals over the target's samples (?: unknown). Rows are in the order of their "
    "mean place, (rank - 1) / (ranked rows - 1), over the scores that rank several rows."
)
TAU_NOTE = (
    "Kendall's tau of the orders by two scores: 1 the same order, -1 the opposite one. Intervals are over the samples "
    "of the target; other sources would be another question."
)


def rank_table(result: RankResult) -> str:
    """The lines that ``gapkit rank`` prints: target, sources, ranks, values, agreement and notes."""
    lines = paragraph("target", target_line(result.target))
    for source in result.sources:
        lines += paragraph("source", f"{source.description}; embedder: {result.embedders[source.name]}")
    reasons = [score.reason for row in result.rows for score in row.scores.values()]
    lines += _lines(rank_table_of(result))
    for content in (value_table(result), agreement_table(result)):
        if len(content.rows) > MOST_LINES:
            lines += ["", f"  {content.title}: {len(content.rows)} lines, in the report and in the JSON"]
        elif content.rows:
            lines += _lines(content, reasons)
    lines += ["", *textwrap.wrap(RANK_NOTE, LINE_WIDTH)]
    for note in result.notes:
        lines += paragraph("note", note)
    return "\n".join(lines)


def _lines(content: Table, reasons: Sequence[str] = ()) -> list[str]:
    """An empty line and a table in aligned columns, long reasons below it."""
    return ["", *table_lines(content.head, content.rows, reasons)]


def rank_table_of(result: RankResult) -> Table:
    """The rank of every row by every score."""
    titles = result.titles
    rows = [(result.label(row), *(place(row.rank.get(name)) for name in titles)) for row in result.rows]
    return Table(title="Ranks", head=("rank by", *titles.values()), rows=rows, note=RANK_NOTE)


def value_table(result: RankResult) -> Table:
    """Every score of every row, with its interval and p."""
    rows = [(result.label(row), named(score), *_value(score)) for row in result.rows for score in row.scores.values()]
    head = ("source", "score", "value", "95 % interval", "better", "p")
    return Table(title="Scores", head=head, rows=rows)


def agreement_table(result: RankResult) -> Table:
    """Kendall's tau of every pair of scores."""
    titles = result.titles
    rows = [(titles[pair.a], titles[pair.b], *_tau(pair)) for pair in result.agreement if pair.n > 1]
    return Table(
        title="Agreement (Kendall's tau)",
        head=("score", "and", "Kendall's tau", "95 % interval"),
        rows=rows,
        note=TAU_NOTE,
    )


def place(rank: Rank | None) -> str:
    """A rank with its interval.

    Example:
        >>> place(Rank(value=2.0, interval=(1.0, 2.5))), place(Rank(value=1.0, interval=(1.0, 1.0))), place(None)
        ('2 (1 - 2.5)', '1', '-')
        >>> place(Rank(value=1.0, interval=None))
        '1 (?)'
    """
    if rank is None:
        return NO_RANK
    if rank.interval is None:
        return f"{rank.value:g} (?)"
    low, high = rank.interval
    return f"{rank.value:g}" + (f" ({low:g} - {high:g})" if low < high else "")


def _value(score: ScoreRow) -> tuple[str, ...]:
    """Value, interval, direction and p; the reason where it is undefined."""
    if score.value is None:
        return (f"undefined: {score.reason}",)
    p = "" if score.null is None or score.null.p is None else f"{score.null.p:.3f}"
    return (number(score.value), ends(score.interval) or score.reason, score.direction, p)


def _tau(pair: Agreement) -> tuple[str, str]:
    """Tau and its interval."""
    if pair.tau is None:
        return ("undefined", "one of them is the same for all rows")
    return (f"{pair.tau:z.2f}", ends(pair.interval))
