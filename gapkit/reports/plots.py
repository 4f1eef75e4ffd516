"""Figures of results, readable for the colour-blind and when printed grey."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from gapkit.reports.text import DISCREPANCY_TITLES
from gapkit.results import GapResult, Misalignment

INK = "#1b2a41"
PRIOR = "#8a8f98"
MARKERS = {"kl": "o", "zero_one": "s"}
FILLS = {"kl": INK, "zero_one": "white"}
ROW_HEIGHT = 0.62


def plot_misalignment(result: GapResult) -> Figure:
    """Every family's normalised misalignment with its 95 % interval, against 1, the class prior."""
    families = list(dict.fromkeys(row.label_map for row in result.misalignment))
    discrepancies = list(dict.fromkeys(row.discrepancy for row in result.misalignment))
    figure = Figure(figsize=(7.2, 1.7 + ROW_HEIGHT * len(families)), layout="constrained")
    axes = figure.subplots()
    for offset, discrepancy in enumerate(discrepancies):
        rows = [row for row in result.misalignment if row.discrepancy == discrepancy]
        shift = 0.16 * (2 * offset - len(discrepancies) + 1)
        _draw_rows(axes, [(families.index(row.label_map) + shift, row) for row in rows], discrepancy)
    axes.axvline(1.0, color=PRIOR, linestyle="--", linewidth=1, zorder=0)
    axes.annotate("class prior", (1.0, -0.62), color=PRIOR, ha="right", va="center", xytext=(-4, 0), textcoords="offset points")
    axes.set_yticks(range(len(families)), families)
    axes.set_ylim(len(families) - 0.5, -0.85)
    axes.set_xlim(left=0.0, right=max(1.05, axes.get_xlim()[1]))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("misalignment, share of what the class prior leaves open (0 %: none left)")
    axes.set_title(f"{result.source.name} on {result.target.name}", loc="left", color=INK)
    axes.grid(axis="x", color="#e3e5e8", linewidth=0.8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(discrepancies), frameon=False)
    return figure


def _draw_rows(axes: object, rows: list[tuple[float, Misalignment]], discrepancy: str) -> None:
    """Points with interval bars for one discrepancy; undefined families leave their row empty."""
    drawn = [(y, row) for y, row in rows if row.normalised is not None and row.interval is not None]
    style = {"marker": MARKERS.get(discrepancy, "D"), "markerfacecolor": FILLS.get(discrepancy, "white")}
    label = DISCREPANCY_TITLES[discrepancy]
    for y, row in drawn:
        low, high = row.interval or (0.0, 0.0)
        axes.plot([low, high], [y, y], color=INK, linewidth=2, solid_capstyle="butt")
    axes.plot(
        [row.normalised for _, row in drawn],
        [y for y, _ in drawn],
        linestyle="none", color=INK, markersize=7, label=label, **style,
    )


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a file of this kind ("png", "svg"), without the time of its making."""
    buffer = BytesIO()
    no_date = {"svg": {"Date": None}, "png": {"Software": None}}
    figure.savefig(buffer, format=kind, dpi=160, metadata=no_date.get(kind))
    return buffer.getvalue()
