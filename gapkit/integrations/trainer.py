"""A callback for ``transformers.Trainer`` that logs what the layers still hold."""

from __future__ import annotations

from typing import Any, Self

from torch import nn
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from gapkit.errors import OptionError
from gapkit.integrations.recorder import ProbeArguments, Recorder
from gapkit.reuse.in_loop import ReuseProbe

__all__ = ["ProbeArguments", "ReuseCallback"]


class ReuseCallback(TrainerCallback):
    """Measures with a ``ReuseProbe`` and logs ``LAYER/MEASURE`` through ``Trainer.log``.

    So the numbers are in ``state.log_history`` and with every logger of ``report_to``. It measures when the training
    begins, every ``every`` steps of the optimiser, and when it ends; in the first of several processes alone. The
    training ends with the same bits as without it.

        trainer = Trainer(...)
        ReuseCallback(ProbeArguments(surrogate=surrogate, layers=("encoder.layer.*",)), every=200).attach(trainer)
        trainer.train()

    A Trainer gives its callbacks no way to log, which is why this one is attached to it.

    The reference is the model as the training begins, also where it goes on from a checkpoint: to compare with what was
    there before, give a ``ReuseProbe`` that was made then.

    Attributes:
        recorder: with the probe, whose ``history`` has the estimates.
    """

    def __init__(self, probe: ReuseProbe | ProbeArguments, *, every: int = 100) -> None:
        """Take a probe, or what one is made with when the training begins.

        Args:
            probe: of the model that is trained.
            every: steps of the optimiser between two measurements, at least 1.

        Raises:
            OptionError: ``every`` is below 1.
        """
        self.recorder = Recorder(probe, every)
        self._trainer: Trainer | None = None

    @property
    def probe(self) -> ReuseProbe | None:
        """The probe; None before the training where it is made at its beginning."""
        return self.recorder.probe

    def attach(self, trainer: Trainer) -> Self:
        """Add this callback to a trainer, through which it logs."""
        self._trainer = trainer
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        return self

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Make the probe where there is none yet, and measure.

        Raises:
            OptionError: the callback has not been attached.
        """
        if self._trainer is None:
            raise OptionError(
                "ReuseCallback was given to the Trainer without being attached to it",
                expected="a way to log",
                remedy="call ReuseCallback(...).attach(trainer) instead of callbacks=[...]",
            )
        if state.is_world_process_zero:
            model: nn.Module = others["model"]
            self._log(self.recorder.begin(model, state.global_step), control)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any) -> None:
        """Measure when it is time to."""
        if state.is_world_process_zero:
            self._log(self.recorder.due(state.global_step), control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **others: Any
    ) -> None:
        """Measure the end."""
        if state.is_world_process_zero:
            self._log(self.recorder.at(state.global_step), control)

    def _log(self, record: dict[str, float] | None, control: TrainerControl) -> None:
        """Log as the trainer does, which takes the loss of this step for logged: what is due stays due."""
        if record and self._trainer is not None:
            due = control.should_log
            self._trainer.log(record)
            control.should_log = due
