"""One set of samples in a source before and after tuning, and in random-weight copies: layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from gapkit.arrays import Array, Features, Floats, Indices, Labels, generator
from gapkit.errors import OptionError, UndefinedError
from gapkit.estimates import Estimate
from gapkit.labels import NUMBERS
from gapkit.pipeline.activations import capture_options, choose_embedder, chosen_layers
from gapkit.pipeline.probe_options import ProbeOptions
from gapkit.pipeline.selection import as_classes
from gapkit.results.reuse import LayerReuse, Projection
from gapkit.reuse.catalogue import similarities
from gapkit.reuse.knowledge import KnowledgeReuse
from gapkit.reuse.layer_measures import Layer, Samples, measure_layer
from gapkit.reuse.paired import Similarity
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.projection import tsne
from gapkit.types import Activations, Embedder, Progress, Target, no_progress

if TYPE_CHECKING:
    from gapkit.embedders.choice import Choice
    from gapkit.sources.source import Source

FEATURES = "features"
TASK = "layers"
SURROGATE_STREAM, PROJECTION_STREAM = 73, 74
MOST_POINTS = 500
"""Of a map; more hide each other."""
MOST_COLOURS = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Represented:
    """What all models make of the same samples.

    Attributes:
        samples: as they were shown.
        before: of the pretrained model.
        after: of the tuned model.
        random: of each random-weight copy.
        choice: of the embedder that all of them were fed through.
    """

    samples: Target
    before: Activations
    after: Activations
    random: tuple[Activations, ...]
    choice: Choice

    @property
    def layers(self) -> tuple[str, ...]:
        """Their names, in the order of the model."""
        return tuple(self.before.features)

    def layer(self, name: str) -> Layer:
        """One layer of all models, in float64."""
        before, after, *random = (
            np.asarray(one.features[name], dtype=np.float64) for one in (self.before, self.after, *self.random)
        )
        return Layer(before=before, after=after, random=random)


@dataclass(frozen=True, kw_only=True)
class Models:
    """The models that are compared, all behind the embedder of the pretrained one.

    Attributes:
        before: the pretrained source.
        after: the tuned one.
        random: gives the random-weight copies, one at a time.
    """

    before: Source
    after: Source
    random: Callable[[], Iterator[Source]]


def choose_samples(given: Target, options: ProbeOptions) -> tuple[Target, tuple[str, ...]]:
    """The largest classes, at most ``most_classes`` of at least as many samples as folds, evenly drawn.

    Raises:
        OptionError: several labels per sample, or fewer than two such classes.
    """
    if given.task == "multilabel":
        raise OptionError(
            f"{given.name} has several labels per sample", expected="one label per sample", remedy="give another set"
        )
    notes: list[str] = []
    if given.task in NUMBERS:
        given, note = as_classes(given, options.n_bins)
        notes.append(note)
    codes, counts = np.unique(given.y, return_counts=True)
    largest = np.argsort(-counts, kind="stable")[: options.most_classes]
    wanted = np.sort(largest[counts[largest] >= options.folds])
    if len(wanted) < 2:
        raise OptionError(
            f"{given.name} has {len(wanted)} classes with {options.folds} samples or more",
            expected="at least two",
            remedy="use fewer folds (--folds), or another set",
        )
    rows = evenly(given.y, codes[wanted], options.max_samples, least=options.folds, seed=options.seed)
    if len(rows) < len(given):
        notes.append(f"{given.name}: {len(rows)} of {len(given)} samples, of {len(wanted)} of {len(codes)} classes")
    return only_present(given.take(rows)), tuple(notes)


def only_present(samples: Target) -> Target:
    """The same samples with the classes that they have."""
    codes, own = np.unique(samples.y, return_inverse=True)
    names = samples.class_names or ()
    return replace(samples, y=own.reshape(-1), class_names=tuple(names[int(code)] for code in codes))


def evenly(labels: Labels, classes: Array, size: int | None, *, least: int, seed: int) -> Indices:
    """Positions of at most ``size`` samples of these classes, of each as many as of the others where it has them.

    Args:
        labels: (n,) class codes.
        classes: that are drawn from.
        size: of the draw; None takes all. ``least`` of each class are taken all the same.
        least: samples of a class.
        seed: of the draw.
    """
    counts = np.array([(labels == code).sum() for code in classes])
    quota = int(counts.max())
    while size is not None and quota > least and np.minimum(counts, quota).sum() > size:
        quota -= 1
    rng = generator(seed, SURROGATE_STREAM)
    drawn = [rng.permutation(np.flatnonzero(labels == code))[:quota] for code in classes]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def represent(
    models: Models,
    samples: Target,
    options: ProbeOptions,
    *,
    embedder: Embedder | None = None,
    progress: Progress = no_progress,
) -> Represented:
    """Run all models on the samples; ``embedder`` is by default a fixed one of the samples' own."""
    choice, embedder = choose_embedder(models.before, samples, embedder)
    before, after, *random = (
        _run(model, samples, embedder, options, progress) for model in (models.before, models.after, *models.random())
    )
    return Represented(
        samples=samples,
        before=before,
        after=after,
        random=tuple(random),
        choice=choice,
    )


