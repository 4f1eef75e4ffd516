"""Batches in pieces: the gradients and the weights of whole ones, fewer samples at a time, and what that costs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError
from gapkit.mona.heads import Loss, task_loss
from gapkit.mona.learner import Learned
from gapkit.mona.lesson import Lesson
from gapkit.mona.model import TargetModel
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.rivals import DiscrepancyObjective, TransportObjective
from gapkit.mona.samples import Batch
from gapkit.mona.stages import Objective, TargetObjective
from gapkit.mona.surrogates import surrogate_tokens
from gapkit.mona.team import Team
from gapkit.mona.training_options import AlignmentOptions, Steps, TrainingOptions
from gapkit.sources.bundled import Block
from tests.mona.conftest import CLASSES, MakeProblem
from tests.mona.small import inputs, lesson, small_run, small_source, weights

METHODS = ["finetune", "mona", "orca", "mmd"]
BATCH = 8  # in three pieces: 3, 3 and 2


def losses(learned: Learned) -> list[float]:
    """Of every step, in float64."""
    return [entry["loss"] for entry in learned.record.history if "loss" in entry]


@contextmanager
def at_once(*modules: type[nn.Module]) -> Generator[dict[str, list[int]]]:
    """Sizes of the batches that modules of these classes have kept activations of inside the block."""
    sizes: dict[str, list[int]] = {kind.__name__: [] for kind in modules}

    def see(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, modules) and output.requires_grad:
            sizes[type(module).__name__].append(len(given[0]))

    handle = nn.modules.module.register_module_forward_hook(see)
    try:
        yield sizes
    finally:
        handle.remove()


@pytest.mark.parametrize("method", METHODS)
def test_weights_after_a_training_are_those_of_whole_batches(method: str) -> None:
    steps = Steps(warm=3, align=3, tune=4)
    whole, cut = (small_run(method, steps=steps, precision="fp64", microbatches=count) for count in (1, 3))
    # MoNA's differences divide rounding by their step; AdamW divides by the gradient.
    assert losses(cut) == pytest.approx(losses(whole), rel=1e-8 if method == "mona" else 1e-10)
    one, two = weights(whole), weights(cut)
    assert all(torch.allclose(one[name], two[name], rtol=1e-6, atol=1e-7) for name in one)
    assert losses(cut) != losses(small_run(method, steps=steps, precision="fp64", batch_size=6))


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
@pytest.mark.parametrize("count", [3, 8, 50])
def test_gradients_are_those_of_the_whole_batch(
    task: str, dtype: torch.dtype, bar: float, count: int, make_problem: MakeProblem, relative_error: Callable
) -> None:
    problem = make_problem("vit", seed=2, dtype=dtype)
    model = TargetModel(problem.embedder, problem.encoder, problem.head)
    codes = problem.target.labels
    labels = {
        "classification": codes,
        "multilabel": nn.functional.one_hot(codes, CLASSES).to(dtype),
        "regression": problem.target.inputs.flatten(1)[:, :CLASSES],
    }[task]
    batch = Batch(inputs=problem.target.inputs, labels=labels, classes=codes)
    loss: Loss = task_loss(task)
    found = [_gradients(TargetObjective(loss, Team(), microbatches=n), model, batch) for n in (1, count)]
    assert found[1][0] == pytest.approx(found[0][0], rel=bar)
    assert relative_error(found[1][1], found[0][1]) < bar


@pytest.mark.parametrize("method", ["orca", "mmd"])
def test_distances_of_the_whole_batch_have_its_gradient(method: str, relative_error: Callable) -> None:
    learned = small_run("finetune", steps=Steps(warm=0, align=0, tune=1))
    tokens = surrogate_tokens(learned.source, learned.source.surrogate, inputs)
    model, batch = learned.model.double(), learned.samples.batch(learned.samples.fit[:31])
    batch = batch.like(next(model.parameters()))

    def objective(count: int) -> Objective:
        if method == "orca":
            return TransportObjective(tokens, Team(), seed=0, double=True, microbatches=count)
        return DiscrepancyObjective(surrogate=tokens.means(np.arange(48)), team=Team(), microbatches=count)

    whole, cut = (_gradients(objective(count), model, batch) for count in (1, 4))
    assert cut[0] == pytest.approx(whole[0], rel=1e-12)
    assert relative_error(cut[1], whole[1]) < 1e-10
    with at_once(type(model.embedder)) as sizes:
        _gradients(objective(4), model, batch)
    assert sorted(set(sizes[type(model.embedder).__name__])) == [7, 8]


def test_fewer_samples_go_through_at_a_time_in_every_stage() -> None:
    for count, largest in ((1, BATCH), (3, 3)):
        with at_once(Block) as sizes:
            learned = small_run("mona", microbatches=count)
        assert {entry["stage"] for entry in learned.record.history} == {"warm-up", "alignment", "fine-tuning"}
        assert max(sizes["Block"]) == largest
        assert learned.training.microbatches == count


def test_what_is_drawn_in_a_piece_is_its_own() -> None:
    """With dropout pieces draw anew: other weights, but the same ones in every run."""

    def drop(module: nn.Module, _: object, output: Tensor) -> Tensor:
        return nn.functional.dropout(output, 0.5, training=module.training)

    found = []
    for count in (1, 3, 3):
        source = small_source()
        source.module.get_submodule("norm").register_forward_hook(drop)
        found.append(losses(small_run("finetune", source=source, microbatches=count)))
    assert found[0] != found[1]
    assert found[1] == found[2]


def test_pieces_of_the_surrogate_cost_a_pass_more() -> None:
    whole, cut = small_run("mona"), small_run("mona", microbatches=2)
    assert whole.record.passes == pytest.approx(4 * 2 + 6 * (6.5 + 4) + 10 * 3)
    assert cut.record.passes == pytest.approx(whole.record.passes + 6)
    longer = small_run("finetune+", microbatches=2, patience=None)
    assert cut.record.passes <= longer.record.passes < cut.record.passes + 3


def test_one_number_holds_for_all_stages() -> None:
    given = Lesson(training=TrainingOptions(microbatches=3))
    assert given.aligned.hypergradient.microbatches == 3
    numbers = given.numbers()
    assert numbers["training"]["microbatches"] == numbers["alignment"]["hypergradient"]["microbatches"] == 3
    other = AlignmentOptions(hypergradient=HypergradientOptions(alpha=1.0, microbatches=2))
    with pytest.raises(OptionError, match="microbatches 2 of the hypergradient and 1 of the training.*microbatches=2"):
        Lesson(alignment=other)
    assert Lesson(alignment=other, training=TrainingOptions(microbatches=2)).aligned == other
    naive = replace(lesson().alignment, hypergradient=HypergradientOptions(alpha=1.0, method="naive"))
    with pytest.raises(OptionError, match="gradient 'naive' with microbatches 2.*--gradient exact"):
        Lesson(alignment=naive, training=TrainingOptions(microbatches=2))
    with pytest.raises(OptionError, match="microbatches 0; expected at least 1"):
        TrainingOptions(microbatches=0)


def _gradients(objective: Objective, model: TargetModel, batch: Batch) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one batch."""
    for weight in model.parameters():
        weight.grad = None
        weight.requires_grad_(True)
    with seeded_torch(0):
        told = objective(model.eval(), batch, 0)
    return told["loss"], {name: w.grad for name, w in model.named_parameters() if w.grad is not None}
