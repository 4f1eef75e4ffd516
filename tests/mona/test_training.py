"""The training loop: what a stage changes, what chooses the model, where a run goes on, what ends it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gapkit.errors import DataError, OptionError, StorageError, TrainingError
from gapkit.mona.checkpoint import CHECKPOINT
from gapkit.mona.learner import Surrogate, learn
from gapkit.mona.methods import PLANS, Kit, extra_steps
from gapkit.mona.surrogates import SurrogateTokens
from gapkit.mona.team import Team
from gapkit.mona.training import Training
from gapkit.mona.training_options import Rates, Steps
from gapkit.results.alignment import METHODS
from gapkit.sources.source import Source
from gapkit.types import Target
from tests.mona.small import STEPS, inputs, lesson, small_run, small_source, small_target, weights

TOLD = {"source_loss", "inner_product", "cosine", "relative_step", "term_ratio"}


def changed(learned, source: Source) -> set[str]:
    """Names of encoder weights that differ from the source's."""
    before = source.module.state_dict()
    return {
        name for name, tensor in learned.model.encoder.module.state_dict().items() if (tensor != before[name]).any()
    }


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_trains_and_its_history_is_complete(method: str) -> None:
    source = small_source()
    before = {name: tensor.clone() for name, tensor in source.module.state_dict().items()}
    learned = small_run(method, source=source)
    steps = [entry for entry in learned.record.history if "loss" in entry]
    stages = [entry["stage"] for entry in steps]
    assert stages == sorted(stages, key=stages.index)
    assert all(math.isfinite(entry["loss"]) and entry["peak_bytes"] > 0 for entry in steps)
    assert stages.count("fine-tuning") >= STEPS.tune
    assert learned.record.passes > 0
    # The source itself is never touched.
    assert all((tensor == before[name]).all() for name, tensor in source.module.state_dict().items())


def test_every_method_that_results_name_has_a_plan() -> None:
    assert list(PLANS) == list(METHODS)


def test_only_stage_two_moves_the_encoder() -> None:
    source = small_source()
    learned = small_run("mona", source=source, steps=Steps(warm=4, align=6, tune=0))
    assert changed(learned, source) == set()
    assert set(learned.earlier) == {"warm-up", "alignment"}
    aligned = [entry for entry in learned.record.history if entry["stage"] == "alignment" and "loss" in entry]
    assert all(entry.keys() >= TOLD for entry in aligned)
    tuned = changed(small_run("mona", source=small_source()), source)
    assert "blocks.0.qkv.weight" in tuned
    # Its own stem and head take no part.
    assert not any(name.startswith(("stem", "head")) for name in tuned)


def test_the_frozen_method_trains_the_head_alone() -> None:
    source = small_source()
    learned = small_run("frozen", source=source)
    assert changed(learned, source) == set()
    shorter = small_run("frozen", steps=Steps(warm=0, align=0, tune=1))
    for name, tensor in learned.model.embedder.state_dict().items():
        assert (tensor == shorter.model.embedder.state_dict()[name]).all()


def test_frozen_weights_stay_and_others_move() -> None:
    source = small_source()
    moved = changed(small_run("finetune", source=source, freeze=("blocks.0", "*.bias")), source)
    assert moved
    assert not any(name.startswith("blocks.0.") or name.endswith(".bias") for name in moved)


def test_methods_share_the_order_of_stage_two() -> None:
    """With the same weights at its start, stage 2 of two methods has the same losses."""
    plain = small_run("finetune")
    rate = {"rates": Rates(embedder=0, head=0, encoder=0)}
    still, warmed = (small_run(name, **rate) for name in ("finetune", "warmup"))
    losses = [
        [entry["loss"] for entry in run.record.history if entry["stage"] == "fine-tuning" and "loss" in entry]
        for run in (still, warmed)
    ]
    assert losses[0] == losses[1]
    assert losses[0] != [entry["loss"] for entry in plain.record.history if "loss" in entry]


