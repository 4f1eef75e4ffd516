"""The commands together, and what happens to their errors."""

from __future__ import annotations

import sys

import typer

from gapkit.cli import INTERRUPTED, TERMINATED, stop_code
from gapkit.cli.align import align
from gapkit.cli.cache import cache
from gapkit.cli.compare import compare
from gapkit.cli.inspect import inspect
from gapkit.cli.measure import measure
from gapkit.cli.probe import probe
from gapkit.cli.rank import rank
from gapkit.cli.sources import sources
from gapkit.errors import GapkitError

USER_ERROR = 2

app = typer.Typer(
    name="gapkit",
    help="Measure the modality gap between a pretrained source model and a target dataset.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (measure, probe, align, compare, rank, inspect, sources, cache):
    app.command()(command)


def run(arguments: list[str] | None = None) -> None:
    """Run one command; user errors exit with 2 and one message, an interrupt with 130, SIGTERM with 143."""
    try:
        app(args=arguments, prog_name="gapkit")
    except GapkitError as error:
        _say(f"gapkit: {error}")
        sys.exit(USER_ERROR)
    except SystemExit as stop:
        if stop.code != INTERRUPTED:
            raise
        code = stop_code()
        _say(f"gapkit: {'terminated' if code == TERMINATED else 'interrupted'}; the same command goes on where it was")
        sys.exit(code)


def _say(message: str) -> None:
    """A message on stderr; of several processes that train together the first one speaks."""
    from gapkit.mona.launch import several_processes

    if several_processes():
        from gapkit.mona.team import first_to_speak

        if not first_to_speak():
            return
    typer.echo(message, err=True)
