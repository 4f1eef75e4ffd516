"""Which samples a step sees: functions of the seed and the step, so that a run goes on exactly where it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Labels, Rows, generator
from gapkit.errors import DataError

EPOCH_STREAM, PAIR_STREAM = 101, 102
FEWEST_CLASSES = 2


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """Batches of samples in random order; every sample once in an epoch, but for what is left of it at its end.

    Attributes:
        rows: positions of the samples.
        size: of a batch; all rows where there are fewer.
        seed: of the order.
        stream: stages that have the same one see the same order.
    """

    rows: Rows
    size: int
    seed: int
    stream: int = 0

    def batch(self, step: int) -> Rows:
        """The samples of one step."""
        size = min(self.size, len(self.rows))
        epoch, place = divmod(step, len(self.rows) // size)
        order = generator(self.seed, EPOCH_STREAM, self.stream, epoch).permutation(len(self.rows))
        return self.rows[order[place * size : (place + 1) * size]]


@dataclass(frozen=True, kw_only=True)
class ClassPairs:
    """Batches of classes at random with several samples of each, for losses that compare samples of a class.

    Attributes:
        labels: of the samples.
        size: of a batch, at most.
        per_class: samples of a class; fewer where it has fewer, but two at least.
        seed: of the draws.
    """

    labels: Labels
    size: int
    per_class: int
    seed: int

    def __post_init__(self) -> None:
        """Check that there are classes to draw from.

        Raises:
            DataError: fewer than two classes have two samples.
        """
        if len(self.classes) < FEWEST_CLASSES:
            raise DataError(
                f"the surrogate has {len(self.classes)} classes with two or more samples",
                expected="at least two: the loss on it compares samples of the same class and of others",
                remedy="give a larger surrogate (--surrogate FILE)",
            )

    @property
    def classes(self) -> Labels:
        """Codes of the classes with two samples or more."""
        codes, counts = np.unique(self.labels, return_counts=True)
        return codes[counts >= 2]

    def batch(self, step: int) -> Rows:
        """The samples of one step."""
        rng = generator(self.seed, PAIR_STREAM, step)
        classes = self.classes
        count = min(len(classes), max(FEWEST_CLASSES, self.size // self.per_class))
        chosen = rng.choice(classes, count, replace=False)
        drawn: list[Rows] = []
        for code in chosen:
            members = np.flatnonzero(self.labels == code)
            drawn.append(rng.choice(members, min(self.per_class, len(members)), replace=False))
        return np.concatenate(drawn)
