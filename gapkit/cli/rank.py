"""``gapkit rank``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from gapkit.cli import options as common
from gapkit.cli.progress import console_progress

if TYPE_CHECKING:
    from gapkit.pipeline.options import RankOptions
    from gapkit.pipeline.request import RankRequest


def rank(
    context: typer.Context,
    sources: Annotated[str, typer.Option(help="Sources with commas between, as --source of measure takes them.")],
    target: common.TargetName,
    out: common.Out = None,
    overwrite: common.Overwrite = False,
    resume: common.Resume = False,
    split: common.Split = "train",
    max_samples: common.MaxSamples = "10000",
    embedder: common.EmbedderName = "auto",
    layers: Annotated[str | None, typer.Option(help="Layers that are ranked too: names and globs, or all.")] = None,
    scores: Annotated[str, typer.Option(help="fast, all, or names of scores with commas between.")] = "fast",
    labels: common.Labels = None,
    column: common.Column = None,
    task: common.TaskName = None,
    group: common.Group = None,
    sample_rate: common.SampleRate = None,
    surrogate: Annotated[str | None, typer.Option(help="Labelled set that gives a headless source its head.")] = None,
    folds: common.Folds = 5,
    permutations: common.Permutations = 200,
    seed: common.Seed = 0,
    device: common.Device = "auto",
    precision: common.Precision = "fp32",
    batch_size: common.BatchSize = None,
    cache: common.Cache = True,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Order sources, and their layers, by transferability scores on a target."""
    from gapkit.pipeline.run import RunFolder, rank_run

    folder = RunFolder(path=out or common.default_folder("rank"), overwrite=overwrite, resume=resume)
    with console_progress(quiet=quiet) as progress:
        result = rank_run(_request(context.params), _options(context.params), folder, progress)
    common.show(result, f"report    {folder.report}", as_json=as_json, quiet=quiet)


def _request(given: dict[str, Any]) -> RankRequest:
    """Sources and target with what is needed to load them, from the command's options."""
    from gapkit.pipeline.request import RankRequest

    names = ("target", "surrogate", "device", "precision")
    return RankRequest(
        **{name: given[name] for name in names},
        sources=common.names(given["sources"]),
        reading=common.read_options(given),
    )


def _options(given: dict[str, Any]) -> RankOptions:
    """What is computed and how, from the command's options."""
    from gapkit.pipeline.options import RankOptions

    return RankOptions(**common.run_options(given))
