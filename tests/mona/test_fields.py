"""Dense targets: layouts, hidden tokens of every architecture, the hypergradient through a decoder, whole trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.embedders.patch import PatchOptions, learned_embedder
from gapkit.errors import DataError
from gapkit.labels import encode_labels
from gapkit.mona.fields import field_of, token_grid
from gapkit.mona.heads import DenseDecoder, relative_l2
from gapkit.mona.hypergradient import Hypergradients
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.problem import BatchProblem, LabelledBatch, SourceEncoder, hidden_outputs
from gapkit.sources.embedding_part import embedding_part
from gapkit.sources.source import Source
from tests.mona.conftest import MODELS
from tests.mona.small import lesson, small_source

LINES, PLANES = (4, 2, 24), (4, 24, 24)


@pytest.mark.parametrize(
    ("x", "y", "channels", "size", "last"),
    [
        (LINES, (4, 50), 1, (50,), False),
        (LINES, (4, 3, 50), 3, (50,), False),
        ((4, 9), (4, 3, 50), 3, (50,), False),
        (PLANES, (4, 12, 50), 1, (12, 50), False),
        (PLANES, (4, 2, 12, 50), 2, (12, 50), False),
        (PLANES, (4, 12, 50, 2), 2, (12, 50), True),
    ],
)
def test_layouts(x, y, channels, size, last):
    values = np.arange(np.prod(y), dtype=np.float32).reshape(y)
    found = field_of(gk.Target(np.arange(np.prod(x), dtype=np.float32).reshape(x), values, task="dense"))
    assert (found.channels, found.size, found.last) == (channels, size, last)
    first = found.channels_first(values)
    assert first.shape == (4, channels, *size)
    assert np.array_equal(found.as_given(first, y[1:]), values)
    if last:
        assert np.array_equal(first[:, 1], values[..., 1])


def test_fields_are_read_and_refused():
    fields = np.random.default_rng(0).normal(size=(6, 5, 4))
    assert encode_labels(fields).task == "dense"
    assert encode_labels(fields).values.dtype == np.float32
    assert encode_labels(fields[:, 0], task="dense").values.shape == (6, 4)
    with pytest.raises(DataError, match="a field of numbers for each sample"):
        encode_labels(fields[:, 0, 0], task="dense")
    with pytest.raises(DataError, match="beyond float32"):
        encode_labels(fields * 1e300)
    with pytest.raises(DataError, match=r"y has shape \(6, 1, 1, 5, 4\)"):
        field_of(gk.Target(np.arange(30.0).reshape(6, 5), fields[:, None, None]))


def field_target(n=160, *, axes=2, seed=0):
    """Waves whose phases are moved by a quarter: what a linear map of the whole sample knows."""
    rng, t = np.random.default_rng(seed), 2 * np.pi * np.arange(24) / 24
    a, b = rng.normal(size=(2, n, 1))
    if axes == 1:
        x = np.stack([a * np.sin(t), b * np.cos(2 * t)], axis=1)
        y = a * np.cos(t) + b * np.sin(2 * t) + 1
    else:
        a, b = a[..., None], b[..., None]
        x = a * np.sin(t)[:, None] + b * np.cos(t)
        y = a * np.cos(t)[:, None] + b * np.sin(t) + 1
    return gk.Target(x.astype(np.float32), y, task="dense", name="waves")


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_every_architecture_has_a_grid_that_a_decoder_takes(name, axes):
    with seeded_torch(0):
        adapter = MODELS[name][0]()
    source, target = Source(adapter, device="cpu"), field_target(8, axes=axes)
    embedder = learned_embedder(target, embedding_part(source), PatchOptions(kind="patch"))
    hidden = SourceEncoder(adapter).hidden(embedder(target.x))
    layout = field_of(target)
    grid = token_grid(hidden, embedder, axes)
    assert len(grid) == axes
    decoder = DenseDecoder(hidden.shape[-1], layout.channels, layout.size, grid)
    assert decoder(hidden).shape == (8, 1, *layout.size)


@pytest.mark.parametrize("name", MODELS)
def test_the_hypergradient_through_a_decoder_is_that_of_differentiating_twice(name, make_problem, relative_error):
    given = make_problem(name, seed=3)
    with torch.no_grad():
        hidden = given.encoder.hidden(given.embedder(given.target.inputs))
    grid = hidden.shape[1:3] if hidden.ndim == 4 else (4, 4) if hidden.shape[1] in (16, 17) else (1, hidden.shape[1])
    decoder = DenseDecoder(hidden.shape[-1], 1, (6, 6), tuple(grid)).double()
    with torch.no_grad():
        for weight in decoder.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
    fields = torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    problem = BatchProblem(
        (given.embedder, given.encoder, decoder),
        target=LabelledBatch(inputs=given.target.inputs, labels=fields),
        source=given.source,
        target_loss=relative_l2,
        outputs=hidden_outputs,
    )
    exact, naive, central = (
        Hypergradients(HypergradientOptions(alpha=0.1, method=method))(problem)
        for method in ("exact", "naive", "central")
    )
    assert relative_error(exact.embedder, naive.embedder) < 1e-10
    assert relative_error(exact.head, naive.head) < 1e-10
    assert relative_error(central.embedder, exact.embedder) < 1e-4


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("method", ["mona", "finetune", "orca"])
def test_fields_are_learned(method, axes):
    target = field_target(axes=axes)
    target = replace(target, split=(np.arange(len(target)) % 4 == 0).astype(np.uint8))
    found = gk.align(
        small_source(),
        target,
        options=gk.AlignOptions(lesson=lesson(method), budget="250steps", measure=False, probe=False, bootstrap=100),
    )
    test = target.part("test")
    (learned,) = found.learned
    predicted = learned.predict(test)
    assert predicted.shape == test.y.shape
    expected = 1 - np.square(predicted - test.y).sum() / np.square(test.y - test.y.mean(axis=0)).sum()
    assert found.metric.name == "R2"
    assert found.metric.estimate.value == pytest.approx(expected, rel=1e-6)
    assert found.metric.estimate.interval[0] > 0.5
    assert "a field for each" in found.table()
    assert "that of the mean field" in found.table()


def test_measure_reads_fields_as_clusters():
    found = gk.measure(
        small_source(), field_target(), options=gk.MeasureOptions(n_bins=3, permutations=9, bootstrap=100)
    )
    assert found.target.n_classes == 3
    assert "dense target read as 3 classes, by k-means on its fields" in found.notes
