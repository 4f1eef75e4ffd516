"""The channel as a matrix: how much of each source class is read as each target class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from gapkit.arrays import Array
from gapkit.reports.plots.lettering import shorten
from gapkit.reports.plots.style import ACCENT, INK, PAPER, SMALL, in_house_style, new_figure
from gapkit.results import GapResult

MOST_SOURCES, MOST_TARGETS, MOST_NUMBERS = 30, 24, 12
LETTERS_ABOVE = 40
DARK = 0.45
"""Share of the shades from which white is read better than ink."""
SHADES = (PAPER, "#9dbfdf", "#3d6a99", INK)
Line = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """What is drawn.

    Attributes:
        sources: rows; the last may sum up others.
        targets: columns.
        mass: (rows, columns).
        matches: row and column of the injection's matches.
        left_out: target classes without a column.
    """

    sources: list[str]
    targets: list[str]
    mass: Array
    matches: list[tuple[int, int]]
    left_out: int


@in_house_style
def plot_label_map(result: GapResult) -> Figure | None:
    """Mass of the channel between source and target classes; the injection's matches are outlined."""
    matrix = _matrix(_lines(result, "channel"), _lines(result, "injection"))
    if matrix is None:
        return None
    rows, columns = matrix.mass.shape
    figure = new_figure(2.0 + 0.9 * _is_steep(matrix) + 0.27 * max(4, rows))
    axes = figure.subplots()
    norm = PowerNorm(0.5, vmin=0.0, vmax=float(matrix.mass.max()))
    mesh = axes.pcolormesh(
        matrix.mass,
        cmap=LinearSegmentedColormap.from_list("mass", list(SHADES)),
        norm=norm,
        edgecolors="#eef1f4",
        linewidth=0.5,
    )
    if columns <= MOST_NUMBERS:
        _write_masses(axes, matrix.mass, norm)
    for row, column in matrix.matches:
        for colour, width in ((PAPER, 4.5), (ACCENT, 2.2)):
            frame = Rectangle(
                (column, row), 1, 1, fill=False, edgecolor=colour, linewidth=width, zorder=3, clip_on=False
            )
            axes.add_patch(frame)
    _name_axes(axes, matrix)
    bar = figure.colorbar(mesh, ax=axes, orientation="horizontal", aspect=40, shrink=0.8, pad=0.02)
    bar.set_label("mass of the channel" + ("\nframed: the injection's matches" if matrix.matches else ""))
    most = float(matrix.mass.max())
    bar.set_ticks([0.0, most / 16, most / 4, most], labels=["0", *(f"{most / k:.2g}" for k in (16, 4, 1))])
    bar.outline.set_visible(False)
    return figure


def _lines(result: GapResult, family: str) -> list[Line]:
    """Lines of a label map that name a target class; of several labels, the label's own name."""
    lines = [line for line in result.label_maps.get(family, []) if line["target"] is not None]
    return [line | {"target": line["label"]} if "label" in line else line for line in lines if _counts(line)]


def _counts(line: Line) -> bool:
    """Of several labels only what is read as the label itself, not as its absence."""
    return "label" not in line or line["target"] == "with"


def _matrix(channel: Sequence[Line], injection: Sequence[Line]) -> Matrix | None:
    """Rows and columns with the most mass, those of the injection's matches first; None without a line."""
    if not channel:
        return None
    per_target = _sums(channel, "target")
    order = dict.fromkeys([line["target"] for line in (*injection, *channel)])
    kept = set(sorted(per_target, key=lambda name: -per_target[name])[:MOST_TARGETS])
    targets = [name for name in order if name in kept]
    matched = [line for line in injection if line["target"] in kept]
    shown = [line for line in channel if line["target"] in kept]
    sources = _sources(shown, matched, targets)
    others = {line["source"] for line in shown} - set(sources)
    named = [*sources, *([f"{len(others)} others"] if others else [])]
    mass = np.zeros((len(named), len(targets)))
    for line in shown:
        row = sources.index(line["source"]) if line["source"] in sources else len(named) - 1
        mass[row, targets.index(line["target"])] += line["mass"]
    matches = [
        (sources.index(line["source"]), targets.index(line["target"])) for line in matched if line["source"] in sources
    ]
    return Matrix(sources=named, targets=targets, mass=mass, matches=matches, left_out=len(order) - len(targets))


def _sums(lines: Sequence[Line], side: str) -> dict[str, float]:
    """Mass of each class of one side."""
    sums: dict[str, float] = {}
    for line in lines:
        sums[line[side]] = sums.get(line[side], 0.0) + line["mass"]
    return sums


def _sources(shown: Sequence[Line], matched: Sequence[Line], targets: list[str]) -> list[str]:
    """Source classes that get a row of their own, sorted by the target class that they mostly are read as."""
    per_source = _sums(shown, "source")
    heaviest = sorted(per_source, key=lambda name: -per_source[name])
    kept = list(dict.fromkeys([*(line["source"] for line in matched), *heaviest]))[:MOST_SOURCES]
    home: dict[str, tuple[int, float]] = {}
    for line in [*matched, *sorted(shown, key=lambda line: line["mass"])]:
        home[line["source"]] = (targets.index(line["target"]), -line.get("mass", 0.0))
    return sorted(kept, key=lambda name: home[name])


def _write_masses(axes: Axes, mass: Array, norm: PowerNorm) -> None:
    """Each mass in its cell, in the ink that can be read on it."""
    for row, column in np.argwhere(mass > 0).tolist():
        value = mass[row, column]
        text = f"{value:.2f}".removeprefix("0")
        ink = PAPER if norm(value) > DARK else INK
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9, color=ink)


def _is_steep(matrix: Matrix) -> bool:
    """Whether names of target classes need more room than their columns have."""
    return len(matrix.targets) > MOST_NUMBERS or max(map(len, matrix.targets)) * len(matrix.targets) > LETTERS_ABOVE


def _name_axes(axes: Axes, matrix: Matrix) -> None:
    """Source classes beside the rows, target classes above the columns."""
    rows, columns = matrix.mass.shape
    axes.set_yticks(np.arange(rows) + 0.5, [shorten(name, 22) for name in matrix.sources], fontsize=SMALL)
    names = [shorten(name, 16) for name in matrix.targets]
    many = columns > MOST_NUMBERS
    slanted = {"rotation": 90 if many else 60, "ha": "left", "va": "center" if many else "bottom"}
    turned: dict[str, Any] = slanted | {"rotation_mode": "anchor"} if _is_steep(matrix) else {}
    axes.set_xticks(np.arange(columns) + 0.5, names, fontsize=9 if many else SMALL, **turned)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    more = f" ({matrix.left_out} more have less mass)" if matrix.left_out else ""
    axes.set_xlabel(f"target class{more}")
    axes.set_ylabel("source class")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