def test_longer_fine_tuning_costs_what_mona_costs() -> None:
    mona, longer = small_run("mona"), small_run("finetune+", patience=None)
    assert longer.record.passes == pytest.approx(mona.record.passes, abs=3)
    assert longer.record.passes >= mona.record.passes


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not() -> None:
    one, two, other = weights(small_run()), weights(small_run()), weights(small_run(seed=1))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_best_look_is_kept_and_is_that_of_the_weights() -> None:
    learned = small_run("finetune", steps=Steps(warm=0, align=0, tune=16), rates=Rates(embedder=0.03, encoder=0.03))
    looks, best = learned.record.looks, learned.record.best
    assert best is not None
    assert (best.metric, -best.loss) == max((look.metric, -look.loss) for look in looks)
    held_out = learned.samples.target.take(learned.samples.validation)
    predicted = learned.predict(held_out).argmax(axis=1)
    assert np.mean(predicted == held_out.y) == pytest.approx(best.metric)


def test_a_stage_without_gains_ends_early() -> None:
    rates = Rates(embedder=0, encoder=0, head=0)
    learned = small_run("finetune", steps=Steps(warm=0, align=0, tune=40), rates=rates, patience=2)
    assert learned.record.stopped == {"fine-tuning": 12}  # looks at 4, 8 and 12: two without a gain


def test_a_stage_that_ended_early_is_not_taken_up_again(tmp_path, monkeypatch) -> None:
    given = {"steps": Steps(warm=0, align=0, tune=40), "rates": Rates(embedder=0, encoder=0, head=0), "patience": 2}
    save = Training._save

    def killed(self: Training, index: int, step: int, optimiser: torch.optim.Optimizer | None) -> None:
        save(self, index, step, optimiser)
        if sum("loss" in entry for entry in self.record.history) == 12:
            raise KeyboardInterrupt  # right behind the checkpoint of the step that ended the stage

    monkeypatch.setattr(Training, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        small_run("finetune", folder=tmp_path, **given)
    monkeypatch.undo()
    again, whole = small_run("finetune", folder=tmp_path, **given), small_run("finetune", **given)
    assert again.record.stopped == whole.record.stopped == {"fine-tuning": 12}
    assert [entry["step"] for entry in again.record.history] == [entry["step"] for entry in whole.record.history]
    assert all(torch.equal(weights(whole)[name], tensor) for name, tensor in weights(again).items())


def test_validation_samples_and_their_groups_are_never_trained_on() -> None:
    learned = small_run("finetune", target=small_target(groups=True))
    samples = learned.samples
    groups = samples.target.groups
    assert groups is not None
    assert not set(groups[samples.fit]) & set(groups[samples.validation])
    assert sorted([*samples.fit, *samples.validation]) == list(range(60))


def test_regression_and_several_labels_are_learned() -> None:
    series = small_target(90)
    value = Target(series.x, series.y * 10.0 + 3, task="regression", name="value")
    rates = Rates(embedder=0.01, encoder=0.01, head=0.01)
    steps = Steps(warm=0, align=0, tune=80)
    learned = small_run("finetune", target=value, steps=steps, rates=rates)
    assert learned.record.best is not None
    assert learned.record.best.metric > 0.5
    predicted = learned.predict(value)[:, 0]
    assert np.corrcoef(predicted, value.y)[0, 1] > 0.7
    assert abs(predicted.mean() - value.y.mean()) < 3  # on the scale of the values, not of the loss
    several = Target(series.x, np.eye(3, dtype=int)[series.y], name="labels")
    learned = small_run("finetune", target=several, steps=steps, rates=rates)
    assert learned.record.best is not None
    assert learned.record.best.metric > 0.8


@pytest.mark.parametrize("method", ["mona", "orca", "mmd"])
def test_targets_of_any_task_can_be_aligned(method: str) -> None:
    series = small_target()
    value = Target(series.x, series.y * 1.5, task="regression", name="value")
    several = Target(series.x, np.eye(3, dtype=int)[series.y], name="labels")
    for target in (value, several):
        assert "alignment" in small_run(method, target=target).earlier


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path) -> None:
    whole = weights(small_run("mona"))
    for stop in (2, 6, 13):
        seen: list[tuple[str, int]] = []

        def interrupt(task: str, done: int, total: int, seen=seen, stop=stop) -> None:
            seen.append((task, done))
            if len(seen) == stop:
                raise KeyboardInterrupt

        folder = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            small_run("mona", folder=folder, progress=interrupt)
        again = weights(small_run("mona", folder=folder))
        assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize("method", ["mona", "orca"])
def test_a_finished_run_is_read_again_without_a_step(method: str, tmp_path) -> None:
    first = small_run(method, folder=tmp_path)
    steps: list[int] = []
    second = small_run(method, folder=tmp_path, progress=lambda task, done, total: steps.append(done))
    assert (steps, second.record.told()) == ([], first.record.told())
    ends, again = ([(name, one.key) for name, one in run.earlier.items()] for run in (first, second))
    assert again == ends  # in the order in which the stages were run


