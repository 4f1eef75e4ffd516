"""The ``gapkit`` command: each file is one command that parses, calls the pipeline, prints and writes."""

from __future__ import annotations

import gc
import signal
from types import FrameType

INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after SIGINT and SIGTERM, as shells have them."""
COLLECT_EVERY = 100_000
"""New objects between two searches for garbage; Python's 700 cost half a second while torch and others are imported."""
terminations: list[int] = []
"""The SIGTERMs that have come."""


def main() -> None:
    """Entry point of the console script; an interrupt while it loads is one like any other."""
    gc.set_threshold(COLLECT_EVERY)
    try:
        signal.signal(signal.SIGTERM, terminate)
        from gapkit.cli.app import run

        run()
    except KeyboardInterrupt:
        raise SystemExit(stop_code()) from None
    finally:
        gc.freeze()  # else Python searches everything that was imported once more before it ends


def terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM, which schedulers send some seconds before they kill, ends a command as Ctrl-C does.

    Raises:
        KeyboardInterrupt: always.
    """
    terminations.append(number)
    raise KeyboardInterrupt


def stop_code() -> int:
    """The exit code of a command that was interrupted or terminated; the process ends with it.

    An interrupt that leaves the source of an ``exec``, as imports run some, has Python end by SIGINT under ``-m``, even
    where it is caught: what runs next in this way makes it forget.
    """
    exec("")  # noqa: S102
    return TERMINATED if terminations else INTERRUPTED
