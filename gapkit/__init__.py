"""gapkit measures the modality gap between a pretrained source model and a target dataset of another modality.

The names below are the whole public surface, loaded when they are first used: ``import gapkit`` is cheap.

    import gapkit as gk

    source = gk.load_source("vit")
    target = gk.load_target("sample:digits")
    print(gk.measure(source, target).table())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gapkit.data.load import ReadOptions, load_target
    from gapkit.errors import DataError, GapkitError, OptionError, SourceError, StorageError
    from gapkit.estimates import Misalignment
    from gapkit.pipeline.inspect import inspect
    from gapkit.pipeline.measure import measure
    from gapkit.pipeline.options import MeasureOptions, RankOptions
    from gapkit.pipeline.probe import ProbeTarget, probe
    from gapkit.pipeline.probe_options import ProbeOptions
    from gapkit.pipeline.rank import rank
    from gapkit.results import GapResult, RankResult, ReuseResult
    from gapkit.reuse.in_loop import ReuseProbe, ReuseProbeOptions
    from gapkit.reuse.snapshot import Reuse
    from gapkit.sources.cache import FeatureCache
    from gapkit.sources.capture import CaptureOptions, extract
    from gapkit.sources.load import load_source
    from gapkit.sources.source import Source
    from gapkit.types import Activations, InputSpec, Target, TokenSpec

_HOME = {
    "Activations": "types",
    "CaptureOptions": "sources.capture",
    "DataError": "errors",
    "FeatureCache": "sources.cache",
    "GapResult": "results",
    "GapkitError": "errors",
    "InputSpec": "types",
    "MeasureOptions": "pipeline.options",
    "Misalignment": "estimates",
    "OptionError": "errors",
    "ProbeOptions": "pipeline.probe_options",
    "ProbeTarget": "pipeline.probe",
    "RankOptions": "pipeline.options",
    "RankResult": "results",
    "ReadOptions": "data.load",
    "Reuse": "reuse.snapshot",
    "ReuseProbe": "reuse.in_loop",
    "ReuseProbeOptions": "reuse.in_loop",
    "ReuseResult": "results",
    "Source": "sources.source",
    "SourceError": "errors",
    "StorageError": "errors",
    "Target": "types",
    "TokenSpec": "types",
    "extract": "sources.capture",
    "inspect": "pipeline.inspect",
    "load_source": "sources.load",
    "load_target": "data.load",
    "measure": "pipeline.measure",
    "probe": "pipeline.probe",
    "rank": "pipeline.rank",
}

__version__ = "0.1.0"
__all__ = [
    "Activations",
    "CaptureOptions",
    "DataError",
    "FeatureCache",
    "GapResult",
    "GapkitError",
    "InputSpec",
    "MeasureOptions",
    "Misalignment",
    "OptionError",
    "ProbeOptions",
    "ProbeTarget",
    "RankOptions",
    "RankResult",
    "ReadOptions",
    "Reuse",
    "ReuseProbe",
    "ReuseProbeOptions",
    "ReuseResult",
    "Source",
    "SourceError",
    "StorageError",
    "Target",
    "TokenSpec",
    "extract",
    "inspect",
    "load_source",
    "load_target",
    "measure",
    "probe",
    "rank",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'gapkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gapkit.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
