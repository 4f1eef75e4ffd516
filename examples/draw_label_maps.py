"""Draw the README's picture: the families of label maps, and the parts that they split the misalignment into.

    python examples/draw_label_maps.py [FOLDER]

writes ``label_maps.svg`` into FOLDER, by default the one that this script is in. Text stays text and is placed by its
baseline and anchor, so the file depends neither on the fonts of the machine nor on the time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path as Curve

NAME = "label_maps.svg"
TITLE = "Label maps from strict to free, and the parts that they split the misalignment into"
WIDTH, HEIGHT, PER_INCH, POINT = 900, 892, 96, 0.75
"""Pixels, pixels in an inch, and points in a pixel."""
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "label maps",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["Helvetica Neue", "Helvetica", "Arial", "DejaVu Sans"],
}

PAPER, CARD, INK, MUTED, FADED = "#ffffff", "#f3f5f8", "#1b2a41", "#4f5b6b", "#b3bac4"
TARGETS = ("#004488", "#bb5566", "#d9a21b")
"""Far apart in lightness too: they stay apart for the colour-blind and when printed grey."""
ON_TARGETS = ("white", "white", INK)
CELLS = ("#ffffff", "#c3ccd8")

MAPS = {
    "injection": np.array([[1, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 0]]),
    "partition": np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0], [0, 0, 1]]),
    "channel": np.array([[0.9, 0.1, 0], [0.6, 0.4, 0], [0, 0.3, 0.7], [0.15, 0.85, 0], [0.3, 0.2, 0.5], [0, 0.1, 0.9]]),
}
"""The maps A (source class, target class) of the drawing."""
CAPTIONS = {
    "injection": ("one source class for each;", "the others are ignored"),
    "partition": ("several source classes", "may share a target class"),
    "channel": ("any mixture;", "wider lines weigh more"),
    "linear": ("a linear head", "on the features", "and the channel's", "answer"),
    "ceiling": ("the best of", "channel, linear,", "neighbours and", "a small network"),
}
PARTS = {"absent_or_noise": 0.27, "nonlinear": 0.15, "readout": 0.18, "relabelling": 0.18}
"""Made-up parts of the injection's normalised KL, from the ceiling's value up to the injection's."""
LADDER = ("ceiling", "linear", "channel", "injection")
"""The family whose value each part ends at."""
MEANINGS = (
    ("read by nothing here:", "not there, or label noise"),
    ("in the features,", "not linearly"),
    ("in the features,", "not in the labels"),
    ("in the labels,", "not one to one"),
)
PART_COLOURS = ("#1b2a41", "#3d6a99", "#9dbfdf", "#dce8f4")
ON_PARTS = ("white", "white", INK, INK)

LEFT, RIGHT, FIRST, STEP = 66, 216, 84, 32
"""Of a panel: x of what is read and of the target classes, y of the first source class and from class to class."""
TARGET_ROWS = (FIRST + 0.5 * STEP, FIRST + 2.5 * STEP, FIRST + 4.5 * STEP)
INPUT_ROWS = (*(FIRST - 6 + 15 * k for k in range(8)), *(FIRST + 5 * STEP - 24 + 15 * k for k in range(3)))
"""Eight features, then one number for each target class."""


def write(axes: Axes, x: float, y: float, text: str, **style: object) -> None:
    """Text on the baseline y; ``size`` in pixels."""
    size = float(str(style.pop("size", 16))) * POINT
    axes.text(x, y, text, fontsize=size, parse_math=False, **{"color": INK, "ha": "center", "va": "baseline", **style})


def mark(axes: Axes, x: float, rows: list[float], size: float, **style: object) -> None:
    """Markers below each other, ``size`` pixels wide."""
    axes.plot([x] * len(rows), rows, linestyle="none", markersize=size * POINT, **{"marker": "s", **style})


