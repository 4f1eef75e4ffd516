"""The ``gapkit`` command: each file is one command that parses, calls the pipeline, prints and writes."""

from __future__ import annotations

import gc

INTERRUPTED = 130
COLLECT_EVERY = 100_000
"""New objects between two searches for garbage; Python's 700 cost half a second while torch and others are imported."""


def main() -> None:
    """Entry point of the console script; an interrupt while it loads is one like any other."""
    gc.set_threshold(COLLECT_EVERY)
    try:
        from gapkit.cli.app import run

        run()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    finally:
        gc.freeze()  # else Python searches everything that was imported once more before it ends
