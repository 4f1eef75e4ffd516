"""The training loop: stages one after the other, looks at validation samples, checkpoints, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gapkit.arrays import generator, seeded_torch
from gapkit.errors import TrainingError, UndefinedError
from gapkit.mona.checkpoint import (
    Checkpoint,
    optimiser_tensors,
    part,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from gapkit.mona.interrupts import Interrupts, held_interrupts
from gapkit.mona.looks import look
from gapkit.mona.low_rank import LowRankAdapters
from gapkit.mona.memory import peak_bytes
from gapkit.mona.model import Part, Parts, TargetModel, not_frozen
from gapkit.mona.order import Epochs
from gapkit.mona.record import Record
from gapkit.mona.samples import TrainingSamples
from gapkit.mona.stages import Stage, clip, each_once, make_optimiser, rate, set_rates
from gapkit.mona.team import Team
from gapkit.mona.training_options import TrainingOptions
from gapkit.types import Progress, no_progress

STEP_STREAM = 103
LARGEST_SEED = 2**31
ENDING = 2.0
"""Asked for by a process that was interrupted; one that has to save asks for 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """What is trained on what, and where it is kept.

    Attributes:
        samples: of the target.
        options: of the training.
        identity: everything that tells this run from another, as plain values.
        device: where the model is.
        folder: of the checkpoint; None keeps none.
        low_rank: adapters that are trained in place of the encoder's weights; None trains these.
        team: the processes.
        progress: told about every step.
    """

    samples: TrainingSamples
    options: TrainingOptions
    identity: dict[str, Any]
    device: torch.device
    folder: Path | None = None
    low_rank: LowRankAdapters | None = None
    team: Team = field(default_factory=Team)
    progress: Progress = no_progress


