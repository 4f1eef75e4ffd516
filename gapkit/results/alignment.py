"""A target model learned by one method: how well it does, what it cost, and the gap before and after."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from gapkit.estimates import Estimate, read_estimate
from gapkit.results.base import Result
from gapkit.results.gap import GapResult
from gapkit.results.provenance import SourceSummary, TargetSummary, read_target
from gapkit.results.reuse import ReuseResult

HISTORY, EMBEDDER = "history.jsonl", "embedder.safetensors"
TUNED, TUNED_EMBEDDER, HEAD = "tuned.safetensors", "tuned-embedder.safetensors", "head.safetensors"
"""Files in a run folder."""
METHODS = {
    "mona": "warm-up, alignment by MoNA, fine-tuning",
    "orca": "alignment by the optimal transport dataset distance, warm-up, fine-tuning",
    "mmd": "alignment by the maximum mean discrepancy, warm-up, fine-tuning",
    "warmup": "warm-up, fine-tuning",
    "finetune": "fine-tuning alone",
    "finetune+": "fine-tuning, with more steps worth all passes of MoNA's first two stages",
    "frozen": "a linear head on frozen embedder and encoder",
    "scratch": "fine-tuning from random weights",
}
"""Method -> what is done."""
GAPS = {
    "gap_before": "fixed embedder, pretrained source",
    "gap_warm": "embedder after warm-up, pretrained source",
    "gap_aligned": "embedder after alignment, pretrained source",
    "gap_after": "fine-tuned embedder and encoder",
}
"""Field -> what the misalignment was measured of."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """The metric of a task on held-out samples.

    Attributes:
        name: "accuracy", "label accuracy" or "R2"; higher is better.
        estimate: mean over seeds, with its interval over samples and seeds.
    """

    name: str
    estimate: Estimate


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one seed took on average.

    Attributes:
        seconds: of training, without looks at validation samples.
        steps: of the optimiser.
        passes: forward passes of target batches; a backward pass to all weights counts as two.
        peak_bytes: the largest memory so far: on CUDA what torch held, else the process's.
    """

    seconds: float
    steps: float
    passes: float
    peak_bytes: int


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """One seed.

    Attributes:
        seed: of weights, data order and dropout.
        metric: on the test samples.
        validation: on the validation samples, at the step whose weights were kept.
        best_step: of the last stage, whose weights were kept.
        scores: of each test sample, what it adds to the metric: hits, shares of right labels, or squared errors.
    """

    seed: int
    metric: float
    validation: float
    best_step: int
    scores: tuple[float, ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AlignmentResult(Result):
    """A target model learned by one method, for one or several seeds.

    Attributes:
        method: "mona", "orca", "mmd", "warmup", "finetune", "finetune+", "frozen" or "scratch".
        source: it began with.
        target: the test samples, which no choice was made on.
        surrogate: name of the surrogate; None where none was used.
        seeds: in order.
        budget: steps of each stage, how they were asked for, samples trained on and chosen by.
        metric: on the test samples.
        validation: the same metric on the validation samples, mean over seeds.
        runs: each seed.
        test_groups: codes of test samples that belong together, in their order; empty where there are none.
        gap_before: misalignment with the fixed embedder; None where it was not measured, or there is no fixed one.
        gap_warm: with the embedder after warm-up.
        gap_aligned: with the embedder after alignment.
        gap_after: of the fine-tuned encoder with its embedder.
        reuse: what tuning left of the source, layer by layer; None where it was not asked for.
        cost: of one seed.
        notes: what the readers and the training said, in words.
        history: of the first seed: an entry for each step; it is no part of the JSON but of ``history.jsonl``.
        embedder: of the first seed, for ``measure`` with the pretrained source: the one at the end of the alignment, or
            of the warm-up where there was none, else the fine-tuned one; in the JSON the name of its file.
        learned: each seed's model in memory; no part of the JSON.
    """

    kind: ClassVar[str] = "alignment"
    noun: ClassVar[str] = "an alignment"
    command: ClassVar[str] = "align"

    method: str
    source: SourceSummary
    target: TargetSummary
    surrogate: str | None
    seeds: tuple[int, ...]
    budget: dict[str, Any]
    metric: Metric
    validation: Estimate
    runs: tuple[SeedRun, ...]
    test_groups: tuple[int, ...] = field(default=(), repr=False)
    gap_before: GapResult | None = None
    gap_warm: GapResult | None = None
    gap_aligned: GapResult | None = None
    gap_after: GapResult | None = None
    reuse: ReuseResult | None = None
    cost: Cost
    notes: tuple[str, ...] = ()
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]], repr=False, compare=False)
    embedder: Any = field(default=None, repr=False, compare=False)
    learned: tuple[Any, ...] = field(default=(), repr=False, compare=False)

    @property
    def gaps(self) -> dict[str, GapResult]:
        """Field -> gap, of those that were measured, in the order of ``GAPS``."""
        return {name: gap for name in GAPS if (gap := getattr(self, name)) is not None}

    def to_dict(self) -> dict[str, Any]:
        """The JSON object: ``schema``, ``kind``, then the fields; history and embedder by the names of their files."""
        nested = {name: None for name in (*GAPS, "reuse")}
        bare = replace(self, history=[], embedder=None, learned=(), **nested)
        content = super(AlignmentResult, bare).to_dict()
        del content["learned"]
        content |= {"history": HISTORY, "embedder": EMBEDDER}
        for name in nested:
            found: Result | None = getattr(self, name)
            content[name] = None if found is None else found.to_dict()
        return content

    @classmethod
    def _read(cls, content: dict[str, Any]) -> dict[str, Any]:
        """The fields but the provenance, from the JSON object."""
        same = ("method", "surrogate", "budget")
        gaps = {name: _nested(GapResult, content[name]) for name in GAPS}
        return {
            **{name: content[name] for name in same},
            **gaps,
            "source": SourceSummary(**content["source"]),
            "target": read_target(content["target"]),
            "seeds": tuple(content["seeds"]),
            "metric": Metric(name=content["metric"]["name"], estimate=read_estimate(content["metric"]["estimate"])),
            "validation": read_estimate(content["validation"]),
            "runs": tuple(_read_run(run) for run in content["runs"]),
            "test_groups": tuple(content["test_groups"]),
            "reuse": _nested(ReuseResult, content["reuse"]),
            "cost": Cost(**content["cost"]),
            "notes": tuple(content["notes"]),
        }

    def table(self) -> str:
        """The table that ``gapkit align`` prints, as plain text."""
        from gapkit.reports.align_text import align_table

        return align_table(self)

    def plot(self, figure: str = "gaps") -> Any:
        """A matplotlib figure: "gaps", "training" or "projection".

        Raises:
            OptionError: there is no such figure, or the result has nothing for it.
        """
        from gapkit.reports.align_charts import draw_align_chart

        return draw_align_chart(self, figure)


def _read_run(run: dict[str, Any]) -> SeedRun:
    """One seed from JSON."""
    given: dict[str, Any] = {**run, "scores": tuple(run["scores"])}
    return SeedRun(**given)


def _nested(kind: type[Any], item: dict[str, Any] | None) -> Any:
    """A result inside of another."""
    return None if item is None else kind.from_json(json.dumps(item))
