"""Ctrl-C between two steps, never within one: weights, moments and the count of steps belong together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Whether an interrupt is waiting.

    Attributes:
        waiting: set by the first Ctrl-C; the second one is raised at once.
    """

    def __init__(self) -> None:
        """Nothing is waiting."""
        self.waiting = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.waiting:
            raise KeyboardInterrupt
        self.waiting = True

    def check(self) -> None:
        """Raise what is waiting.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed since the last check.
        """
        if self.waiting:
            raise KeyboardInterrupt


@contextmanager
def held_interrupts() -> Iterator[Interrupts]:
    """Interrupts wait inside the block until they are asked for; outside of the main thread nothing is changed."""
    found = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before = signal.signal(signal.SIGINT, found)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, before)
