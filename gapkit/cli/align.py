"""``gapkit align``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gapkit.cli import options as common
from gapkit.cli.progress import console_progress

if TYPE_CHECKING:
    from gapkit.pipeline.align_options import AlignOptions
    from gapkit.pipeline.request import Request

Method = Literal["mona", "orca", "mmd", "warmup", "finetune", "finetune+", "frozen", "scratch"]
Gradient = Literal["central", "one_sided", "exact", "naive"]
BUDGET_HELP = "Steps of all stages, or a time: 500steps, 90s, 10min, 1h. A time is turned into steps once."
SURROGATE_HELP = "Labelled set of the source's modality; by default the one that the source comes with."
TRIALS_HELP = "Validation trials that these options were chosen by, for the record."
FREEZE_HELP = "Encoder weights that stay as they are: names and globs with commas between (blocks.0.*)."
LORA_HELP = "Rank of adapters that fine-tuning trains in place of the encoder's weights (needs the extra peft)."
LORA_LAYERS_HELP = "Linear layers that get adapters: names and globs with commas between; all in the blocks by default."
KIND_HELP = "patch: learned patches; copy: a copy of the source's own embedding on a fixed embedder's picture."
MICROBATCHES_HELP = "Pieces in which each batch goes through, one after the other, for the sake of memory."
RECOMPUTE_HELP = "Compute activations of the encoder again in place of keeping them: less memory, one more pass."
BATCH_HELP = "Target samples of a step, of all processes together."
RESUME_HELP = "A run in --out goes on where it was; this is so with or without the option."


def align(
    context: typer.Context,
    source: common.SourceName,
    target: common.TargetName,
    method: Annotated[Method, typer.Option(help="How the target model is trained.")] = "mona",
    out: common.Out = None,
    overwrite: common.Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help=RESUME_HELP)] = True,
    budget: Annotated[str, typer.Option(help=BUDGET_HELP)] = "500steps",
    seeds: Annotated[str, typer.Option(help="Of weights, data order and dropout: one training each.")] = "0",
    surrogate: Annotated[str | None, typer.Option(help=SURROGATE_HELP)] = None,
    kind: Annotated[Literal["auto", "copy", "patch"], typer.Option("--embedder", help=KIND_HELP)] = "auto",
    alpha: Annotated[float | None, typer.Option(help="Rate of MoNA's inner step.")] = None,
    weight: Annotated[float, typer.Option(help="lambda, of the loss on the surrogate.")] = 1.0,
    loss: Annotated[Literal["contrastive", "cross_entropy"], typer.Option(help="On the surrogate.")] = "contrastive",
    gradient: Annotated[Gradient, typer.Option(help="How MoNA's gradient is computed.")] = "central",
    embedder_rate: Annotated[float | None, typer.Option(help="Learning rate of the embedder.")] = None,
    encoder_rate: Annotated[float | None, typer.Option(help="Learning rate of the encoder.")] = None,
    head_rate: Annotated[float | None, typer.Option(help="Learning rate of the head.")] = None,
    freeze: Annotated[str | None, typer.Option(help=FREEZE_HELP)] = None,
    lora: Annotated[int | None, typer.Option(help=LORA_HELP)] = None,
    lora_layers: Annotated[str | None, typer.Option(help=LORA_LAYERS_HELP)] = None,
    max_samples: common.MaxSamples = "2000",
    measure: Annotated[bool, typer.Option(help="Measure the misalignment before and after.")] = True,
    probe: Annotated[bool, typer.Option(help="Probe what is left of the source, layer by layer.")] = True,
    trials: Annotated[int, typer.Option(help=TRIALS_HELP)] = 1,
    labels: common.Labels = None,
    column: common.Column = None,
    task: common.TaskName = None,
    group: common.Group = None,
    sample_rate: common.SampleRate = None,
    arch: common.Arch = None,
    device: common.Device = "auto",
    precision: Annotated[Literal["fp32", "bf16"], typer.Option(help="Of the training.")] = "fp32",
    batch_size: Annotated[int, typer.Option(help=BATCH_HELP)] = 32,
    microbatches: Annotated[int, typer.Option(help=MICROBATCHES_HELP)] = 1,
    recompute: Annotated[bool, typer.Option("--recompute", help=RECOMPUTE_HELP)] = False,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Learn an embedder and tune the source on a target, and measure the gap before and after."""
    from gapkit.mona.launch import first_process
    from gapkit.pipeline.align_run import align_run
    from gapkit.pipeline.run import RunFolder

    folder = RunFolder(path=out or common.default_folder("align"), overwrite=overwrite, resume=resume)
    first = first_process()
    with console_progress(quiet=quiet or not first) as progress:
        result = align_run(_request(context.params), _options(context.params), folder, progress)
    if first:
        common.show(result, f"report    {folder.report}", as_json=as_json, quiet=quiet)


def _request(given: dict[str, Any]) -> Request:
    """Source and target with what is needed to load them, from the command's options."""
    from gapkit.pipeline.request import Request

    names = ("source", "target", "arch", "surrogate", "device")
    return Request(**{name: given[name] for name in names}, reading=common.read_options(given))


def _options(given: dict[str, Any]) -> AlignOptions:
    """What is learned and how, from the command's options."""
    from gapkit.embedders import PatchOptions
    from gapkit.mona.lesson import Lesson
    from gapkit.pipeline.align_options import AlignOptions

    lesson = Lesson(
        method=given["method"],
        training=_training(given),
        alignment=_alignment(given),
        embedder=PatchOptions(kind=given["kind"]),
    )
    same = ("budget", "measure", "probe", "trials")
    return AlignOptions(
        lesson=lesson,
        **{name: given[name] for name in same},
        seeds=common.numbers(given["seeds"], option="--seeds"),
        max_samples=common.count_or_all(given["max_samples"], option="--max-samples"),
    )


def _training(given: dict[str, Any]) -> Any:
    """Rates, batches, precision."""
    from gapkit.mona.training_options import Rates, TrainingOptions

    rates = {
        name: given[f"{name}_rate"] for name in ("embedder", "encoder", "head") if given[f"{name}_rate"] is not None
    }
    return TrainingOptions(
        rates=Rates(**rates),
        batch_size=given["batch_size"],
        microbatches=given["microbatches"],
        recompute=given["recompute"],
        precision=given["precision"],
        freeze=common.names(given["freeze"]),
        lora=given["lora"],
        lora_layers=common.names(given["lora_layers"]),
    )


def _alignment(given: dict[str, Any]) -> Any:
    """alpha, lambda and the gradient."""
    from gapkit.mona.options import HypergradientOptions
    from gapkit.mona.training_options import INNER_RATE, AlignmentOptions

    alpha = INNER_RATE if given["alpha"] is None else given["alpha"]
    hypergradient = HypergradientOptions(alpha=alpha, weight=given["weight"], method=given["gradient"])
    return AlignmentOptions(hypergradient=hypergradient, loss=given["loss"])
