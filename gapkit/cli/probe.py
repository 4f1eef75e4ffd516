"""``gapkit probe``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gapkit.cli import options as common
from gapkit.cli.progress import console_progress
from gapkit.errors import OptionError

if TYPE_CHECKING:
    from gapkit.pipeline.probe_options import ProbeOptions
    from gapkit.pipeline.request import ProbeRequest

AFTER_HELP = "The tuned model: a checkpoint of the same architecture, or a folder of align, timm or transformers."
SPLIT_HELP = "Target samples whose accuracy counts; auto: test, where there is one."
SURROGATE_HELP = "Labelled set of the source's modality; by default the one that the source comes with."
TARGET_HELP = "What the model was tuned on: adds criticality and causal reuse."
CONTROL_HELP = "Checkpoint of the same architecture, trained on the target from scratch."
START_HELP = "What the control began with; by default its layers are put back to the source's pretrained weights."
LAYERS_HELP = "Names and globs with commas between (blocks.*), or all: the blocks and what the head sees."
CLASSES_HELP = "Of the surrogate; its largest ones are taken."
MATRICES_HELP = "Similarities whose layer by layer matrix is shown, with commas between, or all."


def probe(
    context: typer.Context,
    before: Annotated[str, typer.Option(help="The pretrained source, as --source of measure takes it.")],
    after: Annotated[str | None, typer.Option(help=AFTER_HELP)] = None,
    out: common.Out = None,
    overwrite: common.Overwrite = False,
    resume: common.Resume = False,
    list_layers: Annotated[bool, typer.Option("--list-layers", help="Print the source's layers and end.")] = False,
    layers: Annotated[str, typer.Option(help=LAYERS_HELP)] = "all",
    pooling: Annotated[Literal["mean", "cls", "tokens"], typer.Option(help="How tokens become one row.")] = "mean",
    surrogate: Annotated[str | None, typer.Option(help=SURROGATE_HELP)] = None,
    classes: Annotated[int, typer.Option(help=CLASSES_HELP)] = 40,
    target: Annotated[str | None, typer.Option(help=TARGET_HELP)] = None,
    on_target: Annotated[bool, typer.Option("--on-target", help="Probe the target's samples too.")] = False,
    split: Annotated[Literal["auto", "train", "test", "all"], typer.Option(help=SPLIT_HELP)] = "auto",
    max_samples: common.MaxSamples = "1000",
    embedder: common.EmbedderName = "auto",
    labels: common.Labels = None,
    column: common.Column = None,
    task: common.TaskName = None,
    group: common.Group = None,
    sample_rate: common.SampleRate = None,
    control: Annotated[str | None, typer.Option(help=CONTROL_HELP)] = None,
    control_start: Annotated[str | None, typer.Option(help=START_HELP)] = None,
    reset: Annotated[Literal["permute", "init"], typer.Option(help="How a layer is scrambled.")] = "permute",
    resets: Annotated[int, typer.Option(help="Of each layer.")] = 5,
    matrices: Annotated[str, typer.Option(help=MATRICES_HELP)] = "cka",
    projection: Annotated[bool, typer.Option(help="Draw t-SNE maps.")] = True,
    arch: common.Arch = None,
    folds: common.Folds = 5,
    bootstrap: Annotated[int, typer.Option(help="Resamples of the intervals.")] = 1000,
    seed: common.Seed = 0,
    seeds: Annotated[str, typer.Option(help="Of the random-weight copies, at least three.")] = "0,1,2",
    device: common.Device = "auto",
    precision: common.Precision = "fp32",
    batch_size: common.BatchSize = None,
    cache: common.Cache = True,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure how much source knowledge a tuned model reuses, layer by layer."""
    from gapkit.pipeline.probe_run import layer_listing, probe_run
    from gapkit.pipeline.run import RunFolder

    request = _request(context.params)
    if list_layers:
        typer.echo(layer_listing(request, as_json=as_json))
        return
    _check_after(after)
    folder = RunFolder(path=out or common.default_folder("probe"), overwrite=overwrite, resume=resume)
    with console_progress(quiet=quiet) as progress:
        result = probe_run(request, _options(context.params), folder, progress)
    common.show(result, f"report    {folder.report}", as_json=as_json, quiet=quiet)


def _check_after(after: str | None) -> None:
    """Refuse a probe without a tuned model.

    Raises:
        OptionError: there is none.
    """
    if after is None:
        raise OptionError("no --after", expected="the tuned model", remedy="give --after CHECKPOINT, or --list-layers")


def _request(given: dict[str, Any]) -> ProbeRequest:
    """Models and samples with what is needed to load them, from the command's options."""
    from gapkit.pipeline.request import ProbeRequest

    names = ("before", "after", "target", "surrogate", "control", "control_start", "arch", "device", "precision")
    return ProbeRequest(**{name: given[name] for name in names}, reading=common.read_options(given))


def _options(given: dict[str, Any]) -> ProbeOptions:
    """What is measured and how, from the command's options."""
    from gapkit.pipeline.probe_options import ProbeOptions

    same = ("pooling", "reset", "resets", "bootstrap", "on_target", "projection")
    return ProbeOptions(
        **common.run_options(given),
        **{name: given[name] for name in same},
        most_classes=given["classes"],
        matrices=common.names(given["matrices"]),
        seeds=common.numbers(given["seeds"], option="--seeds"),
    )
