"""Low-rank adapters: what they change and what they leave, merged weights, resume, every kind of encoder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError, StorageError
from gapkit.mona.checkpoint import CHECKPOINT
from gapkit.mona.learner import Learned, Surrogate, learn
from gapkit.mona.lesson import Lesson
from gapkit.mona.low_rank import LowRankAdapters, low_rank_adapters
from gapkit.mona.training_options import Rates, Steps, TrainingOptions
from gapkit.reuse.tuned import as_tuned
from gapkit.sources.source import Source
from tests.mona.conftest import MODELS, MakeProblem
from tests.mona.small import lesson, small_run, small_source, small_target, weights

KINDS = ["bundled", "vit", "swin", "bert"]
QUICK = {"rates": Rates(embedder=0.01, encoder=0.03, head=0.01)}


def inserted(problem, rank: int = 3, seed: int = 0) -> LowRankAdapters:
    """Adapters in the encoder of a problem."""
    encoder = problem.encoder
    known = dict(encoder.named_parameters())
    adapters = low_rank_adapters(encoder, problem.source.inputs, known, TrainingOptions(lora=rank, seed=seed))
    assert adapters is not None
    adapters.insert(encoder.module)
    return adapters


def differing(learned: Learned, source: Source) -> dict[str, torch.Tensor]:
    """What was added to the source's weights, where it is not nothing."""
    before = source.module.state_dict()
    now = learned.model.encoder.module.state_dict()
    assert list(now) == list(before)
    return {name: tensor - before[name] for name, tensor in now.items() if (tensor != before[name]).any()}


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_begin_as_nothing_and_merge_into_what_they_are(kind: str, make_problem: MakeProblem) -> None:
    problem = make_problem(kind, seed=3, dtype=torch.float32)
    encoder, tokens = problem.encoder, problem.source.inputs
    names, before = list(encoder.state_dict()), encoder(tokens)
    plain = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    adapters = inserted(problem)
    assert torch.equal(encoder(tokens), before)
    found = adapters.weights(encoder.module)
    assert len(found) == 2 * len(adapters.layers) >= 16
    with seeded_torch(4):
        for weight in found.values():
            torch.nn.init.normal_(weight, std=0.05)
    adapted = encoder(tokens)
    assert (adapted - before).abs().max() > 1e-2
    # All of them take part.
    assert all(gradient.any() for gradient in torch.autograd.grad(adapted.square().sum(), list(found.values())))
    a, b = list(found.values())[:2]
    added = 2 * (b @ a).detach()
    adapters.merge(encoder.module)
    state = encoder.state_dict()
    assert list(state) == names
    name = f"module.{adapters.layers[0]}.weight"
    assert torch.allclose(state[name], plain[name] + added, rtol=0, atol=1e-6)
    assert torch.allclose(encoder(tokens), adapted, rtol=0, atol=1e-5)
    assert not hasattr(encoder.module, "peft_config")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_source_is_tuned_by_adapters(kind: str) -> None:
    with seeded_torch(5):
        source = Source(MODELS[kind][0](), device="cpu")
    options = TrainingOptions(steps=Steps(warm=0, align=0, tune=3), batch_size=8, lora=2, **QUICK)
    target = small_target(30)
    learned = learn(source, target, Lesson(method="finetune", training=options), surrogate=Surrogate())
    moved = differing(learned, source)
    layers = dict(source.module.named_modules())
    assert moved
    assert all(isinstance(layers[name.removesuffix(".weight")], torch.nn.Linear) for name in moved)
    # The state goes back into the plain architecture, and gives there what the tuned model gives.
    tuned, tokens = as_tuned(source, learned.model.encoder.module).source, learned.embedder(target.x)
    adapter = tuned.adapter
    with torch.inference_mode():
        assert torch.equal(adapter.pool(adapter.encode(tokens)), learned.model.encoder(tokens))


def test_what_is_added_has_the_rank_and_is_in_the_layers_alone() -> None:
    source = small_source()
    learned = small_run("finetune", source=source, lora=2, **QUICK)
    moved = differing(learned, source)
    plain = {f"blocks.{k}.{name}.weight" for k in (0, 1) for name in ("qkv", "project", "expand", "contract")}
    assert set(moved) == plain
    for tensor in moved.values():
        assert int(torch.linalg.matrix_rank(tensor, rtol=1e-4)) == 2
    assert any("adapters of rank 2 in 8 linear layers: 768 weights in place of" in note for note in learned.notes)


def test_stages_before_know_nothing_of_adapters() -> None:
    plain, adapted = small_run("mona"), small_run("mona", lora=2)
    for stage in ("warm-up", "alignment"):
        one, two = (learned.earlier[stage].module.state_dict() for learned in (plain, adapted))
        assert all(torch.equal(one[name], two[name]) for name in one)
    losses = [[entry["loss"] for entry in run.record.history if "loss" in entry] for run in (plain, adapted)]
    assert losses[0][:11] == losses[1][:11]  # 4 and 6 steps, and the first of fine-tuning: adapters begin as nothing
    assert losses[0][11:] != losses[1][11:]