def _run(model: Source, samples: Target, embedder: Embedder, options: ProbeOptions, progress: Progress) -> Activations:
    """Features of the layers, and of what the head sees where all layers are asked for."""
    from gapkit.sources.capture import extract

    whole = "all" in options.layers
    capture = replace(
        capture_options(options), layers=layer_names(model, options), pooling=options.pooling, outputs=whole
    )
    return extract(model, samples, embedder, capture, progress)


def layer_names(source: Source, options: ProbeOptions) -> tuple[str, ...]:
    """The layers that are asked for, in the order of the module.

    Raises:
        OptionError: there is no such layer.
    """
    from gapkit.sources.hooks import select_layers

    return tuple(select_layers(source.module, chosen_layers(source, options.layers)))


def measure_layers(
    seen: Represented, options: ProbeOptions, progress: Progress = no_progress
) -> tuple[dict[str, dict[str, Estimate]], list[KnowledgeReuse]]:
    """The measures of each layer by name, and the score of each layer with what that of the model is made from.

    Linear algebra runs on one thread: the products are small, and waiting threads cost more than they bring.
    """
    labels = seen.samples.y
    folds = stratified_folds(labels, options.folds, groups=seen.samples.groups, seed=options.seed)
    samples = Samples(
        labels=labels, folds=folds, groups=seen.samples.groups, resamples=options.bootstrap, seed=options.seed
    )
    found: dict[str, dict[str, Estimate]] = {}
    scores: list[KnowledgeReuse] = []
    for index, name in enumerate(seen.layers):
        with threadpool_limits(1, user_api="blas"):
            measured = measure_layer(seen.layer(name), samples)
        found[name] = measured.values
        scores.append(measured.knowledge)
        progress(TASK, index + 1, len(seen.layers))
    return found, scores


def as_rows(measures: Mapping[str, Mapping[str, Estimate]]) -> tuple[LayerReuse, ...]:
    """Layers of a result."""
    return tuple(LayerReuse(layer=name, measures=dict(own)) for name, own in measures.items())


def similarity_matrices(seen: Represented, names: Sequence[str]) -> dict[str, list[list[float | None]]]:
    """Each similarity of every layer before with every layer after; None where it is undefined."""
    chosen = [similarity for similarity in similarities() if similarity.traits.name in names]
    before = {name: np.asarray(seen.before.features[name], dtype=np.float64) for name in seen.layers}
    after = {name: np.asarray(seen.after.features[name], dtype=np.float64) for name in seen.layers}
    with threadpool_limits(1, user_api="blas"):
        return {
            similarity.traits.name: [[_or_none(similarity, before[a], after[b]) for b in seen.layers] for a in before]
            for similarity in chosen
        }


def _or_none(similarity: Similarity, x: Array, y: Array) -> float | None:
    """A number, or None where it is undefined."""
    try:
        return similarity.between(x, y)
    except UndefinedError:
        return None


def project(seen: Represented, options: ProbeOptions) -> Projection | None:
    """Maps of the last layer before and after, of the largest classes; None where there are too few samples."""
    if not options.projection:
        return None
    codes, counts = np.unique(seen.samples.y, return_counts=True)
    shown = codes[np.sort(np.argsort(-counts, kind="stable")[:MOST_COLOURS])]
    rows = evenly(seen.samples.y, shown, MOST_POINTS, least=1, seed=options.seed)
    last, names = seen.layers[-1], seen.samples.class_names or ()
    before, after = (_rows(one.features[last], rows) for one in (seen.before, seen.after))
    if len(rows) < 4 or not (before.std(axis=0) > 0).any() or not (after.std(axis=0) > 0).any():
        return None
    first: Floats = tsne(before, seed=options.seed)
    second: Floats = tsne(after, start=first, seed=options.seed)
    return Projection(before=first, after=second, classes=tuple(names[int(code)] for code in seen.samples.y[rows]))


def _rows(features: Array, rows: Indices) -> Features:
    """Some rows, in float64."""
    return np.asarray(features[rows], dtype=np.float64)
