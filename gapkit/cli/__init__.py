"""The ``gapkit`` command: each file is one command that parses, calls the pipeline, prints and writes."""

from __future__ import annotations

INTERRUPTED = 130


def main() -> None:
    """Entry point of the console script; an interrupt while it loads is one like any other."""
    try:
        from gapkit.cli.app import run

        run()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
