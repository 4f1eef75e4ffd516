"""The ``gapkit`` command: each file is one command that parses, calls the pipeline, prints and writes."""

from __future__ import annotations


def main() -> None:
    """Entry point of the console script."""
    from gapkit.cli.app import run

    run()
