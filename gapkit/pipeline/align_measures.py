"""What is measured of an alignment beside the metric: the gap before and after, and what is left of the source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gapkit.errors import GapkitError
from gapkit.pipeline.measure import measure
from gapkit.pipeline.options import MeasureOptions
from gapkit.pipeline.probe import probe
from gapkit.pipeline.probe_options import ProbeOptions
from gapkit.results import GapResult, ReuseResult
from gapkit.types import Progress, Target

if TYPE_CHECKING:
    from gapkit.mona.learner import Learned
    from gapkit.pipeline.align_options import AlignOptions
    from gapkit.sources.source import Source

PROBED_SAMPLES, PROBED_CLASSES = 300, 15
"""Of the surrogate: half a minute instead of three for the bundled source; ``probe`` takes the run for more."""
MOMENTS = {"warm-up": "gap_warm", "alignment": "gap_aligned"}


@dataclass(frozen=True, kw_only=True)
class AlignedGaps:
    """Misalignments on the test samples; None where not measured.

    Attributes:
        before: fixed embedder and pretrained source.
        warm: embedder after warm-up and pretrained source.
        aligned: embedder after alignment and pretrained source.
        after: embedder and encoder after fine-tuning, with the source's own head.
        notes: why one of them was not measured.
    """

    before: GapResult | None = None
    warm: GapResult | None = None
    aligned: GapResult | None = None
    after: GapResult | None = None
    notes: tuple[str, ...] = ()

    def named(self) -> dict[str, GapResult | None]:
        """Fields of ``AlignmentResult``."""
        return {f"gap_{name}": getattr(self, name) for name in ("before", "warm", "aligned", "after")}


def measure_gaps(
    source: Source, learned: Learned, test: Target, options: AlignOptions, progress: Progress
) -> AlignedGaps:
    """The misalignment on the test samples, which the embedder was not trained on, at each moment of the training."""
    asked = MeasureOptions(
        split="all", scores=("none",), permutations=0, bootstrap=options.bootstrap, keep_features=False
    )
    shown = replace(test, split=None)
    notes: list[str] = []
    found: dict[str, GapResult] = {}
    try:
        found["before"] = measure(source, shown, options=asked, progress=progress)
    except GapkitError as error:
        notes.append(f"no gap with a fixed embedder: {error.got}")
    for stage, embedder in learned.earlier.items():
        moment = MOMENTS[stage].removeprefix("gap_")
        found[moment] = measure(source, shown, embedder=embedder, options=asked, progress=progress)
    tuned = learned.tuned(f"{source.name} tuned by {learned.method}")
    found["after"] = measure(tuned, shown, embedder=learned.embedder, options=asked, progress=progress)
    return AlignedGaps(**found, notes=tuple(notes))


def probe_tuned(
    source: Source, learned: Learned, surrogate: Target, options: AlignOptions, progress: Progress
) -> ReuseResult:
    """What tuning left of the source on its surrogate, layer by layer, from a few samples."""
    asked = ProbeOptions(
        max_samples=PROBED_SAMPLES,
        most_classes=PROBED_CLASSES,
        bootstrap=options.bootstrap,
        seed=options.seeds[0],
        keep_features=False,
    )
    tuned = learned.as_tuned(f"{source.name} tuned by {learned.method}")
    return probe(source, tuned, surrogate=surrogate, options=asked, progress=progress)
