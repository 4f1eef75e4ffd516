"""Which source ranks where by which score, how far apart they are, and whether the scores agree."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from gapkit.estimates import ScoreRow
from gapkit.reports.plots.lettering import shorten
from gapkit.reports.plots.style import ACCENT, FILL, INK, MUTED, PAPER, SMALL, entitle, in_house_style, new_figure, tidy
from gapkit.results import RankResult
from gapkit.results.rank import Rank

MOST = 40
NAME = 22
SHADES = ("#3d6a99", "#9dbfdf", PAPER)
DIVERGING = (ACCENT, PAPER, "#3d6a99")
PANELS = 2
STRONG = 0.6
"""Tau from which its cell is too dark for dark letters."""


@in_house_style
def plot_ranks(result: RankResult) -> Figure | None:
    """Rows are sources, columns scores, cells ranks with their intervals; dark is good."""
    titles, rows = result.titles, [row for row in result.rows if row.rank][:MOST]
    if not rows:
        return None
    figure = new_figure(1.9 + 0.36 * len(rows))
    axes = figure.subplots()
    places = np.array([[row.rank[name].value if name in row.rank else np.nan for name in titles] for row in rows])
    most = np.nanmax(places)
    axes.imshow(
        places,
        cmap=LinearSegmentedColormap.from_list("ranks", SHADES),
        vmin=1,
        vmax=max(2.0, float(most)),
        aspect="auto",
    )
    for y, row in enumerate(rows):
        for x, name in enumerate(titles):
            if name in row.rank:
                _write_rank(axes, x, y, row.rank[name], dark=row.rank[name].value <= 1 + 0.3 * (most - 1))
    axes.set_xticks(range(len(titles)), [shorten(title, 16) for title in titles.values()], rotation=40, ha="right")
    axes.set_yticks(range(len(rows)), [shorten(result.label(row), NAME) for row in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    left = len([row for row in result.rows if row.rank]) - len(rows)
    entitle(figure, "Rank by each score, 1 is the best" + (f"\n{left} more rows are not shown" if left else ""))
    return figure


def _write_rank(axes: Axes, x: int, y: int, rank: Rank, *, dark: bool) -> None:
    """A rank, and its interval in small where it is no point."""
    color = PAPER if dark else INK
    low, high = rank.interval or (rank.value, rank.value)
    text = f"{rank.value:g}" + (f"\n{low:.0f}-{high:.0f}" if high > low else "")
    axes.text(x, y, text, ha="center", va="center", color=color, fontsize=7.5 if high > low else SMALL)


@in_house_style
def plot_values(result: RankResult) -> Figure | None:
    """A panel for each score: the value of every source with its 95 % interval; better is to the right."""
    titles, rows = result.titles, [row for row in result.rows if row.rank][:MOST]
    if not rows:
        return None
    lines = math.ceil(len(titles) / PANELS)
    figure = new_figure(0.7 + lines * (0.85 + 0.24 * len(rows)))
    panels = figure.subplots(lines, PANELS, sharey=True, squeeze=False).ravel()
    for axes, name in zip(panels, titles, strict=False):
        _draw_values(axes, [row.scores.get(name) for row in rows], titles[name])
    for axes in panels[len(titles) :]:
        axes.set_visible(False)
    panels[0].set_yticks(range(len(rows)), [shorten(result.label(row), 16) for row in rows], fontsize=SMALL)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    entitle(figure, "Scores with 95 % intervals; better is to the right")
    return figure


def _draw_values(axes: Axes, scores: list[ScoreRow | None], title: str) -> None:
    """One panel."""
    lower = any(score is not None and score.direction == "lower" for score in scores)
    for y, score in enumerate(scores):
        if score is None or score.value is None:
            continue
        if score.interval is not None:
            axes.plot(score.interval, [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")
        axes.plot([score.value], [y], marker="o", markersize=5, color=INK)
    axes.set_title(title, fontsize=SMALL, loc="left")
    axes.locator_params(axis="x", nbins=4)
    if lower:
        axes.invert_xaxis()
    tidy(axes)


@in_house_style
def plot_agreement(result: RankResult) -> Figure | None:
    """Kendall's tau of every pair of scores; None where there are fewer than two that can be compared."""
    titles = result.titles
    known = [pair for pair in result.agreement if pair.tau is not None]
    if not known:
        return None
    names = [name for name in titles if any(name in (pair.a, pair.b) for pair in known)]
    figure = new_figure(1.6 + 0.42 * len(names))
    axes = figure.subplots()
    taus = np.full((len(names), len(names)), np.nan)
    for pair in known:
        below, above = sorted((names.index(pair.a), names.index(pair.b)), reverse=True)
        taus[below, above] = pair.tau
        color = PAPER if abs(pair.tau or 0.0) > STRONG else INK
        axes.text(above, below, f"{pair.tau:.1f}", ha="center", va="center", fontsize=SMALL, color=color)
    axes.imshow(taus, cmap=LinearSegmentedColormap.from_list("tau", DIVERGING), vmin=-1, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names)), [shorten(titles[name], 16) for name in names], rotation=40, ha="right")
    axes.set_yticks(range(len(names)), [shorten(titles[name], 16) for name in names])
    axes.set_xlim(-0.5, len(names) - 1.5)
    axes.set_ylim(len(names) - 0.5, 0.5)
    axes.tick_params(length=0, colors=MUTED)
    axes.spines[:].set_color(FILL)
    entitle(figure, "Agreement of the scores: Kendall's tau")
    return figure
