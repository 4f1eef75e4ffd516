"""What tuning has left of a source, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from gapkit.arrays import Array
from gapkit.estimates import Estimate
from gapkit.reports.plots.layers import label_layers
from gapkit.reports.plots.lettering import shorten
from gapkit.reports.plots.style import (
    FILL,
    INK,
    MUTED,
    PAPER,
    SMALL,
    entitle,
    in_house_style,
    marker_style,
    new_figure,
    tidy,
)
from gapkit.results import ReuseResult

SHADES = (PAPER, "#9dbfdf", "#1b2a41")
DARK = 0.55
"""Value from which a cell is too dark for dark letters."""
MOST_ROWS = 40
SHARES = {
    "retention": "retention",
    "knn_retention": "kNN retention",
    "held": "held",
    "cka": "CKA",
    "svcca": "SVCCA",
    "pwcca": "PWCCA",
    "rsa": "RSA",
    "mutual_knn": "mutual kNN",
    "cknna": "CKNNA",
    "subspace": "subspace",
    "kept": "kept",
    "knowledge_reuse": "knowledge reuse",
    "criticality": "criticality",
    "reuse": "causal reuse",
}
"""Measures that are 1 where all is left, or all is used."""
CLASS_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
CLASS_INKS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#1b2a41",
    "#e69f00",
    "#56b4e9",
    "#8c8c8c",
    "#f0e442",
    "#7a3b00",
)
"""Okabe and Ito's, readable for the colour-blind; markers differ too."""
MATRIX_WIDTH = 2
MOST_TICKS = 16
"""Layers of a matrix beyond which cells have no numbers, and only some layers are named."""
LINES = ("-", "--", ":")


@in_house_style
def plot_reuse(result: ReuseResult) -> Figure | None:
    """The knowledge-reuse score by layer and, with a target, causal reuse, with 95 % intervals."""
    curves = {
        title: result.curve(name) for name, title in (("knowledge_reuse", "knowledge reuse"), ("reuse", "causal reuse"))
    }
    curves = {title: curve for title, curve in curves.items() if any(one.value is not None for one in curve.values())}
    if not curves:
        return None
    figure = new_figure(3.9)
    axes = figure.subplots()
    _draw_curves(axes, result.names, curves)
    axes.set_ylim(-0.03, 1.06)
    axes.set_ylabel("share reused")
    label_layers(axes, list(result.names))
    entitle(figure, f"What is reused, with 95 % intervals\n{shorten(result.after.name, 50)}")
    figure.legend(loc="outside lower center", ncols=len(curves), frameon=False)
    return figure


@in_house_style
def plot_retention(result: ReuseResult) -> Figure | None:
    """Accuracy of the linear probe before, after and with random weights; below it retention."""
    accuracy = {
        title: result.curve(f"probe_{name}")
        for name, title in (("before", "before"), ("after", "after"), ("random", "random weights"))
    }
    if not any(one.value is not None for curve in accuracy.values() for one in curve.values()):
        return None
    retained = {"linear probe": result.curve("retention"), "nearest neighbours": result.curve("knn_retention")}
    figure = new_figure(6.6)
    above, below = figure.subplots(2, 1, sharex=True)
    _draw_curves(above, result.names, accuracy)
    above.set_ylabel("probe accuracy")
    above.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    _draw_curves(below, result.names, retained)
    for level in (0.0, 1.0):
        below.axhline(level, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.4, zorder=1.5)
    below.set_ylabel("retention")
    below.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    label_layers(below, list(result.names))
    entitle(figure, "What can be read off each layer, with 95 % intervals")
    return figure


def _draw_curves(axes: Axes, names: Sequence[str], curves: Mapping[str, Mapping[str, Estimate]]) -> None:
    """Series by layer: points with interval bars, side by side where there are several, joined by lines."""
    for position, (title, curve) in enumerate(curves.items()):
        known = [(place, curve[name]) for place, name in enumerate(names) if name in curve]
        shown = [(place, one) for place, one in known if one.value is not None]
        offset = (position - (len(curves) - 1) / 2) * 0.14
        places = [place + offset for place, _ in shown]
        values = np.array([one.value for _, one in shown], dtype=np.float64)
        for place, (_, one) in zip(places, shown, strict=True):
            if one.interval is not None:
                axes.plot([place, place], one.interval, color=INK, linewidth=1.2, solid_capstyle="butt")
        style = marker_style(position) | {"markersize": 6, "linewidth": 1.4}
        axes.plot(places, values, linestyle=LINES[position % len(LINES)], label=title, **style)
    tidy(axes, grid="y")


