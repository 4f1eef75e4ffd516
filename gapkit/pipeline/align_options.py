"""What changes the numbers of ``align``, and how it runs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from gapkit.errors import OptionError
from gapkit.mona.lesson import Lesson
from gapkit.mona.training_options import Steps
from gapkit.options import check_least

DEFAULT_BUDGET = "500steps"
UNITS = {"steps": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long is trained: a number of steps, or a time that is turned into steps once.

    Attributes:
        amount: steps, or seconds.
        unit: "steps" or "seconds".
        text: as it was asked for.
    """

    amount: float
    unit: str
    text: str

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``500steps``, ``90s``, ``10min`` or ``1h``.

        Raises:
            OptionError: it is none of these.

        Example:
            >>> Budget.parse("10min")
            Budget(amount=600.0, unit='seconds', text='10min')
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(steps|s|min|h)", text.strip())
        amount = float(found[1]) * UNITS[found[2]] if found else 0.0
        if found is None or amount <= 0 or (found[2] == "steps" and not amount.is_integer()):
            raise OptionError(
                f"budget {text!r}", expected="a number of steps or a time", remedy="use 500steps, 90s, 10min or 1h"
            )
        return cls(amount=amount, unit="steps" if found[2] == "steps" else "seconds", text=text.strip())

    @property
    def steps(self) -> Steps | None:
        """The steps of each stage; None for a time."""
        return Steps.of(int(self.amount)) if self.unit == "steps" else None


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """What changes the numbers of ``align``, and how it runs.

    Attributes:
        lesson: method, training, alignment, embedder; its seed is replaced by each of ``seeds``.
        budget: steps in all, or a time; None takes the lesson's own steps.
        seeds: of initial weights, data order and dropout: one run each.
        max_samples: training samples, drawn class by class; None takes all.
        max_test: test samples, likewise.
        test_share: of a target without a test split that is cut off for the test.
        measure: whether the misalignment is measured before and after, of the first seed.
        probe: whether what is left of the source is probed layer by layer, of the first seed.
        trials: validation trials that these options were chosen by, for the record.
        bootstrap: resamples of the intervals.
    """

    lesson: Lesson = field(default_factory=Lesson)
    budget: str | None = None
    seeds: tuple[int, ...] = (0,)
    max_samples: int | None = 2000
    max_test: int | None = 2000
    test_share: float = 0.2
    measure: bool = True
    probe: bool = True
    trials: int = 1
    bootstrap: int = 1000

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: an option is out of range.
        """
        if self.budget is not None:
            Budget.parse(self.budget)
        for name, least in (("trials", 1), ("bootstrap", 100)):
            check_least(name, getattr(self, name), least)
        for name in ("max_samples", "max_test"):
            if getattr(self, name) is not None:
                check_least(name, getattr(self, name), 20)
        for seed in self.seeds:
            check_least("seed", seed, 0)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise OptionError(
                f"seeds {','.join(map(str, self.seeds))}", expected="different ones", remedy="use --seeds 0,1,2"
            )
        if not 0 < self.test_share < 1:
            raise OptionError(
                f"test_share {self.test_share:g}", expected="a share between 0 and 1", remedy="use test_share=0.2"
            )

    def numbers(self) -> dict[str, Any]:
        """The options that change a number, for the provenance."""
        same = ("budget", "max_samples", "max_test", "test_share", "measure", "probe", "trials", "bootstrap")
        lesson = self.lesson.numbers()
        if self.budget is not None:
            lesson["training"] = {**lesson["training"], "steps": None}
        return {
            **{name: getattr(self, name) for name in same},
            **lesson,
            "seeds": list(self.seeds),
            "seed": self.seeds[0],
        }
