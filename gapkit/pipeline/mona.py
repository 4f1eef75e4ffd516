"""``MoNA`` as an estimator: options in, ``fit`` gives an ``AlignmentResult``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gapkit.embedders.patch import PatchOptions
from gapkit.mona.lesson import Lesson
from gapkit.mona.training_options import AlignmentOptions, TrainingOptions
from gapkit.pipeline.align import align
from gapkit.pipeline.align_options import AlignOptions
from gapkit.results import AlignmentResult
from gapkit.types import Progress, Target, no_progress

if TYPE_CHECKING:
    from gapkit.sources.source import Source


@dataclass(frozen=True, kw_only=True)
class MoNA:
    """The MoNA learner (Ma, Li, Cai, Kang, ICML 2024), or one of its rivals.

    Stage 0 warms embedder phi and head h up behind the frozen encoder; stage 1 moves phi and h by the gradient of
    ``L_target(theta, phi, h) + lambda L_src(theta - alpha grad_theta L_target)``, the encoder theta as pretrained;
    stage 2 fine-tunes everything.

    Attributes:
        seed: of initial weights, data order and dropout.
        method: "mona", or one of ``gapkit.results.alignment.METHODS``.
        training: steps, rates, batches; its seed is replaced.
        alignment: alpha, lambda, and how the gradient is computed.
        embedder: sizes and initial values of the learned embedder.
        max_samples: training samples, drawn class by class; None takes all.

    Example:
        learned = gk.MoNA(seed=0).fit(source, target)
        after = gk.measure(source, target, embedder=learned.embedder)
    """

    seed: int = 0
    method: str = "mona"
    training: TrainingOptions = field(default_factory=TrainingOptions)
    alignment: AlignmentOptions = field(default_factory=AlignmentOptions)
    embedder: PatchOptions = field(default_factory=PatchOptions)
    max_samples: int | None = 2000

    def fit(
        self,
        source: Source,
        target: Target,
        *,
        surrogate: Target | None = None,
        folder: str | Path | None = None,
        progress: Progress = no_progress,
    ) -> AlignmentResult:
        """Learn the alignment; gap and reuse are left to ``measure`` and ``probe``, or to ``align``.

        Args:
            source: with a token space.
            target: labelled dataset; the test split, or a fifth that is cut off, is only read for the metric.
            surrogate: labelled set of the source's modality; by default the source's own.
            folder: where a checkpoint is kept and gone on from.
            progress: told about every step.

        Raises:
            GapkitError: source, target and options do not go together, or the training cannot go on.
        """
        lesson = Lesson(
            method=self.method,
            training=replace(self.training, seed=self.seed),
            alignment=self.alignment,
            embedder=self.embedder,
        )
        options = AlignOptions(
            lesson=lesson, seeds=(self.seed,), max_samples=self.max_samples, measure=False, probe=False
        )
        kept = None if folder is None else Path(folder)
        return align(source, target, surrogate=surrogate, options=options, folder=kept, progress=progress)
