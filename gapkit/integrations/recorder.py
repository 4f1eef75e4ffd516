"""When a callback measures: at the beginning, every so many steps, and at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from gapkit.errors import OptionError
from gapkit.reuse.in_loop import ReuseProbe, ReuseProbeOptions
from gapkit.types import Target


@dataclass(frozen=True, kw_only=True)
class ProbeArguments:
    """What a ``ReuseProbe`` is made with, but for the model, which is there when the training begins.

    Attributes:
        surrogate: labelled samples of the source's own modality.
        layers: names and globs, in the model that the trainer trains.
        forward: what is called with the model and a batch; the model itself where it is None.
        options: what is measured.
    """

    surrogate: Target
    layers: Sequence[str] = ("blocks.*",)
    forward: Callable[[nn.Module, Tensor], object] | None = None
    options: ReuseProbeOptions = ReuseProbeOptions()

    def make(self, model: nn.Module) -> ReuseProbe:
        """The probe, whose reference is the model as it is now."""
        return ReuseProbe(
            model, surrogate=self.surrogate, layers=self.layers, forward=self.forward, options=self.options
        )


class Recorder:
    """A probe and the steps at which it measures, each of them once.

    Attributes:
        probe: None before the training where it is made at its beginning.
        every: steps between two measurements.
    """

    def __init__(self, probe: ReuseProbe | ProbeArguments, every: int) -> None:
        """Take a probe, or what one is made with.

        Raises:
            OptionError: ``every`` is below 1.
        """
        if every < 1:
            raise OptionError(f"every is {every}", expected="at least 1 step", remedy="use every=100")
        self.every = every
        self.probe = probe if isinstance(probe, ReuseProbe) else None
        self._arguments = None if isinstance(probe, ReuseProbe) else probe

    def begin(self, model: nn.Module, step: int) -> dict[str, float] | None:
        """Make the probe where there is none yet, and measure."""
        if self.probe is None and self._arguments is not None:
            self.probe = self._arguments.make(model)
        return self.at(step)

    def due(self, step: int) -> dict[str, float] | None:
        """The measurement of this step; None where it is not its turn."""
        return self.at(step) if step % self.every == 0 else None

    def at(self, step: int) -> dict[str, float] | None:
        """The measurement of this step without the step; None where the last one was at it."""
        if self.probe is None or (self.probe.history and self.probe.history[-1].step == step):
            return None
        record = self.probe.measure(step).to_record()
        del record["step"]
        return record
