"""What a result was made of and with: the source, the target, versions, seed, hashes and options."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata
from typing import Any

SCHEMA = 1
LIBRARIES = ("gapkit", "numpy", "scipy", "scikit-learn", "torch", "timm", "transformers")


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What is needed to get the same numbers again.

    Attributes:
        versions: of Python, gapkit and the libraries that compute.
        seed: of folds, starts and resamples.
        data_hash: SHA-256 of the samples that were used.
        weights_hash: SHA-256 of the source's weights.
        options: every option that changes a number.
        created: time of the measurement, ISO 8601 in UTC.
        seconds: wall-clock seconds of the measurement.
    """

    versions: dict[str, str]
    seed: int
    data_hash: str
    weights_hash: str
    options: dict[str, Any]
    created: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class SourceSummary:
    """The source as it was used: name, K_s, where the head came from, device and precision."""

    name: str
    n_classes: int
    head: str
    description: str
    device: str
    precision: str


@dataclass(frozen=True, kw_only=True)
class TargetSummary:
    """The target as it was used: n samples of one split, K_t classes with their counts, and the embedder."""

    name: str
    n: int
    n_classes: int
    task: str
    embedder: str
    embedder_reason: str
    split: str
    shape: tuple[int, ...]
    dtype: str
    groups: str | None
    class_counts: dict[str, int]


def read_target(item: dict[str, Any]) -> TargetSummary:
    """A target from JSON."""
    whole: dict[str, Any] = dict(item)
    whole["shape"] = tuple(item["shape"])
    return TargetSummary(**whole)


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that compute; a library that is not installed is left out."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
