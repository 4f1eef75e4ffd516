"""Figures of results, readable for the colour-blind and when printed grey."""

from __future__ import annotations

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gapkit.estimates import Misalignment
from gapkit.reports.text import DISCREPANCY_TITLES
from gapkit.results import GapResult

INK = "#1b2a41"
PRIOR = "#8a8f98"
MARKERS = {"kl": "o", "zero_one": "s"}
FILLS = {"kl": INK, "zero_one": "white"}
ROW_HEIGHT = 0.62


def plot_misalignment(result: GapResult) -> Figure:
    """Every family's normalised misalignment with its 95 % interval, against 1, the class prior."""
    families = list(dict.fromkeys(row.label_map for row in result.misalignment))
    discrepancies = list(dict.fromkeys(row.discrepancy for row in result.misalignment))
    figure = Figure(figsize=(7.2, 2.0 + ROW_HEIGHT * len(families)), layout="constrained")
    axes = figure.subplots()
    axes.set_yticks(range(len(families)), families)
    axes.set_ylim(len(families) - 0.5, -0.85)
    for offset, discrepancy in enumerate(discrepancies):
        rows = [row for row in result.misalignment if row.discrepancy == discrepancy]
        shift = 0.16 * (2 * offset - len(discrepancies) + 1)
        _draw_rows(axes, [(families.index(row.label_map) + shift, row) for row in rows], discrepancy)
    _draw_prior(axes)
    axes.set_xlim(left=0.0, right=max(1.05, axes.get_xlim()[1]))
    axes.set_xlabel("normalised misalignment with 95 % interval (0: none)")
    # Names come from files: a dollar sign in one is no formula.
    axes.set_title(f"{result.source.name} on {result.target.name}", loc="left", color=INK, parse_math=False)
    axes.grid(axis="x", color="#e3e5e8", linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower center", ncols=len(discrepancies), frameon=False)
    return figure


def _draw_prior(axes: Axes) -> None:
    """The line at 1: no better than naming how frequent each class is."""
    axes.axvline(1.0, color=PRIOR, linestyle=":", linewidth=1.5, zorder=1.5)
    offset = {"xytext": (-4, 0), "textcoords": "offset points"}
    axes.annotate("class prior", (1.0, -0.65), color=PRIOR, ha="right", va="center", **offset)


def _draw_rows(axes: Axes, rows: list[tuple[float, Misalignment]], discrepancy: str) -> None:
    """Points with interval bars for one discrepancy; an undefined family says so in its row."""
    drawn: list[tuple[float, float]] = []
    for y, row in rows:
        if row.interval is not None:
            axes.plot(row.interval, [y, y], color=INK, linewidth=2, solid_capstyle="butt")
        if row.normalised is not None:
            drawn.append((row.normalised, y))
        else:
            text = f"undefined: {row.reason}"
            axes.text(0.01, y, text, va="center", fontsize="small", color=PRIOR, parse_math=False)
    axes.plot(
        [value for value, _ in drawn],
        [y for _, y in drawn],
        linestyle="none",
        color=INK,
        markersize=7,
        marker=MARKERS.get(discrepancy, "D"),
        markerfacecolor=FILLS.get(discrepancy, "white"),
        label=DISCREPANCY_TITLES[discrepancy],
    )


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a file of this kind ("png", "svg"), without the time of its making."""
    buffer = BytesIO()
    no_date = {"svg": {"Date": None}, "png": {"Software": None}}
    figure.savefig(buffer, format=kind, dpi=160, metadata=no_date.get(kind))
    return buffer.getvalue()
