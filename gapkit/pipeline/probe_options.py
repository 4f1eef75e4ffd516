"""What changes the numbers of ``probe``, and how it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from gapkit.errors import OptionError
from gapkit.options import as_names, check_choice, check_least
from gapkit.pipeline.options import SPLITS, RunOptions
from gapkit.reuse.catalogue import similarities

RESETS = ("permute", "init")
LEAST_COPIES, LEAST_RESETS = 3, 5


@dataclass(frozen=True, kw_only=True)
class ProbeOptions(RunOptions):
    """What changes the numbers of ``probe``, and how it runs.

    Attributes:
        split: of the target that accuracies are taken on; "auto" is the test split, or all where there is none.
        max_samples: at most this many surrogate samples, and target samples.
        layers: names of layers and globs. "all" stands for the source's blocks and for what the head sees; with names
            alone the surrogate runs no further than to the last of them.
        pooling: how tokens become one row: "mean", "cls" or "tokens".
        most_classes: of the surrogate; its largest ones are taken. A probe takes time for every class.
        seeds: of the random-weight copies, at least 3.
        resets: of each layer, at least 5; their seeds follow from ``seed``.
        reset: "permute" (entries of pretrained matrices) or "init" (the module's own initialisers).
        bootstrap: resamples of the intervals.
        matrices: names of similarities whose layer by layer matrix is computed; "all".
        on_target: whether representations of the target are measured too.
        projection: whether maps of the samples are made for the report.
    """

    splits: ClassVar[tuple[str, ...]] = ("auto", *SPLITS)

    split: str = "auto"
    max_samples: int | None = 1000
    layers: tuple[str, ...] = ("all",)
    pooling: Literal["mean", "cls", "tokens"] = "mean"
    most_classes: int = 40
    seeds: tuple[int, ...] = (0, 1, 2)
    resets: int = 5
    reset: Literal["permute", "init"] = "permute"
    bootstrap: int = 1000
    matrices: tuple[str, ...] = ("cka",)
    on_target: bool = False
    projection: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        super().__post_init__()
        object.__setattr__(self, "matrices", as_names(self.matrices, option="matrices"))
        least = {"most_classes": 2, "resets": LEAST_RESETS, "bootstrap": 100}
        for name, bound in least.items():
            check_least(name, getattr(self, name), bound)
        check_choice("reset", self.reset, RESETS)
        check_choice("pooling", self.pooling, ("mean", "cls", "tokens"))
        for name in self.matrices:
            check_choice("matrices", name, (*similarity_names(), "all"))
        if len(set(self.seeds)) < LEAST_COPIES or min(self.seeds) < 0:
            raise OptionError(
                f"seeds {','.join(map(str, self.seeds))}",
                expected=f"at least {LEAST_COPIES} different ones, none below 0: each gives a random-weight copy",
                remedy="use --seeds 0,1,2",
            )
        if not self.layers:
            raise OptionError("no layers", expected="names, globs or all", remedy="leave --layers out for all blocks")

    @property
    def matrix_names(self) -> tuple[str, ...]:
        """The similarities whose matrices are asked for."""
        return similarity_names() if "all" in self.matrices else self.matrices


def similarity_names() -> tuple[str, ...]:
    """Names of the similarities."""
    return tuple(similarity.traits.name for similarity in similarities())
