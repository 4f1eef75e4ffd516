"""A forward pass that ends as soon as the layers that are wanted have run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from torch import nn

from gapkit.sources.hooks import hooked


@contextmanager
def ending_early(layers: Mapping[str, nn.Module]) -> Iterator[Callable[[Callable[[], object]], None]]:
    """A function that runs a pass as far as these layers need it, each of them for the last time.

    The first pass runs to its end, for the calls of each layer to be counted. Later ones end with the call that makes
    these numbers full, and go on to their end where it does not come. A call beyond the numbers of the first pass is
    made only where another layer is still waited for: of a model that calls a layer more often for some inputs than for
    others, take whole passes.

    Hooks that were there before see all that runs, those of the last layer too; of the modules around it only those
    that ``always_call``. What else has to see the layers must be hooked outside of this block.

    Args:
        layers: name -> layer; one layer under two names is one layer.
    """
    early = _Early()
    with hooked(layers, early.see), ExitStack() as stack:
        for layer in layers.values():
            stack.callback(layer.register_forward_pre_hook(early.refuse).remove)
        yield early.run


class _Finished(Exception):
    """Nothing that is still to come is wanted."""


class _Early:
    """Counts calls, and breaks a pass off."""

    def __init__(self) -> None:
        """No pass has been counted."""
        self._usual: Counter[str] | None = None
        self._calls: Counter[str] = Counter()
        self._waiting = self._finished = False

    def see(self, name: str, _: nn.Module, __: object) -> None:
        """Count a call; the last one that is waited for ends the pass."""
        self._calls[name] += 1
        if self._waiting and self._usual is not None and self._calls >= self._usual:
            self._waiting, self._finished = False, True
            raise _Finished

    def refuse(self, _: nn.Module, __: object) -> None:
        """End a pass again whose end a module has caught: what it calls instead must not take the place of the rows."""
        if self._finished:
            raise _Finished

    def run(self, forward: Callable[[], object]) -> None:
        """Run one pass.

        Raises:
            Exception: whatever the pass raises before it has come to the last layer.
        """
        self._calls, self._waiting = Counter(), self._usual is not None
        try:
            forward()
        except Exception:
            # Whatever a module around the layer has made of it.
            if not self._finished:
                raise
        finally:
            self._waiting = self._finished = False
        if self._usual is None:
            self._usual = self._calls
