"""The families that read features, layer by layer."""

from __future__ import annotations

import numpy as np
import pytest

from gapkit.errors import DataError, OptionError
from gapkit.gap import GapOptions, measure_misalignment

OPTIONS = GapOptions(bootstrap=200, permutations=0, ceiling=("channel", "linear", "knn"))


def rows_of(rows):
    return {(row.label_map, row.discrepancy): row for row in rows}


def test_the_features_themselves_as_a_layer_give_the_rows_of_the_measurement(world):
    made = world(n=160, signal=0.7)
    found = measure_misalignment(made.inputs(), OPTIONS, layers={"same": made.features})
    whole, layer = rows_of(found.rows), rows_of(found.layers["same"])
    assert set(layer) == {(family, name) for family in ("linear", "ceiling") for name in ("kl", "zero_one")}
    for key, row in layer.items():
        assert row.value == pytest.approx(whole[key].value, rel=1e-9)
        assert row.interval == pytest.approx(whole[key].interval, rel=1e-9)
        assert row.excess is None or row.excess.value == pytest.approx(whole[key].excess.value, abs=1e-9)


def test_a_layer_without_knowledge_leaves_what_the_labels_say(world):
    made = world(n=300)
    noise = np.random.default_rng(3).normal(size=(300, 5))
    found = measure_misalignment(made.inputs(), OPTIONS, layers={"noise": noise, "features": made.features})
    assert list(found.layers) == ["noise", "features"]
    channel = rows_of(found.rows)["channel", "kl"]
    blind, seeing = (rows_of(found.layers[name])["linear", "kl"] for name in ("noise", "features"))
    assert seeing.interval[1] < blind.interval[0]
    assert blind.normalised > 0.7 * channel.normalised


def test_rows_follow_the_samples_whatever_their_order(world):
    made = world(n=120)
    order = np.random.default_rng(5).permutation(120)
    layer = np.tanh(made.features)
    plain = measure_misalignment(made.inputs(), OPTIONS, layers={"a": layer}).layers["a"]
    moved = type(made)(log_p=made.log_p[order], features=made.features[order], labels=made.labels[order])
    assert measure_misalignment(moved.inputs(), OPTIONS, layers={"a": layer[order]}).layers["a"] == plain


def test_layers_without_the_channel_that_they_start_from_are_refused(world):
    made = world(n=60)
    with pytest.raises(OptionError, match="layers"):
        measure_misalignment(made.inputs(), GapOptions(families=("injection",)), layers={"a": made.features})


def test_a_measurement_without_layers_has_none(world):
    assert measure_misalignment(world(n=60).inputs(), OPTIONS).layers == {}


@pytest.mark.parametrize("bad", [np.zeros((60, 2, 2)), np.zeros((59, 2)), np.full((60, 2), np.nan)])
def test_features_that_are_no_row_per_sample_are_refused(world, bad):
    with pytest.raises(DataError, match="features of layer odd") as caught:
        measure_misalignment(world(n=60).inputs(), OPTIONS, layers={"odd": bad})
    assert "(60, d)" in caught.value.expected
