"""What a user may tell the readers about a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from gapkit.errors import OptionError, did_you_mean
from gapkit.labels import TASKS, Task


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """How a target is to be read, where the file does not say it or says it otherwise.

    Attributes:
        labels: a file of labels for ``.npy``; a column of tables and Hugging Face datasets (several 0/1 columns with
            commas between); a key of ``.npz``.
        task: "classification", "regression", "multilabel" or "dense"; guessed where it is None.
        group: key or column of the groups, "none" for no groups; found by its name where it is None.
        sample_rate: in Hz, of series along the last axis; wav files are resampled to it.
        column: column or key of the input.
    """

    labels: str | Path | None = None
    task: Task | None = None
    group: str | None = None
    sample_rate: float | None = None
    column: str | None = None

    def __post_init__(self) -> None:
        """Check the values that can be wrong by themselves.

        Raises:
            OptionError: unknown task, or a sample rate that is not a positive number.
        """
        if self.task is not None and self.task not in TASKS:
            raise OptionError(
                f"task {self.task!r}", expected=", ".join(TASKS), remedy=did_you_mean(str(self.task), TASKS)
            )
        rate = self.sample_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            raise OptionError(
                f"sample rate {rate}", expected="a positive number of Hz", remedy="pass --sample-rate 8000, say"
            )


DEFAULTS = ReadOptions()
