"""What changes the numbers of ``measure``, and how it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from gapkit.errors import OptionError
from gapkit.gap.inputs import ALL_DISCREPANCIES, DISCREPANCIES, TARGET_CONDITIONALS
from gapkit.options import as_names, check_choice, check_least
from gapkit.scores.catalogue import chosen_measures

SPLITS = ("train", "test", "all")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Which samples are used, and how they get through a source.

    A single name may stand for a tuple of it.

    Attributes:
        split: samples that are used; a target without a split has only "train", which is all of it.
        max_samples: stratified draw of at most this many; None uses all.
        embedder: name of a fixed embedder, "auto" for the choice by the data, or the .safetensors file of a learned
            one.
        layers: names of layers and globs that are measured too. "all" stands for the source's blocks.
        folds: of the cross-fitting.
        n_bins: quantile bins of a regression target.
        seed: of draws, folds, starts and resamples.
        batch_size: samples per forward pass, None finds one.
        keep_features: whether features are kept in the cache on disk and read from there.
    """

    splits: ClassVar[tuple[str, ...]] = SPLITS

    split: str = "train"
    max_samples: int | None = 10_000
    embedder: str = "auto"
    layers: tuple[str, ...] = ()
    folds: int = 5
    n_bins: int = 10
    seed: int = 0
    batch_size: int | None = None
    keep_features: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        object.__setattr__(self, "layers", as_names(self.layers, option="layers"))
        check_choice("split", self.split, self.splits)
        for name, least in (("folds", 2), ("n_bins", 2), ("seed", 0)):
            check_least(name, getattr(self, name), least)
        for name, least in (("max_samples", 20), ("batch_size", 1)):
            if getattr(self, name) is not None:
                check_least(name, getattr(self, name), least)

    def numbers(self) -> dict[str, Any]:
        """The options that change a number, for the provenance; tuples as the lists that JSON gives back."""
        told = {key: value for key, value in asdict(self).items() if key not in ("keep_features", "batch_size")}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in told.items()}


@dataclass(frozen=True, kw_only=True)
class ScoredOptions(RunOptions):
    """What ``measure`` and ``rank`` have beside.

    Attributes:
        scores: names of transferability scores and of distances to the surrogate; "fast" (cheap scores), "all", "none".
        permutations: of the labels.
    """

    scores: tuple[str, ...] = ("fast",)
    permutations: int = 200

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        super().__post_init__()
        object.__setattr__(self, "scores", as_names(self.scores, option="scores"))
        check_least("permutations", self.permutations, 0)
        chosen_measures(self.scores)


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(ScoredOptions):
    """What changes the numbers of ``measure``, and how it runs.

    Beside those of ``ScoredOptions``, with ``layers``, on which "linear" and "ceiling" are measured, and
    ``permutations``, of the null and of the scores:

    Attributes:
        discrepancies: "kl", "brier", "total_variation", "zero_one", "squared_hellinger", "jensen_shannon".
        target_conditional: "labels", or "probe": cross-fitted probabilities of a linear probe.
        bootstrap: resamples of the intervals.
    """

    discrepancies: tuple[str, ...] = DISCREPANCIES
    target_conditional: Literal["labels", "probe"] = "labels"
    bootstrap: int = 1000

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        super().__post_init__()
        object.__setattr__(self, "discrepancies", as_names(self.discrepancies, option="discrepancies"))
        check_choice("target_conditional", self.target_conditional, TARGET_CONDITIONALS)
        check_least("bootstrap", self.bootstrap, 100)
        for name in self.discrepancies:
            check_choice("discrepancy", name, ALL_DISCREPANCIES)


@dataclass(frozen=True, kw_only=True)
class RankOptions(ScoredOptions):
    """What changes the numbers of ``rank``, and how it runs.

    Attributes:
        draws: beside ``ScoredOptions``, draws of the jackknife, for the intervals of ranks and agreement.
    """

    draws: int = 2000

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        super().__post_init__()
        check_least("draws", self.draws, 100)
        known = [score.traits.name for score in chosen_measures(("all",))[0]]
        for name in self.scores:
            if name not in (*known, "all", "fast"):
                raise OptionError(
                    f"scores {name}",
                    expected="scores that sources can be ranked by; distances are in the units of each source",
                    remedy=f"use fast, all, or some of {', '.join(known)}",
                )

    def score_names(self, *, head: bool) -> tuple[str, ...]:
        """The scores that are asked for; of a layer, only those that read features."""
        wanted = [score.traits for score in chosen_measures(self.scores)[0]]
        return tuple(traits.name for traits in wanted if head or "features" in traits.needs)
