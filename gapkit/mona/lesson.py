"""What is learned and how: a method with its options."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
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
        alignment: of MoNA's stage 1; its hypergradient gets the training's microbatches.
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

        given, wanted = self.alignment.hypergradient, self.training.microbatches
        if given.microbatches not in (1, wanted):
            raise OptionError(
                f"microbatches {given.microbatches} of the hypergradient and {wanted} of the training",
                expected="one number for all stages",
                remedy=f"give TrainingOptions microbatches={given.microbatches}, and leave the other one out",
            )
        if self.method == "mona" and given.method == "naive" and wanted > 1:
            raise OptionError(
                f"gradient 'naive' with microbatches {wanted}",
                expected="one graph over the whole step",
                remedy="use --gradient exact, which gives the same numbers",
            )

    @property
    def aligned(self) -> AlignmentOptions:
        """The alignment with the training's microbatches."""
        given = self.alignment.hypergradient
        return replace(self.alignment, hypergradient=replace(given, microbatches=self.training.microbatches))

    def numbers(self) -> dict[str, Any]:
        """Everything that changes a number, as plain values."""
        aligned = asdict(self.aligned) if self.method == "mona" else {}
        return {
            "method": self.method,
            "training": self.training.numbers(),
            "alignment": aligned,
            "embedder": {**asdict(self.embedder), "seed": self.training.seed},
        }