def link(axes: Axes, starts: list[tuple[float, float]], end: tuple[float, float], **style: object) -> None:
    """Curves to one end that leave and arrive level."""
    points, codes = [], []
    for x, y in starts:
        bend = 0.45 * (end[0] - x)
        points += [(x, y), (x + bend, y), (end[0] - bend, end[1]), end]
        codes += [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
    axes.add_patch(PathPatch(Curve(points, codes), fill=False, **style))


def draw_box(axes: Axes, corner: tuple[float, float], size: tuple[float, float], colour: str) -> None:
    """A box with round corners."""
    shape = "round,pad=0,rounding_size=8"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=shape, facecolor=colour, edgecolor="none"))


def draw_card(axes: Axes, corner: tuple[float, float], size: tuple[float, float], titles: tuple[str, str]) -> None:
    """The ground of a panel, its name, and what stands left."""
    draw_box(axes, corner, size, CARD)
    x, y = corner
    write(axes, x + (LEFT + RIGHT) / 2, y + 36, titles[0], size=22, weight="bold")
    write(axes, x + LEFT, y + 60, titles[1], size=15, color=MUTED)
    write(axes, x + RIGHT, y + 60, "target classes", size=15, color=MUTED)


def draw_targets(axes: Axes, x: float, y: float) -> None:
    """The target classes 1, 2, 3 as squares."""
    for row, name, colour, ink in zip(TARGET_ROWS, "123", TARGETS, ON_TARGETS, strict=True):
        mark(axes, x + RIGHT, [y + row], 28, color=colour, markeredgewidth=0)
        write(axes, x + RIGHT, y + row + 6, name, size=17, weight="bold", color=ink)


def draw_map(axes: Axes, x: float, y: float, matrix: np.ndarray) -> None:
    """Source classes a to f, target classes, and for each pair a line as wide as the entry of A."""
    rows = [y + FIRST + STEP * z for z in range(len(matrix))]
    for z, k in np.argwhere(matrix > 0).tolist():
        end = (x + RIGHT - 14, y + TARGET_ROWS[k])
        link(axes, [(x + LEFT, rows[z])], end, edgecolor=TARGETS[k], linewidth=0.6 + 4 * matrix[z, k])
    for row, name, weights in zip(rows, "abcdef", matrix, strict=True):
        ink = INK if weights.any() else FADED
        mark(axes, x + LEFT, [row], 26, marker="o", markerfacecolor=PAPER, markeredgecolor=ink, markeredgewidth=1.2)
        write(axes, x + LEFT, row + 5, name, color=ink)
    draw_targets(axes, x, y)


def draw_inputs(axes: Axes, x: float, y: float, last: tuple[str, ...], marker: str) -> None:
    """What linear and ceiling read: features, then one marker of each colour in ``last``."""
    style = {"markeredgecolor": INK, "markeredgewidth": 0.7}
    for k, colour in enumerate(CELLS):
        mark(axes, x + LEFT, [y + row for row in INPUT_ROWS[k:8:2]], 15, markerfacecolor=colour, **style)
    for row, colour in zip(INPUT_ROWS[8:], last, strict=True):
        mark(axes, x + LEFT, [y + row], 15, marker=marker, markerfacecolor=colour, **style)


def draw_linear(axes: Axes, x: float, y: float) -> None:
    """Every feature, and the channel's answer, to every target class."""
    starts = [(x + LEFT + 8, y + row) for row in INPUT_ROWS]
    for end, colour in zip(TARGET_ROWS, TARGETS, strict=True):
        link(axes, starts, (x + RIGHT - 14, y + end), edgecolor=colour, linewidth=0.75)
    draw_inputs(axes, x, y, TARGETS, "s")
    draw_targets(axes, x, y)


