"""``gapkit compare``."""

from __future__ import annotations

from typing import Annotated

import typer

from gapkit.cli import options as common


def compare(
    runs: Annotated[list[str], typer.Argument(help="Folders of two or more runs of align, or of measure.")],
    out: common.Out = None,
    overwrite: common.Overwrite = False,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Put runs on one target beside each other, with paired tests."""
    from gapkit.pipeline.align_run import compare_run
    from gapkit.pipeline.run import RunFolder

    folder = RunFolder(path=out or common.default_folder("compare"), overwrite=overwrite)
    result = compare_run(runs, folder)
    common.show(result, f"report    {folder.report}", as_json=as_json, quiet=quiet)
