"""Class by class: which target classes the source knows, and which it does not."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gapkit.estimates import ClassGap
from gapkit.reports.plots.lettering import shorten
from gapkit.reports.plots.style import INK, MUTED, entitle, in_house_style, marker_style, new_figure, tidy
from gapkit.results import GapResult

MOST = 30
FEW = 12
LINE_HEIGHTS, MARGIN = (0.105, 0.06), 0.11
"""Inches of a family within the row of its class, of few or many classes, and between rows."""


@in_house_style
def plot_classes(result: GapResult) -> Figure | None:
    """Mean KL (nats) of each class under each family with 95 % intervals, and what the class prior loses there.

    The classes that lose the most under the first family come first; the others are counted.
    """
    families = list(dict.fromkeys(family for one in result.classes for family in one.label_maps))
    if not families:
        return None
    shown = sorted(result.classes, key=lambda one: -_loss(one, families[0]))[:MOST]
    line = LINE_HEIGHTS[len(shown) > FEW]
    row = max(0.3, line * len(families) + MARGIN)
    figure = new_figure(1.9 + row * len(shown))
    axes = figure.subplots()
    for y, one in enumerate(shown):
        axes.plot([one.prior] * 2, [y - 0.42, y + 0.42], color=MUTED, linestyle=(0, (1, 1)), linewidth=2)
    for position, family in enumerate(families):
        shift = line / row * (position - (len(families) - 1) / 2)
        _draw_family(axes, shown, family, position, shift)
    axes.plot([], [], color=MUTED, linestyle=(0, (1, 1)), linewidth=2, label="class prior")
    axes.set_yticks(range(len(shown)), [f"{shorten(one.name, 18)}  ({one.n})" for one in shown])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(left=0.0)
    axes.set_xlabel("mean KL (nats), 95 % interval")
    left = len(result.classes) - len(shown)
    others = f"\n{len(shown)} that lose the most; {left} others are not shown" if left else ""
    entitle(figure, f"Misalignment by class (scored samples){others}")
    tidy(axes)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _loss(one: ClassGap, family: str) -> float:
    """What a class loses under a family; where that is unknown, nothing."""
    found = one.label_maps.get(family)
    return 0.0 if found is None or found.value is None else found.value


def _draw_family(axes: Axes, shown: list[ClassGap], family: str, position: int, shift: float) -> None:
    """Points and intervals of one family."""
    found = [(y + shift, one.label_maps[family]) for y, one in enumerate(shown) if family in one.label_maps]
    known = [(y, item.value, item.interval) for y, item in found if item.value is not None]
    for y, _, interval in known:
        if interval is not None:
            axes.plot(interval, [y, y], color=INK, linewidth=1.3, solid_capstyle="butt")
    values, rows = [value for _, value, _ in known], [y for y, _, _ in known]
    axes.plot(values, rows, linestyle="none", markersize=5, label=shorten(family), **marker_style(position))
