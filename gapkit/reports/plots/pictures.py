"""Rows of example pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from gapkit.arrays import Array
from gapkit.reports.plots.lettering import on_two_lines, wrapped
from gapkit.reports.plots.style import MUTED, RULE, SMALL, TEXT, WIDTH, in_house_style

NAME_WIDTH, NAME_LETTERS, TOP, MARGIN = 1.6, 16, 0.5, 0.12
SIDE, GAP = 0.55, 0.05
"""Inches of a picture and of what is between two."""
MOST_ROWS = 30


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """A figure that things are put on by inches from its upper left corner."""

    figure: Figure
    width: float
    height: float

    def write(self, x: float, y: float, text: str, **style: object) -> None:
        """Text whose left end is at x, and its middle at y."""
        given = {"va": "center", "ha": "left", "fontsize": SMALL, **style}
        self.figure.text(x / self.width, 1 - y / self.height, text, **given)

    def show(self, x: float, y: float, picture: Array) -> None:
        """A picture with its upper left corner there."""
        place = (x / self.width, 1 - (y + SIDE) / self.height, SIDE / self.width, SIDE / self.height)
        axes = self.figure.add_axes(place, xticks=[], yticks=[])
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.spines[:].set_color(RULE)


def blank_sheet(height: float) -> Sheet:
    """An empty sheet of the usual width."""
    return Sheet(figure=Figure(figsize=(WIDTH, height)), width=WIDTH, height=height)


@in_house_style
def picture_grid(pictures: Mapping[str, Sequence[Array]], title: str) -> Figure | None:
    """Example pictures, (H, W) or (H, W, 3) uint8, one row for each class; classes without one are left out.

    At most ``MOST_ROWS`` classes are shown, and as many pictures of each as fit; the other classes are counted.
    """
    rows = {name: list(own) for name, own in pictures.items() if len(own)}
    if not rows:
        return None
    shown = dict(list(rows.items())[:MOST_ROWS])
    left = len(rows) - len(shown)
    fit = int((WIDTH - NAME_WIDTH - MARGIN) / (SIDE + GAP))
    sheet = blank_sheet(TOP + (SIDE + GAP) * len(shown) + (0.35 if left else MARGIN))
    sheet.write(MARGIN, TOP / 2, wrapped(title, 52, 1), fontsize=TEXT)
    for row, (name, own) in enumerate(shown.items()):
        y = TOP + (SIDE + GAP) * row
        sheet.write(MARGIN, y + SIDE / 2, on_two_lines(name, NAME_LETTERS))
        for column, picture in enumerate(own[:fit]):
            sheet.show(NAME_WIDTH + (SIDE + GAP) * column, y, picture)
    if left:
        sheet.write(MARGIN, sheet.height - 0.18, f"and {left} more classes", color=MUTED)
    return sheet.figure
