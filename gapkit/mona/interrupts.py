"""Ctrl-C, or SIGTERM, between two steps, never within one: weights, moments and the count of steps belong together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


class Interrupts:
    """Whether a signal is waiting.

    Attributes:
        waiting: the first signal that came; the second one is handed on at once.
    """

    def __init__(self, handlers: Mapping[int, Handler]) -> None:
        """Nothing is waiting.

        Args:
            handlers: what signals are handed on to.
        """
        self.waiting: int | None = None
        self._handlers = handlers

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.waiting is not None:
            self._handlers[number](number, frame)
        self.waiting = number

    def check(self) -> None:
        """Hand on what is waiting.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed, or the command was terminated, since the last check.
        """
        if self.waiting is not None:
            self._handlers[self.waiting](self.waiting, None)


@contextmanager
def held_interrupts() -> Iterator[Interrupts]:
    """Signals wait inside the block until they are asked for; outside of the main thread nothing is changed.

    SIGTERM waits only where something was to be done about it, as in the command: elsewhere it ends the process.
    """
    if threading.current_thread() is not threading.main_thread():
        yield Interrupts({})
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    handlers: dict[int, Handler] = {signal.SIGINT: signal.default_int_handler}
    handlers |= {number: handler for number, handler in before.items() if callable(handler)}
    found = Interrupts(handlers)
    try:
        for number in handlers:
            signal.signal(number, found)
        yield found
    finally:
        for number in handlers:
            signal.signal(number, before[signal.Signals(number)])