def test_other_options_are_refused_and_named(tmp_path) -> None:
    small_run("finetune", folder=tmp_path)
    with pytest.raises(StorageError, match=r"training\.seed: 0 there, 1 here"):
        small_run("finetune", folder=tmp_path, seed=1)
    with pytest.raises(StorageError, match="target"):
        small_run("finetune", folder=tmp_path, target=small_target(seed=8))


def test_a_damaged_checkpoint_is_refused(tmp_path) -> None:
    small_run("finetune", folder=tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StorageError, match="damaged"):
        small_run("finetune", folder=tmp_path)


def test_a_diverging_loss_stops_and_leaves_the_last_good_checkpoint(tmp_path) -> None:
    with pytest.raises(TrainingError, match=r"step \d+ of fine-tuning .*last good checkpoint"):
        small_run("finetune", folder=tmp_path, rates=Rates(embedder=1e30, encoder=1e30, head=1e30))
    kept = load_file(tmp_path / CHECKPOINT)
    assert all(bool(torch.isfinite(tensor).all()) for name, tensor in kept.items() if name.startswith("model."))


def test_a_full_disk_is_said_and_the_old_checkpoint_stays(tmp_path, monkeypatch) -> None:
    small_run("finetune", folder=tmp_path, steps=Steps(warm=0, align=0, tune=2))
    before = (tmp_path / CHECKPOINT).read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gapkit.mona.checkpoint.os.fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        small_run("finetune", folder=tmp_path / "new")
    monkeypatch.undo()
    assert (tmp_path / CHECKPOINT).read_bytes() == before
    assert [item.name for item in (tmp_path / "new").iterdir()] == []


def test_what_cannot_be_trained_is_refused_in_words() -> None:
    source = small_source()
    source.adapter.surrogate = None
    with pytest.raises(DataError, match="comes without a surrogate.*--surrogate FILE"):
        small_run("mona", source=source)
    small_run("finetune", source=source)  # which needs none
    source.adapter.surrogate = Target(
        np.zeros((4, 32, 32), np.uint8) + np.arange(4, dtype=np.uint8)[:, None, None], [0, 1, 2, 3]
    )
    with pytest.raises(DataError, match="0 classes with two or more samples"):
        small_run("mona", source=source)
    with pytest.raises(OptionError, match="method 'monna'.*did you mean 'mona'"):
        small_run("monna")
    with pytest.raises(OptionError, match="freeze 'block.9' fits no weight"):
        small_run("finetune", freeze=("block.9",))
    with pytest.raises(OptionError, match="leaves nothing of the encoder"):
        small_run("finetune", freeze=("*",))
    source = small_source()
    source.adapter.token = None
    with pytest.raises(OptionError, match="has no token space"):
        small_run("finetune", source=source)


def test_checkpoints_hold_tensors_and_plain_values_alone(tmp_path) -> None:
    small_run("mona", folder=tmp_path)
    assert sorted(item.name for item in tmp_path.iterdir()) == [CHECKPOINT]
    content = (tmp_path / CHECKPOINT).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["gapkit"])["options"]["method"] == "mona"


def test_cross_entropy_on_the_surrogate_begins_with_a_fitted_head() -> None:
    given = lesson("mona", alpha=1e-3)
    asked = replace(given, alignment=replace(given.alignment, loss="cross_entropy"))
    source = small_source()
    surrogate = Surrogate(samples=source.surrogate, embedder=inputs)
    learned = learn(source, small_target(), asked, surrogate=surrogate)
    losses = [entry["source_loss"] for entry in learned.record.history if "source_loss" in entry]
    assert 0 < losses[0] < math.log(4) / 2  # the classes are brightnesses


def test_steps_of_longer_fine_tuning_follow_from_passes() -> None:
    given = lesson("finetune+")

    def nothing() -> SurrogateTokens:
        raise AssertionError("not asked for")

    kit = Kit(
        loss=torch.nn.functional.cross_entropy,
        options=given.training,
        alignment=given.alignment,
        surrogate=nothing,
        team=Team(),
    )
    # Warm-up 4 x 2, alignment 6 x (6.5 + 4), over 3 for a step.
    assert extra_steps(kit) == math.ceil((4 * 2 + 6 * 10.5) / 3)
