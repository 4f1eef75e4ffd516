"""The figures of a report: what each is called, how it is read, and what it shows, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from gapkit.errors import OptionError, did_you_mean
from gapkit.estimates import Estimate, Misalignment
from gapkit.reports import plots
from gapkit.reports.reading import main_rows, span
from gapkit.results import GapResult

MOST_NAMED = 12


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One figure.

    Attributes:
        name: of its files.
        title: above it.
        caption: how it is read.
        draw: draws it, of the kind of result that it belongs to; None where the result has nothing for it.
        needs: what a result must have for it.
        describe: what it shows, in words and numbers.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Any], Figure | None]
    needs: str
    describe: Callable[[Any], str]


def describe_misalignment(result: GapResult) -> str:
    """Each family's value, interval and p."""
    told = [f"{family} {_value(row)}" for family, row in main_rows(result).items()]
    return f"Normalised misalignment: {'; '.join(told)}."


def describe_decomposition(result: GapResult) -> str:
    """Each part."""
    return f"Parts: {'; '.join(f'{name} {_part(part)}' for name, part in result.decomposition.items())}."


def describe_classes(result: GapResult) -> str:
    """Which classes lose the most and the least under the first family."""
    family = next(iter(result.classes[0].label_maps))
    known = [(one.label_maps[family].value or 0.0, one.name) for one in result.classes if family in one.label_maps]
    (least, best), (most, worst) = min(known), max(known)
    return (
        f"Mean KL of {len(result.classes)} classes under {family}: from {least:z.2f} ({best}) to {most:z.2f} ({worst})."
    )


def describe_label_map(result: GapResult) -> str:
    """The heaviest lines of the channel."""
    lines = sorted(result.label_maps["channel"], key=lambda line: -line["mass"])[:MOST_NAMED]
    told = [f"{line['source']} as {line.get('label', line['target'])} {line['mass']:.2f}" for line in lines]
    return f"Heaviest lines of the channel: {'; '.join(told)}."


def describe_matches(result: GapResult) -> str:
    """The matches in words."""
    lines = result.label_maps["injection"][:MOST_NAMED]
    told = [f"{line['target']} with {line['source']}" for line in lines]
    return f"Matches: {'; '.join(told)}."


def describe_layers(result: GapResult) -> str:
    """The first, the best and the last layer of the first family."""
    rows = {name: own[0] for name, own in result.layers.items() if own and own[0].normalised is not None}
    names = list(rows)
    best = min(names, key=lambda name: rows[name].normalised or 0.0)
    told = [f"{name} {_value(rows[name])}" for name in dict.fromkeys((names[0], best, names[-1]))]
    return f"{rows[best].label_map.capitalize()} by layer, first, best and last: {'; '.join(told)}."


CHARTS = (
    Chart(
        name="misalignment",
        title="Misalignment",
        caption=(
            "Left: what is still wrong after the best translation of each family, from strict to free, as a share of "
            "what the class prior gets wrong; bars are 95 % intervals. Right, where it was made: a cheap statistic of "
            "the permutation test. Where the marker is left of the bar, which holds 95 % of the permutations (tick: "
            "their mean), there is evidence that the source knows something; this does not say how much."
        ),
        draw=plots.plot_misalignment,
        needs="a label map that was measured",
        describe=describe_misalignment,
    ),
    Chart(
        name="decomposition",
        title="Where the gap lies",
        caption=(
            "From the strictest reading down to 0, each step is what the next freer reading gains, with its 95 % "
            "interval where it ends. A hatched step goes up: no gain. Relabelling: the labels tell the classes apart, "
            "but not one to one. Readout: knowledge in the features, not in the labels. Nonlinear: knowledge that no "
            "linear head reads. Absent or noise: found by no reader, or noise in the labels."
        ),
        draw=plots.plot_decomposition,
        needs="a part of the decomposition that is defined; the table says why none is",
        describe=describe_decomposition,
    ),
    Chart(
        name="matches",
        title="Matched classes",
        caption=(
            "Each target class beside the source class that the injection, refitted on all samples, matches it with. "
            "Agreement is the share of folds that found the same match: a low one means that other samples would "
            "give another match."
        ),
        draw=plots.plot_matches,
        needs="an injection, and images as target; pictures are not read again from result.json",
        describe=describe_matches,
    ),
    Chart(
        name="label_map",
        title="Label map",
        caption=(
            "How much of each source class (row) the channel reads as each target class (column), refitted on all "
            "samples; entries below 0.01 are not shown. Framed: the match of the injection, whose source class is "
            "listed whether or not the channel reads it."
        ),
        draw=plots.plot_label_map,
        needs="a channel with lines of 0.01 or more",
        describe=describe_label_map,
    ),
    Chart(
        name="classes",
        title="Class by class",
        caption=(
            "What each family loses on the samples of each class (their number in parentheses), with 95 % intervals; "
            "dotted: what the class prior loses there. Right of it a family is worse than the prior for this class. "
            "Sorted by the first family."
        ),
        draw=plots.plot_classes,
        needs="one label per sample",
        describe=describe_classes,
    ),
    Chart(
        name="layers",
        title="Layer by layer",
        caption=(
            "The same measurement on the features of each layer: how much a linear head and the best reader leave. "
            "Bands are 95 % intervals of the single layers; all layers share their samples, so differences between "
            "layers are sharper than the bands suggest."
        ),
        draw=plots.plot_layers,
        needs="layers: measure with --layers (MeasureOptions(layers=...))",
        describe=describe_layers,
    ),
)


def draw_chart(result: object, name: str, charts: Sequence[Chart] = CHARTS) -> Figure:
    """The figure of this name.

    Raises:
        OptionError: there is no such figure, or the result has nothing for it.
    """
    known = {chart.name: chart for chart in charts}
    if name not in known:
        raise OptionError(
            f"figure {name!r}", expected="one of " + ", ".join(known), remedy=did_you_mean(name, list(known))
        )
    figure = known[name].draw(result)
    if figure is None:
        there = ", ".join(other for other in known if other != name and known[other].draw(result) is not None)
        raise OptionError(
            f"figure {name!r} of a result that has nothing for it",
            expected=f"one of {there}" if there else "a result with something to draw",
            remedy=f"it needs {known[name].needs}",
        )
    return figure


def _value(row: Misalignment) -> str:
    """A value with interval and p."""
    if row.normalised is None:
        return row.status
    p = "" if row.null is None or row.null.p is None else f", p {row.null.p:.3f}"
    return f"{row.normalised:z.2f} ({span(row.interval)}{p})"


def _part(part: Estimate) -> str:
    """A part with its interval."""
    return part.status if part.value is None else f"{part.value:z.2f} ({span(part.interval)})"
