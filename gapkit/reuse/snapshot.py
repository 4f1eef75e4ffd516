"""What ``ReuseProbe`` found at one step of a training."""

from __future__ import annotations

from dataclasses import dataclass

from gapkit.estimates import Estimate


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """How much of the reference's knowledge each layer holds at one step.

    Attributes:
        step: of the training.
        layers: layer -> measure -> its estimate, in the order of the model; see ``ReuseProbeOptions.measures``.
    """

    step: int
    layers: dict[str, dict[str, Estimate]]

    def to_record(self) -> dict[str, float]:
        """One flat object for a logger: ``step``, then ``LAYER/MEASURE`` for every value that is defined.

        Example:
            >>> one = Estimate(value=0.5, interval=None, n=10)
            >>> Reuse(step=3, layers={"blocks.0": {"cka": one}}).to_record()
            {'step': 3, 'blocks.0/cka': 0.5}
        """
        values = {
            f"{layer}/{measure}": estimate.value
            for layer, estimates in self.layers.items()
            for measure, estimate in estimates.items()
            if estimate.value is not None
        }
        return {"step": self.step, **values}

    def table(self) -> str:
        """Layers by measures as plain text, and why a value is undefined.

        Example:
            >>> one = Estimate(value=0.5, interval=(0.4, 0.6), n=10)
            >>> none = Estimate(value=None, interval=None, n=0, status="undefined", reason="no parameters")
            >>> print(Reuse(step=3, layers={"blocks.0": {"cka": one, "drift": none}}).table())
            step 3    cka              drift
            blocks.0  0.500 0.40-0.60  -
            <BLANKLINE>
            blocks.0 drift: no parameters
        """
        measures = list(dict.fromkeys(name for estimates in self.layers.values() for name in estimates))
        rows = [[f"step {self.step}", *measures]]
        rows += [[layer, *(_cell(found.get(name)) for name in measures)] for layer, found in self.layers.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        reasons = [
            f"{layer} {name}: {estimate.reason}"
            for layer, found in self.layers.items()
            for name, estimate in found.items()
            if estimate.value is None
        ]
        return "\n".join([*lines, "", *reasons] if reasons else lines)


def _cell(estimate: Estimate | None) -> str:
    """A value with its interval where it has one."""
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} {estimate.interval[0]:.2f}-{estimate.interval[1]:.2f}"
