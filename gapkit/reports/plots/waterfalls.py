"""Decompositions beside each other on one scale: each as steps from the strictest reading down to 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gapkit.estimates import Estimate
from gapkit.reports.plots.decomposition import FROM, LAST, NO_GAIN, levels_of
from gapkit.reports.plots.lettering import wrapped
from gapkit.reports.plots.style import FILL, INK, MUTED, PAPER, PART_INKS, SMALL, TEXT, tidy

BAR = 0.78
STEP_SIZE, TITLE_LINES = 9, 2
"""Points of the numbers at the bars, and lines of a panel's title."""
TALL = 0.4
"""Level from which the strictest reading's name fits into its bar."""


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """One decomposition.

    Attributes:
        title: above its panel.
        ladder: family -> normalised KL.
        parts: of the decomposition.
    """

    title: str
    ladder: Mapping[str, Estimate]
    parts: Mapping[str, Estimate]

    @property
    def is_defined(self) -> bool:
        """Whether there is a step to draw."""
        return any(part.value is not None for part in self.parts.values())


def draw_waterfalls(figure: Figure, rows: Sequence[Sequence[Waterfall | None]], *, letters: int) -> None:
    """A grid of panels on one scale, with what the inks mean below; None leaves a place empty.

    Args:
        figure: empty.
        rows: of panels, all of one length.
        letters: that a line of a panel's title holds.
    """
    panels = figure.subplots(len(rows), len(rows[0]), sharex=True, sharey=True, squeeze=False)
    drawn: list[Axes] = []
    for axes, waterfall in zip(panels.ravel(), [one for row in rows for one in row], strict=True):
        if waterfall is None:
            axes.set_visible(False)
            continue
        drawn.append(axes)
        axes.set_title(wrapped(waterfall.title, letters, TITLE_LINES), fontsize=SMALL, loc="left")
        _draw(axes, waterfall)
    _scale(drawn)
    figure.supylabel("normalised KL (dotted: class prior)", fontsize=TEXT, color=INK)
    handles = [Patch(facecolor=FILL, edgecolor=INK, label="strictest reading")]
    handles += [Patch(facecolor=ink, edgecolor=INK, label=name.replace("_", " ")) for name, ink in PART_INKS.items()]
    if any(part.value is not None and part.value < 0 for row in rows for one in row if one for part in _parts(one)):
        handles.append(Patch(facecolor="white", edgecolor=INK, hatch=NO_GAIN, label="no gain"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)


def _parts(waterfall: Waterfall) -> list[Estimate]:
    """Its parts."""
    return list(waterfall.parts.values())


def _scale(panels: Sequence[Axes]) -> None:
    """One scale for all, from 0 or below to 1 or above, with room for the numbers."""
    low = min(axes.dataLim.y0 for axes in panels)
    high = max(axes.dataLim.y1 for axes in panels)
    panels[0].set_xlim(-0.6, len(PART_INKS) + 0.6)
    panels[0].set_ylim(min(0.0, 1.05 * low), 1.28 * max(1.0, high))
    panels[0].set_xticks([])


def _draw(axes: Axes, waterfall: Waterfall) -> None:
    """The strictest reading, then a step for each part."""
    axes.axhline(1.0, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.4, zorder=1.5)
    tidy(axes, grid="y")
    if not waterfall.is_defined:
        reason = next((part.reason for part in waterfall.parts.values() if part.reason), "no decomposition")
        text = wrapped(f"undefined: {reason}", 16, 6)
        axes.text(len(PART_INKS) / 2, 0.5, text, ha="center", va="center", fontsize=STEP_SIZE, color=MUTED)
        return
    values = {family: found.value for family, found in waterfall.ladder.items()}
    levels = levels_of(values, waterfall.parts)
    first = next(family for family, _ in FROM.values() if family in levels)
    axes.bar(0, levels[first], width=BAR, color=FILL, edgecolor=INK)
    if levels[first] > TALL:
        axes.text(0, 0.02, f" {first}", rotation=90, ha="center", va="bottom", fontsize=STEP_SIZE, color=INK)
    found = waterfall.ladder.get(first)
    top = _whisker(axes, 0, None if found is None else found.interval)
    _number(axes, 0, max(levels[first], top), f"{levels[first]:z.2f}")
    for place, (name, part) in enumerate(waterfall.parts.items(), start=1):
        _draw_step(axes, place, name, part, levels)


def _draw_step(axes: Axes, place: int, name: str, part: Estimate, levels: Mapping[str, float]) -> None:
    """One step with its interval around where it ends; a negative one goes up and is hatched."""
    if part.value is None:
        _number(axes, place, max(0.0, levels.get(FROM[name][1], 0.0)), "undefined")
        return
    start = levels.get(FROM[name][0], max(0.0, part.value))
    end, gain = start - part.value, part.value >= 0
    look: dict[str, Any] = {"color": PART_INKS[name]} if gain else {"color": "white", "hatch": NO_GAIN}
    axes.bar(place, part.value, bottom=end, width=BAR, edgecolor=INK, **look)
    axes.plot([place - 1 + BAR / 2, place - BAR / 2], [start, start], color=MUTED, linewidth=1)
    ends = None
    if part.interval is not None:
        low, high = part.interval
        # The last part ends at 0, whatever it is worth: what is uncertain is where it begins.
        ends = (end + low, end + high) if name == LAST else (start - high, start - low)
    _number(axes, place, max(start, end, _whisker(axes, place, ends)), f"{part.value:z.2f}")


def _whisker(axes: Axes, place: int, ends: tuple[float, float] | None) -> float:
    """An interval over a bar, readable on every ink; its upper end."""
    if ends is None:
        return 0.0
    for ink, width in (("white", 4), (INK, 1.5)):
        axes.plot(
            [place, place], ends, color=ink, linewidth=width, marker="_", markersize=4 + width, markeredgewidth=width
        )
    return max(ends)


def _number(axes: Axes, place: int, top: float, text: str) -> None:
    """A number above a bar, upright, for bars are narrow."""
    look: dict[str, Any] = {"xytext": (0, 5), "textcoords": "offset points", "rotation": 90, "color": INK}
    # Behind the letters the rules and the class prior's line are left out.
    look["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
    axes.annotate(text, (place, top), ha="center", va="bottom", fontsize=STEP_SIZE, **look)
