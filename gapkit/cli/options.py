"""Options that several commands share."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gapkit.errors import OptionError

if TYPE_CHECKING:
    from gapkit.data.load import ReadOptions
    from gapkit.results import Result

SourceName = Annotated[str, typer.Option(help="vit, timm:NAME, hf:NAME-OR-PATH, file:CHECKPOINT or a short name.")]
TargetName = Annotated[str, typer.Option(help="File, folder or sample:digits.")]
Labels = Annotated[str | None, typer.Option(help="Label file of an .npy, label column of a table, key of an .npz.")]
TaskName = Annotated[
    Literal["classification", "regression", "multilabel", "dense"] | None,
    typer.Option("--task", help="How labels are read; found from them by default."),
]
Split = Annotated[Literal["train", "test", "all"], typer.Option(help="Samples that are measured.")]
Permutations = Annotated[int, typer.Option(help="Of the labels, for p; 0 leaves it out.")]
Folds = Annotated[int, typer.Option(help="Of the cross-fitting.")]
Column = Annotated[str | None, typer.Option(help="Key or column that holds the samples, where x is called otherwise.")]
Group = Annotated[str | None, typer.Option(help="Key of the samples that belong together, or none.")]
SampleRate = Annotated[float | None, typer.Option(help="Of series, in Hz.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no table.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[Literal["fp32", "bf16", "fp16"], typer.Option(help="Of the forward pass.")]
Arch = Annotated[str | None, typer.Option(help="Architecture of a file: checkpoint, such as timm's name.")]
Seed = Annotated[int, typer.Option(help="Of draws, folds, starts and resamples.")]
DISCREPANCY_HELP = "kl, brier, total_variation, zero_one, squared_hellinger, jensen_shannon, several, or all."
SCORES_HELP = "fast, all, none, or names of scores and distances with commas between."
SURROGATE_HELP = "Labelled set of the source's modality: for distances, and for the head of a source without one."
LAYERS_HELP = "linear and ceiling on each of these layers too: names and globs with commas between, or all blocks."
EMBEDDER_HELP = "auto, resize, fold, spectrogram, onehot, or the .safetensors file of a learned embedder."
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what --out holds.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the same run in --out.")]
MaxSamples = Annotated[str, typer.Option(help="At most this many samples, class by class, or all.")]
EmbedderName = Annotated[str, typer.Option(help=EMBEDDER_HELP)]
Surrogate = Annotated[str | None, typer.Option(help=SURROGATE_HELP)]
BatchSize = Annotated[int | None, typer.Option(help="Samples per forward pass; found by default.")]
Cache = Annotated[bool, typer.Option(help="Keep features on disk and use those that are there.")]
Out = Annotated[Path | None, typer.Option(help="The run folder; by default runs/<time>-<command>.")]


def read_options(given: dict[str, Any]) -> ReadOptions:
    """How the target is read, from the options of a command."""
    from gapkit.data.load import ReadOptions

    return ReadOptions(**{name: given[name] for name in ("labels", "column", "task", "group", "sample_rate")})


def run_options(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``RunOptions``, from the options of a command."""
    same = ("split", "embedder", "folds", "seed", "batch_size")
    return {name: given[name] for name in same} | {
        "max_samples": count_or_all(given["max_samples"], option="--max-samples"),
        "layers": names(given["layers"]),
        "keep_features": given["cache"],
    }


def scored_options(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``ScoredOptions``, from the options of a command."""
    return run_options(given) | {"scores": names(given["scores"]), "permutations": given["permutations"]}


def count_or_all(text: str, *, option: str) -> int | None:
    """A positive number, or None for "all".

    Raises:
        OptionError: it is neither.
    """
    if text == "all":
        return None
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise OptionError(
        f"{option} {text}", expected="a positive number or all", remedy=f"use {option} all for every sample"
    )


def names(text: str | None) -> tuple[str, ...]:
    """The names in a comma-separated list; none where there is no list."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def numbers(text: str, *, option: str) -> tuple[int, ...]:
    """The whole numbers in a comma-separated list.

    Raises:
        OptionError: something in it is none.
    """
    given = names(text)
    if all(one.isascii() and one.isdigit() for one in given):
        return tuple(int(one) for one in given)
    raise OptionError(f"{option} {text}", expected="whole numbers with commas between", remedy=f"use {option} 0,1,2")


def discrepancies(text: str) -> tuple[str, ...]:
    """The discrepancies that a comma-separated list, or "all", stands for; names are checked where they are used."""
    from gapkit.gap.inputs import ALL_DISCREPANCIES

    return ALL_DISCREPANCIES if text == "all" else names(text)


def default_folder(command: str) -> Path:
    """``runs/<time>-<command>``."""
    return Path("runs") / f"{datetime.now():%Y-%m-%d-%H%M%S}-{command}"


def show(result: Result, ending: str, *, as_json: bool, quiet: bool) -> None:
    """Print JSON alone, or the table with its last line, or nothing."""
    if as_json:
        typer.echo(result.to_json(), nl=False)
    elif not quiet:
        typer.echo(f"{result.table()}\n{ending}")