@in_house_style
def plot_measures(result: ReuseResult) -> Figure | None:
    """A heat map, layers by measures that are 1 where all is left; dark is much."""
    names = [name for name in SHARES if any(row.measures.get(name) is not None for row in result.layers)]
    rows = result.layers[:MOST_ROWS]
    values = np.array([[_value(row.measures.get(name)) for name in names] for row in rows], dtype=np.float64)
    if not np.isfinite(values).any():
        return None
    figure = new_figure(2.0 + 0.36 * len(rows), width=7.2)
    axes = figure.subplots()
    axes.set_facecolor(FILL)
    _heat(axes, values, size=8.5)
    axes.set_xticks(
        range(len(names)), [SHARES[name] for name in names], rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(rows)), [shorten(row.layer, 22) for row in rows])
    left = len(result.layers) - len(rows)
    entitle(figure, "Measures by layer, 1 is all" + (f"\n{left} more layers are not shown" if left else ""))
    return figure


@in_house_style
def plot_matrices(result: ReuseResult) -> Figure | None:
    """Each similarity of the layers before (rows) with the layers after (columns)."""
    known = {
        name: np.array([[np.nan if value is None else value for value in row] for row in rows])
        for name, rows in result.matrices.items()
    }
    known = {name: rows for name, rows in known.items() if np.isfinite(rows).any()}
    if not known:
        return None
    across = min(MATRIX_WIDTH, len(known))
    down = math.ceil(len(known) / across)
    step, side = math.ceil(len(result.names) / MOST_TICKS), 0.34 * min(len(result.names), MOST_TICKS) + 1.2
    places = range(0, len(result.names), step)
    ticks = [shorten(result.names[place], 12) for place in places]
    figure = new_figure(0.8 + down * max(2.6, side if across == 1 else 3.0), width=5.8 if across == 1 else 8.4)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for axes, (name, values) in zip(panels, known.items(), strict=False):
        axes.set_facecolor(FILL)
        _heat(axes, values, size=8.5 if across == 1 else 6.5, numbered=step == 1)
        axes.set_title(name, fontsize=SMALL, loc="left")
        axes.set_xticks(places, ticks, rotation=55, ha="right", rotation_mode="anchor", fontsize=SMALL)
        axes.set_yticks(places, ticks, fontsize=SMALL)
    for axes in panels[len(known) :]:
        axes.set_visible(False)
    figure.supylabel("layer before", fontsize=SMALL)
    figure.supxlabel("layer after", fontsize=SMALL)
    entitle(figure, "Layers before beside layers after")
    return figure


def _heat(axes: Axes, values: Array, *, size: float, numbered: bool = True) -> None:
    """Shaded cells from 0 to 1, each with its number where there is room; what is undefined stays grey."""
    shades = LinearSegmentedColormap.from_list("shares", SHADES)
    axes.imshow(np.ma.masked_invalid(values), cmap=shades, vmin=0, vmax=1, aspect="auto")
    for y, x in np.ndindex(*values.shape) if numbered else ():
        value = values[y, x]
        if np.isfinite(value):
            axes.text(
                x, y, f"{value:z.2f}", ha="center", va="center", fontsize=size, color=PAPER if value > DARK else INK
            )
        else:
            axes.text(x, y, "-", ha="center", va="center", fontsize=size, color=MUTED)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _value(found: Estimate | None) -> float:
    """A number, NaN where there is none."""
    return float("nan") if found is None or found.value is None else found.value


@in_house_style
def plot_projection(result: ReuseResult) -> Figure | None:
    """t-SNE maps of the surrogate before and after, classes by colour and marker."""
    maps = result.projection
    if maps is None:
        return None
    figure = new_figure(3.9, width=7.2)
    panels: Any = figure.subplots(1, 2)
    names = list(dict.fromkeys(maps.classes))
    classes = np.array(maps.classes)
    for axes, points, title in zip(panels, (maps.before, maps.after), ("before", "after"), strict=True):
        for position, name in enumerate(names):
            own = points[classes == name]
            color = CLASS_INKS[position % len(CLASS_INKS)]
            marker = CLASS_MARKERS[position % len(CLASS_MARKERS)]
            axes.scatter(own[:, 0], own[:, 1], s=14, color=color, marker=marker, linewidths=0, label=shorten(name, 14))
        axes.set_title(title, fontsize=SMALL, loc="left")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_color(FILL)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8.5)
    entitle(figure, "The surrogate, as what the head sees (t-SNE)")
    return figure
