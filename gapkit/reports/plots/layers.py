"""Layer by layer: what can be read off each of the source's layers."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gapkit.estimates import Misalignment
from gapkit.reports.plots.lettering import shorten
from gapkit.reports.plots.style import FILL, INK, MUTED, SMALL, entitle, in_house_style, marker_style, new_figure, tidy
from gapkit.reports.text import DISCREPANCY_TITLES
from gapkit.results import GapResult

MOST_LABELS, FEW = 18, 5
HATCHES = ("", "////")
LINES = ("-", "--")


@in_house_style
def plot_layers(result: GapResult) -> Figure | None:
    """Normalised misalignment of the families that read features, by layer, with 95 % intervals as bands."""
    rows = [row for own in result.layers.values() for row in own if row.normalised is not None]
    if not rows:
        return None
    discrepancy = "kl" if any(row.discrepancy == "kl" for row in rows) else rows[0].discrepancy
    families = list(dict.fromkeys(row.label_map for row in rows if row.discrepancy == discrepancy))
    figure = new_figure(4.4)
    axes = figure.subplots()
    for position, family in enumerate(families):
        curve = [_find(own, family, discrepancy) for own in result.layers.values()]
        _draw_curve(axes, family, curve, position)
    axes.axhline(1.0, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.6, zorder=1.5)
    axes.annotate("class prior", (0, 1.0), xytext=(0, 4), textcoords="offset points", color=MUTED, fontsize=SMALL)
    axes.set_ylim(0.0, max(1.1, axes.get_ylim()[1]))
    label_layers(axes, list(result.layers))
    axes.set_ylabel(f"normalised misalignment ({DISCREPANCY_TITLES[discrepancy]})")
    entitle(figure, "What can be read off each layer, with 95 % intervals")
    tidy(axes, grid="y")
    figure.legend(loc="outside lower center", ncols=len(families), frameon=False)
    return figure


def _find(rows: tuple[Misalignment, ...], family: str, discrepancy: str) -> Misalignment | None:
    """A layer's entry, where it has a value."""
    return next((row for row in rows if (row.label_map, row.discrepancy) == (family, discrepancy)), None)


def _draw_curve(axes: Axes, family: str, curve: list[Misalignment | None], position: int) -> None:
    """One family: points joined where neighbours are known, and the band of the intervals."""
    missing = float("nan")
    values = [missing if row is None or row.normalised is None else row.normalised for row in curve]
    ends = [(missing, missing) if row is None or row.interval is None else row.interval for row in curve]
    band: dict[str, Any] = {
        "facecolor": FILL if position == 0 else "none",
        "edgecolor": MUTED,
        "hatch": HATCHES[position % 2],
    }
    places = range(len(curve))
    axes.fill_between(places, [low for low, _ in ends], [high for _, high in ends], linewidth=0.5, alpha=0.7, **band)
    style = marker_style(position)
    axes.plot(places, values, linewidth=1.8, linestyle=LINES[position % 2], markersize=7, label=family, **style)


def label_layers(axes: Axes, names: list[str]) -> None:
    """Names of layers, slanted where there are many, and only some of them where there are very many."""
    step = -(-len(names) // MOST_LABELS)
    shown = sorted({*range(0, len(names), step), len(names) - 1})
    many = len(names) > FEW
    axes.set_xticks(
        shown,
        [shorten(names[place], 18) for place in shown],
        rotation=55 if many else 0,
        ha="right" if many else "center",
        rotation_mode="anchor",
    )
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_xlabel("layer, from input to output", color=INK)
