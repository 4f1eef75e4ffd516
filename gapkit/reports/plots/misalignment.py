"""Every family's normalised misalignment, and beside it what its permutation test has seen."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gapkit.estimates import Misalignment
from gapkit.reports.plots.lettering import shorten, wrapped
from gapkit.reports.plots.style import (
    FILL,
    INK,
    MUTED,
    SMALL,
    draw_prior,
    entitle,
    in_house_style,
    marker_style,
    new_figure,
    tidy,
)
from gapkit.reports.text import DISCREPANCY_TITLES
from gapkit.results import GapResult

LINE_HEIGHT, MARGIN, REASON_WIDTH = 0.22, 0.28, 38
"""Inches of a discrepancy within its row and between rows; letters of a reason in one line."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one entry stands: its y, and the position of its discrepancy."""

    y: float
    series: int
    row: Misalignment


@in_house_style
def plot_misalignment(result: GapResult) -> Figure | None:
    """Normalised misalignment with its 95 % interval, against 1, the class prior; beside it the permutation tests."""
    if not result.misalignment:
        return None
    families = list(dict.fromkeys(row.label_map for row in result.misalignment))
    series = list(dict.fromkeys(row.discrepancy for row in result.misalignment))
    tested = any(row.null is not None and row.null.p is not None for row in result.misalignment)
    figure = new_figure(1.75 + (LINE_HEIGHT * len(series) + MARGIN) * len(families))
    panels = figure.subplots(1, 1 + tested, sharey=True, width_ratios=(1.75, 1) if tested else None, squeeze=False)[0]
    panels[0].set_yticks(range(len(families)), [shorten(name) for name in families])
    panels[0].set_ylim(len(families) - 0.5, -0.95)
    places = _places(result, families, series)
    _draw_values(panels[0], places, [DISCREPANCY_TITLES[name] for name in series])
    if tested:
        _draw_tests(panels[1], places)
    else:
        panels[0].text(0.02, -0.75, "no permutation test", va="center", fontsize=SMALL, color=MUTED)
    entitle(figure, f"{shorten(result.source.name, 20)} on {shorten(result.target.name, 28)}")
    figure.legend(loc="outside lower center", ncols=min(3, len(series)), frameon=False)
    return figure


def _places(result: GapResult, families: list[str], series: list[str]) -> list[Place]:
    """Entries from top to bottom: families in rows, discrepancies within them."""
    step = LINE_HEIGHT / (LINE_HEIGHT * len(series) + MARGIN)
    return [
        Place(
            y=families.index(row.label_map) + step * (series.index(row.discrepancy) - (len(series) - 1) / 2),
            series=series.index(row.discrepancy),
            row=row,
        )
        for row in result.misalignment
    ]


def _draw_values(axes: Axes, places: list[Place], titles: list[str]) -> None:
    """Points with interval bars; an undefined family says why in its row, once."""
    for place in places:
        if place.row.interval is not None:
            axes.plot(place.row.interval, [place.y] * 2, color=INK, linewidth=2, solid_capstyle="butt")
    for series, title in enumerate(titles):
        drawn = [(place.row.normalised, place.y) for place in places if place.series == series]
        known = [(value, y) for value, y in drawn if value is not None]
        axes.plot(
            [value for value, _ in known],
            [y for _, y in known],
            linestyle="none",
            markersize=6,
            label=title,
            **marker_style(series),
        )
    for row, y in _without([(place.row, place.y) for place in places if place.row.normalised is None]):
        text = wrapped(f"{row.status}: {row.reason}", REASON_WIDTH)
        axes.text(0.02, y, text, va="center", fontsize=SMALL, color=MUTED, linespacing=1.1)
    draw_prior(axes, "class prior", at=1.0, y=-0.75)
    axes.set_xlim(0.0, max(1.05, axes.get_xlim()[1]))
    axes.set_xlabel("normalised misalignment\nwith 95 % interval (0: none)")
    tidy(axes)


def _without(rows: list[tuple[Misalignment, float]]) -> list[tuple[Misalignment, float]]:
    """Undefined entries, one for each family and reason, in the middle of its lines."""
    lines: dict[tuple[str, str], list[tuple[Misalignment, float]]] = {}
    for row, y in rows:
        lines.setdefault((row.label_map, row.reason), []).append((row, y))
    return [(own[0][0], sum(y for _, y in own) / len(own)) for own in lines.values()]


def _draw_tests(axes: Axes, places: list[Place]) -> None:
    """The observed statistic against the range that holds 95 % of the permutations, and p at the right."""
    for place in places:
        null = place.row.null
        if null is None or null.observed is None or null.mean is None or null.p is None:
            continue
        if null.interval is not None:
            axes.plot(null.interval, [place.y] * 2, color=FILL, linewidth=9, solid_capstyle="butt", zorder=1.8)
        axes.plot([null.mean], [place.y], marker="|", color=MUTED, markersize=11, markeredgewidth=1.6, zorder=1.9)
        axes.plot([null.observed], [place.y], linestyle="none", markersize=6, **marker_style(place.series))
        _write_right(axes, place.y, f"{null.p:.3f}")
    for y in {round(place.y, 9) for place in places if place.row.null is None or place.row.null.p is None}:
        _write_right(axes, y, "no test")
    _write_right(axes, -0.75, "p")
    axes.axvline(1.0, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.6, zorder=1.5)
    axes.set_xlim(min(0.98, axes.get_xlim()[0]), max(1.02, axes.get_xlim()[1]))
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel("test statistic; bars:\n95 % of permutations")
    tidy(axes)


def _write_right(axes: Axes, y: float, text: str) -> None:
    """Text beside the axes, in the row y."""
    axes.text(1.03, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=MUTED)
