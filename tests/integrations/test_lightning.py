"""The callback of Lightning: a training with it and one without, and what is logged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import gapkit as gk
from gapkit.arrays import generator, seeded_torch
from gapkit.integrations.extras import base_class
from gapkit.integrations.lightning import ProbeArguments, ReuseCallback

STEPS, EVERY, LAYERS = 50, 20, ("blocks.*",)

pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*dataloader' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.:FutureWarning"),
]


class Module(LightningModule):
    """Blocks with dropout and BatchNorm, trained on noisy inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.3)) for _ in range(2)
        )
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x + 0.1 * torch.randn_like(x)), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


class Kept(Logger):
    """Keeps what it is told."""

    name, version = "kept", 0

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.told.append({"step": step, **metrics})

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        pass


class Watching(ReuseCallback):
    """Keeps what other callbacks could read."""

    def on_train_batch_end(self, trainer: Trainer, *given: Any) -> None:
        super().on_train_batch_end(trainer, *given)
        self.read = dict(trainer.callback_metrics)


def module() -> Module:
    with seeded_torch(3):
        return Module()


def surrogate() -> gk.Target:
    x = generator(2).normal(size=(40, 6)).astype("float32")
    return gk.Target(x, (x[:, 0] > 0).astype(int))


def fit(model: Module, folder: Path, *callbacks: Any, **given: Any) -> Trainer:
    x = torch.from_numpy(generator(1).normal(size=(64, 6)).astype("float32"))
    trainer = Trainer(
        accelerator="cpu",
        max_steps=STEPS,
        logger=Kept(),
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
        default_root_dir=folder,
        **given,
    )
    with seeded_torch(5):
        trainer.fit(model, DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8, shuffle=True))
    return trainer


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("given", ["probe", "arguments"])
def test_weights_after_fifty_steps_have_the_same_bits_and_everything_is_logged(given: str, tmp_path: Path) -> None:
    plain, model = module(), module()
    fit(plain, tmp_path / "plain")
    options = gk.ReuseProbeOptions(measures=("all",), copies=3)
    made = (
        gk.ReuseProbe(model, surrogate=surrogate(), layers=LAYERS, options=options)
        if given == "probe"
        else ProbeArguments(surrogate=surrogate(), layers=LAYERS, options=options)
    )
    callback = Watching(made, every=EVERY)
    trainer = fit(model, tmp_path / "watched", callback)
    assert bits(model) == bits(plain)
    assert callback.probe is not None
    assert [one.step for one in callback.probe.history] == [0, 20, 40, 50]
    told = [one for one in trainer.loggers[0].told if "blocks.0/cka" in one]
    assert told == callback.probe.to_records()
    last = callback.probe.to_records()[2]
    assert callback.read["blocks.1/drift"] == pytest.approx(last["blocks.1/drift"])
    assert last["blocks.1/drift"] > 0.01
    assert last["blocks.1/cka"] < 0.999


def test_steps_are_those_of_the_optimiser(tmp_path: Path) -> None:
    callback = ReuseCallback(ProbeArguments(surrogate=surrogate(), layers=LAYERS), every=10)
    fit(module(), tmp_path, callback, accumulate_grad_batches=2)
    assert callback.probe is not None
    assert [one.step for one in callback.probe.history] == [0, 10, 20, 30, 40, 50]


def test_other_processes_measure_nothing() -> None:
    class Second:
        is_global_zero, global_step = False, 0

    callback: Any = ReuseCallback(ProbeArguments(surrogate=surrogate(), layers=LAYERS), every=1)
    callback.on_train_start(Second(), module())
    callback.on_train_batch_end(Second(), module(), None, None, 0)
    callback.on_train_end(Second(), module())
    assert callback.probe is None


def test_a_package_that_is_not_there_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.delitem(sys.modules, "lightning.pytorch", raising=False)
    words = r"the package lightning is not installed; .*pip install 'gapkit\[lightning\]'"
    with pytest.raises(gk.GapkitError, match=words):
        base_class("lightning.pytorch", "Callback", extra="lightning")
    monkeypatch.delitem(sys.modules, "gapkit.integrations.lightning")
    with pytest.raises(gk.GapkitError, match=words):
        import gapkit.integrations.lightning  # noqa: F401


def test_a_package_that_is_broken_is_not_said_to_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_package.py").write_text("import no_such_module\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        base_class("broken_package", "Thing", extra="broken")
