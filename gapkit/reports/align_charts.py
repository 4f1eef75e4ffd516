"""The figures of an alignment: how each is read, and what it shows, in words."""

from __future__ import annotations

from matplotlib.figure import Figure

from gapkit.reports.align_reading import moment_title, moments_of
from gapkit.reports.cells import told
from gapkit.reports.charts import Chart, draw_chart
from gapkit.reports.plots.alignment import course_of, plot_moments, plot_training, plot_tuned_projection
from gapkit.reports.reuse_charts import describe_projection
from gapkit.results import AlignmentResult


def describe_moments(result: AlignmentResult) -> str:
    """Each part at each moment."""
    said = [
        f"{moment_title(result, moment)}: "
        + "; ".join(f"{name} {told(part)}" for name, part in gap.decomposition.items())
        for moment, gap in moments_of(result).items()
    ]
    return f"Parts {'. '.join(said)}."


def describe_training(result: AlignmentResult) -> str:
    """Where stages end, and the looks at validation samples."""
    course = course_of(result.history)
    stages = ", ".join(f"{stage} to step {end}" for stage, end in course.ends.items())
    steps, values = course.series("validation")
    looks = "; ".join(f"{value:z.3f} at step {step:.0f}" for step, value in zip(steps, values, strict=True))
    return f"Stages: {stages}." + (
        f" {result.metric.name.capitalize()} on the validation samples: {looks}." if looks else ""
    )


def describe_tuned_projection(result: AlignmentResult) -> str:
    """How many samples of how many classes."""
    return "" if result.reuse is None else describe_projection(result.reuse)


def draw_align_chart(result: AlignmentResult, name: str) -> Figure:
    """The figure of this name; see ``draw_chart``."""
    return draw_chart(result, name, ALIGN_CHARTS)


ALIGN_CHARTS = (
    Chart(
        name="gaps",
        title="Where the gap lies, before and after",
        caption=(
            "At each moment of the training, the misalignment of the strictest reading (first bar), then what each "
            "freer reading gains, down to 0; thin bars are 95 % intervals over samples, where a step ends. A hatched "
            "step goes up: no gain. All panels have one scale. Relabelling: the labels tell the classes apart, but "
            "not one to one. Readout: knowledge in the features, not in the labels. Nonlinear: knowledge that no "
            "linear head reads. Absent or noise: found by no reader, or noise in the labels."
        ),
        draw=plot_moments,
        needs="a decomposition that is defined at some moment; the table says why none is",
        describe=describe_moments,
    ),
    Chart(
        name="training",
        title="Training",
        caption=(
            "The first seed, step by step; dashed lines are the ends of stages. Faint: single steps; dark: the mean "
            "of the last 10. Models are chosen by the looks of the last stage at the validation samples; the test "
            "samples are not in this figure. Where the cosine is above 0, a small step that lowers the target's loss "
            "lowers the surrogate's too."
        ),
        draw=plot_training,
        needs="a history, which is not read again from result.json",
        describe=describe_training,
    ),
    Chart(
        name="projection",
        title="The surrogate before and after",
        caption=(
            "t-SNE of what the head sees, the map after begun at the map before. Classes that were apart and now are "
            "mixed have been forgotten; distances between clusters and their sizes mean nothing."
        ),
        draw=plot_tuned_projection,
        needs="a probe with maps, which are not read again from result.json",
        describe=describe_tuned_projection,
    ),
)
