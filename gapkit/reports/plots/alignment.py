"""An alignment: the gap at each moment, and the training step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gapkit.arrays import Floats
from gapkit.estimates import Estimate
from gapkit.reports.align_reading import ALIGNED_FIRST, ladder_of, moment_title, moments_of
from gapkit.reports.plots.lettering import shorten
from gapkit.reports.plots.reuse import plot_projection
from gapkit.reports.plots.style import FILL, INK, MUTED, SMALL, entitle, in_house_style, marker_style, new_figure, tidy
from gapkit.reports.plots.waterfalls import Waterfall, draw_waterfalls
from gapkit.results import AlignmentResult, GapResult

TITLE_LETTERS = 14
SMOOTHED = 10
"""Steps whose mean is the dark line."""
ALIGNMENT = "alignment"
DISTANCES = {"orca": "OTDD", "mmd": "MMD"}
"""Method -> what its alignment makes small."""


@in_house_style
def plot_moments(result: AlignmentResult) -> Figure | None:
    """The decomposition at each moment as a waterfall, side by side on one scale."""
    shown = [
        Waterfall(title=moment_title(result, moment), ladder=_kl_ladder(gap), parts=gap.decomposition)
        for moment, gap in moments_of(result).items()
    ]
    if not any(one.is_defined for one in shown):
        return None
    figure = new_figure(4.6)
    draw_waterfalls(figure, [shown], letters=TITLE_LETTERS)
    entitle(
        figure, f"Where the gap lies at each moment: {shorten(result.method, 24)}\n{shorten(result.target.name, 48)}"
    )
    return figure


def _kl_ladder(gap: GapResult) -> dict[str, Estimate]:
    """The levels that the parts lie between; nothing where KL was not measured."""
    return ladder_of(gap) if any(row.discrepancy == "kl" for row in gap.misalignment) else {}


def plot_tuned_projection(result: AlignmentResult) -> Figure | None:
    """The surrogate before and after, as in a report of reuse."""
    return None if result.reuse is None else plot_projection(result.reuse)


@dataclass(frozen=True, kw_only=True)
class Course:
    """The history on one axis of steps.

    Attributes:
        entries: with the steps done so far, "at", from 1.
        ends: stage -> steps done at its end.
    """

    entries: tuple[Mapping[str, Any], ...]
    ends: Mapping[str, int]

    def series(self, key: str, stages: Sequence[str] | None = None) -> tuple[Floats, Floats]:
        """Steps and values of the entries that have this key, of these stages."""
        found = [
            (one["at"], one[key]) for one in self.entries if key in one and (stages is None or one["stage"] in stages)
        ]
        pairs = np.array(found, dtype=np.float64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]


def course_of(history: Sequence[Mapping[str, Any]]) -> Course:
    """Stages one after the other: a step counts from 0 within its stage, a look has the number of steps done."""
    lengths: dict[str, int] = {}
    for one in history:
        done = one["step"] + (0 if "validation" in one else 1)
        lengths[one["stage"]] = max(done, lengths.get(one["stage"], 0))
    ends = dict(zip(lengths, np.cumsum(list(lengths.values())).tolist(), strict=True))
    entries = tuple(
        {**one, "at": ends[one["stage"]] - lengths[one["stage"]] + one["step"] + (0 if "validation" in one else 1)}
        for one in history
    )
    return Course(entries=entries, ends=ends)


@in_house_style
def plot_training(result: AlignmentResult) -> Figure | None:
    """Losses, looks at the validation samples and what the alignment tells, by step, with the ends of stages."""
    course = course_of(result.history)
    panels = _panels(result, course)
    if not panels:
        return None
    figure = new_figure(1.5 + 1.75 * len(panels))
    every = figure.subplots(len(panels), 1, sharex=True, squeeze=False).ravel()
    for axes, (title, draw) in zip(every, panels.items(), strict=True):
        draw(axes)
        axes.set_title(title, fontsize=SMALL, loc="left")
        for end in list(course.ends.values())[:-1]:
            axes.axvline(end, color=MUTED, linestyle=(0, (4, 2)), linewidth=1, zorder=1.5)
        tidy(axes, grid="y")
    most = max(course.ends.values())
    every[-1].set_xlim(0, 1.02 * most)
    every[-1].set_xlabel(_stage_words(course))
    figure.legend(
        handles=_meanings(bool(len(course.series("validation")[0]))), loc="outside lower center", ncols=3, frameon=False
    )
    seeds = f", seed {result.seeds[0]}" if result.seeds else ""
    entitle(figure, f"Training of {shorten(result.method, 24)}{seeds}")
    return figure


def _meanings(looked: bool) -> list[Line2D]:
    """What lines and markers are."""
    lines = [Line2D([], [], color=INK, linewidth=1.6, label=f"mean of {SMOOTHED} steps")]
    forms = (("validation", marker_style(1), 6), ("kept", marker_style(2), 8)) if looked else ()
    lines += [Line2D([], [], linestyle="none", markersize=size, label=label, **style) for label, style, size in forms]
    return lines


def _stage_words(course: Course) -> str:
    """The stages in their order, with the steps at which each ends."""
    told = [f"{shorten(stage, 16)} to {end}" for stage, end in course.ends.items()]
    return f"steps ({', '.join(told)})"


def _panels(result: AlignmentResult, course: Course) -> dict[str, Any]:
    """Title -> what draws it, of the panels that have something."""
    distance = result.method in ALIGNED_FIRST
    on_target = [stage for stage in course.ends if not (distance and stage == ALIGNMENT)]
    looks = course.series("validation")
    panels: dict[str, Any] = {}
    if len(course.series("loss", on_target)[0]):
        panels["loss on the target"] = lambda axes: _draw_losses(axes, course, on_target)
    if len(looks[0]):
        panels[f"{result.metric.name} on the validation samples"] = lambda axes: _draw_looks(
            axes, *looks, _kept(result, course)
        )
    more = {
        f"{DISTANCES.get(result.method, 'distance')} of the alignment": course.series("loss", [ALIGNMENT]),
        "loss on the surrogate, after the inner step": course.series("source_loss"),
        "cosine of the gradients of both losses": course.series("cosine"),
    }
    if not distance:
        more.pop(next(iter(more)))
    for title, (steps, values) in more.items():
        if len(steps):
            panels[title] = _line(steps, values)
    return panels


def _kept(result: AlignmentResult, course: Course) -> int:
    """Step, from the beginning of the training, of the look whose weights were kept."""
    ends = [0, *course.ends.values()]
    return ends[-2] + result.runs[0].best_step if result.runs else 0


def _line(steps: Floats, values: Floats) -> Any:
    """Draws one series."""
    return lambda axes: _draw_series(axes, steps, values)


def _draw_losses(axes: Axes, course: Course, stages: Sequence[str]) -> None:
    """The loss of each step of these stages, and that of the looks."""
    for stage in stages:
        _draw_series(axes, *course.series("loss", [stage]))
    steps, values = course.series("validation_loss", stages)
    if len(steps):
        axes.plot(steps, values, linestyle="none", markersize=6, **marker_style(1))


def _draw_series(axes: Axes, steps: Floats, values: Floats) -> None:
    """Single steps faint, and the mean of the last few dark."""
    axes.plot(steps, values, color=FILL, linewidth=0.8)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - SMOOTHED)
    axes.plot(steps, (sums[last] - sums[first]) / (last - first), color=INK, linewidth=1.6)


def _draw_looks(axes: Axes, steps: Floats, values: Floats, kept: int) -> None:
    """The metric of each look, joined; filled: the one whose weights were kept."""
    axes.plot(steps, values, linewidth=1.4, markersize=6, **marker_style(1))
    own = steps == kept
    axes.plot(steps[own], values[own], linestyle="none", markersize=8, **marker_style(2))
