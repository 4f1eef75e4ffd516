"""Results: frozen values that carry numbers with n, interval and provenance, and become JSON and back.

``to_json`` gives the text of ``result.json``; ``from_json`` reads it again into an equal value. What could not be
computed has the status "undefined" with its reason, never NaN.
"""

from gapkit.results.alignment import GAPS, AlignmentResult, Cost, Metric, SeedRun
from gapkit.results.base import Result
from gapkit.results.comparison import ComparedRun, Comparison, PairedTest
from gapkit.results.gap import GapResult, Pictures
from gapkit.results.provenance import (
    LIBRARIES,
    SCHEMA,
    Provenance,
    SourceSummary,
    TargetSummary,
    library_versions,
)
from gapkit.results.rank import Agreement, Rank, RankResult, RankRow
from gapkit.results.reuse import LayerReuse, Projection, ReuseResult

__all__ = [
    "GAPS",
    "AlignmentResult",
    "ComparedRun",
    "Comparison",
    "Cost",
    "Metric",
    "PairedTest",
    "SeedRun",
    "LIBRARIES",
    "Agreement",
    "SCHEMA",
    "GapResult",
    "LayerReuse",
    "Pictures",
    "Projection",
    "Provenance",
    "Rank",
    "RankResult",
    "RankRow",
    "ReuseResult",
    "Result",
    "SourceSummary",
    "TargetSummary",
    "library_versions",
]
