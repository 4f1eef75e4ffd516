"""A gap result made by hand."""

from __future__ import annotations

import pytest

from gapkit.estimates import Misalignment
from gapkit.results import GapResult, Provenance, SourceSummary, TargetSummary


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
        reason="" if known else "4 target classes but 3 source classes",
    )


@pytest.fixture
def gap() -> GapResult:
    """Three families, one of them undefined, under both discrepancies."""
    rows = [
        row(family, discrepancy, value)
        for discrepancy in ("kl", "zero_one")
        for family, value in (("injection", None), ("channel", 1.5), ("linear", 0.5))
    ]
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
        misalignment=tuple(rows),
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
