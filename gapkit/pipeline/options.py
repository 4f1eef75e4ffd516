"""What changes the numbers of ``measure``, and how it runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from gapkit.errors import OptionError, did_you_mean
from gapkit.gap.inputs import ALL_DISCREPANCIES, DISCREPANCIES, TARGET_CONDITIONALS
from gapkit.scores.catalogue import chosen_measures

SPLITS = ("train", "test", "all")


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """What changes the numbers of ``measure``, and how it runs.

    Attributes:
        split: samples that are used; a target without a split has only "train", which is all of it.
        max_samples: stratified draw of at most this many; None uses all.
        embedder: name of a fixed embedder, "auto" for the choice by the data.
        layers: names of layers and globs; "linear" and "ceiling" are measured on each of them too. "all" stands for the
            source's blocks.
        discrepancies: "kl", "brier", "total_variation", "zero_one", "squared_hellinger", "jensen_shannon".
        target_conditional: "labels", or "probe": cross-fitted probabilities of a linear probe.
        folds: of the cross-fitting.
        bootstrap: resamples of the intervals.
        permutations: of the null, and of the scores' labels.
        scores: names of transferability scores and of distances to the surrogate; "fast" (cheap scores), "all", "none".
        n_bins: quantile bins of a regression target.
        seed: of draws, folds, starts and resamples.
        batch_size: samples per forward pass, None finds one.
        keep_features: whether features are kept in the cache on disk and read from there.
    """

    split: Literal["train", "test", "all"] = "train"
    max_samples: int | None = 10_000
    embedder: str = "auto"
    layers: tuple[str, ...] = ()
    discrepancies: tuple[str, ...] = DISCREPANCIES
    target_conditional: Literal["labels", "probe"] = "labels"
    folds: int = 5
    bootstrap: int = 1000
    permutations: int = 200
    scores: tuple[str, ...] = ("fast",)
    n_bins: int = 10
    seed: int = 0
    batch_size: int | None = None
    keep_features: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        _check_choice("split", self.split, SPLITS)
        _check_choice("target_conditional", self.target_conditional, TARGET_CONDITIONALS)
        for name, least in (("folds", 2), ("bootstrap", 100), ("permutations", 0), ("n_bins", 2), ("seed", 0)):
            _check_least(name, getattr(self, name), least)
        if self.max_samples is not None:
            _check_least("max_samples", self.max_samples, 20)
        if self.batch_size is not None:
            _check_least("batch_size", self.batch_size, 1)
        for name in self.discrepancies:
            _check_choice("discrepancy", name, ALL_DISCREPANCIES)
        chosen_measures(self.scores)

    def numbers(self) -> dict[str, Any]:
        """The options that change a number, for the provenance."""
        told = {key: value for key, value in asdict(self).items() if key not in ("keep_features", "batch_size")}
        # Lists, as JSON gives them back.
        return told | {name: list(getattr(self, name)) for name in ("discrepancies", "layers", "scores")}


def _check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is not among the choices."""
    if value not in choices:
        raise OptionError(
            f"{option} {value!r}", expected="one of " + ", ".join(choices), remedy=did_you_mean(value, choices)
        )


def _check_least(option: str, value: int, least: int) -> None:
    """Refuse a number below ``least``."""
    if value < least:
        raise OptionError(f"{option} {value}", expected=f"at least {least}", remedy=f"use {option} {least} or more")
