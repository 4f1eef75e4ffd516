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
    from gapkit.embedders.patch import PatchOptions
    from gapkit.errors import DataError, GapkitError, OptionError, SourceError, StorageError
    from gapkit.estimates import Misalignment
    from gapkit.mona.lesson import Lesson
    from gapkit.mona.options import HypergradientOptions
    from gapkit.mona.training_options import AlignmentOptions, Rates, Steps, TrainingOptions
    from gapkit.pipeline.align import align
    from gapkit.pipeline.align_options import AlignOptions
    from gapkit.pipeline.compare import compare
    from gapkit.pipeline.inspect import inspect
    from gapkit.pipeline.measure import measure
    from gapkit.pipeline.mona import MoNA
    from gapkit.pipeline.options import MeasureOptions, RankOptions
    from gapkit.pipeline.probe import ProbeTarget, probe
    from gapkit.pipeline.probe_options import ProbeOptions
    from gapkit.pipeline.rank import rank
    from gapkit.results import AlignmentResult, Comparison, GapResult, RankResult, ReuseResult
    from gapkit.reuse.in_loop import ReuseProbe, ReuseProbeOptions
    from gapkit.reuse.snapshot import Reuse
    from gapkit.sources.cache import FeatureCache
    from gapkit.sources.capture import CaptureOptions, extract
    from gapkit.sources.load import load_source
    from gapkit.sources.source import Source
    from gapkit.types import Activations, InputSpec, Target, TokenSpec

_HOME = {
    "Activations": "types",
    "AlignOptions": "pipeline.align_options",
    "AlignmentOptions": "mona.training_options",
    "AlignmentResult": "results",
    "CaptureOptions": "sources.capture",
    "Comparison": "results",
    "DataError": "errors",
    "FeatureCache": "sources.cache",
    "GapResult": "results",
    "GapkitError": "errors",
    "HypergradientOptions": "mona.options",
    "InputSpec": "types",
    "Lesson": "mona.lesson",
    "MeasureOptions": "pipeline.options",
    "Misalignment": "estimates",
    "MoNA": "pipeline.mona",
    "OptionError": "errors",
    "PatchOptions": "embedders.patch",
    "ProbeOptions": "pipeline.probe_options",
    "ProbeTarget": "pipeline.probe",
    "RankOptions": "pipeline.options",
    "RankResult": "results",
    "Rates": "mona.training_options",
    "ReadOptions": "data.load",
    "Reuse": "reuse.snapshot",
    "ReuseProbe": "reuse.in_loop",
    "ReuseProbeOptions": "reuse.in_loop",
    "ReuseResult": "results",
    "Source": "sources.source",
    "SourceError": "errors",
    "Steps": "mona.training_options",
    "StorageError": "errors",
    "Target": "types",
    "TokenSpec": "types",
    "TrainingOptions": "mona.training_options",
    "align": "pipeline.align",
    "compare": "pipeline.compare",
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
    "AlignOptions",
    "AlignmentOptions",
    "AlignmentResult",
    "CaptureOptions",
    "Comparison",
    "DataError",
    "FeatureCache",
    "GapResult",
    "GapkitError",
    "HypergradientOptions",
    "InputSpec",
    "Lesson",
    "MeasureOptions",
    "Misalignment",
    "MoNA",
    "OptionError",
    "PatchOptions",
    "ProbeOptions",
    "ProbeTarget",
    "RankOptions",
    "RankResult",
    "Rates",
    "ReadOptions",
    "Reuse",
    "ReuseProbe",
    "ReuseProbeOptions",
    "ReuseResult",
    "Source",
    "SourceError",
    "Steps",
    "StorageError",
    "Target",
    "TokenSpec",
    "TrainingOptions",
    "align",
    "compare",
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
