"""The figures of a reuse result: how each is read, and what it shows, in words."""

from __future__ import annotations

from matplotlib.figure import Figure

from gapkit.estimates import Estimate
from gapkit.reports.charts import Chart, draw_chart
from gapkit.reports.plots.reuse import plot_matrices, plot_measures, plot_projection, plot_retention, plot_reuse
from gapkit.reports.reading import span
from gapkit.results import ReuseResult


def describe_reuse(result: ReuseResult) -> str:
    """The score of every layer."""
    return f"Knowledge reuse: {_curve(result, 'knowledge_reuse')}."


def describe_retention(result: ReuseResult) -> str:
    """Retention of every layer."""
    return f"Retention: {_curve(result, 'retention')}."


def describe_measures(result: ReuseResult) -> str:
    """CKA of every layer, and where the rest is."""
    return f"CKA: {_curve(result, 'cka')}. All measures are in the tables."


def describe_matrices(result: ReuseResult) -> str:
    """The diagonal of the first matrix."""
    name, rows = next(iter(result.matrices.items()))
    diagonal = [rows[place][place] for place in range(len(rows))]
    told = [f"{layer} {value:z.2f}" for layer, value in zip(result.names, diagonal, strict=True) if value is not None]
    return f"{name} of each layer before with itself after: {'; '.join(told)}."


def describe_projection(result: ReuseResult) -> str:
    """How many samples of how many classes."""
    maps = result.projection
    return "" if maps is None else f"{len(maps.classes)} samples of {len(set(maps.classes))} classes before and after."


def draw_reuse_chart(result: ReuseResult, name: str) -> Figure:
    """The figure of this name; see ``draw_chart``."""
    return draw_chart(result, name, REUSE_CHARTS)


def _curve(result: ReuseResult, measure: str) -> str:
    """One measure of every layer in words."""
    return "; ".join(f"{layer} {_told(one)}" for layer, one in result.curve(measure).items())


def _told(found: Estimate) -> str:
    """A value with its interval."""
    if found.value is None:
        return found.status
    return f"{found.value:z.2f}" + (f" ({span(found.interval)})" if found.interval is not None else "")


REUSE_CHARTS = (
    Chart(
        name="reuse",
        title="Reuse",
        caption=(
            "Knowledge reuse: the share of what the layer held of the source's classes, and of how it arranged their "
            "samples, that tuning has left, beyond random weights (surrogate). Causal reuse: the share of what the "
            "layer brings on the target that its pretrained weights already give. Bars are 95 % intervals; where a "
            "point is missing the measure is undefined, and the tables say why."
        ),
        draw=plot_reuse,
        needs="a layer with a score",
        describe=describe_reuse,
    ),
    Chart(
        name="retention",
        title="Retention",
        caption=(
            "Above: how well a cross-fitted linear probe tells the surrogate's classes, in the pretrained model, in "
            "the tuned one, and in random-weight copies, their mean. Below: the share of the way from random to "
            "pretrained that the tuned layer still goes; 1 all of it, 0 no more than random weights."
        ),
        draw=plot_retention,
        needs="a probe that is defined",
        describe=describe_retention,
    ),
    Chart(
        name="measures",
        title="All measures",
        caption=(
            "Every measure that is 1 where all is left (or, of criticality, where all depends on the layer), by layer; "
            "dark is much, a dash is undefined. Intervals are in the tables."
        ),
        draw=plot_measures,
        needs="a measure that is defined",
        describe=describe_measures,
    ),
    Chart(
        name="matrices",
        title="Layers before and after",
        caption=(
            "How alike each layer of the pretrained model (row) and each layer of the tuned one (column) arrange the "
            "surrogate. A dark diagonal: every layer is still what it was."
        ),
        draw=plot_matrices,
        needs="a similarity that is defined",
        describe=describe_matrices,
    ),
    Chart(
        name="projection",
        title="The surrogate before and after",
        caption=(
            "t-SNE of what the head sees, the map after begun at the map before. Classes that were apart and now are "
            "mixed have been forgotten; distances between clusters and their sizes mean nothing."
        ),
        draw=plot_projection,
        needs="maps, which are not read again from result.json",
        describe=describe_projection,
    ),
)