def test_an_interrupted_run_with_adapters_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = weights(small_run("mona", lora=2))
    for stop in (8, 13, 17):  # in the alignment, before fine-tuning's first step, in the midst of it

        def interrupt(task: str, done: int, total: int, seen: list[int], stop: int = stop) -> None:
            seen.append(done)
            if len(seen) == stop:
                raise KeyboardInterrupt

        folder, seen = tmp_path / str(stop), []
        with pytest.raises(KeyboardInterrupt):
            small_run("mona", lora=2, folder=folder, progress=lambda *given, seen=seen: interrupt(*given, seen))
        kept = load_file(folder / CHECKPOINT)
        inside = [name for name in kept if name.startswith("model.") and ".lora_" in name]
        moments = [name for name in kept if name.startswith("optimiser.") and name.endswith("exp_avg")]
        assert len(inside) == (16 if stop == 17 else 0)
        assert len(moments) == {8: 7, 13: 0, 17: 7 + 16}[stop]
        again = weights(small_run("mona", lora=2, folder=folder))
        assert all(torch.equal(whole[name], again[name]) for name in whole)
    read = weights(small_run("mona", lora=2, folder=folder))  # the finished run
    assert all(torch.equal(whole[name], read[name]) for name in whole)
    for other in ({"lora": 3}, {}, {"lora": 2, "lora_layers": ("blocks.0",)}):
        with pytest.raises(StorageError, match=r"training\.lora"):
            small_run("mona", folder=folder, **other)


def test_names_choose_layers_and_frozen_ones_get_none() -> None:
    source = small_source()
    chosen = differing(small_run("finetune", source=source, lora=1, lora_layers=("*.qkv", "blocks.1"), **QUICK), source)
    assert set(chosen) == {"blocks.0.qkv.weight"} | {
        f"blocks.1.{name}.weight" for name in ("qkv", "project", "expand", "contract")
    }
    kept = differing(small_run("finetune", source=source, lora=1, freeze=("blocks.0", "*.qkv"), **QUICK), source)
    assert set(kept) == {f"blocks.1.{name}.weight" for name in ("project", "expand", "contract")}


def test_the_control_from_scratch_keeps_its_random_weights() -> None:
    steps = Steps(warm=0, align=0, tune=3)
    learned, other = (small_run("scratch", lora=2, steps=steps, seed=seed) for seed in (0, 1))
    states = [run.model.encoder.module.state_dict() for run in (learned, other)]
    assert torch.linalg.matrix_rank(states[0]["blocks.0.qkv.weight"]) > 2
    assert not torch.equal(states[0]["blocks.0.qkv.weight"], states[1]["blocks.0.qkv.weight"])


def test_initial_weights_are_the_seeds_and_global_generators_stay(make_problem: MakeProblem) -> None:
    drawn = []
    for seed in (0, 0, 1):
        problem = make_problem("bundled", seed=3)
        state = torch.random.get_rng_state()
        drawn.append(inserted(problem, seed=seed).weights(problem.encoder.module))
        assert torch.equal(torch.random.get_rng_state(), state)
        assert all(weight.dtype == torch.float64 for weight in drawn[-1].values())
    same = [all(torch.equal(drawn[0][name], other[name]) for name in drawn[0]) for other in drawn[1:]]
    assert same == [True, False]


def test_longer_fine_tuning_by_adapters_costs_what_mona_costs() -> None:
    mona, longer = small_run("mona", lora=2), small_run("finetune+", lora=2, patience=None)
    assert mona.record.passes == pytest.approx(4 * 2 + 6 * 10.5 + 10 * 2)
    assert longer.record.passes == pytest.approx(mona.record.passes, abs=2)


def test_what_cannot_be_adapted_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=r"lora 0; expected at least 1"):
        lesson("finetune", lora=0)
    with pytest.raises(OptionError, match="lora_layers blocks.0 without lora"):
        lesson("finetune", lora_layers=("blocks.0",))
    with pytest.raises(OptionError, match="method 'frozen' with lora 2"):
        lesson("frozen", lora=2)
    with pytest.raises(OptionError, match="lora_layers 'blocks.0.qvk' fits no linear layer.*did you mean .*qkv"):
        small_run("finetune", lora=2, lora_layers=("blocks.0.qvk",))
    with pytest.raises(OptionError, match="freeze 'block.9' fits no weight"):
        small_run("finetune", lora=2, freeze=("block.9",))
    with pytest.raises(OptionError, match="no linear layer to be adapted"):
        small_run("finetune", lora=2, freeze=("blocks",))
    monkeypatch.setitem(sys.modules, "peft", None)
    steps: list[str] = []
    with pytest.raises(OptionError, match=r"peft, which is not installed; expected .*pip install 'gapkit\[peft\]'"):
        small_run("mona", lora=2, progress=lambda task, done, total: steps.append(task))
    assert steps == []  # said before anything is trained


def test_layers_that_only_lend_their_weights_are_left_alone(make_problem: MakeProblem) -> None:
    """Attention that reads ``project.weight`` would not see an adapter in its place."""
    problem = make_problem("bundled", seed=3, dtype=torch.float32)
    block = problem.encoder.module.get_submodule("blocks.0")

    def lent(tokens: torch.Tensor) -> torch.Tensor:
        return tokens + F.linear(block.norm1(tokens), block.project.weight, block.project.bias)

    block.forward = lent
    layers = inserted(problem).layers
    assert [name for name in layers if name.startswith("blocks.0")] == []
    assert [name for name in layers if name.startswith("blocks.1")] != []
