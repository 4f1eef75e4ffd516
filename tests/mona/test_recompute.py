"""Activations computed again: the same gradients and weights, fewer bytes kept, and nothing left behind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import timm
import torch
from torch import Tensor, nn

from gapkit.arrays import seeded_torch
from gapkit.errors import TrainingError
from gapkit.mona.learner import Learned, Surrogate, learn
from gapkit.mona.lesson import Lesson
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.problem import SourceEncoder
from gapkit.mona.recompute import Recomputed, recomputing
from gapkit.mona.training_options import Rates, Steps, TrainingOptions
from gapkit.sources.blocks import innermost_blocks
from gapkit.sources.bundled import Block
from gapkit.sources.source import Source
from tests.mona.conftest import MODELS, MakeProblem
from tests.mona.small import STEPS, inputs, lesson, small_run, small_source, small_target, weights

KINDS = ["bundled", "vit", "swin", "bert"]
SHORT = Steps(warm=2, align=3, tune=3)


def gradients(encoder: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """Of the features' squares by everything, with dropout that a seed draws."""
    known = {name: weight for name, weight in encoder.named_parameters() if weight.requires_grad}
    tokens = tokens.clone().requires_grad_()
    with seeded_torch(1):
        loss = encoder(tokens).square().sum()
        found = torch.autograd.grad(loss, [tokens, *known.values()], allow_unused=True, materialize_grads=True)
    return dict(zip(["tokens", *known], found, strict=True))


def kept_bytes(encoder: nn.Module, tokens: Tensor) -> int:
    """What a forward pass keeps for its backward pass beside the weights."""
    own = {weight.untyped_storage().data_ptr() for weight in encoder.parameters()}
    kept: dict[int, tuple[Tensor, int]] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (tensor, storage.nbytes())  # the tensor, so that no other takes its place
        return tensor

    with seeded_torch(1), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = encoder(tokens.clone().requires_grad_())
    assert out.requires_grad
    return sum(size for _, size in kept.values())