class Training:
    """A model on its way through stages.

    Attributes:
        model: that is trained.
        record: what has been seen.
        embedders: name of a stage -> the embedder's weights at its end.
    """

    def __init__(self, model: TargetModel, parameters: Parts, setting: Setting) -> None:
        """Take a model; ``run`` trains it."""
        self.model, self.parameters, self.setting = model, parameters, setting
        self.record = Record()
        self.embedders: dict[str, dict[str, Tensor]] = {}
        self._best: dict[str, Tensor] = {}
        self._saved = time.monotonic()
        self._resumed: Checkpoint | None = None

    def run(self, stages: Sequence[Stage]) -> Record:
        """Train through all stages, from the checkpoint where there is one; the model ends with the best weights.

        Raises:
            TrainingError: the loss is not finite.
            StorageError: the checkpoint is of another run, or cannot be written.
            KeyboardInterrupt: after a checkpoint.
        """
        self._resume()
        first = 0 if self._resumed is None else self._resumed.stage
        with held_interrupts() as interrupts:
            for index in range(first, len(stages)):
                self._run_stage(index, stages[index], interrupts)
            self._save(len(stages), 0, None)
        interrupts.check()
        if self._best:
            self.model.load_state_dict(self._best)
        if self.setting.low_rank is not None:
            self.setting.low_rank.merge(self.model.encoder.module)
        self.model.eval()
        return self.record

    def _resume(self) -> None:
        """Weights and record of the checkpoint."""
        setting = self.setting
        found = None if setting.folder is None else read_checkpoint(setting.folder, setting.identity)
        if found is None:
            return
        weights = part(found.tensors, "model.")
        if setting.low_rank is not None and setting.low_rank.inside(weights):
            setting.low_rank.insert(self.model.encoder.module)
        self.model.load_state_dict(weights)
        self._best = part(found.tensors, "best.")
        self.record = Record.of(found.told)
        for stage in dict.fromkeys(entry["stage"] for entry in self.record.history):  # a file's tensors are sorted
            if state := part(found.tensors, f"embedder.{stage}."):
                self.embedders[stage] = state
        self._resumed = found

    def _run_stage(self, index: int, stage: Stage, interrupts: Interrupts) -> None:
        """All steps of a stage that are left."""
        trained = self._set_trained(stage)
        optimiser = make_optimiser(trained, self.setting.options.rates)
        start, self._resumed, resumed = 0, None, self._resumed
        if resumed is not None and resumed.step:
            start = resumed.step
            restore_optimiser(optimiser, part(resumed.tensors, "optimiser."))
            stage.objective.resume(self.record.history)
        self.setting.progress(stage.name, start, stage.steps)
        for step in range(start, stage.steps):
            ended = self._whole_step(stage, step, optimiser, trained)
            self.setting.progress(stage.name, step + 1, stage.steps)
            if ended:
                self.record.stopped[stage.name] = step + 1
            late = time.monotonic() - self._saved >= self.setting.options.save_every
            asked = self.setting.team.most(float(late) if interrupts.waiting is None else ENDING)
            if asked:
                # After an early end none is left: a run that goes on from here must not take up the rest.
                self._save(index, stage.steps if ended else step + 1, optimiser)
            if asked == ENDING:  # all processes at the same step, whichever of them was interrupted
                interrupts.check()
                raise KeyboardInterrupt
            if ended:
                break
        self.embedders[stage.name] = _copied(self.model.embedder.state_dict())
        self._save(index + 1, 0, None)

    def _whole_step(
        self, stage: Stage, step: int, optimiser: torch.optim.AdamW, trained: dict[Part, dict[str, Any]]
    ) -> bool:
        """One step with its record, and a look where one is due; whether the stage ends early."""
        began = time.monotonic()
        set_rates(optimiser, rate(step, stage.steps, warmup=self.setting.options.rates.warmup))
        told = self._step(stage, step, optimiser, trained)
        spent = time.monotonic() - began
        self.record.seconds += spent
        self.record.passes += stage.passes
        self.record.notes = each_once([*self.record.notes, *stage.objective.notes])
        rates = {f"rate_{group['part']}": group["lr"] for group in optimiser.param_groups}
        more = {"seconds": spent, "peak_bytes": peak_bytes(self.setting.device)}
        self.record.history.append({"stage": stage.name, "step": step, **told, **rates, **more})
        return self._look_is_due(stage, step) and self._look(stage, step + 1)

    def _step(
        self, stage: Stage, step: int, optimiser: torch.optim.Optimizer, trained: dict[Part, dict[str, Any]]
    ) -> dict[str, float]:
        """One step of the optimiser; what the objective tells."""
        setting = self.setting
        order = Epochs(
            rows=setting.samples.fit,
            size=stage.batch_size or setting.options.batch_size,
            seed=setting.options.seed,
            stream=stage.stream,
        )
        batch = setting.samples.batch(setting.team.share(order.batch(step)))
        batch = batch.like(next(self.model.parameters()))
        optimiser.zero_grad()
        # Dropout sees random numbers of its step, whatever came before.
        with seeded_torch(int(generator(setting.options.seed, STEP_STREAM, stage.stream, step).integers(LARGEST_SEED))):
            try:
                told = stage.objective(self.model, batch, step)
            except UndefinedError as error:
                raise self._diverged(stage, step, error.got) from error
        norms = {
            f"norm_{name}": clip(weights.values(), setting.options.rates.clip) for name, weights in trained.items()
        }
        if not all(map(math.isfinite, [told["loss"], *norms.values()])):
            raise self._diverged(
                stage, step, f"the loss is {told['loss']:g}, and a gradient {max(norms.values()):g} long"
            )
        optimiser.step()
        return {**told, **norms}

    def _set_trained(self, stage: Stage) -> dict[Part, dict[str, Any]]:
        """Gradients for the parts that are trained alone; modes as the stage wants them."""
        adapters = self.setting.low_rank if "encoder" in stage.trains else None
        if adapters is not None:
            adapters.insert(self.model.encoder.module)
        for weight in self.model.parameters():
            weight.requires_grad_(False)
        chosen: dict[Part, dict[str, Any]] = {}
        for name in (*stage.trains, *stage.differentiates):
            weights = self.parameters.of(name)
            if name == "encoder" and adapters is not None:
                weights = adapters.weights(self.model.encoder.module)
            elif name == "encoder":
                weights = not_frozen(weights, self.setting.options.freeze)
            chosen[name] = weights
            for weight in chosen[name].values():
                weight.requires_grad_(True)
        self.model.train(stage.dropout)
        # A copied stem has BatchNorm, whose statistics belong to the source; small batches would spoil them.
        self.model.embedder.eval()
        return {name: chosen[name] for name in stage.trains if chosen[name]}

    def _look_is_due(self, stage: Stage, step: int) -> bool:
        """At the end of every stage, and in the one that chooses in between."""
        done = step + 1
        return done == stage.steps or (stage.chooses and done % self.setting.options.evaluate_every == 0)

    def _look(self, stage: Stage, step: int) -> bool:
        """Look at the validation samples; whether the stage ends early."""
        setting = self.setting
        found = look(self.model, setting.samples, stage=stage.name, step=step)
        self.record.looks.append(found)
        seen = {"validation": found.metric, "validation_loss": found.loss}
        self.record.history.append({"stage": stage.name, "step": step, **seen})
        if not stage.chooses:
            return False
        if found.better(self.record.best):
            self.record.best = found
            self._best = _copied(self.model.state_dict())
        best, patience = self.record.best or found, setting.options.patience
        late = sum(one.stage == stage.name and one.step > best.step for one in self.record.looks)
        return bool(setting.team.agree(float(patience is not None and late >= patience)))

    def _save(self, index: int, step: int, optimiser: torch.optim.Optimizer | None) -> None:
        """Write a checkpoint, where there is a folder for it."""
        self._saved = time.monotonic()
        folder = self.setting.folder
        if folder is None or not self.setting.team.first:
            return
        moments = {} if optimiser is None else optimiser_tensors(optimiser)
        named = {"model": self.model.state_dict(), "best": self._best, "optimiser": moments}
        named |= {f"embedder.{name}": state for name, state in self.embedders.items()}
        tensors = {f"{name}.{key}": tensor for name, state in named.items() for key, tensor in state.items()}
        told = self.record.told()
        write_checkpoint(
            folder, Checkpoint(stage=index, step=step, told=told, options=self.setting.identity, tensors=tensors)
        )

    def _diverged(self, stage: Stage, step: int, what: str) -> TrainingError:
        """The error for a loss or gradient that is not finite."""
        kept = self.setting.folder
        where = "no checkpoint was asked for" if kept is None else f"the last good checkpoint is in {kept}"
        return TrainingError(
            f"{what}, in step {step + 1} of {stage.name} ({where})",
            expected="a finite loss and finite gradients",
            remedy="use lower learning rates or a smaller alpha, or --precision fp32",
        )


def _copied(state: dict[str, Any]) -> dict[str, Tensor]:
    """Weights that further steps do not change."""
    return {name: tensor.detach().clone() for name, tensor in state.items()}
