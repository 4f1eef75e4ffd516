"""The figures of a ranking: how each is read, and what it shows, in words."""

from __future__ import annotations

from matplotlib.figure import Figure

from gapkit.reports.charts import Chart, draw_chart
from gapkit.reports.plots.ranks import plot_agreement, plot_ranks, plot_values
from gapkit.reports.rank_text import place
from gapkit.results import RankResult

MOST_NAMED = 6


def describe_ranks(result: RankResult) -> str:
    """The best row by every score."""
    told = [f"{name}: {result.label(result.order(name)[0])}" for name in result.scores if _held(result, name)]
    return f"The best by each score: {'; '.join(told)}."


def describe_values(result: RankResult) -> str:
    """The first rows with their ranks."""
    told = [
        f"{result.label(row)}: {', '.join(f'{name} {place(rank)}' for name, rank in row.rank.items())}"
        for row in result.rows[:MOST_NAMED]
    ]
    return f"Ranks: {'; '.join(told)}."


def describe_agreement(result: RankResult) -> str:
    """The pairs that agree the most and the least."""
    known = sorted((pair.tau, pair.a, pair.b) for pair in result.agreement if pair.tau is not None)
    (low, a, b), (high, c, d) = known[0], known[-1]
    return f"Kendall's tau of {len(known)} pairs of scores, from {low:.2f} ({a} and {b}) to {high:.2f} ({c} and {d})."


def draw_rank_chart(result: RankResult, name: str) -> Figure:
    """The figure of this name; see ``draw_chart``."""
    return draw_chart(result, name, RANK_CHARTS)


def _held(result: RankResult, name: str) -> bool:
    """Whether any row has a rank by this score."""
    return any(name in row.rank for row in result.rows)


RANK_CHARTS = (
    Chart(
        name="ranks",
        title="Ranks",
        caption=(
            "The place of every source (row) by every score (column); 1, the darkest, is the best. Below a place its "
            "95 % interval over the samples of the target, where it is no point. Rows are sorted by their mean place."
        ),
        draw=plot_ranks,
        needs="a score that is defined for a row",
        describe=describe_ranks,
    ),
    Chart(
        name="values",
        title="Scores",
        caption=(
            "Every score with its 95 % interval, better to the right. The intervals hold for one source; all sources "
            "share their samples, so that differences between sources are sharper than the intervals suggest."
        ),
        draw=plot_values,
        needs="a score that is defined for a row",
        describe=describe_values,
    ),
    Chart(
        name="agreement",
        title="Agreement",
        caption=(
            "Kendall's tau between the orders by two scores: 1 the same order, -1 the opposite one; intervals are in "
            "the table under Details. With few sources tau has few values."
        ),
        draw=plot_agreement,
        needs="two scores that order two rows or more",
        describe=describe_agreement,
    ),
)
