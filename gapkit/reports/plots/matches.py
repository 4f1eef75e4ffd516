"""The injection in pictures: each target class beside the source class that it is matched with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from gapkit.reports.plots.lettering import on_two_lines
from gapkit.reports.plots.pictures import GAP, MARGIN, SIDE, Sheet, blank_sheet
from gapkit.reports.plots.style import MUTED, TEXT, in_house_style
from gapkit.results import GapResult, Pictures

MOST, EACH = 12, 2
TARGET, ARROW, SOURCE, WORDS = 1.05, 2.29, 2.62, 3.88
"""Inches from the left edge to what a row holds."""
TOP, BOTTOM = 0.78, 0.32
LETTERS = 20


@in_house_style
def plot_matches(result: GapResult) -> Figure | None:
    """Pictures of target classes and of the source classes that the injection matches them with, and the agreement.

    None without an injection or without a picture of the target.
    """
    pictures = result.pictures
    lines = [line for line in result.label_maps.get("injection", []) if line["target"] is not None]
    if pictures is None or not lines or not (pictures.target or pictures.seen):
        return None
    shown = lines[:MOST]
    sheet = blank_sheet(TOP + (SIDE + 2 * GAP) * len(shown) + BOTTOM * (len(lines) > MOST))
    what = "target class" if pictures.target else "target class, as the source sees it"
    sheet.write(MARGIN, 0.25, "Classes that the injection matches", fontsize=TEXT)
    sheet.write(MARGIN, 0.58, what, color=MUTED)
    sheet.write(SOURCE, 0.58, "source class" if pictures.target else "its source class", color=MUTED)
    for row, line in enumerate(shown):
        _draw_line(sheet, TOP + (SIDE + 2 * GAP) * row, line, pictures)
    if len(lines) > MOST:
        sheet.write(MARGIN, sheet.height - 0.2, f"the first {MOST} of {len(lines)} classes", color=MUTED)
    return sheet.figure


def _draw_line(sheet: Sheet, y: float, line: Mapping[str, Any], pictures: Pictures) -> None:
    """One match: both sides, and how many folds found it."""
    middle = y + SIDE / 2
    name = line.get("label", line["target"])
    sheet.write(MARGIN, middle, on_two_lines(name, 10))
    own = (pictures.target or pictures.seen).get(line["target"], ())
    _draw_pictures(sheet, TARGET, y, own)
    sheet.write(ARROW, middle, "\u2192", fontsize=16, color=MUTED)
    _draw_pictures(sheet, SOURCE, y, pictures.source.get(line["source"], ()))
    agreement = f"{100 * line['agreement']:.0f} % of folds agree"
    sheet.write(WORDS, y + 0.3 * SIDE, on_two_lines(line["source"], LETTERS), linespacing=1.05)
    sheet.write(WORDS, y + 0.88 * SIDE, agreement, color=MUTED, fontsize=9.5)


def _draw_pictures(sheet: Sheet, x: float, y: float, own: tuple[Any, ...]) -> None:
    """A few pictures in a row, or the word that there is none."""
    for column, picture in enumerate(own[:EACH]):
        sheet.show(x + (SIDE + GAP) * column, y, picture)
    if not own:
        sheet.write(x, y + SIDE / 2, "no picture here", color=MUTED, fontsize=9.5)
