"""Alignments made by hand: a small one with everything in it, and one of each kind that reports have to cope with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from gapkit.arrays import generator
from gapkit.estimates import Estimate, Misalignment, undefined
from gapkit.results import AlignmentResult, Cost, GapResult, Metric, ReuseResult, SeedRun
from gapkit.results.reuse import LayerReuse, Projection

HOSTILE = "<script>alert(1)</script>$x$"
LADDERS = {
    "gap_before": {"injection": 0.97, "channel": 0.92, "linear": 0.6, "ceiling": 0.55},
    "gap_warm": {"injection": 0.95, "channel": 0.9, "linear": 0.57, "ceiling": 0.52},
    "gap_aligned": {"injection": 0.8, "channel": 0.7, "linear": 0.4, "ceiling": 0.38},
    "gap_after": {"injection": 0.62, "channel": 0.5, "linear": 0.3, "ceiling": 0.31},
}
WORSE = {"injection": 0.9, "channel": 1.1, "linear": 1.2, "ceiling": 1.0}
PARTS = ("relabelling", "readout", "nonlinear", "absent_or_noise")


def near(value: float, width: float = 0.04) -> Estimate:
    """A value with an interval around it."""
    return Estimate(value=value, interval=(value - width, value + width), n=60)


def row(family: str, value: float | None) -> Misalignment:
    """An entry with this normalised KL."""
    known = value is not None
    return Misalignment(
        label_map=family,
        discrepancy="kl",
        value=2 * value if known else None,
        normalised=value,
        interval=(value - 0.04, value + 0.04) if known else None,
        value_interval=None,
        in_sample=None,
        proper=True,
        n=60,
        status="ok" if known else "undefined",
        reason="" if known else "4 target classes but 3 source classes, so that no injection is there",
    )


def measured(gap: GapResult, ladder: dict[str, float]) -> GapResult:
    """A gap with these normalised values and the parts between them."""
    ends = [*ladder.values(), 0.0]
    parts = {name: near(ends[k] - ends[k + 1], 0.02) for k, name in enumerate(PARTS)}
    return replace(gap, misalignment=tuple(row(*one) for one in ladder.items()), decomposition=parts)


def probed(gap: GapResult, layers: int = 4) -> ReuseResult:
    """What is left, less and less of it."""
    rows = tuple(
        LayerReuse(layer=f"blocks.{k}", measures={"retention": near(0.95 - k / 8), "cka": near(0.9 - k / 9)})
        for k in range(layers)
    )
    points = generator(0).normal(size=(40, 2))
    classes = tuple(f"{HOSTILE}{k % 4}" for k in range(40))
    return ReuseResult(
        before=gap.source,
        after=replace(gap.source, name="tuned"),
        surrogate=gap.target,
        target=None,
        layers=rows,
        model={"knowledge_reuse": near(0.7)},
        projection=Projection(before=points, after=points[::-1], classes=classes),
        provenance=gap.provenance,
    )


STAGES = {"warm-up": 5, "alignment": 10, "fine-tuning": 35}


def history_of(stages: dict[str, int] = STAGES) -> list[dict[str, Any]]:
    """A step counts from 0 in its stage; a look has the number of steps done."""
    rng, found = generator(1), []
    for stage, steps in stages.items():
        for step in range(steps):
            entry = {"stage": stage, "step": step, "loss": 2.0 - step / 40 + 0.1 * rng.normal(), "rate_head": 1e-3}
            more = {"source_loss": 1.5 + step / 50, "cosine": 0.3 - step / 30} if stage == "alignment" else {}
            found.append(entry | more | {"seconds": 0.1, "peak_bytes": 5})
            done = step + 1
            if done == steps or (stage == "fine-tuning" and done % 10 == 0):
                found.append({"stage": stage, "step": done, "validation": 0.4 + done / 100, "validation_loss": 1.8})
    return found


def learned(gap: GapResult, *, seeds: tuple[int, ...] = (0, 1, 2), **fields: Any) -> AlignmentResult:
    """A small alignment with everything in it; fields in place of the usual ones."""
    usual: dict[str, Any] = {name: measured(gap, ladder) for name, ladder in LADDERS.items()}
    runs = tuple(
        SeedRun(seed=seed, metric=0.8 + seed / 50, validation=0.85, best_step=30, scores=(1.0, 0.0)) for seed in seeds
    )
    budget = {"asked": "50steps", "steps": {"warm": 5, "align": 10, "tune": 35}, "batch_size": 32, "n_fit": 160}
    usual |= {
        "method": "mona",
        "source": gap.source,
        "target": gap.target,
        "surrogate": "sample:letters",
        "seeds": seeds,
        "budget": budget | {"n_validation": 40, "trials": 3},
        "metric": Metric(name="accuracy", estimate=near(0.82)),
        "validation": Estimate(value=0.85, interval=None, n=40, reason="the samples that models were chosen by"),
        "runs": runs,
        "reuse": probed(gap),
        "cost": Cost(seconds=1234.56, steps=50, passes=190, peak_bytes=812 * 2**20),
        "notes": ("a note",),
        "history": history_of(),
        "provenance": gap.provenance,
    }
    return AlignmentResult(**(usual | fields))


def hostile(gap: GapResult) -> AlignmentResult:
    """A result all of whose texts are markup."""
    bad = replace(gap, target=replace(gap.target, name=HOSTILE, embedder=HOSTILE, class_counts={HOSTILE: 60}))
    return learned(
        bad,
        method=HOSTILE,
        source=replace(gap.source, name=HOSTILE, description=HOSTILE),
        surrogate=HOSTILE,
        notes=(HOSTILE,),
        metric=Metric(name=HOSTILE, estimate=near(0.5)),
        budget={"asked": HOSTILE},
        validation=Estimate(value=0.8, interval=None, n=40, reason=HOSTILE),
    )


def every_kind(gap: GapResult) -> dict[str, AlignmentResult]:
    """One result of each kind that tables, figures and words have to cope with."""
    unfit = measured(gap, LADDERS["gap_before"])
    rows = (row("injection", None), *unfit.misalignment[1:])
    unfit = replace(unfit, misalignment=rows, decomposition=unfit.decomposition | {"relabelling": undefined("few", 60)})
    without = dict.fromkeys(LADDERS)
    return {
        "usual": learned(gap),
        "one seed": learned(gap, seeds=(7,)),
        "orca": learned(gap, method="orca"),
        "bare": learned(gap, **without, reuse=None, history=[], notes=(), method="scratch", surrogate=None, budget={}),
        "undefined": learned(
            gap,
            gap_before=unfit,
            metric=Metric(name="R2", estimate=undefined("the test values do not vary", 60)),
            reuse=replace(probed(gap), layers=(LayerReuse(layer="a", measures={"retention": undefined("no", 9)}),)),
        ),
        "negative": learned(gap, gap_after=measured(gap, WORSE)),
        "hostile": hostile(gap),
    }


@pytest.fixture
def learn(gap: GapResult) -> Callable[..., AlignmentResult]:
    """Makes a small alignment with everything in it; fields in place of the usual ones."""
    return partial(learned, gap)


@pytest.fixture
def alignments(gap: GapResult) -> dict[str, AlignmentResult]:
    """One result of each kind, by name."""
    return every_kind(gap)


@pytest.fixture
def ladders() -> dict[str, dict[str, float]]:
    """Field -> label map -> normalised KL, of the small alignment."""
    return LADDERS
