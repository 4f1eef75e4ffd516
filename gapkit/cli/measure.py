"""``gapkit measure``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gapkit.cli import options as common
from gapkit.cli.progress import console_progress

if TYPE_CHECKING:
    from gapkit.pipeline.options import MeasureOptions
    from gapkit.pipeline.request import Request


def measure(
    context: typer.Context,
    source: common.SourceName,
    target: common.TargetName,
    out: common.Out = None,
    overwrite: common.Overwrite = False,
    resume: common.Resume = False,
    split: common.Split = "train",
    max_samples: common.MaxSamples = "10000",
    embedder: common.EmbedderName = "auto",
    layers: Annotated[str | None, typer.Option(help=common.LAYERS_HELP)] = None,
    discrepancy: Annotated[str, typer.Option(help=common.DISCREPANCY_HELP)] = "kl,zero_one",
    scores: Annotated[str, typer.Option(help=common.SCORES_HELP)] = "fast",
    target_conditional: Annotated[
        Literal["labels", "probe"], typer.Option(help="One-hot labels, or a linear probe's probabilities.")
    ] = "labels",
    labels: common.Labels = None,
    column: common.Column = None,
    task: common.TaskName = None,
    group: common.Group = None,
    sample_rate: common.SampleRate = None,
    surrogate: common.Surrogate = None,
    arch: common.Arch = None,
    folds: common.Folds = 5,
    bootstrap: Annotated[int, typer.Option(help="Resamples of the intervals.")] = 1000,
    permutations: common.Permutations = 200,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    precision: common.Precision = "fp32",
    batch_size: common.BatchSize = None,
    cache: common.Cache = True,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure the misalignment between a source and a target."""
    from gapkit.pipeline.run import RunFolder, measure_run

    folder = RunFolder(path=out or common.default_folder("measure"), overwrite=overwrite, resume=resume)
    with console_progress(quiet=quiet) as progress:
        result = measure_run(_request(context.params), _options(context.params), folder, progress)
    common.show(result, f"report    {folder.report}", as_json=as_json, quiet=quiet)


def _request(given: dict[str, Any]) -> Request:
    """Source and target with what is needed to load them, from the command's options."""
    from gapkit.pipeline.request import Request

    names = ("source", "target", "arch", "surrogate", "device", "precision")
    return Request(**{name: given[name] for name in names}, reading=common.read_options(given))


def _options(given: dict[str, Any]) -> MeasureOptions:
    """What is measured and how, from the command's options."""
    from gapkit.pipeline.options import MeasureOptions

    own = {name: given[name] for name in ("target_conditional", "bootstrap")}
    discrepancies = common.discrepancies(given["discrepancy"])
    return MeasureOptions(**common.run_options(given), **own, discrepancies=discrepancies)
