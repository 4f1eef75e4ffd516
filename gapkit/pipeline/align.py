"""``align``: a source and a target -> learned embedder, tuned encoder, and the gap before and after."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gapkit.arrays import Floats
from gapkit.estimates import Estimate
from gapkit.mona.learner import Learned, Surrogate, learn
from gapkit.mona.lesson import Lesson
from gapkit.mona.looks import METRICS, metric_of, sample_scores
from gapkit.mona.methods import ALIGNMENT, WARM_UP
from gapkit.mona.timing import timed_steps
from gapkit.options import given_or_default
from gapkit.pipeline.activations import choose_embedder
from gapkit.pipeline.align_measures import AlignedGaps, measure_gaps, probe_tuned
from gapkit.pipeline.align_options import AlignOptions, Budget
from gapkit.pipeline.align_samples import Parts, divide, held_out_estimate
from gapkit.pipeline.arguments import check_source, check_surrogate, check_target
from gapkit.pipeline.summary import describe_target, provenance
from gapkit.results import AlignmentResult, Cost, Metric, SeedRun, SourceSummary
from gapkit.types import Progress, Target, no_progress

if TYPE_CHECKING:
    from gapkit.sources.source import Source


def align(
    source: Source,
    target: Target,
    *,
    surrogate: Target | None = None,
    options: AlignOptions | None = None,
    folder: Path | None = None,
    progress: Progress = no_progress,
) -> AlignmentResult:
    """Learn an alignment by MoNA or one of its rivals, and measure the gap before and after.

    The target's training samples are split once more: models are chosen on validation samples; the test samples are
    read once, at the end. The misalignment is measured on the test samples: with the fixed embedder and with the
    learned one after warm-up and after alignment in front of the pretrained source, and with the tuned encoder.

    Args:
        source: with a token space.
        target: labelled dataset; without a test split a share of it is cut off.
        surrogate: labelled set of the source's modality; by default the source's own.
        options: method, budget, seeds and what is measured.
        folder: where checkpoints are kept, one folder for each seed; a run that finds some goes on from them.
        progress: told about steps and measurements.

    Raises:
        GapkitError: source, target and options do not go together, or the training cannot go on.
    """
    check_source(source)
    check_target(target)
    check_surrogate(surrogate)
    options, started = given_or_default(options, AlignOptions), time.monotonic()
    surrogate, parts = surrogate or source.surrogate, divide(target, options)
    learned = _learn_all(source, parts, surrogate, options, folder, progress)
    first = learned[0]
    scores = np.stack([_scores(one, parts.test) for one in learned])
    gaps = measure_gaps(source, first, parts.test, options, progress) if options.measure else AlignedGaps()
    reuse = probe_tuned(source, first, surrogate, options, progress) if options.probe and surrogate else None
    told = options.numbers() | {"precision": source.precision}
    return AlignmentResult(
        method=first.method,
        source=_describe(source),
        target=describe_target(parts.test, first.embedder.description, "learned", parts.split),
        surrogate=None if surrogate is None else surrogate.name,
        seeds=options.seeds,
        budget=_budget(first, options),
        metric=Metric(name=METRICS[first.samples.task], estimate=held_out_estimate(scores, parts.test, first, options)),
        validation=_validation(learned),
        runs=tuple(_run(*one, parts.test) for one in zip(options.seeds, learned, scores, strict=True)),
        test_groups=() if parts.test.groups is None else tuple(parts.test.groups.tolist()),
        **gaps.named(),
        reuse=reuse,
        cost=_cost(learned),
        notes=(*target.notes, *parts.notes, *_training_notes(learned), *gaps.notes),
        provenance=provenance(parts.test, told, source.weights_hash, seconds=time.monotonic() - started),
        history=first.record.history,
        embedder=aligned_embedder(first),
        learned=tuple(learned),
    )


def _learn_all(
    source: Source,
    parts: Parts,
    surrogate: Target | None,
    options: AlignOptions,
    folder: Path | None,
    progress: Progress,
) -> list[Learned]:
    """One training for each seed, each in a folder of its own."""
    known = _known(source, surrogate)
    lesson = _with_steps(source, parts, known, options, folder)
    return [
        learn(
            source,
            parts.train,
            replace(lesson, training=replace(lesson.training, seed=seed)),
            surrogate=known,
            folder=None if folder is None else seed_folder(folder, seed),
            progress=_named(progress, seed, len(options.seeds)),
        )
        for seed in options.seeds
    ]


def seed_folder(folder: Path, seed: int) -> Path:
    """Where one seed's checkpoint and weights are."""
    return folder / f"seed-{seed}"


