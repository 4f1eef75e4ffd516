"""Progress bars on stderr, for what takes longer than a second."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from gapkit.types import Progress as ProgressProtocol

PATIENCE_SECONDS = 1.0


class ConsoleProgress:
    """Draws one bar for each task that has been running for a second."""

    def __init__(self) -> None:
        """Nothing is drawn yet; rich is not loaded before it is needed."""
        self._started: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._display: Progress | None = None

    def __call__(self, task: str, done: int, total: int) -> None:
        """Move the task's bar."""
        started = self._started.setdefault(task, time.monotonic())
        if self._display is None:
            if time.monotonic() - started < PATIENCE_SECONDS:
                return
            self._display = _display()
        if task not in self._bars:
            self._bars[task] = self._display.add_task(task, total=total)
        self._display.update(self._bars[task], completed=done, total=total)

    def close(self) -> None:
        """Take the bars away."""
        if self._display is not None:
            self._display.stop()


def _display() -> Progress:
    """A running rich display on stderr."""
    from rich.console import Console
    from rich.progress import Progress

    display = Progress(console=Console(stderr=True), transient=True)
    display.start()
    return display


@contextmanager
def console_progress(*, quiet: bool) -> Generator[ProgressProtocol]:
    """A progress for the block; with ``quiet`` one that draws nothing."""
    from gapkit.types import no_progress

    if quiet:
        yield no_progress
        return
    progress = ConsoleProgress()
    try:
        yield progress
    finally:
        progress.close()
