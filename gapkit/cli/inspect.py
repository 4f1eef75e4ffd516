"""``gapkit inspect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gapkit.cli import options as common


def inspect(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="File, folder or sample:digits.")],
    labels: common.Labels = None,
    column: common.Column = None,
    task: common.TaskName = None,
    group: common.Group = None,
    sample_rate: common.SampleRate = None,
    out: Annotated[Path | None, typer.Option(help="Folder for JSON and a picture of the first samples.")] = None,
    overwrite: common.Overwrite = False,
    as_json: common.AsJson = False,
) -> None:
    """Print what was understood of a target, and the embedder that an image source would get."""
    from gapkit.pipeline.inspect import inspect as inspect_target
    from gapkit.reports.folder import check_folder

    folder = None if out is None else check_folder(out, overwrite=overwrite)
    inspection = inspect_target(file, common.read_options(context.params))
    if folder is not None:
        inspection.save(folder)
    typer.echo(json.dumps(inspection.to_dict(), indent=2, ensure_ascii=False) if as_json else inspection.table())
