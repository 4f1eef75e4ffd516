"""A training that ``ReuseProbe`` looks at against one that it does not: not a bit is another one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import generator, seeded_torch
from gapkit.reuse.observing import untouched

N, WIDTH = 60, 12
LAYERS = ("blocks.*",)
ALL = gk.ReuseProbeOptions(measures=("all",), copies=3)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch, numpy and Python at a seed, and afterwards as before."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        random.setstate(random.Random(seed).getstate())  # noqa: S311
        np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
        with seeded_torch(seed):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@pytest.fixture(autouse=True)
def _seeded(_global_generators_untouched: None) -> Iterator[None]:
    """The same weights every time; what a test draws is given back."""
    with seeded(0):
        yield


class Block(nn.Module):
    """A residual block with dropout and BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.norm, self.drop = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(torch.tanh(self.norm(self.dense(x))))


class Restless(nn.Module):
    """Draws numbers and keeps a table that it makes in its first pass, in eval mode too, and works in ``train``."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.switched = nn.Parameter(torch.ones(WIDTH)), 0
        self.noise, self.kept = 0.1, None

    def train(self, mode: bool = True) -> Restless:
        self.switched += 1
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        drawn = torch.rand(len(x), 1, device=x.device) + float(np.random.random())  # noqa: NPY002
        if self.kept is None:
            self.kept = torch.linspace(0.5, 1.5, WIDTH, device=x.device)
        return x * self.scale * self.kept + self.noise * drawn


class Net(nn.Module):
    """Rows (B, 6) to two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.restless = nn.Linear(6, WIDTH), Restless()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head, self.passes = nn.Linear(WIDTH, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.restless(self.stem(x))
        for block in self.blocks:
            x = block(x)
        self.passes += 1
        return self.head(x)


def surrogate(n: int = N) -> gk.Target:
    labels = np.arange(n) % 3
    x = generator(5).normal(size=(n, 6)) + 1.5 * np.eye(3, 6)[labels]
    return gk.Target(x.astype(np.float32), labels)


def step(model: nn.Module, optimiser: torch.optim.Optimizer) -> float:
    """One step of a training that draws its data, and noise on it, from torch's global generator."""
    x = torch.randn(16, 6)
    loss = nn.functional.cross_entropy(model(x + 0.1 * torch.randn_like(x)), (x[:, 0] > 0).long())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


def trained(steps: int, watch: Callable[[Net, int], Any] = lambda *_: None) -> tuple[Net, list[float], Any]:
    """A model trained for some steps, its losses and the optimiser's state."""
    with seeded(1):
        model = Net()
        model.blocks[1].norm.eval()  # as one that is frozen
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
        losses = []
        for number in range(steps):
            watch(model, number)
            losses.append(step(model, optimiser))
        watch(model, steps)
        return model, losses, optimiser.state_dict()


def bits(thing: Any) -> Any:
    """Everything in a nest of tensors, as bytes."""
    if isinstance(thing, Tensor):
        return str(thing.dtype), tuple(thing.shape), thing.detach().cpu().numpy().tobytes()
    if isinstance(thing, dict):
        return {key: bits(value) for key, value in thing.items()}
    return [bits(value) for value in thing] if isinstance(thing, list | tuple) else thing


def test_a_training_of_fifty_steps_ends_with_the_same_bits() -> None:
    seen: list[gk.ReuseProbe] = []

    def watch(model: Net, number: int) -> None:
        if number == 0:
            seen.append(gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=ALL))
            seen.append(gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate()))
        seen[1].measure(number)
        if number % 25 == 0:
            seen[0].measure(number)

    plain, watched = trained(50), trained(50, watch)
    assert bits(watched[0].state_dict()) == bits(plain[0].state_dict())
    assert watched[1] == plain[1]
    assert bits(watched[2]) == bits(plain[2])
    assert [one.step for one in seen[0].history] == [0, 25, 50]
    assert len(seen[1].history) == 51
    last = seen[1].history[-1].layers["blocks.0"]
    assert last["drift"].value > 0
    assert last["cka"].value < 0.999


@pytest.mark.gpu
def test_a_training_on_cuda_ends_with_the_same_bits_and_draws_the_same_numbers() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")

    def run(watched: bool) -> Any:
        with seeded(1):
            model = Net().cuda()
            optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
            probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=ALL) if watched else None
            for number in range(50):
                if probe is not None:
                    before = torch.cuda.get_rng_state()
                    probe.measure(number)
                    assert torch.equal(torch.cuda.get_rng_state(), before)
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    if probe is not None and number == 25:
                        assert probe.measure(number) == probe.history[-2]
                    x = torch.randn(16, 6, device="cuda")
                    loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            return bits(model.state_dict()), bits(optimiser.state_dict())

    assert run(True) == run(False)


