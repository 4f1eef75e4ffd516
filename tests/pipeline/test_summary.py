"""What a result says beside its numbers: overlap with training, provenance, names of the label maps."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np

import gapkit as gk
from gapkit.arrays import fingerprints
from gapkit.pipeline.summary import overlap
from gapkit.sources.source import Source
from gapkit.types import Embedder, Target


def target_of(images: np.ndarray) -> Target:
    """Images with two classes."""
    return Target(images, np.arange(len(images)) % 2, name="d.npz")


def test_overlap_with_training_is_noticed_whatever_the_layout() -> None:
    images = np.random.default_rng(2).integers(0, 256, (20, 6, 6), dtype=np.uint8)
    source = cast(Source, SimpleNamespace(name="s", trained_on=frozenset(fingerprints(images[:3]))))
    for layout in (images, images[..., None], images[:, None]):
        (note,) = overlap(source, target_of(layout))
        assert "d.npz holds images that s was trained on" in note
        assert "--split test" in note
    assert overlap(source, target_of(images[3:])) == ()
    assert overlap(source, target_of(images.astype(np.float64))) == ()


def test_overlap_is_not_looked_for_where_training_is_unknown() -> None:
    source = cast(Source, SimpleNamespace(name="s", trained_on=frozenset()))
    assert overlap(source, target_of(np.arange(32, dtype=np.uint8).reshape(2, 4, 4))) == ()


def test_the_bundled_surrogate_was_not_trained_on_and_the_source_knows_its_classes() -> None:
    source = gk.load_source("vit", device="cpu")
    assert source.surrogate is not None
    assert len(source.trained_on) > 1000
    assert overlap(source, source.surrogate) == ()
    activations = gk.extract(source, source.surrogate, embedder_for(source))
    hits = (np.asarray(activations.logits).argmax(axis=1) == source.surrogate.y).mean()
    assert hits > 0.85


def embedder_for(source: Source) -> Embedder:
    """The fixed embedder of the source's own surrogate."""
    from gapkit.embedders import choose, fit

    assert source.surrogate is not None
    choice = choose(source.surrogate, source.input, source.token)
    return fit(choice, source.surrogate, source.input, source.token)


def test_label_maps_name_both_sides_and_say_how_well_folds_agree() -> None:
    options = gk.MeasureOptions(max_samples=300, bootstrap=100, keep_features=False)
    result = gk.measure(gk.load_source("vit", device="cpu"), gk.load_target("sample:digits"), options=options)
    injection, channel = result.label_maps["injection"], result.label_maps["channel"]
    assert [line["target"] for line in injection] == [str(digit) for digit in range(10)]
    assert len({line["source"] for line in injection}) == 10
    assert all(0 <= line["agreement"] <= 1 for line in injection)
    assert all(line["mass"] >= 0.01 for line in channel)
    fits = result.label_map_fits
    assert fits["channel"]["gap"] <= 1e-4
    assert all(0 <= fit["eps"] <= 1 and fit["temperature"] > 0 for fit in fits.values())
    assert result.provenance.seed == 0
    assert len(result.provenance.weights_hash) == 64
