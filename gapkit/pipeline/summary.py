"""What a result says about the source, the target and how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gapkit.arrays import digest, fingerprints
from gapkit.files import SAFETENSORS
from gapkit.gap.multilabel import WITH, WITHOUT, MultilabelResult
from gapkit.results import Provenance, SourceSummary, TargetSummary, library_versions

if TYPE_CHECKING:
    from gapkit.embedders.choice import Choice
    from gapkit.gap.conditional import MisalignmentResult
    from gapkit.pipeline.options import RunOptions
    from gapkit.sources.source import Source
    from gapkit.types import Activations, Target

LabelMaps = dict[str, list[dict[str, Any]]]


def summarise_source(source: Source, activations: Activations, name: str = "") -> SourceSummary:
    """The source as it was used.

    Args:
        source: it.
        activations: of the target.
        name: what the user calls it, where that is not its own name; the description has both.
    """
    called = name or source.name
    model = "" if called == source.name else f"{source.name}, "
    shape = "x".join(str(size) for size in source.input.shape)
    classes, head = len(activations.source_classes), activations.head
    if source.class_names is not None:  # which also holds where the run ended before the head
        classes, head = source.n_classes, "own"
    return SourceSummary(
        name=called,
        n_classes=classes,
        head=head,
        description=f"{called}: {model}{source.input.kind} {shape}, {classes} classes, head: {head}",
        device=str(source.device),
        precision=source.precision,
    )


def summarise_target(activations: Activations, choice: Choice, options: RunOptions) -> TargetSummary:
    """The target as it was used."""
    return describe_target(activations.target, activations.embedder, choice.reason, options.split)


def describe_target(target: Target, embedder: str, reason: str, split: str) -> TargetSummary:
    """Samples as they were used, with what the embedder did and why it was chosen."""
    names = target.class_names or ()
    counts: list[int] = []
    if names:
        counts = (np.bincount(target.y, minlength=len(names)) if target.y.ndim == 1 else target.y.sum(axis=0)).tolist()
    return TargetSummary(
        name=target.name,
        n=len(target),
        n_classes=target.n_classes,
        task=target.task or "classification",
        embedder=embedder,
        embedder_reason=reason,
        split=split if target.split is not None else "all",
        shape=tuple(target.x.shape),
        dtype=str(target.x.dtype),
        groups=target.group_key,
        class_counts=dict(zip(names, counts, strict=True)),
    )


def conditions(options: RunOptions, target: Target, surrogate: Target | None, **more: Any) -> dict[str, Any]:
    """What changes numbers beside samples and weights: options, groups, the surrogate with its name, and ``more``."""
    groups = None if target.groups is None else digest(target.groups)[:16]
    beside = None if surrogate is None else f"{surrogate.name} {_hash(surrogate)}"
    embedder = {"embedder": embedder_told(options.embedder)}
    return options.numbers() | embedder | more | {"groups": groups, "surrogate": beside}


def embedder_told(name: str) -> str:
    """The name of an embedder, that of a file with the hash of what it holds."""
    path = Path(name)
    return f"{name} {digest(path.read_bytes())[:16]}" if path.suffix == SAFETENSORS and path.is_file() else name


def _hash(surrogate: Target) -> str:
    """Of all that changes numbers."""
    return digest(surrogate.x, surrogate.y, *([] if surrogate.groups is None else [surrogate.groups]))[:16]


def provenance(target: Target, told: dict[str, Any], weights_hash: str, *, seconds: float = 0.0) -> Provenance:
    """Versions, seed, hashes and options: what gives the same numbers again.

    Args:
        target: the samples that are used.
        told: the conditions, with the seed among them.
        weights_hash: of the source, or of the hashes of all sources.
        seconds: that it took.
    """
    return made_by(told, data_hash=digest(target.x, target.y), weights_hash=weights_hash, seconds=seconds)


def made_by(told: dict[str, Any], *, data_hash: str, weights_hash: str, seconds: float = 0.0) -> Provenance:
    """The same, with the hash of the samples."""
    return Provenance(
        versions=library_versions(),
        seed=told["seed"],
        data_hash=data_hash,
        weights_hash=weights_hash,
        options=told,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(seconds, 3),
    )


def overlap(source: Source, target: Target) -> tuple[str, ...]:
    """A warning where samples of the target are among those that the source was trained on."""
    if not source.trained_on or target.x.dtype != np.uint8:
        return ()
    seen = sum(mark in source.trained_on for mark in fingerprints(target.x))
    if seen == 0:
        return ()
    return (
        f"{target.name} holds images that {source.name} was trained on, so this gap is too small; "
        "use --split test where there is one",
    )


def name_label_maps(gap: MisalignmentResult | MultilabelResult, activations: Activations) -> LabelMaps:
    """The lines of the refitted label maps, with class names instead of codes; of several labels, each with its own."""
    sources = activations.source_classes
    if isinstance(gap, MultilabelResult):
        lines: LabelMaps = {}
        for label, one in gap.per_label.items():
            for family, own in _lines(one, (WITHOUT, WITH), sources).items():
                lines.setdefault(family, []).extend({"label": label} | line for line in own)
        return lines
    return _lines(gap, activations.target.class_names or (), sources)


def _lines(gap: MisalignmentResult, targets: Sequence[str], sources: Sequence[str]) -> LabelMaps:
    """The lines of one target's label maps."""
    return {
        name: [
            {"target": None if entry.target is None else targets[entry.target], "source": sources[entry.source]}
            | ({} if entry.mass is None else {"mass": entry.mass})
            | {"agreement": entry.agreement}
            for entry in fitted.entries
        ]
        for name, fitted in gap.label_maps.items()
    }


def label_map_fits(gap: MisalignmentResult | MultilabelResult) -> dict[str, dict[str, Any]]:
    """Temperature and eps of the refitted label maps, and the evidence of convergence that their family has."""
    if isinstance(gap, MultilabelResult):
        return {
            f"{family}: {label}": fit
            for label, one in gap.per_label.items()
            for family, fit in label_map_fits(one).items()
        }
    keys = ("temperature", "eps", "optimal", "pseudo_count", "gap", "iterations")
    return {
        name: {key: getattr(fitted, key) for key in keys if getattr(fitted, key) is not None}
        for name, fitted in gap.label_maps.items()
    }
