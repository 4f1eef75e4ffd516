"""Gap results made by hand: a small one, and one of each kind that figures and words have to cope with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gapkit.estimates import ClassGap, Estimate, Misalignment, Null
from gapkit.results import GapResult, Pictures, Provenance, SourceSummary, TargetSummary

LADDER = {"injection": 0.7, "partition": 0.6, "channel": 0.45, "linear": 0.2, "ceiling": 0.18}
STEPS = {
    "relabelling": ("injection", "channel"),
    "readout": ("channel", "linear"),
    "nonlinear": ("linear", "ceiling"),
    "absent_or_noise": ("ceiling", None),
}
HOSTILE = ("$x$", "<script>alert(1)</script>", '" onload="x', "a" * 80, "\u6c34 \U0001f600 ü", "", "two\nlines\x00")
"""Names that are a formula, markup, an attribute, too long, in rare letters, empty, or hold control characters."""
TOO_MANY = "4 target classes but 3 source classes"


def row(label_map: str, discrepancy: str, value: float | None) -> Misalignment:
    """One entry; without a value an undefined one."""
    known = value is not None
    return Misalignment(
        label_map=label_map,
        discrepancy=discrepancy,
        value=value,
        normalised=value / 2 if known else None,
        interval=(value / 2 - 0.05, value / 2 + 0.05) if known else None,
        value_interval=(value - 0.1, value + 0.1) if known else None,
        in_sample=value - 0.2 if known else None,
        proper=True,
        n=60,
        status="ok" if known else "undefined",
        reason="" if known else TOO_MANY,
    )


def estimate(value: float | None, width: float = 0.03) -> Estimate:
    """A number with an interval around it; without a value an undefined one."""
    if value is None:
        return Estimate(value=None, interval=None, n=0, status="undefined", reason=TOO_MANY)
    return Estimate(value=value, interval=(value - width, value + width), n=60)


def with_test(entry: Misalignment, p: float | None = 0.005, reason: str = "") -> Misalignment:
    """The entry with a permutation test; without p an undefined one."""
    if entry.normalised is None:
        return entry
    if p is None:
        null = Null(statistic="plug-in", observed=None, mean=None, p=None, r=0, status="undefined", reason=reason)
    else:
        null = Null(statistic="plug-in", observed=0.9, mean=1.0, p=p, r=200, interval=(0.98, 1.02))
    return replace(entry, null=null)


def rows_of(values: dict[str, float | None], discrepancies: tuple[str, ...] = ("kl",)) -> tuple[Misalignment, ...]:
    """Entries with these normalised values."""
    return tuple(
        row(family, discrepancy, None if value is None else 2 * value)
        for discrepancy in discrepancies
        for family, value in values.items()
    )


def parts_of(values: dict[str, float | None]) -> dict[str, Estimate]:
    """The decomposition of these normalised values."""
    parts: dict[str, Estimate] = {}
    for name, (first, second) in STEPS.items():
        pair = [values.get(first), 0.0 if second is None else values.get(second)]
        parts[name] = estimate(None if None in pair else pair[0] - pair[1])
    return parts


def classes_of(names: list[str]) -> tuple[ClassGap, ...]:
    """The misalignment of each class, which falls from the first to the last."""
    return tuple(
        ClassGap(
            name=name,
            n=6,
            prior=2.3,
            label_maps={family: estimate(2.3 * value * (1 - k / (2 * len(names)))) for family, value in LADDER.items()},
        )
        for k, name in enumerate(names)
    )


def maps_of(targets: list[str], n_sources: int) -> dict[str, list[dict[str, Any]]]:
    """Label maps of these target classes."""
    mass = 1 / (2 * len(targets))
    channel = [
        {"target": target, "source": f"source/{(k + j) % n_sources}", "mass": mass / (1 + j), "agreement": 0.8}
        for k, target in enumerate(targets)
        for j in range(3)
    ]
    return {
        "injection": [{"target": name, "source": f"source/{k}", "agreement": 0.6} for k, name in enumerate(targets)],
        "partition": [{"target": None, "source": f"source/{k}", "agreement": 1.0} for k in range(n_sources)],
        "channel": channel,
    }


def pictures_of(targets: list[str]) -> Pictures:
    """Pictures of these target classes, grey, and of some source classes, in colour."""
    rng = np.random.default_rng(0)
    grey = {name: tuple(rng.integers(0, 256, (3, 8, 8), dtype=np.uint8)) for name in targets}
    colour = {f"source/{k}": tuple(rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)) for k in range(0, 300, 2)}
    return Pictures(target=grey, source=colour)


def small_gap() -> GapResult:
    """Three families, one of them undefined, under both discrepancies."""
    values: dict[str, float | None] = {"injection": None, "channel": 0.75, "linear": 0.25}
    rows = rows_of(values, ("kl", "zero_one"))
    return GapResult(
        source=SourceSummary(
            name="s", n_classes=3, head="own", description="s: image 3x8x8, 3 classes", device="cpu", precision="fp32"
        ),
        target=TargetSummary(
            name="<script>alert(1)</script>.npz",
            n=60,
            n_classes=4,
            task="classification",
            embedder="resize to 8x8",
            embedder_reason="image shape",
            split="train",
            shape=(60, 8, 8),
            dtype="uint8",
            groups=None,
            class_counts={"a": 30, "b": 10, "c": 10, "ü": 10},
        ),
        misalignment=rows,
        label_maps={"channel": [{"target": "a", "source": "x", "mass": 0.9, "agreement": 1.0}]},
        label_map_fits={"channel": {"temperature": 1.0, "eps": 0.1}},
        notes=("one note",),
        provenance=Provenance(
            versions={"python": "3"},
            seed=2,
            data_hash="d",
            weights_hash="w",
            options={"folds": 5},
            created="2026-01-01T00:00:00+00:00",
            seconds=1.0,
        ),
    )


def full_of(gap: GapResult, names: list[str]) -> GapResult:
    """A result with everything in it, of these target classes."""
    layers = {
        f"blocks.{k}": rows_of({"linear": 0.9 - k / 20, "ceiling": 0.85 - k / 20}, ("kl", "zero_one"))
        for k in range(12)
    }
    return replace(
        gap,
        target=replace(gap.target, n_classes=len(names), class_counts=dict.fromkeys(names, 6)),
        misalignment=tuple(with_test(entry) for entry in rows_of(dict(LADDER), ("kl", "zero_one"))),
        decomposition=parts_of(dict(LADDER)),
        classes=classes_of(names),
        layers=layers,
        label_maps=maps_of(names, 352),
        pictures=pictures_of(names),
    )


def multilabel_of(gap: GapResult, labels: list[str]) -> GapResult:
    """A result of several labels for each sample."""
    own = tuple(with_test(entry) for entry in rows_of(dict(LADDER)))
    maps = {
        family: [{"label": label} | line for label in labels for line in lines]
        for family, lines in maps_of(["without", "with"], 12).items()
    }
    return replace(
        gap,
        target=replace(gap.target, task="multilabel", n_classes=len(labels), class_counts=dict.fromkeys(labels, 20)),
        misalignment=tuple(with_test(entry, None, "each label has its own permutation test") for entry in own),
        decomposition=parts_of(dict(LADDER)),
        per_label=dict.fromkeys(labels, own),
        label_maps=maps,
        label_map_fits={},
    )


def every_kind(gap: GapResult) -> dict[str, GapResult]:
    """One result of each kind, by name."""
    unfit: dict[str, float | None] = dict(LADDER) | {"injection": None, "partition": None}
    worse: dict[str, float | None] = {
        "injection": 1.1,
        "partition": 1.2,
        "channel": 1.25,
        "linear": 1.3,
        "ceiling": 1.0,
    }
    full = full_of(gap, [*HOSTILE, "b", "c", "d"])
    every = ("kl", "brier", "zero_one", "total_variation", "squared_hellinger", "jensen_shannon")
    partial = tuple(replace(entry, status="partial", reason="classes x have few") for entry in full.misalignment)
    return {
        "small": gap,
        "full": full,
        "minimal": replace(gap, misalignment=rows_of({"linear": 0.4}), label_maps={}, label_map_fits={}, notes=()),
        "empty": replace(gap, misalignment=(), label_maps={}, label_map_fits={}, notes=()),
        "undefined": replace(
            full, misalignment=rows_of(unfit), decomposition=parts_of(unfit), label_maps={"channel": []}, pictures=None
        ),
        "worse than the prior": replace(full, misalignment=rows_of(worse), decomposition=parts_of(worse)),
        "one part": replace(
            gap, misalignment=rows_of({"ceiling": 0.4}, ("zero_one",)), decomposition=parts_of({"ceiling": 0.4})
        ),
        "every discrepancy": replace(full, misalignment=rows_of(dict(LADDER), every)),
        "partial": replace(full, misalignment=partial, target=replace(full.target, groups="speaker")),
        "regression": replace(
            full_of(gap, [f"{k} to {k + 1}" for k in range(10)]),
            target=replace(gap.target, task="regression"),
            r_squared={family: estimate(1 - value) for family, value in LADDER.items()},
        ),
        "several labels": multilabel_of(gap, ["sad", "happy", *HOSTILE]),
        "2 classes": full_of(gap, ["yes", "no"]),
        "242 classes": full_of(gap, [f"alphabet/character{k}" for k in range(242)]),
    }


@pytest.fixture
def gap() -> GapResult:
    """Three families, one of them undefined, under both discrepancies."""
    return small_gap()


@pytest.fixture(scope="session")
def kinds() -> dict[str, GapResult]:
    """One result of each kind, by name; no test changes any."""
    return every_kind(small_gap())