def aligned_embedder(learned: Learned) -> object:
    """The embedder for the pretrained source: at the end of the alignment, else of the warm-up, else the tuned one."""
    return learned.earlier.get(ALIGNMENT) or learned.earlier.get(WARM_UP) or learned.embedder


def _known(source: Source, surrogate: Target | None) -> Surrogate:
    """The surrogate with its own fixed embedder."""
    if surrogate is None:
        return Surrogate()
    _, embedder = choose_embedder(source, surrogate)
    return Surrogate(samples=surrogate, embedder=embedder)


def _with_steps(
    source: Source, parts: Parts, surrogate: Surrogate, options: AlignOptions, folder: Path | None
) -> Lesson:
    """The lesson with the steps of the budget; a time is turned into steps once, and kept in the folder."""
    lesson = options.lesson
    if options.budget is None:
        return lesson
    budget = Budget.parse(options.budget)
    steps = budget.steps
    if steps is None:
        lesson = replace(lesson, training=replace(lesson.training, seed=options.seeds[0]))
        steps = timed_steps(source, parts.train, lesson, surrogate, seconds=budget.amount, folder=folder)
    return replace(lesson, training=replace(lesson.training, steps=steps))


def _named(progress: Progress, seed: int, count: int) -> Progress:
    """A progress that says which seed is trained where there are several."""
    if count == 1:
        return progress
    return lambda task, done, total: progress(f"seed {seed}: {task}", done, total)


def _scores(learned: Learned, test: Target) -> Floats:
    """What each test sample adds to the metric."""
    return sample_scores(learned.samples.task, learned.predict(test), test.y)[0]


def _run(seed: int, learned: Learned, scores: Floats, test: Target) -> SeedRun:
    """One seed's numbers."""
    best = learned.record.best or learned.record.looks[-1]
    return SeedRun(
        seed=seed,
        metric=metric_of(learned.samples.task, scores, test.y),
        validation=best.metric,
        best_step=best.step,
        scores=tuple(float(score) for score in scores),
    )


def _validation(learned: list[Learned]) -> Estimate:
    """Mean over seeds of the best looks; their samples have chosen the models, so that there is no interval."""
    found = [(one.record.best or one.record.looks[-1]).metric for one in learned]
    reason = "the samples that models were chosen by"
    n = len(learned[0].samples.validation)
    return Estimate(value=float(np.mean(found)), interval=None, n=n, reason=reason)


def _cost(learned: list[Learned]) -> Cost:
    """Means over seeds."""
    records = [one.record for one in learned]
    steps = [sum("loss" in entry for entry in record.history) for record in records]
    return Cost(
        seconds=float(np.mean([record.seconds for record in records])),
        steps=float(np.mean(steps)),
        passes=float(np.mean([record.passes for record in records])),
        peak_bytes=max(entry.get("peak_bytes", 0) for record in records for entry in record.history),
    )


def _budget(learned: Learned, options: AlignOptions) -> dict[str, object]:
    """What was spent on what."""
    steps = learned.training.steps
    return {
        "asked": options.budget or f"{steps.warm + steps.align + steps.tune}steps",
        "steps": {"warm": steps.warm, "align": steps.align, "tune": steps.tune},
        "batch_size": learned.training.batch_size,
        "n_fit": len(learned.samples.fit),
        "n_validation": len(learned.samples.validation),
        "trials": options.trials,
    }


def _training_notes(learned: list[Learned]) -> tuple[str, ...]:
    """Early ends, and what the hypergradient said, each once."""
    told = [
        f"{stage} stopped early after {step} steps: no better look at the validation samples"
        for one in learned
        for stage, step in one.record.stopped.items()
    ]
    return tuple(dict.fromkeys([*told, *(note for one in learned for note in one.notes)]))


def _describe(source: Source) -> SourceSummary:
    """The source as it was used."""
    shape = "x".join(str(size) for size in source.input.shape)
    head = "own" if source.class_names is not None else "none"
    return SourceSummary(
        name=source.name,
        n_classes=source.n_classes,
        head=head,
        description=f"{source.name}: {source.input.kind} {shape}, {source.n_classes} classes",
        device=str(source.device),
        precision=source.precision,
    )
