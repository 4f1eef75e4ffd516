"""``extract``: features of any layers and logits of all samples, in one pass, in memory or in the cache."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from gapkit.arrays import Array, StoredFeatures, digest
from gapkit.errors import OptionError, SourceError
from gapkit.sources.batching import Batch, batches
from gapkit.sources.cache import FeatureCache
from gapkit.sources.entry import Claim
from gapkit.sources.forward import Forward, Pass, probe, running
from gapkit.sources.hooks import LOGITS, Pooling, select_layers
from gapkit.sources.journal import About, Journal
from gapkit.sources.rows import IN_MEMORY_BYTES, MemoryRows, RowStore, TemporaryRows
from gapkit.sources.source import Source
from gapkit.types import Activations, Embedder, Progress, Target, no_progress

TASK = "features"


@dataclass(frozen=True, kw_only=True)
class CaptureOptions:
    """What is captured, and how.

    Attributes:
        layers: names of layers and globs (``blocks.*``), see ``select_layers``; features and logits are, too.
        pooling: how (B, N, D) becomes (B, D): "mean" over tokens, "cls" the first token, "tokens" all of them in a row.
            Maps (B, C, H, W) and grids (B, H, W, C) are averaged over space; see ``hooks.channels_last``.
        batch_size: samples per forward pass; None finds one. Features of another batch size differ by rounding.
        cache: where features are kept and looked for; None keeps nothing. What is found there may have been computed
            with another batch size.
        outputs: False keeps the layers alone, without features and logits, and ends each forward pass but the first as
            soon as they have run; see ``early_exit.ending_early``. Their values are the same bits.
    """

    layers: tuple[str, ...] = ()
    pooling: Pooling = "mean"
    batch_size: int | None = None
    cache: FeatureCache | None = None
    outputs: bool = True

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            OptionError: one of them is out of range.
        """
        if isinstance(self.layers, str):
            raise OptionError(
                f"layers={self.layers!r}", expected="a tuple of names", remedy=f"use layers=({self.layers!r},)"
            )
        if self.pooling not in ("mean", "cls", "tokens"):
            raise OptionError(f"pooling={self.pooling!r}", expected="'mean', 'cls' or 'tokens'", remedy="use 'mean'")
        if self.batch_size is not None and self.batch_size < 1:
            raise OptionError(f"batch size {self.batch_size}", expected="at least 1", remedy="leave it out")
        if not self.outputs and not self.layers:
            raise OptionError(
                "outputs=False and no layers",
                expected="at least one layer where features and logits are not kept",
                remedy="name layers, such as layers=('blocks.*',), or leave outputs out",
            )


def extract(
    source: Source,
    target: Target,
    embedder: Embedder,
    options: CaptureOptions = CaptureOptions(),
    progress: Progress = no_progress,
) -> Activations:
    """Run a source on all samples of a target, once, and keep the features of its layers and the logits.

    The module is run in eval mode, without gradients, and is afterwards as it was. The same batches on the same machine
    give the same bits, also when an interrupted capture goes on from the cache.

    Args:
        source: the pretrained model.
        target: n samples; labels and groups travel with the features.
        embedder: maps them to the source's inputs, or into its token space.
        options: which layers, and how.
        progress: told about the samples that are done.

    Returns:
        Features (n, d) float32 of every layer in the order of the module, those that the head sees last, and logits
        (n, K_s), (n, 0) for a headless source and without outputs; all read-only, large ones memory-mapped.

    Raises:
        OptionError: a layer that there is not, or whose output is no row per sample.
        SourceError: the source does not take what the embedder gives, gives NaN, or memory does not hold one sample.
        StorageError: the disk is full.
    """
    what = Pass(
        source=source,
        target=target,
        embedder=embedder,
        layers=select_layers(source.module, options.layers),
        pooling=options.pooling,
        outputs=options.outputs,
    )
    arrays, notes = _arrays(what, options, progress)
    classes = source.class_names if options.outputs else None
    return Activations(
        target=target,
        source=source.name,
        embedder=embedder.description,
        logits=arrays.pop(LOGITS) if options.outputs else _no_logits(len(target)),
        features=arrays,
        source_classes=classes or (),
        head="none" if classes is None else "own",
        notes=notes,
    )


def _no_logits(n: int) -> StoredFeatures:
    """Logits of no class (n, 0), read-only as the others."""
    logits = np.empty((n, 0), np.float32)
    logits.setflags(write=False)
    return logits


