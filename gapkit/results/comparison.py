"""Runs beside each other: methods on one target, or misalignments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from gapkit.estimates import Estimate, read_estimate
from gapkit.results.alignment import Cost, Metric
from gapkit.results.base import Result


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Two methods on the same test samples and seeds.

    Attributes:
        a: method of the first run.
        b: method of the second.
        metric: that is compared.
        difference: a less b, mean over samples and seeds; of R2 the difference of R2.
        interval: 95 %, over samples and seeds.
        p: two-sided, of random signs of the samples' differences (means over seeds).
        test: what p was computed by, in words.
        status: "ok" or "undefined".
        reason: why it is undefined.
    """

    a: str
    b: str
    metric: str
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    test: str
    status: str = "ok"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One row of a comparison.

    Attributes:
        name: method, or for misalignments the embedder; made distinct by the folder where two are the same.
        folder: it was read from, empty for results in memory.
        metric: on test samples; None for misalignments.
        validation: on validation samples; None for misalignments.
        seeds: number of them.
        trials: validation trials that its options were chosen by.
        gaps: name of a moment ("before", "warm", "aligned", "after") -> label map -> normalised misalignment (KL).
        parts: moment -> part of the decomposition -> its value.
        reuse: "knowledge_reuse" of the model and "retention" by layer, as far as they were measured.
        cost: of one seed; None for misalignments.
    """

    name: str
    folder: str
    metric: Metric | None
    validation: Estimate | None
    seeds: int
    trials: int
    gaps: dict[str, dict[str, Estimate]]
    parts: dict[str, dict[str, Estimate]]
    reuse: dict[str, Estimate]
    cost: Cost | None


@dataclass(frozen=True, kw_only=True)
class Comparison(Result):
    """Runs beside each other.

    Attributes:
        target: name of the target that all have.
        runs: in the order given.
        paired: each two that share test samples and seeds.
        notes: what could not be compared, in words.
    """

    kind: ClassVar[str] = "comparison"
    noun: ClassVar[str] = "a comparison"
    command: ClassVar[str] = "compare"

    target: str
    runs: tuple[ComparedRun, ...]
    paired: tuple[PairedTest, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def _read(cls, content: dict[str, Any]) -> dict[str, Any]:
        """The fields but the provenance, from the JSON object."""
        paired: list[dict[str, Any]] = [{**one, "interval": _pair(one["interval"])} for one in content["paired"]]
        return {
            "target": content["target"],
            "runs": tuple(_read_run(run) for run in content["runs"]),
            "paired": tuple(PairedTest(**one) for one in paired),
            "notes": tuple(content["notes"]),
        }

    def table(self) -> str:
        """The table that ``gapkit compare`` prints, as plain text."""
        from gapkit.reports.compare_text import compare_table

        return compare_table(self)

    def plot(self, figure: str = "gaps") -> Any:
        """A matplotlib figure: "gaps" or "metrics".

        Raises:
            OptionError: there is no such figure, or the comparison has nothing for it.
        """
        from gapkit.reports.compare_charts import draw_compare_chart

        return draw_compare_chart(self, figure)


def _pair(item: list[float] | None) -> tuple[float, float] | None:
    """Ends of an interval."""
    return None if item is None else (item[0], item[1])


def _read_run(run: dict[str, Any]) -> ComparedRun:
    """A row of a comparison from JSON."""
    metric, validation = run["metric"], run["validation"]
    nested: dict[str, Any] = {
        key: {moment: {name: read_estimate(item) for name, item in own.items()} for moment, own in run[key].items()}
        for key in ("gaps", "parts")
    }
    changed: dict[str, Any] = {
        "metric": None if metric is None else Metric(name=metric["name"], estimate=read_estimate(metric["estimate"])),
        "validation": None if validation is None else read_estimate(validation),
        "reuse": {name: read_estimate(item) for name, item in run["reuse"].items()},
        "cost": None if run["cost"] is None else Cost(**run["cost"]),
    }
    return ComparedRun(**{**run, **nested, **changed})
