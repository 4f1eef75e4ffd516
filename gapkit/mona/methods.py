"""MoNA and its rivals: each method is a plan of stages; stage 2, its data order and its seeds are the same for all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from gapkit.arrays import generator
from gapkit.mona.alignment import KnowledgeObjective
from gapkit.mona.heads import Loss
from gapkit.mona.rivals import ALIGNED_AT_ONCE, DiscrepancyObjective, TransportObjective
from gapkit.mona.stages import Objective, Stage, TargetObjective
from gapkit.mona.surrogates import SurrogateTokens
from gapkit.mona.team import Team
from gapkit.mona.training_options import AlignmentOptions, TrainingOptions

WARM_UP, ALIGNMENT, FINE_TUNING = "warm-up", "alignment", "fine-tuning"
DRAW_STREAM = 104
WARM_STREAM, ALIGN_STREAM, TUNE_STREAM = 0, 1, 2
WARM_PASSES, TUNE_PASSES, FROZEN_PASSES = 2.0, 3.0, 1.0
"""Forward passes of a step's batch; a backward pass is two, or one where the encoder's weights get no gradient."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kit:
    """What stages are made of.

    Attributes:
        loss: of the task, a mean over samples.
        options: of the training.
        alignment: of MoNA's stage 1.
        surrogate: gives its tokens; asked only by methods that need one.
        team: the processes.
    """

    loss: Loss
    options: TrainingOptions
    alignment: AlignmentOptions
    surrogate: Callable[[], SurrogateTokens]
    team: Team


def plan(method: str, kit: Kit) -> tuple[Stage, ...]:
    """The stages of a method, those without steps left out."""
    stages = PLANS[method](kit)
    return tuple(stage for stage in stages if stage.steps)


def tune_passes(options: TrainingOptions) -> float:
    """Of a step of fine-tuning; with adapters the encoder's weights get no gradient, and the adapters' is little."""
    return (TUNE_PASSES if options.lora is None else WARM_PASSES) + options.recompute


def warm_passes(options: TrainingOptions) -> float:
    """Of a step of stage 0."""
    return WARM_PASSES + options.recompute


def extra_steps(kit: Kit) -> int:
    """Steps of fine-tuning that cost as many passes as MoNA's warm-up and alignment, rounded up."""
    options, steps = kit.options, kit.options.steps
    passes = steps.warm * warm_passes(options) + steps.align * KnowledgeObjective.passes_of(kit.alignment, options)
    return math.ceil(passes / tune_passes(options))


def _target(kit: Kit) -> TargetObjective:
    """The mean loss on the target."""
    options = kit.options
    return TargetObjective(kit.loss, kit.team, bf16=options.precision == "bf16", microbatches=options.microbatches)


def _warm_up(kit: Kit) -> Stage:
    """Stage 0: embedder and head behind the frozen encoder."""
    return Stage(
        name=WARM_UP,
        trains=("embedder", "head"),
        steps=kit.options.steps.warm,
        objective=_target(kit),
        stream=WARM_STREAM,
        passes=warm_passes(kit.options),
    )


def _fine_tuning(kit: Kit) -> Stage:
    """Stage 2: everything."""
    return Stage(
        name=FINE_TUNING,
        trains=("embedder", "encoder", "head"),
        steps=kit.options.steps.tune,
        objective=_target(kit),
        stream=TUNE_STREAM,
        passes=tune_passes(kit.options),
        dropout=True,
        chooses=True,
    )


def _knowledge(kit: Kit) -> Stage:
    """Stage 1 of MoNA."""
    objective = KnowledgeObjective(kit.loss, kit.surrogate(), kit.alignment, kit.options, kit.team)
    return Stage(
        name=ALIGNMENT,
        trains=("embedder", "head"),
        steps=kit.options.steps.align,
        objective=objective,
        stream=ALIGN_STREAM,
        passes=objective.passes_of(kit.alignment, kit.options),
        differentiates=("encoder",),
    )


def _distance(kit: Kit, objective: Objective) -> Stage:
    """Stage 1 of methods that move the embedder alone."""
    return Stage(
        name=ALIGNMENT,
        trains=("embedder",),
        steps=kit.options.steps.align,
        objective=objective,
        stream=ALIGN_STREAM,
        passes=1.0,
        batch_size=ALIGNED_AT_ONCE,
    )


def _transport(kit: Kit) -> Stage:
    """Stage 1 of ORCA."""
    options = kit.options
    objective = TransportObjective(
        kit.surrogate(),
        kit.team,
        seed=options.seed,
        double=options.precision == "fp64",
        microbatches=options.microbatches,
    )
    return _distance(kit, objective)


def _discrepancy(kit: Kit) -> Stage:
    """Stage 1 by the maximum mean discrepancy."""
    surrogate = kit.surrogate()
    rows = generator(kit.options.seed, DRAW_STREAM).permutation(len(surrogate.labels))[:ALIGNED_AT_ONCE]
    objective = DiscrepancyObjective(
        surrogate=surrogate.means(rows), team=kit.team, microbatches=kit.options.microbatches
    )
    return _distance(kit, objective)


def _frozen(kit: Kit) -> Stage:
    """The head alone."""
    return replace(_fine_tuning(kit), trains=("head",), passes=FROZEN_PASSES, dropout=False)


def _longer(kit: Kit) -> Stage:
    """Stage 2 with extra steps."""
    stage = _fine_tuning(kit)
    return replace(stage, steps=stage.steps + extra_steps(kit))


PLANS: dict[str, Callable[[Kit], tuple[Stage, ...]]] = {
    "mona": lambda kit: (_warm_up(kit), _knowledge(kit), _fine_tuning(kit)),
    "orca": lambda kit: (_transport(kit), _warm_up(kit), _fine_tuning(kit)),
    "mmd": lambda kit: (_discrepancy(kit), _warm_up(kit), _fine_tuning(kit)),
    "warmup": lambda kit: (_warm_up(kit), _fine_tuning(kit)),
    "finetune": lambda kit: (_fine_tuning(kit),),
    "finetune+": lambda kit: (_longer(kit),),
    "frozen": lambda kit: (_frozen(kit),),
    "scratch": lambda kit: (_fine_tuning(kit),),
}