def _arrays(
    what: Pass, options: CaptureOptions, progress: Progress
) -> tuple[dict[str, StoredFeatures], tuple[str, ...]]:
    """All arrays, from the cache where they are there, and what is to be said about it."""
    cache = options.cache
    if cache is None:
        return _compute(what, options, progress, _Place())
    try:
        key = feature_key(what)
        found = cache.read(key)
        claim = cache.claim(key) if found is None else None
    except OSError as error:
        note = f"features are not kept: {cache.directory} cannot be used ({error.strerror or error})"
        return _compute(what, options, progress, _Place(notes=(note,)))
    if found is not None:
        progress(TASK, len(what.target), len(what.target))
        return found, ()
    if claim is None:
        note = "features are not kept: another process is writing them to the cache"
        return _compute(what, options, progress, _Place(notes=(note,)))
    with claim:
        # Another process may have completed the entry just before.
        found = claim.arrays()
        return (found, ()) if found is not None else _compute(what, options, progress, _Place(cache, claim))


def feature_key(what: Pass) -> str:
    """The name of an entry: SHA-256 of all that decides the values, but for the batch size.

    Code is not part of it, but for the names, the order and the settings that the module's ``repr`` shows.
    """
    source, adapter = what.source, what.source.adapter
    told = {key: value for key, value in vars(adapter).items() if isinstance(value, str | int | None)}
    told.pop("name", None)
    parts = {
        "weights": source.weights_hash,
        "module": digest(repr(source.module)),
        "cut": [type(adapter).__qualname__, sorted(map(repr, told.items())), repr(source.token), source.n_classes],
        "data": what.target.hash,
        "embedder": [what.embedder.space, getattr(what.embedder, "key", what.embedder.description)],
        "layers": list(what.layers),
        "pooling": what.pooling,
        "outputs": what.outputs,
        "numbers": ["float32", source.precision, source.device.type, torch.__version__],
    }
    return digest(json.dumps(parts, sort_keys=True))


@dataclass(frozen=True)
class _Place:
    """Where arrays may go: into a claimed entry of the cache, or nowhere in particular."""

    cache: FeatureCache | None = None
    claim: Claim | None = None
    notes: tuple[str, ...] = ()

    def interrupted(self, asked_size: int | None) -> Journal | None:
        """What an interrupted run left; None where it had another batch size than the one asked for."""
        journal = None if self.claim is None else self.claim.journal()
        return journal if journal is not None and asked_size in (None, journal.asked_size) else None

    def open(self, journal: Journal, notes: list[str]) -> tuple[RowStore, Journal]:
        """A store for the rows from ``journal.done`` on, which is 0 where the cache cannot take them."""
        layout = journal.layout
        if self.cache is not None and self.claim is not None:
            if self.cache.make_room(layout.disk_bytes, key=self.claim.folder.name):
                return self.claim.write(journal), journal
            notes.append(
                f"features are not kept: they take {layout.disk_bytes / 1e6:.1f} MB, for which the cache at "
                f"{self.cache.directory} has no room below its bound of {self.cache.max_bytes / 1e6:.1f} MB"
            )
        store = MemoryRows(layout) if layout.nbytes <= IN_MEMORY_BYTES else TemporaryRows(layout)
        return store, replace(journal, done=0)


def _compute(
    what: Pass, options: CaptureOptions, progress: Progress, place: _Place
) -> tuple[dict[str, StoredFeatures], tuple[str, ...]]:
    """Run the source on all samples that an interrupted run has not left."""
    notes = list(place.notes)
    with running(what) as forward:
        journal = place.interrupted(options.batch_size) or _beginning(what, forward, options)
        store, journal = place.open(journal, notes)
        with store:
            for rows in _batches(what, forward, journal, notes):
                store.append(rows.rows, rows.size)
                progress(TASK, rows.stop, journal.layout.n)
            return store.finish(), tuple(notes)


def _beginning(what: Pass, forward: Forward, options: CaptureOptions) -> Journal:
    """The journal of a capture that has not begun."""
    layout, size = probe(what, forward, options.layers)
    about = About(source=what.source.name, target=what.target.name, embedder=what.embedder.description)
    asked = options.batch_size
    return Journal(about=about, layout=layout, asked_size=asked, batch_size=asked or size, created=time.time())


def _batches(what: Pass, forward: Forward, journal: Journal, notes: list[str]) -> Iterator[Batch[dict[str, Array]]]:
    """The batches after ``journal.done``; notes say, once, that memory ran out.

    Raises:
        SourceError: a batch has other columns than the first.
    """
    widths, size = journal.layout.widths, journal.batch_size
    for batch in batches(forward, journal.done, journal.layout.n, size, name=what.source.name):
        found = {name: array.shape[1] for name, array in batch.rows.items()}
        if found != widths:
            raise SourceError(
                f"{what.source.name} gives {found} columns for the samples before {batch.stop}",
                expected=f"{widths} as for the first ones",
                remedy="pad samples to one length, or use pooling='mean'",
            )
        size = batch.size
        yield batch
    if size != journal.batch_size:
        notes.append(f"memory ran out with {journal.batch_size} samples at once; it went on with {size}")
