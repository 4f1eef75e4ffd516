"""Causal reuse of the layers of a tuned model on its target, beside a control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gapkit.arrays import Labels, generator
from gapkit.estimates import Estimate, undefined
from gapkit.pipeline.activations import capture_options
from gapkit.pipeline.probe_options import ProbeOptions
from gapkit.pipeline.selection import select
from gapkit.reuse.hits import LayerHits
from gapkit.reuse.rewind import causal_reuse, reuse_excess
from gapkit.types import Embedder, Progress, Target, no_progress

if TYPE_CHECKING:
    from torch import nn

    from gapkit.reuse.causal import Trial
    from gapkit.sources.source import Source

RESET_SEED_STREAM = 75
MODEL = ""
"""All layers together."""
MEASURES = ("criticality", "reuse", "contribution", "accuracy_tuned", "accuracy_rewound", "accuracy_reset")
UNMOVED = "weights that tuning has not moved count as reused; a control (--control) tells how many would be"


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """A tuned model, and what it was tuned from."""

    after: Source
    start: nn.Module


@dataclass(frozen=True, kw_only=True)
class TargetSamples:
    """The target's samples: those that are scored, those that training saw, and the embedder of both."""

    scored: Target
    training: Target
    embedder: Embedder


def scored_samples(target: Target, options: ProbeOptions) -> tuple[Target, ProbeOptions, tuple[str, ...]]:
    """The samples that accuracy is taken on, the options with their split, and notes."""
    split = options.split
    if split == "auto":
        split = "test" if target.split is not None and (target.split == 1).any() else "all"
    settled = replace(options, split=split)
    scored, notes = select(target, settled)
    if options.split == "auto" and split == "all":
        notes = (*notes, f"{target.name} has no test split: accuracy is that on samples that tuning may have seen")
    return scored, settled, notes


def causal_measures(
    tuning: Tuning,
    samples: TargetSamples,
    layers: tuple[str, ...],
    options: ProbeOptions,
    *,
    control: Tuning | None = None,
    progress: Progress = no_progress,
) -> dict[str, dict[str, Estimate]]:
    """Measures of each layer, and of all together under the name "", with those of the control where there is one."""
    reason = unfit(tuning.after, samples.scored)
    if reason:
        return {name: _undefined(reason, len(samples.scored)) for name in (*layers, MODEL)}
    found = _hits(tuning, samples, layers, options, progress)
    beside: Mapping[str, LayerHits | str] = {}
    if control is not None:
        reason = unfit(control.after, samples.scored)
        beside = dict.fromkeys(found, reason) if reason else _hits(control, samples, layers, options, progress)
    return {name: _measures(hits, beside.get(name), options, samples) for name, hits in found.items()}


def unfit(after: Source, target: Target) -> str:
    """Why a tuned model gives no accuracy on a target; empty where it does."""
    if target.y.ndim != 1 or target.values is not None:
        return f"{target.name} has no single class label per sample"
    if after.class_names is None:
        return f"{after.name} has no head of its own"
    if after.n_classes != target.n_classes:
        return f"the head of {after.name} has {after.n_classes} outputs, {target.name} {target.n_classes} classes"
    return ""


def _hits(
    tuning: Tuning, samples: TargetSamples, layers: tuple[str, ...], options: ProbeOptions, progress: Progress
) -> Mapping[str, LayerHits | str]:
    """What the model gets right with each layer swapped, and with all of them."""
    from gapkit.reuse.causal import Trial, layer_hits

    seeds = generator(options.seed, RESET_SEED_STREAM).integers(2**31, size=options.resets)
    trial: Trial = Trial(
        tuned=tuning.after,
        pretrained=tuning.start,
        scored=samples.scored,
        training=samples.training,
        embedder=samples.embedder,
        capture=capture_options(options),
        how=options.reset,
        seeds=tuple(int(seed) for seed in seeds),
    )
    return layer_hits(trial, {layer: (layer,) for layer in layers} | {MODEL: layers}, progress)


def _measures(
    hits: LayerHits | str, control: LayerHits | str | None, options: ProbeOptions, samples: TargetSamples
) -> dict[str, Estimate]:
    """Numbers from hits, or the reason why there are none."""
    n = len(samples.scored)
    if isinstance(hits, str):
        return _undefined(hits, n)
    found = causal_reuse(hits, resamples=options.bootstrap, seed=options.seed)
    accuracies = {"tuned": found.tuned, "rewound": found.rewound, "reset": found.reset}
    measures = {"criticality": found.criticality, "reuse": found.reuse, "contribution": found.contribution} | {
        f"accuracy_{name}": Estimate(value=value, interval=None, n=n, reason="shown beside contribution and reuse")
        for name, value in accuracies.items()
    }
    if control is None:
        return measures
    if isinstance(control, str):
        nothing = undefined(f"control: {control}", n)
        return measures | {"control_reuse": nothing, "reuse_excess": nothing}
    beside = causal_reuse(control, resamples=options.bootstrap, seed=options.seed)
    excess = reuse_excess(hits, control, resamples=options.bootstrap, seed=options.seed)
    return measures | {"control_reuse": beside.reuse, "reuse_excess": excess}


def _undefined(reason: str, n: int) -> dict[str, Estimate]:
    """No numbers."""
    return {name: undefined(reason, n) for name in MEASURES}


def training_samples(target: Target, options: ProbeOptions) -> Target:
    """The samples that tuning may have seen, for BatchNorm's statistics."""
    from gapkit.reuse.swap import MOST_INPUTS

    own = target.part("train")
    order: Labels = generator(options.seed, RESET_SEED_STREAM, 1).permutation(len(own))[:MOST_INPUTS]
    return own.take(order)
