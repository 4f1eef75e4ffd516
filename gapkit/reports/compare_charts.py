"""The figures of a comparison: how each is read, and what it shows, in words."""

from __future__ import annotations

from matplotlib.figure import Figure

from gapkit.reports.align_reading import COMPARED_TITLES, METRIC_DIGITS
from gapkit.reports.cells import told
from gapkit.reports.charts import Chart, draw_chart
from gapkit.reports.plots.comparison import plot_compared_gaps, plot_metrics
from gapkit.results import Comparison


def describe_compared_gaps(comparison: Comparison) -> str:
    """The parts of every run, before and after."""
    said = [
        f"{run.name}, {COMPARED_TITLES.get(moment, moment)}: "
        + "; ".join(f"{name} {told(part)}" for name, part in run.parts[moment].items())
        for run in comparison.runs
        for moment in ("before", "after")
        if run.parts.get(moment)
    ]
    return f"Parts: {'. '.join(said)}."


def describe_metrics(comparison: Comparison) -> str:
    """The metric of every run."""
    said = [
        f"{run.name} {run.metric.name} {told(run.metric.estimate, METRIC_DIGITS)}"
        for run in comparison.runs
        if run.metric is not None
    ]
    return f"On the test samples: {'; '.join(said)}."


def draw_compare_chart(comparison: Comparison, name: str) -> Figure:
    """The figure of this name; see ``draw_chart``."""
    return draw_chart(comparison, name, COMPARE_CHARTS)


COMPARE_CHARTS = (
    Chart(
        name="gaps",
        title="Where the gaps lie",
        caption=(
            "The misalignment of the strictest reading (first bar), then what each freer reading gains, down to 0, "
            "before and, where models were trained, after; thin bars are 95 % intervals over samples, where a step "
            "ends. A hatched step goes up: no gain. All panels have one scale. Runs share their samples, so that "
            "differences between runs may be sharper than the intervals suggest."
        ),
        draw=plot_compared_gaps,
        needs="a decomposition that is defined for some run",
        describe=describe_compared_gaps,
    ),
    Chart(
        name="metrics",
        title="Metrics",
        caption=(
            "The metric of every run on the test samples with its 95 % interval, in the order given; hollow: on the "
            "validation samples, which models were chosen by. Runs share the test samples: the paired tests in the "
            "table are sharper than intervals that overlap."
        ),
        draw=plot_metrics,
        needs="runs of gapkit align whose metric is defined",
        describe=describe_metrics,
    ),
)
