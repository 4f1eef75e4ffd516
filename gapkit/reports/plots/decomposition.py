"""The decomposition as steps: from the injection's normalised KL down to what no reader finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gapkit.estimates import Estimate
from gapkit.reports.plots.lettering import wrapped
from gapkit.reports.plots.style import (
    FILL,
    INK,
    MUTED,
    PART_INKS,
    SMALL,
    draw_prior,
    entitle,
    in_house_style,
    new_figure,
    tidy,
)
from gapkit.reports.reading import span
from gapkit.results import GapResult

FROM = {
    "relabelling": ("injection", "channel"),
    "readout": ("channel", "linear"),
    "nonlinear": ("linear", "ceiling"),
    "absent_or_noise": ("ceiling", ""),
}
"""The families between whose values a part lies."""
ROW_NAMES = {
    "relabelling": "relabelling\n(channel)",
    "readout": "readout\n(linear)",
    "nonlinear": "nonlinear\n(ceiling)",
    "absent_or_noise": "absent\nor noise",
}
NO_GAIN = "///"
LAST = "absent_or_noise"
BESIDE: dict[str, Any] = {
    "xytext": (6, 0),
    "textcoords": "offset points",
    "va": "center",
    "fontsize": SMALL,
    "color": INK,
}
HEIGHT = 0.5
REASON_WIDTH = 44


@in_house_style
def plot_decomposition(result: GapResult) -> Figure | None:
    """Parts of the injection's normalised KL, each where it begins and ends, with 95 % intervals."""
    defined = {name: part for name, part in result.decomposition.items() if part.value is not None}
    if not defined:
        return None
    levels = _levels(result)
    first = next(family for family, _ in FROM.values() if family in levels)
    figure = new_figure(1.5 + 0.6 * (1 + len(result.decomposition)))
    axes = figure.subplots()
    axes.barh(0, levels[first], height=HEIGHT, color=FILL, edgecolor=INK)
    axes.annotate(_first_value(result, first, levels[first]), (levels[first], 0), **BESIDE)
    for y, (name, part) in enumerate(result.decomposition.items(), start=1):
        _draw_part(axes, y, name, part, levels)
    draw_prior(axes, "class prior", at=1.0, y=-0.68)
    axes.set_yticks(range(1 + len(result.decomposition)), [first, *(ROW_NAMES[name] for name in result.decomposition)])
    axes.set_ylim(len(result.decomposition) + 0.5, -0.95)
    axes.set_xlim(min(0.0, axes.get_xlim()[0]), max(1.05, axes.get_xlim()[1]))
    axes.set_xlabel("normalised KL (0: the source holds the knowledge)")
    entitle(figure, f"What the {first}'s misalignment is made of")
    tidy(axes)
    return figure


def _levels(result: GapResult) -> dict[str, float]:
    """The normalised KL of each family."""
    values = {row.label_map: row.normalised for row in result.misalignment if row.discrepancy == "kl"}
    return levels_of(values, result.decomposition)


def levels_of(values: Mapping[str, float | None], parts: Mapping[str, Estimate]) -> dict[str, float]:
    """Between which levels the steps go: each family's own value, else the sum of the parts below it.

    Args:
        values: family -> its normalised KL.
        parts: of the decomposition; at least one has a value.
    """
    levels = dict(values)
    total: float | None = 0.0
    for name, (family, _) in reversed(FROM.items()):
        part = parts.get(name)
        total = None if total is None or part is None or part.value is None else total + part.value
        if levels.get(family) is None and total is not None:
            levels[family] = total
    known = {family: value for family, value in levels.items() if value is not None}
    if not any(family in known for family, _ in FROM.values()):
        lone = next((name, part.value) for name, part in parts.items() if part.value is not None)
        known[FROM[lone[0]][0]] = max(0.0, lone[1])
    return known


def _draw_part(axes: Axes, y: int, name: str, part: Estimate, levels: dict[str, float]) -> None:
    """One step with its interval around where it ends; a negative one goes up and is hatched."""
    if part.value is None:
        reason = wrapped(f"undefined: {part.reason}", REASON_WIDTH)
        axes.text(0.02, y, reason, va="center", fontsize=SMALL, color=MUTED)
        return
    start = levels.get(FROM[name][0], max(0.0, part.value))
    end = start - part.value
    gain = part.value >= 0
    axes.barh(
        y,
        part.value,
        left=end,
        height=HEIGHT,
        color=PART_INKS[name] if gain else "white",
        edgecolor=INK,
        hatch=None if gain else NO_GAIN,
    )
    axes.plot([start, start], [y - 1 + HEIGHT / 2, y - HEIGHT / 2], color=MUTED, linewidth=1)
    right = max(start, end)
    if part.interval is not None:
        low, high = part.interval
        # The last part ends at 0, whatever it is worth: what is uncertain is where it begins.
        ends = [start - part.value + low, start - part.value + high] if name == LAST else [start - high, start - low]
        for ink, width in (("white", 5), (INK, 2)):
            axes.plot(ends, [y, y], color=ink, linewidth=width, marker="|", markersize=7 + width, markeredgewidth=width)
        right = max(right, *ends)
    words = "" if gain else ", no gain"
    axes.annotate(f"{part.value:z.2f}  ({span(part.interval)}){words}", (right, y), **BESIDE)


def _first_value(result: GapResult, first: str, level: float) -> str:
    """The value that the steps go down from, with its interval where there is one."""
    rows = [row for row in result.misalignment if (row.label_map, row.discrepancy) == (first, "kl")]
    interval = rows[0].interval if rows else None
    return f"{level:z.2f}" if interval is None else f"{level:z.2f}  ({span(interval)})"
