"""The callback of ``transformers.Trainer``: a training with it and one without, and what is logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

import gapkit as gk
from gapkit.arrays import generator, seeded_torch
from gapkit.integrations.trainer import ProbeArguments, ReuseCallback

STEPS, EVERY, LAYERS = 50, 20, ("bert.encoder.layer.*",)


def model() -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    with seeded_torch(3):
        return BertForSequenceClassification(BertConfig(vocab_size=30, num_labels=2, **sizes))


def examples(n: int) -> list[dict[str, Tensor]]:
    ids = torch.from_numpy(generator(1).integers(1, 30, size=(n, 8)))
    return [{"input_ids": row, "labels": (row.sum() % 2).long()} for row in ids]


def surrogate() -> gk.Target:
    ids = generator(2).integers(1, 30, size=(40, 8))
    return gk.Target(ids, ids[:, 0] % 2)


class Logger(TrainerCallback):
    """What the loggers of ``report_to`` are told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, Any]]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        self.told.append((state.global_step, dict(logs)))


def trainer_of(module: nn.Module, folder: Path, **given: Any) -> Trainer:
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        logging_steps=10,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=7,
    )
    return Trainer(model=module, args=arguments, train_dataset=examples(64), **given)


def bits(module: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


def losses(trainer: Trainer) -> list[tuple[int, float]]:
    return [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("given", ["probe", "arguments"])
def test_weights_after_fifty_steps_have_the_same_bits_and_everything_is_logged(given: str, tmp_path: Path) -> None:
    plain = model()
    without = trainer_of(plain, tmp_path / "without")
    without.train()
    module, logger = model(), Logger()
    options = gk.ReuseProbeOptions(measures=("all",), copies=3)
    made = (
        gk.ReuseProbe(module, surrogate=surrogate(), layers=LAYERS, options=options)
        if given == "probe"
        else ProbeArguments(surrogate=surrogate(), layers=LAYERS, options=options)
    )
    trainer = trainer_of(module, tmp_path / "with", callbacks=[logger])
    callback = ReuseCallback(made, every=EVERY).attach(trainer)
    trainer.train()
    assert bits(module) == bits(plain)
    assert losses(trainer) == losses(without)
    assert [step for step, _ in losses(trainer)] == [10, 20, 30, 40, 50]
    assert callback.probe is not None
    assert [one.step for one in callback.probe.history] == [0, 20, 40, 50]
    records = [{key: one[key] for key in one if "/" in key} for _, one in logger.told]
    kept = [{key: one[key] for key in one if "/" in key} for one in trainer.state.log_history]
    expected = [{key: one[key] for key in one if key != "step"} for one in callback.probe.to_records()]
    assert [one for one in records if one] == [one for one in kept if one] == expected
    assert [step for step, one in logger.told if any("/" in key for key in one)] == [0, 20, 40, 50]
    first, last = expected[0], expected[-1]
    assert first["bert.encoder.layer.1/cka"] == pytest.approx(1)
    assert last["bert.encoder.layer.1/cka"] < 0.999
    assert last["bert.encoder.layer.1/drift"] > 0.01
    assert last["bert.encoder.layer.1/probe_accuracy"] <= 1


def test_a_callback_that_cannot_log_says_how_it_can(tmp_path: Path) -> None:
    callback = ReuseCallback(ProbeArguments(surrogate=surrogate(), layers=LAYERS))
    trainer = trainer_of(model(), tmp_path, callbacks=[callback])
    with pytest.raises(gk.OptionError, match=r"attach\(trainer\) instead of callbacks"):
        trainer.train()
    assert callback.probe is None
    callback.attach(trainer)
    assert trainer.callback_handler.callbacks.count(callback) == 1


def test_other_processes_measure_nothing(tmp_path: Path) -> None:
    trainer = trainer_of(model(), tmp_path)
    callback = ReuseCallback(ProbeArguments(surrogate=surrogate(), layers=LAYERS), every=1).attach(trainer)
    state = trainer.state
    state.is_world_process_zero = False
    for event in (callback.on_train_begin, callback.on_step_end, callback.on_train_end):
        event(trainer.args, state, trainer.control, model=trainer.model)
    assert callback.probe is None


def test_every_is_at_least_one_step() -> None:
    with pytest.raises(gk.OptionError, match="every is 0; expected at least 1 step"):
        ReuseCallback(ProbeArguments(surrogate=surrogate()), every=0)