@contextmanager
def counted() -> Generator[Counter[bool]]:
    """How often a block's first linear layer has run inside the block, with and without gradients."""
    seen: Counter[bool] = Counter()

    def see(module: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(module, nn.Linear) and module.out_features == 3 * module.in_features:
            seen[output.requires_grad] += 1

    handle = nn.modules.module.register_module_forward_hook(see)
    try:
        yield seen
    finally:
        handle.remove()


def wrapped(module: nn.Module) -> list[str]:
    """Names of modules whose forward pass is not that of their class."""
    return [name for name, part in module.named_modules() if isinstance(vars(part).get("forward"), Recomputed)]


@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_same_and_less_is_kept(kind: str, dropout: bool, make_problem: MakeProblem) -> None:
    problem = make_problem(kind, seed=6)
    encoder, tokens = problem.encoder.train(dropout), problem.source.inputs
    plain, bytes_of_all = gradients(encoder, tokens), kept_bytes(encoder, tokens)
    with recomputing(encoder.module):
        again, bytes_of_inputs = gradients(encoder, tokens), kept_bytes(encoder, tokens)
        assert len(wrapped(encoder.module)) == 2
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert bytes_of_inputs < 0.4 * bytes_of_all
    assert kept_bytes(encoder, tokens) == bytes_of_all
    assert wrapped(encoder.module) == []


@pytest.mark.parametrize("method", ["finetune", "warmup", "orca", "frozen"])
def test_weights_after_a_training_are_the_same(method: str) -> None:
    plain, again = (weights(small_run(method, steps=SHORT, recompute=given)) for given in (False, True))
    assert all(torch.allclose(plain[name], again[name], rtol=0, atol=1e-6) for name in plain)


@pytest.mark.parametrize("gradient", ["central", "one_sided", "exact", "naive"])
def test_every_hypergradient_goes_with_it(gradient: str) -> None:
    plain, again = (_aligned(recompute=given, method=gradient) for given in (False, True))
    one, two = weights(plain), weights(again)
    assert all(torch.allclose(one[name], two[name], rtol=0, atol=1e-6) for name in one)
    assert plain.notes == again.notes


def test_checks_of_the_second_order_term_are_plain_passes() -> None:
    for given in ({"check_every": 1}, {"step": "auto"}):
        learned = _aligned(recompute=True, **given)
        errors = [entry["term_error"] for entry in learned.record.history if "term_error" in entry]
        assert errors
        assert max(errors) < 0.05
        assert not any("could not be checked" in note or "has not" in note for note in learned.notes)


def test_dropout_of_a_text_encoder_is_drawn_once() -> None:
    found = []
    for given in (False, True):
        with seeded_torch(5):
            source = Source(MODELS["bert"][0](), device="cpu")
        options = TrainingOptions(steps=SHORT, batch_size=8, recompute=given, rates=Rates(encoder=0.01))
        learned = learn(source, small_target(30), Lesson(method="warmup", training=options), surrogate=Surrogate())
        found.append(weights(learned))
        assert any(part.training is False and part.p > 0 for part in source.module.modules() if _is_dropout(part))
    assert all(torch.allclose(found[0][name], found[1][name], rtol=0, atol=1e-6) for name in found[0])


def test_adapters_in_pieces_are_the_same_too() -> None:
    given = {"lora": 2, "microbatches": 3, "rates": Rates(encoder=0.03)}
    plain, again = (weights(small_run("mona", recompute=one, **given)) for one in (False, True))
    assert all(torch.allclose(plain[name], again[name], rtol=0, atol=1e-6) for name in plain)


def test_blocks_run_once_more_for_every_backward_pass() -> None:
    """Two blocks; of MoNA's step 3 backward passes through the target and one through the surrogate are not plain."""
    seen = []
    for given in (False, True):
        with counted() as count:
            learned = small_run("mona", recompute=given)
        seen.append(count[True])
        assert learned.training.recompute == given
    backward = STEPS.warm + STEPS.align * 4 + STEPS.tune
    first = 1  # which finds the weights that tokens go through, before any stage
    assert seen == [2 * (first + backward), 2 * (first + 2 * backward)]


def test_passes_are_counted() -> None:
    plain, again = small_run("mona"), small_run("mona", recompute=True)
    assert again.record.passes - plain.record.passes == pytest.approx(STEPS.warm + STEPS.align * 4 + STEPS.tune)
    longer = small_run("finetune+", recompute=True, patience=None)
    assert again.record.passes <= longer.record.passes < again.record.passes + 4


def test_nothing_is_left_behind_also_after_an_error() -> None:
    learned = small_run("finetune", steps=SHORT, recompute=True)
    assert wrapped(learned.model) == []
    source = small_source()
    with pytest.raises(TrainingError):
        small_run("finetune", source=source, recompute=True, rates=Rates(embedder=1e30, encoder=1e30, head=1e30))
    assert wrapped(source.module) == []
    module, own = small_source().module, nn.Identity()
    block = module.get_submodule("blocks.0")
    block.forward = own.forward  # what somebody has put there
    with recomputing(module):
        assert wrapped(module) == ["blocks.0", "blocks.1"]
    assert block.forward == own.forward
    with recomputing(module, enabled=False):
        assert wrapped(module) == []


def test_blocks_that_count_batches_keep_their_activations() -> None:
    source = small_source()
    block = source.module.get_submodule("blocks.1")
    assert isinstance(block, Block)
    block.add_module("counter", nn.BatchNorm1d(2))
    with recomputing(source.module):
        assert wrapped(source.module) == ["blocks.0"]


@pytest.mark.parametrize(
    ("depths", "names"),
    [
        ((2, 2), ["layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0", "layers.1.blocks.1"]),
        ((1, 2), ["layers.0", "layers.1.blocks.0", "layers.1.blocks.1"]),
    ],
)
def test_blocks_inside_of_the_stages_of_a_swin(depths: tuple[int, int], names: list[str]) -> None:
    given = {"img_size": 32, "patch_size": 4, "embed_dim": 24, "num_heads": (2, 2), "window_size": 4}
    with seeded_torch(0):
        module = timm.create_model("swin_tiny_patch4_window7_224", depths=depths, num_classes=3, **given)
    assert list(innermost_blocks(module)) == names


def test_no_gradients_no_wrapping(make_problem: MakeProblem) -> None:
    problem = make_problem("vit", seed=6)
    encoder: SourceEncoder = problem.encoder
    with torch.no_grad():
        plain = encoder(problem.source.inputs)
        with recomputing(encoder.module):
            assert torch.equal(encoder(problem.source.inputs), plain)


def _aligned(*, recompute: bool, **given: object) -> Learned:
    """MoNA with a hypergradient of its own."""
    asked = lesson("mona", steps=SHORT, recompute=recompute)
    options: Callable[..., HypergradientOptions] = HypergradientOptions
    alignment = replace(asked.alignment, hypergradient=options(alpha=1.0, **given))
    source = small_source()
    return learn(
        source,
        small_target(),
        replace(asked, alignment=alignment),
        surrogate=Surrogate(samples=source.surrogate, embedder=inputs),
    )


def _is_dropout(module: nn.Module) -> bool:
    """Whether it is one."""
    return isinstance(module, nn.Dropout)
