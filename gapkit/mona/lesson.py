"""What is learned and how: a method with its options."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from gapkit.embedders.patch import PatchOptions
from gapkit.errors import OptionError
from gapkit.mona.training_options import AlignmentOptions, TrainingOptions
from gapkit.options import check_choice
from gapkit.results.alignment import METHODS


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What is learned and how.

    Attributes:
        method: one of ``gapkit.results.alignment.METHODS``.
        training: steps, rates, batches, seed.
        alignment: of MoNA's stage 1.
        embedder: sizes and initial values of the learned embedder; its seed is that of the training.
    """

    method: str = "mona"
    training: TrainingOptions = field(default_factory=TrainingOptions)
    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)
    embedder: PatchOptions = field(default_factory=PatchOptions)

    def __post_init__(self) -> None:
        """Check the method.

        Raises:
            OptionError: there is no such method, or it cannot have the options.
        """
        check_choice("method", self.method, tuple(METHODS))
        if self.method == "frozen" and self.training.lora is not None:
            raise OptionError(
                f"method 'frozen' with lora {self.training.lora}",
                expected="a method that trains the encoder, where adapters can stand",
                remedy="leave lora out, or use --method finetune",
            )

    def numbers(self) -> dict[str, Any]:
        """Everything that changes a number, as plain values."""
        aligned = asdict(self.alignment) if self.method == "mona" else {}
        return {
            "method": self.method,
            "training": self.training.numbers(),
            "alignment": aligned,
            "embedder": {**asdict(self.embedder), "seed": self.training.seed},
        }
