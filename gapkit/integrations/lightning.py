"""A callback for ``lightning.pytorch`` that logs what the layers still hold (extra ``lightning``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gapkit.integrations.extras import base_class
from gapkit.integrations.recorder import ProbeArguments, Recorder
from gapkit.reuse.in_loop import ReuseProbe

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

__all__ = ["ProbeArguments", "ReuseCallback"]


class ReuseCallback(base_class("lightning.pytorch", "Callback", extra="lightning")):
    """Measures with a ``ReuseProbe`` and logs ``LAYER/MEASURE`` to every logger of the trainer.

    It measures when the training begins, every ``every`` steps of the optimiser, and when it ends; in the first of
    several processes alone. What was measured during the training is among ``trainer.callback_metrics`` too, for
    callbacks that watch a value. The training ends with the same bits as without it.

        callback = ReuseCallback(ProbeArguments(surrogate=surrogate, layers=("model.blocks.*",)), every=200)
        Trainer(callbacks=[callback]).fit(module, batches)

    Layers are those of the LightningModule, whose ``forward`` is called with a batch unless the probe has its own.

    The reference is the model as the training begins, also where it goes on from a checkpoint: to compare with what was
    there before, give a ``ReuseProbe`` that was made then.

    Attributes:
        recorder: with the probe, whose ``history`` has the estimates.
    """

    def __init__(self, probe: ReuseProbe | ProbeArguments, *, every: int = 100) -> None:
        """Take a probe, or what one is made with when the training begins.

        Args:
            probe: of the module that is trained.
            every: steps of the optimiser between two measurements, at least 1.

        Raises:
            OptionError: ``every`` is below 1.
        """
        super().__init__()
        self.recorder = Recorder(probe, every)

    @property
    def probe(self) -> ReuseProbe | None:
        """The probe; None before the training where it is made at its beginning."""
        return self.recorder.probe

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the probe where there is none yet, and measure."""
        if trainer.is_global_zero:
            self._log(trainer, self.recorder.begin(pl_module, trainer.global_step))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Measure when it is time to."""
        if not trainer.is_global_zero:
            return
        record = self.recorder.due(trainer.global_step)
        self._log(trainer, record)
        if record:
            pl_module.log_dict(record, logger=False, rank_zero_only=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the end."""
        if trainer.is_global_zero:
            self._log(trainer, self.recorder.at(trainer.global_step))

    def _log(self, trainer: Trainer, record: dict[str, float] | None) -> None:
        """To every logger, at the step that was measured."""
        if record:
            for logger in trainer.loggers:
                logger.log_metrics(record, step=trainer.global_step)
