"""Runs beside each other: their gaps on one scale, and their metrics."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gapkit.estimates import Estimate
from gapkit.reports.align_reading import COMPARED_TITLES
from gapkit.reports.plots.lettering import shorten, wrapped
from gapkit.reports.plots.style import INK, MUTED, SMALL, WIDTH, entitle, in_house_style, marker_style, new_figure, tidy
from gapkit.reports.plots.waterfalls import Waterfall, draw_waterfalls
from gapkit.results import ComparedRun, Comparison

MOST, ACROSS = 8, 3
"""Runs that are shown, and panels of misalignments in a row."""
MOST_METRICS = 40
ENDS = ("before", "after")
REASON_WIDTH = 40
WIDE = 7.2
"""Inches of a figure with three panels in a row."""


@in_house_style
def plot_compared_gaps(comparison: Comparison) -> Figure | None:
    """Decompositions as waterfalls on one scale: of each run before and after, or one of each misalignment."""
    shown = [run for run in comparison.runs if any(_waterfall(run, moment).is_defined for moment in run.parts)]
    left = len(shown) - MOST
    shown = shown[:MOST]
    if not shown:
        return None
    trained = any("after" in run.parts for run in shown)
    rows = _pairs(shown) if trained else _single(shown)
    figure = new_figure(1.6 + 2.4 * len(rows), width=WIDTH if trained else WIDE)
    draw_waterfalls(figure, rows, letters=28 if trained else 24)
    more = f"\n{left} more runs are not shown" if left > 0 else ""
    entitle(figure, f"Where the gap lies: {shorten(comparison.target, 40)}{more}")
    return figure


def _pairs(runs: Sequence[ComparedRun]) -> list[list[Waterfall | None]]:
    """A row for each run: before and after."""
    return [[_waterfall(run, moment) if moment in run.parts else None for moment in ENDS] for run in runs]


def _single(runs: Sequence[ComparedRun]) -> list[list[Waterfall | None]]:
    """Rows of a few runs."""
    across = min(ACROSS, len(runs))
    panels: list[Waterfall | None] = [_waterfall(run, "before", alone=True) for run in runs]
    panels += [None] * (-len(panels) % across)
    return [panels[start : start + across] for start in range(0, len(panels), across)]


def _waterfall(run: ComparedRun, moment: str, *, alone: bool = False) -> Waterfall:
    """One moment of a run."""
    title = run.name if alone else f"{run.name}, {COMPARED_TITLES.get(moment, moment)}"
    return Waterfall(title=title, ladder=run.gaps.get(moment, {}), parts=run.parts.get(moment, {}))


@in_house_style
def plot_metrics(comparison: Comparison) -> Figure | None:
    """The metric of every run with its 95 % interval, in the order given, beside that on the validation samples."""
    known = [(run, run.metric.estimate) for run in comparison.runs if run.metric is not None]
    left = len(known) - MOST_METRICS
    known = known[:MOST_METRICS]
    if not any(found.value is not None for _, found in known):
        return None
    figure = new_figure(1.7 + 0.42 * len(known))
    axes = figure.subplots()
    for y, (_, found) in enumerate(known):
        _draw_interval(axes, y, found)
    test = [(found.value, y) for y, (_, found) in enumerate(known) if found.value is not None]
    # Where the metric is undefined, its reason stands in the row.
    seen = [
        (run.validation.value, y)
        for y, (run, found) in enumerate(known)
        if run.validation and run.validation.value is not None and found.value is not None
    ]
    for position, (label, points) in enumerate((("test", test), ("validation", seen))):
        values, rows = [value for value, _ in points], [y for _, y in points]
        axes.plot(values, rows, linestyle="none", markersize=7, label=label, **marker_style(position))
    axes.set_yticks(range(len(known)), [shorten(run.name, 24) for run, _ in known])
    axes.set_ylim(len(known) - 0.5, -0.5)
    names = dict.fromkeys(run.metric.name for run, _ in known if run.metric is not None)
    axes.set_xlabel(f"{' / '.join(shorten(name, 20) for name in names)}, higher is better")
    more = f"\n{left} more runs are not shown" if left > 0 else ""
    entitle(figure, f"Test samples, with 95 % intervals: {shorten(comparison.target, 28)}{more}")
    tidy(axes)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _draw_interval(axes: Axes, y: int, found: Estimate) -> None:
    """The interval of one run; an undefined metric says why."""
    if found.interval is not None:
        axes.plot(found.interval, [y, y], color=INK, linewidth=2, solid_capstyle="butt")
    if found.value is None:
        text = wrapped(f"undefined: {found.reason}", REASON_WIDTH)
        axes.text(0.02, y, text, transform=axes.get_yaxis_transform(), va="center", fontsize=SMALL, color=MUTED)
