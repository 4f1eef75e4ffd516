"""Which samples of a target are measured, and what is said about them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gapkit.arrays import Labels, generator
from gapkit.labels import NUMBERS
from gapkit.scores.otdd_labels import pseudo_classes
from gapkit.statistics.binning import quantile_bins, rarest_labels
from gapkit.types import Target

if TYPE_CHECKING:
    from gapkit.pipeline.options import RunOptions

DRAW_STREAM = 7


def select(target: Target, options: RunOptions) -> tuple[Target, tuple[str, ...]]:
    """The samples that are measured, as classes, and notes on how they were chosen.

    One split is taken, quantities become classes, and at most ``max_samples`` are drawn, class by class.

    Raises:
        OptionError: no such split.
    """
    used, notes = target.part(options.split), list[str]()
    if target.task in NUMBERS:
        used, note = as_classes(used, options.n_bins)
        notes.append(note)
    if options.max_samples is not None and len(used) > options.max_samples:
        index = stratified_draw(strata(used), options.max_samples, seed=options.seed)
        notes.append(f"{len(index)} of {len(used)} samples drawn, class by class; --max-samples all uses every one")
        used = used.take(index)
    return used, tuple(notes)


def as_classes(target: Target, n_bins: int) -> tuple[Target, str]:
    """Quantities as classes: a regression target between quantiles of y, a dense one by k-means on its fields."""
    if target.task == "dense":
        codes = pseudo_classes(target.y, n_clusters=n_bins)
        names = tuple(f"cluster {code}" for code in range(int(codes.max()) + 1))
        clustered = replace(target, y=codes, class_names=names, task="classification")
        return clustered, f"dense target read as {len(names)} classes, by k-means on its fields"
    codes, edges = quantile_bins(target.y, n_bins)
    names = tuple(f"{low:.4g} to {high:.4g}" for low, high in zip(edges[:-1], edges[1:], strict=True))
    binned = replace(target, y=codes, class_names=names, task="classification", values=target.y)
    return binned, f"regression target read as {len(names)} classes, bounded by quantiles of y"


def strata(target: Target) -> Labels:
    """What a draw keeps in proportion: the class, or of several labels the rarest one that a sample has."""
    return target.y if target.y.ndim == 1 else rarest_labels(target.y)


def stratified_draw(labels: Labels, size: int, *, seed: int) -> npt.NDArray[np.int64]:
    """``size`` positions, each class in proportion (largest remainders), in ascending order.

    Every class that is present keeps at least one sample where ``size`` allows it.
    """
    classes, counts = np.unique(labels, return_counts=True)
    quota = counts * (size / len(labels))
    taken = np.maximum(np.floor(quota).astype(np.int64), 1)
    # The minimum of one can overshoot; the largest classes give the surplus back.
    while taken.sum() > size and taken.max() > 1:
        taken[np.argmax(taken)] -= 1
    remainder = np.argsort(-(quota - taken), kind="stable")
    taken[remainder[: max(0, size - int(taken.sum()))]] += 1
    rng = generator(seed, DRAW_STREAM)
    drawn = [
        rng.choice(np.flatnonzero(labels == label), int(count), replace=False)
        for label, count in zip(classes, taken, strict=True)
    ]
    return np.sort(np.concatenate(drawn))[:size]