def draw_ceiling(axes: Axes, x: float, y: float) -> None:
    """Features and labels through a box that may hold anything."""
    middle, top, height = x + (LEFT + RIGHT) / 2 - 4, y + FIRST - 12, 5 * STEP + 24
    for row in INPUT_ROWS:
        axes.plot([x + LEFT + 8, middle - 44], [y + row] * 2, color=MUTED, linewidth=0.75)
    for row, colour in zip(TARGET_ROWS, TARGETS, strict=True):
        axes.plot([middle + 44, x + RIGHT - 14], [y + row] * 2, color=colour, linewidth=3.4, solid_capstyle="butt")
    draw_box(axes, (middle - 44, top), (88, height), INK)
    write(axes, middle, top + height / 2 + 5, "anything", size=15, weight="bold", color="white")
    draw_inputs(axes, x, y, (PAPER,) * 3, "o")
    draw_targets(axes, x, y)


def draw_families(axes: Axes) -> None:
    """Five panels, from strict to free: captions below the maps of labels, beside the others."""
    write(axes, 20, 40, "Label maps: how the source is read as target classes", size=23, weight="bold", ha="left")
    write(axes, 880, 40, "from strict to free", color=MUTED, ha="right")
    for k, (name, matrix) in enumerate(MAPS.items()):
        x, y = 20 + 289 * k, 60
        draw_card(axes, (x, y), (282, 320), (name, "source classes"))
        draw_map(axes, x, y, matrix)
        for row, line in enumerate(CAPTIONS[name]):
            write(axes, x + (LEFT + RIGHT) / 2, y + 283 + 21 * row, line)
    for k, (name, inputs, content) in enumerate(
        (("linear", "features", draw_linear), ("ceiling", "everything", draw_ceiling))
    ):
        x, y = 20 + 433.5 * k, 387
        draw_card(axes, (x, y), (426.5, 276), (name, inputs))
        content(axes, x, y)
        for row, line in enumerate(CAPTIONS[name]):
            write(axes, x + 276, y + 137 + 22 * row, line, ha="left")


def draw_bar(axes: Axes, y: float) -> None:
    """The injection's normalised KL from 0 to 1, split into its parts."""
    left, length, height = 20, 860, 54
    start = 0.0
    for k, (name, part) in enumerate(PARTS.items()):
        x, width = left + length * start, length * part
        axes.add_patch(Rectangle((x, y), width, height, facecolor=PART_COLOURS[k], edgecolor=PAPER, linewidth=1.5))
        write(axes, x + width / 2, y + 33, name, size=17, weight="bold", color=ON_PARTS[k])
        for row, line in enumerate(MEANINGS[k]):
            write(axes, x + width / 2, y + height + 22 + 19 * row, line, size=15)
        start += part
        draw_tick(axes, left + length * start, y, LADDER[k])
    x, width = left + length * start, length * (1 - start)
    axes.add_patch(Rectangle((x + 1, y + 1), width - 2, height - 2, fill=False, edgecolor=MUTED, linestyle=(0, (3, 3))))
    write(axes, x + width / 2, y + 33, "recovered", size=17, color=MUTED)
    write(axes, x + width / 2, y + height + 22, "by the injection", size=15, color=MUTED)
    draw_tick(axes, left, y, "0", ha="left")
    draw_tick(axes, left + length, y, "1: class prior", ha="right")


def draw_tick(axes: Axes, x: float, y: float, text: str, **style: object) -> None:
    """What a place on the bar is."""
    axes.plot([x, x], [y - 12, y], color=INK, linewidth=1.2)
    write(axes, x, y - 19, text, **style)


def draw() -> Figure:
    """The whole picture."""
    figure = Figure(figsize=(WIDTH / PER_INCH, HEIGHT / PER_INCH), facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(HEIGHT, 0)
    axes.axis("off")
    draw_families(axes)
    write(axes, 20, 708, "Decomposition: the injection's normalised KL in parts", size=23, weight="bold", ha="left")
    write(axes, 880, 708, "an example", color=MUTED, ha="right")
    draw_bar(axes, 768)
    for artist in axes.get_children():
        artist.set_clip_on(False)
    return figure


def main() -> None:
    """Write the picture."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        draw().savefig(folder / NAME, metadata={"Date": None, "Creator": None, "Title": TITLE})


if __name__ == "__main__":
    main()
