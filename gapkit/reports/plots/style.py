"""How every figure looks: inks, markers, letters, and files that depend on nothing but the result."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any, TypeVar

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gapkit.reports.plots.lettering import families

Drawing = TypeVar("Drawing", bound=Callable[..., Any])

PAPER, INK, MUTED, RULE, FILL = "#ffffff", "#1b2a41", "#4f5b6b", "#dfe3e8", "#c3ccd8"
ACCENT = "#bb5566"
PART_INKS = {"relabelling": "#dce8f4", "readout": "#9dbfdf", "nonlinear": "#3d6a99", "absent_or_noise": "#1b2a41"}
"""From light to dark, so that parts stay apart when printed grey; as in the README's drawing."""
MARKERS = ("o", "s", "D", "^", "v", "P")
"""Every second one is filled."""
WIDTH, TEXT, SMALL = 5.8, 12, 10.5
"""Inches and points: at the 360 pixels of a phone the small text still has 9 pixels."""
DOTS = 160
SETTLED = 2
"""Dots in an inch, and passes after which a layout moves no more."""
STYLE: dict[str, Any] = {
    "font.size": TEXT,
    "figure.titlesize": TEXT,
    "axes.labelsize": TEXT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": TEXT,
    "legend.fontsize": SMALL,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": MUTED,
    "ytick.color": INK,
    "axes.edgecolor": MUTED,
    "hatch.color": MUTED,
    "hatch.linewidth": 0.8,
    "svg.fonttype": "path",
    "text.hinting": "no_hinting",
    "svg.hashsalt": "gapkit",
    # Names come from files: a dollar sign in one is no formula.
    "text.parse_math": False,
    "axes.unicode_minus": False,
}


def in_house_style(draw: Drawing) -> Drawing:
    """Draw under matplotlib's defaults and ``STYLE``, whatever the user has set; that is left again afterwards."""

    @wraps(draw)
    def drawn(*arguments: Any, **options: Any) -> Any:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            settings: Any = matplotlib.rcParams
            settings.update(STYLE | {"font.family": families()})
            return draw(*arguments, **options)

    return drawn  # pyright: ignore[reportReturnType]  # a wrapper has the signature of what it wraps


@in_house_style
def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a file of this kind ("png", "svg"), without the time of its making: always the same bytes.

    Its layout is settled and fixed first, for one that is laid out again is moved a little each time.
    """
    _settle(figure)
    buffer = BytesIO()
    no_date: dict[str, Any] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
    figure.savefig(buffer, format=kind, dpi=DOTS, metadata=no_date.get(kind), facecolor=PAPER)
    return buffer.getvalue()


def _settle(figure: Figure) -> None:
    """Lay a figure out for the resolution of the files, for letters are not equally wide at all of them."""
    engine = figure.get_layout_engine()
    if engine is None:
        return
    own = figure.dpi
    figure.set_dpi(DOTS)
    for _ in range(SETTLED):
        engine.execute(figure)
    figure.set_layout_engine("none")
    figure.set_dpi(own)


def new_figure(height: float, *, width: float = WIDTH) -> Figure:
    """An empty figure (inches) that makes room for its labels."""
    return Figure(figsize=(width, height), layout="constrained")


def entitle(figure: Figure, title: str) -> None:
    """The title, at the left edge."""
    figure.suptitle(title, x=0.02, ha="left")


def tidy(axes: Axes, *, grid: str = "x") -> None:
    """No frame but the axis of the numbers, and faint rules behind them."""
    axes.grid(axis=grid, color=RULE, linewidth=0.8)  # pyright: ignore[reportArgumentType]  # "x" or "y"
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left" if grid == "x" else "bottom"]].set_visible(False)
    axes.tick_params(axis="y" if grid == "x" else "x", length=0)


def marker_style(position: int) -> dict[str, Any]:
    """Marker and fill of the series at this position: shapes differ, and every second one is hollow."""
    fill = INK if position % 2 == 0 else PAPER
    return {"marker": MARKERS[position % len(MARKERS)], "markerfacecolor": fill, "markeredgecolor": INK, "color": INK}


def draw_prior(axes: Axes, text: str, *, at: float, y: float) -> None:
    """The line of the class prior: no better than naming how frequent each class is."""
    axes.axvline(at, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.6, zorder=1.5)
    offset: dict[str, Any] = {"xytext": (-4, 0), "textcoords": "offset points"}
    axes.annotate(text, (at, y), color=MUTED, ha="right", va="center", fontsize=SMALL, **offset)
