"""The forward pass of a source over samples of a target: embedder, encoder, head, and the layers in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gapkit.arrays import Array
from gapkit.errors import OptionError, SourceError
from gapkit.sources.batching import LIVE_TENSORS, automatic_size, batches
from gapkit.sources.early_exit import ending_early
from gapkit.sources.hooks import FEATURES, LOGITS, Pooling, capturing, first_tensor, hooked
from gapkit.sources.rows import Layout
from gapkit.sources.source import PRECISIONS, Source
from gapkit.tensors import evaluating
from gapkit.types import Embedder, Target

PROBE = 2
"""Samples of the pass that finds widths and sizes; with one alone, modules that squeeze lose their batch axis."""

Forward = Callable[[int, int], dict[str, Array]]
"""From the first sample and the one past the last to rows (B, D) float32: each layer, then what outputs are kept."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What is run on what.

    Attributes:
        source: the source.
        target: the samples.
        embedder: maps them to the source's inputs or tokens.
        layers: name -> layer that is captured.
        pooling: how tokens become one row.
        outputs: whether the head's input and output are kept, too; without, a pass ends with the last layer.
    """

    source: Source
    target: Target
    embedder: Embedder
    layers: Mapping[str, nn.Module]
    pooling: Pooling
    outputs: bool = True


@contextmanager
def running(what: Pass) -> Iterator[Forward]:
    """The forward pass; the module is in eval mode and hooked inside the block, and as it was after it."""
    grid = what.source.token is not None and what.source.token.layout == "grid"
    capture = capturing(what.layers, pooling=what.pooling, grid=grid)
    with evaluating(what.source.module), torch.inference_mode(), capture as captured, _as_far_as_wanted(what) as run:

        def forward(start: int, stop: int) -> dict[str, Array]:
            captured.clear()
            outputs = run(start, stop)
            found = {name: captured[name] for name in what.layers if name in captured} | outputs
            return {name: _rows(rows, name, what, (start, stop)) for name, rows in found.items()}

        yield forward


@contextmanager
def _as_far_as_wanted(what: Pass) -> Iterator[Callable[[int, int], dict[str, Tensor]]]:
    """The pass over some samples and what it gives beside the layers: to the end, or to the last layer for nothing."""
    if what.outputs:
        yield lambda start, stop: _run(what, start, stop)
        return
    # Inside of the hooks that capture: they have seen the last layer when the pass ends.
    with ending_early(what.layers) as run:

        def run_layers(start: int, stop: int) -> dict[str, Tensor]:
            run(lambda: _run(what, start, stop))
            return {}

        yield run_layers


def _run(what: Pass, start: int, stop: int) -> dict[str, Tensor]:
    """Features (B, d) and logits (B, K_s), float32 on the source's device; K_s = 0 without a head."""
    adapter, device, precision = what.source.adapter, what.source.device, what.source.precision
    batch = what.embedder(what.target.x[start:stop]).to(device)
    # Also where nothing is cast: the caller may be under an autocast of its own.
    with torch.autocast(device.type, dtype=PRECISIONS[precision], enabled=precision != "fp32"):
        tokens = batch if what.embedder.space == "tokens" else adapter.embed(batch)
        features = adapter.pool(adapter.encode(tokens))
        # Copied before a head that works in place changes it.
        kept = features.reshape(len(features), -1).to(torch.float32, copy=True)
        logits = features.new_zeros(len(features), 0) if adapter.class_names is None else adapter.head(features)
    return {FEATURES: kept, LOGITS: logits.to(torch.float32)}


def _rows(rows: Tensor, name: str, what: Pass, span: tuple[int, int]) -> Array:
    """Rows in host memory, one for each sample, all finite.

    Raises:
        OptionError: a captured layer does not have the samples as its first axis.
        SourceError: the source gives NaN or infinite values.
    """
    start, stop = span
    if len(rows) != stop - start:
        raise OptionError(
            f"layer {name!r} gives {len(rows)} rows for {stop - start} samples",
            expected="layers whose first axis is the samples",
            remedy="ask for the layer around it",
        )
    array = rows.cpu().numpy()
    if not np.isfinite(array).all():
        sample = start + int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise SourceError(
            f"{what.source.name} gives NaN or infinite {name} in {what.source.precision}, first for sample {sample}",
            expected="finite numbers",
            remedy="use --precision fp32, or check the checkpoint",
        )
    return array


def probe(what: Pass, forward: Forward, asked: tuple[str, ...]) -> tuple[Layout, int]:
    """The layout of what the pass gives, and a batch size for it, from a pass over the first samples.

    Args:
        what: the pass.
        forward: inside ``running(what)``.
        asked: names and globs; a layer that was named has to run, one that a glob fits may be one that never does.

    Raises:
        OptionError: a named layer does not run, or none that is all that is wanted.
        SourceError: the source does not take what the embedder gives.
    """
    largest = 0

    def see(_: str, __: nn.Module, output: object) -> None:
        nonlocal largest
        tensor = first_tensor(output)
        largest = max(largest, 0 if tensor is None else tensor.nbytes)

    n = min(PROBE, len(what.target))
    with hooked(dict(what.source.module.named_modules()), see):
        try:
            rows = next(batches(forward, 0, n, n, name=what.source.name)).rows
        except RuntimeError as error:
            raise _refused(what, error) from error
    for name in what.layers:
        if name in asked and name not in rows:
            raise OptionError(
                f"layer {name!r} gives no tensor in the forward pass of {what.source.name}",
                expected="layers that run" + (" after the embedder" if what.embedder.space == "tokens" else ""),
                remedy="leave it out, or ask for the layer around it",
            )
    if not rows:
        raise OptionError(
            f"no layer of {', '.join(map(repr, asked))} gives a tensor in the forward pass of {what.source.name}",
            expected="layers that run, where nothing else is kept (outputs=False)",
            remedy="ask for the layers around them",
        )
    row_bytes = (LIVE_TENSORS * largest + sum(array.nbytes for array in rows.values())) // n
    widths = {name: array.shape[1] for name, array in rows.items()}
    return Layout(len(what.target), widths), automatic_size(row_bytes, what.source.device)


def _refused(what: Pass, error: RuntimeError) -> SourceError:
    """The error for a source that does not take what it is given."""
    said = (str(error).splitlines() or [type(error).__name__])[0]
    return SourceError(
        f"{what.source.name} does not run on what the embedder {what.embedder.name!r} gives ({said})",
        expected=f"{what.source.input.kind} of shape {what.source.input.shape}",
        remedy="use another embedder, or give Source.from_module the right input",
    )
