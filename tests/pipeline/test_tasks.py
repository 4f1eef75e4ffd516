"""What measure makes of targets with several labels and of regression targets."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import gapkit as gk
from gapkit.arrays import seeded_torch

N = 120
OPTIONS = gk.MeasureOptions(bootstrap=100, permutations=20, keep_features=False, n_bins=4)


@pytest.fixture(name="source", scope="module")
def small_source() -> gk.Source:
    with seeded_torch(0):
        module = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 6))
    names = [f"s{k}" for k in range(6)]
    return gk.Source.from_module(module, input=gk.InputSpec(kind="image", shape=(1, 8, 8)), head="3", class_names=names)


@pytest.fixture(name="images", scope="module")
def images_with_two_bright_corners() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    corners = rng.integers(2, size=(N, 2))
    x = rng.integers(0, 60, size=(N, 8, 8)).astype(np.uint8)
    x[:, :4, :4] += (160 * corners[:, 0, None, None]).astype(np.uint8)
    x[:, 4:, 4:] += (160 * corners[:, 1, None, None]).astype(np.uint8)
    return x, corners


def test_several_labels(source: gk.Source, images: tuple[np.ndarray, np.ndarray]) -> None:
    x, corners = images
    result = gk.measure(source, gk.Target(x, corners, ["upper", "lower"]), options=OPTIONS)
    assert result.target.task == "multilabel"
    assert result.target.class_counts == {"upper": corners[:, 0].sum(), "lower": corners[:, 1].sum()}
    assert list(result.per_label) == ["upper", "lower"]
    for row in result.misalignment:
        own = [
            other.normalised
            for rows in result.per_label.values()
            for other in rows
            if (other.label_map, other.discrepancy) == (row.label_map, row.discrepancy)
        ]
        assert row.normalised == pytest.approx(np.mean(own))
    assert {line["label"] for line in result.label_maps["injection"]} == {"upper", "lower"}
    assert {line["target"] for line in result.label_maps["injection"]} == {"with", "without"}
    assert "injection: upper" in result.label_map_fits
    table = result.table()
    assert "label (KL)" in table
    assert "upper" in table
    assert gk.GapResult.from_json(result.to_json()) == result


def test_regression(source: gk.Source, images: tuple[np.ndarray, np.ndarray]) -> None:
    x, corners = images
    y = corners @ [1.0, 2.0] + 0.1 * np.random.default_rng(1).normal(size=N)
    result = gk.measure(source, gk.Target(x, y, task="regression"), options=OPTIONS)
    assert set(result.r_squared) == {row.label_map for row in result.misalignment}
    linear = result.r_squared["linear"]
    assert linear.value is not None
    assert linear.interval is not None
    assert 0.5 < linear.value < 1
    assert linear.interval[0] <= linear.value <= linear.interval[1]
    assert "R^2" in result.table()
    assert gk.GapResult.from_json(result.to_json()) == result


def test_table_shows_p_excess_and_parts(source: gk.Source, images: tuple[np.ndarray, np.ndarray]) -> None:
    x, corners = images
    result = gk.measure(source, gk.Target(x, corners @ [1, 2]), options=OPTIONS)
    table = result.table()
    for word in ("injection", "partition", "channel", "linear", "ceiling", "excess", " p ", *result.decomposition):
        assert word in table
    assert sum(part.value or 0 for part in result.decomposition.values()) == pytest.approx(
        result.find("injection").normalised
    )
    row = result.find("linear")
    assert row.null is not None
    assert f"{row.null.p:.3f}" in table