def state_of(model: nn.Module) -> tuple[Any, ...]:
    """Everything of a model that a measurement could change."""
    parts, parameters = list(model.modules()), list(model.parameters())
    return (
        [part.training for part in parts],
        [[list(hooks) for key, hooks in sorted(vars(part).items()) if key.endswith("_hooks")] for part in parts],
        [(id(one), one.requires_grad, id(one.grad), bits(one.grad), one._version) for one in parameters],
        bits(model.state_dict()),
        [buffer._version for buffer in model.buffers()],
        {name: tensor.device for name, tensor in model.state_dict().items()},
    )


def globals_now() -> tuple[Any, ...]:
    """Everything global that a measurement could change."""
    numpy = np.random.get_state()  # noqa: NPY002
    return (
        bits(torch.random.get_rng_state()),
        (numpy[1].tobytes(), numpy[2:]),
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()),
        (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()),
        (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        torch.get_num_threads(),
    )


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("around", ["nothing", "no_grad", "autocast"])
def test_a_measurement_changes_nothing_also_where_it_fails(around: str, fails: bool) -> None:
    model, failing = trained(3)[0], False
    model.blocks[0].dense.weight.requires_grad_(False)
    model.blocks[2].register_forward_hook(lambda *_: None)

    def forward(module: nn.Module, batch: Tensor) -> None:
        assert not any(part.training for part in module.modules())
        assert not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        module(batch)
        if failing:
            raise ZeroDivisionError

    probe = gk.ReuseProbe(model, layers=("stem", *LAYERS), surrogate=surrogate(), forward=forward)
    contexts = {"nothing": torch.enable_grad(), "no_grad": torch.no_grad(), "autocast": torch.autocast("cpu")}
    switched = model.restless.switched
    with contexts[around]:
        before = state_of(model), globals_now()
        failing = fails
        if fails:
            with pytest.raises(ZeroDivisionError):
                probe.measure()
        else:
            probe.measure()
        assert (state_of(model), globals_now()) == before
    assert model.restless.switched == switched  # train() and eval() of the model's own do work
    assert model.training
    assert not model.blocks[1].norm.training


def test_the_generators_of_python_are_kept_too() -> None:
    # Shape checks draw from Python's own, so that a whole measurement would not show it here.
    before, drawn = random.getstate(), []
    for _ in range(2):
        with untouched(Net(), seed=3):
            drawn.append((random.random(), float(np.random.random()), float(torch.rand(()))))  # noqa: NPY002, S311
        assert random.getstate() == before
    assert drawn[0] == drawn[1]


def test_a_graph_that_waits_runs_backwards_and_gives_the_same_gradients() -> None:
    def gradients(watched: bool) -> Any:
        with seeded(4):
            model = Net()
            loss = model(torch.randn(8, 6)).square().sum()
            if watched:
                gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=ALL).measure()
            loss.backward()
            return bits([one.grad for one in model.parameters()])

    assert gradients(True) == gradients(False)


def test_a_model_that_keeps_what_it_makes_in_its_first_pass_can_be_trained() -> None:
    model = Net()
    gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate())
    assert model.restless.kept is not None
    assert not model.restless.kept.is_inference()
    step(model, torch.optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize("own", [False, True])
def test_weights_that_autocast_has_cast_keep_their_gradients(own: bool) -> None:
    def forward(module: nn.Module, batch: Tensor) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=own):
            module(batch)

    def gradient(watched: bool) -> Any:
        with seeded(4):
            model = Net()
            probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), forward=forward)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                if watched:
                    probe.measure()
                loss = model(torch.randn(8, 6)).float().square().sum()
            loss.backward()
            return bits([one.grad for one in model.parameters()])

    assert None not in gradient(True)
    assert gradient(True) == gradient(False)


def test_what_autocast_is_on_outside_does_not_matter_and_numbers_drawn_in_eval_mode_are_the_same() -> None:
    model = trained(2)[0]
    model.restless.noise = 3.0
    probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=gk.ReuseProbeOptions(measures=("all",)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = probe.measure(0)
    assert inside == probe.measure(0)
