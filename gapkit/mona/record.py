"""What a training has seen, as it is kept in checkpoints and shown in results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gapkit.mona.looks import Look


@dataclass(kw_only=True)
class Record:
    """What a run has to say so far; plain values, for the checkpoint.

    Attributes:
        history: one entry for each step.
        looks: at the validation samples, in order.
        best: the look whose weights are kept; None before the first of a stage that chooses.
        seconds: spent, also before an interruption.
        passes: forward passes of target batches that were spent.
        stopped: the step at which a stage was stopped early, by stage.
        notes: what the objectives had to say.
    """

    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    looks: list[Look] = field(default_factory=list[Look])
    best: Look | None = None
    seconds: float = 0.0
    passes: float = 0.0
    stopped: dict[str, int] = field(default_factory=dict[str, int])
    notes: list[str] = field(default_factory=list[str])

    def told(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "history": self.history,
            "looks": [one.told() for one in self.looks],
            "best": None if self.best is None else self.best.told(),
            "seconds": self.seconds,
            "passes": self.passes,
            "stopped": self.stopped,
            "notes": self.notes,
        }

    @classmethod
    def of(cls, told: dict[str, Any]) -> Record:
        """From plain values."""
        looks = [Look(**one) for one in told["looks"]]
        best = None if told["best"] is None else Look(**told["best"])
        return cls(**{**told, "looks": looks, "best": best})
