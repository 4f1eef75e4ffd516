"""``ReuseProbe``: how much of its source's knowledge a model still holds, while somebody trains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

import numpy as np
from torch import Tensor, nn

from gapkit.arrays import Array, Labels, StoredFeatures
from gapkit.errors import DataError, OptionError, did_you_mean
from gapkit.reuse.controls import random_copies
from gapkit.reuse.layer_measures import Samples
from gapkit.reuse.observing import View, check_inputs, observe, unwrapped
from gapkit.reuse.reference import (
    CHEAP,
    DRIFT,
    MEASURES,
    PROBE,
    Comparison,
    LayerReference,
    copied_weights,
    current_weights,
)
from gapkit.reuse.retention import LEAST_COPIES
from gapkit.reuse.snapshot import Reuse
from gapkit.scores.subsample import subsample
from gapkit.sources.hooks import Pooling, select_layers
from gapkit.statistics.folds import NEVER, Folds, stratified_folds
from gapkit.types import Target

SURROGATE_STREAM = 76
LEAST_SAMPLES = 20
WORDS = {"cheap": CHEAP, "all": MEASURES}


@dataclass(frozen=True, kw_only=True)
class ReuseProbeOptions:
    """What is measured at every step, and on how many samples.

    One measurement is a forward pass over ``samples`` that ends with the last layer, and for each layer of d features

    * "cka", "procrustes", "mutual_knn", "subspace_overlap": the functions of ``gapkit.reuse`` on the layer before and
      now, O(n d min(n, d)) to O(n^2 d);
    * "drift": |W - W_0|_F / |W_0|_F, one pass over its weights, which are copied to host memory for it;
    * "probe": ``probe_accuracy`` of the cross-fitted linear probe, and ``probe_accuracy_ratio``, that to the accuracy
      before; with ``copies`` also ``retention``. Seconds for each layer, not something for every few steps.

    "cheap" stands for cka and drift, "all" for everything.

    Attributes:
        measures: names of these.
        samples: at most so many of the surrogate, class by class.
        copies: random-weight copies for the floor of retention, measured once; 0 leaves retention out.
        pooling: how tokens become one row, as in ``CaptureOptions``.
        batch_size: samples per forward pass.
        folds: of the linear probe.
        intervals: whether similarities get the 95 % interval of a jackknife, for ten times their cost; those of the
            probe always have one.
        seed: of draws, folds, copies and resamples, and of what a model draws in eval mode.
    """

    measures: tuple[str, ...] = CHEAP
    samples: int = 500
    copies: int = 0
    pooling: Pooling = "mean"
    batch_size: int = 64
    folds: int = 5
    intervals: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            OptionError: one of them is out of range.
        """
        if isinstance(self.measures, str) or not self.measures:
            raise OptionError(
                f"measures={self.measures!r}", expected="a tuple of names", remedy="use measures=('cheap',)"
            )
        for name in self.measures:
            if name not in (*MEASURES, *WORDS):
                names = (*MEASURES, *WORDS)
                raise OptionError(f"measure {name!r}", expected="a measure", remedy=did_you_mean(name, names))
        for name, least in (("samples", LEAST_SAMPLES), ("batch_size", 1), ("folds", 2), ("seed", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"{name} is {getattr(self, name)}", expected=f"at least {least}", remedy="raise it")
        if self.pooling not in ("mean", "cls", "tokens"):
            raise OptionError(f"pooling={self.pooling!r}", expected="'mean', 'cls' or 'tokens'", remedy="use 'mean'")
        if self.copies and (self.copies < LEAST_COPIES or PROBE not in self.names):
            raise OptionError(
                f"{self.copies} random-weight copies" + ("" if PROBE in self.names else " without the measure 'probe'"),
                expected=f"0, or at least {LEAST_COPIES} beside 'probe', whose retention they are the floor of",
                remedy=f"use copies={LEAST_COPIES} and measures=('all',)",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The measures, words spelled out, in the order of the tables."""
        asked = {measure for name in self.measures for measure in WORDS.get(name, (name,))}
        return tuple(measure for measure in MEASURES if measure in asked)


class ReuseProbe:
    """Measures at any time of a training what a model's layers still hold of what they held before it.

    Made before the training, which the features, and for drift the weights, of the reference are kept from. A
    measurement changes nothing: neither weights, gradients, graphs that wait for their backward pass, requires_grad,
    buffers and modes, nor hooks, grad mode, autocast and the random numbers of what follows. A training with it ends
    with the same bits as one without. Hooks of the user's own do see its forward passes.

    As a context manager it measures at the beginning and, unless an exception ends the block, at the end.

    Attributes:
        layers: names of the layers that are measured, in the order of the model.
        options: as they were given.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        >>> x = np.random.default_rng(0).normal(size=(40, 4))
        >>> probe = ReuseProbe(model, layers=("0", "2"), surrogate=Target(x, np.arange(40) % 2))
        >>> with torch.no_grad():
        ...     _ = model[2].weight.mul_(2)
        >>> now = probe.measure(step=10)
        >>> round(now.layers["0"]["cka"].value, 6), now.layers["0"]["drift"].value, now.step
        (1.0, 0.0, 10)
        >>> now.layers["2"]["drift"].value > 0
        True
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        surrogate: Target,
        layers: Sequence[str] = ("blocks.*",),
        forward: Callable[[nn.Module, Tensor], object] | None = None,
        options: ReuseProbeOptions = ReuseProbeOptions(),
    ) -> None:
        """Capture the reference.

        Args:
            model: as it is before the training, on the device that it is trained on. What DataParallel,
                DistributedDataParallel or ``torch.compile`` have wrapped is taken out.
            surrogate: labelled samples of the source's own modality, x as the model takes it.
            layers: names and globs, see ``sources.hooks.select_layers``.
            forward: what is called with the model and a batch, float32 or int64 and on the model's device; the model
                itself where it is None. What it returns is not looked at.
            options: what is measured.

        Raises:
            OptionError: layers that there are not, or that do not run with one row for each sample.
            DataError: a surrogate that the measures cannot be computed on.
        """
        self.options, self._model, self._history = options, unwrapped(model), list[Reuse]()
        check_inputs(surrogate.x)
        chosen = _drawn(surrogate, options)
        self._view = View(
            x=chosen.x,
            forward=forward or _call,
            pooling=options.pooling,
            batch_size=options.batch_size,
            seed=options.seed,
        )
        self._comparison = Comparison(
            measures=options.names, samples=_samples(chosen, options), intervals=options.intervals
        )
        self._reference = self._capture(tuple(select_layers(self._model, layers)), tuple(layers))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that are measured, in the order of the model."""
        return tuple(self._reference)

    @property
    def history(self) -> tuple[Reuse, ...]:
        """All measurements, in their order."""
        return tuple(self._history)

    def measure(self, step: int | None = None) -> Reuse:
        """Compare the model as it is now with what it was.

        Args:
            step: of the training; one after that of the last measurement, first 0, where it is not given.

        Returns:
            Estimates by layer and measure, also the last one in ``history``. A layer that gives NaN, has another width
            or does not run any more is undefined, with the reason.
        """
        if step is None:
            step = self._history[-1].step + 1 if self._history else 0
        now, weights = observe(self._model, self.layers, self._view), current_weights(self._model, self.layers)
        layers = {
            layer: self._comparison.of(layer, before, now.get(layer), weights[layer])
            for layer, before in self._reference.items()
        }
        self._history.append(Reuse(step=step, layers=layers))
        return self._history[-1]

    def to_records(self) -> list[dict[str, float]]:
        """One flat object for each measurement, see ``Reuse.to_record``."""
        return [one.to_record() for one in self._history]

    def table(self) -> str:
        """The last measurement as plain text; empty before the first."""
        return self._history[-1].table() if self._history else ""

    def __enter__(self) -> Self:
        """Measure the beginning."""
        self.measure()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Measure the end of a block that has come to it."""
        if kind is None:
            self.measure()

    def _capture(self, names: tuple[str, ...], asked: tuple[str, ...]) -> dict[str, LayerReference]:
        """The reference of every layer that runs."""
        features = observe(self._model, names, self._view)
        _check_layers(features, names, asked)
        layers = tuple(name for name in names if name in features)
        weights = copied_weights(self._model, layers) if DRIFT in self.options.names else {}
        found = {name: LayerReference(features=features[name], weights=weights.get(name)) for name in layers}
        if PROBE not in self.options.names:
            return found
        found = {name: replace(one, hits=self._comparison.hits(one.features)) for name, one in found.items()}
        if not self.options.copies:
            return found
        floors: dict[str, list[Array]] = {name: [] for name in layers}
        for copy in random_copies(self._model, self.options.copies, seed=self.options.seed):
            rows = observe(copy, layers, self._view)
            _check_layers(rows, layers, layers)
            for name, hits in floors.items():
                hits.append(self._comparison.hits(rows[name]))
        return {name: replace(one, random=np.array(floors[name])) for name, one in found.items()}


def _call(model: nn.Module, batch: Tensor) -> object:
    """The forward pass of those who give none."""
    return model(batch)


def _drawn(surrogate: Target, options: ReuseProbeOptions) -> Target:
    """At most ``samples`` of the surrogate."""
    labels = surrogate.y if surrogate.task == "classification" else None
    index = subsample(len(surrogate), options.samples, seed=options.seed, stream=SURROGATE_STREAM, labels=labels)
    return surrogate.take(index)


def _samples(chosen: Target, options: ReuseProbeOptions) -> Samples:
    """Labels, groups and folds; without a probe nothing is scored.

    Raises:
        DataError: no classes, or too few samples of them, for the probe.
    """
    n, seed = len(chosen), options.seed
    labels: Labels = chosen.y if chosen.task == "classification" else np.zeros(n, np.int64)
    if PROBE not in options.names:
        none = np.full(n, NEVER, np.int64)
        folds = Folds(ids=none, home=none, n_folds=options.folds)
        return Samples(labels=labels, folds=folds, groups=chosen.groups, seed=seed)
    if chosen.task != "classification":
        raise DataError(
            f"{chosen.name}: a surrogate for {chosen.task}",
            expected="classes for the linear probe",
            remedy="leave the measure 'probe' out, or give classes",
        )
    folds = stratified_folds(labels, options.folds, groups=chosen.groups, seed=seed)
    return Samples(labels=labels, folds=folds, groups=chosen.groups, seed=seed)


def _check_layers(features: dict[str, StoredFeatures], names: Sequence[str], asked: Sequence[str]) -> None:
    """Refuse layers that were named and do not run as they should, globs of which none does, and NaN.

    Raises:
        OptionError: there is nothing to be measured.
        DataError: NaN or infinite features before the training.
    """
    lacking = [name for name in names if name in asked and name not in features]
    if lacking or not features:
        raise OptionError(
            f"layer {lacking[0]!r}" if lacking else f"layers {', '.join(map(repr, asked)) or '()'}",
            expected="layers that run in the forward pass and give one row for each sample",
            remedy="take the layers around them",
        )
    for name, rows in features.items():
        if not np.isfinite(rows).all():
            raise DataError(
                f"layer {name!r} gives NaN or infinite values",
                expected="finite numbers before the training",
                remedy="check the surrogate's x and the weights, or run the model in float32",
            )
