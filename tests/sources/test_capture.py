"""Features of layers and logits in one pass, against the same model run by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, generator, seeded_torch
from gapkit.errors import OptionError
from gapkit.sources.capture import CaptureOptions, extract
from gapkit.sources.source import Source
from gapkit.types import Activations, InputSpec, Target, TokenSpec

N_TOKENS, WIDTH = 5, 8


@pytest.fixture(autouse=True)
def _seeded(_global_generators_untouched: None) -> Iterator[None]:
    """The same weights every time."""
    with seeded_torch(0):
        yield


class Block(nn.Module):
    """A residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(WIDTH, WIDTH)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(WIDTH, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens + self.drop(torch.tanh(self.dense(tokens)))


class Tiny(nn.Module):
    """Tokens (B, 5, 4) to logits (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.norm = nn.BatchNorm1d(WIDTH)
        self.classify = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x)
        for block in self.blocks:
            tokens = block(tokens)
        return self.classify(self.norm(tokens.mean(1)))


@dataclass
class ModuleAdapter:
    """Any module that gives features (B, d), without tokens and head."""

    module: nn.Module
    name: str = "module"
    input: InputSpec = InputSpec(kind="array", shape=(N_TOKENS, 4))
    class_names: tuple[str, ...] | None = None
    surrogate: Target | None = None
    token: TokenSpec | None = None

    def embed(self, x: Tensor) -> Tensor:
        return x

    def encode(self, tokens: Tensor) -> Tensor:
        return self.module(tokens)

    def pool(self, hidden: Tensor) -> Tensor:
        return hidden

    def head(self, features: Tensor) -> Tensor:
        raise AssertionError("a headless source's head must not be called")


class TinyAdapter(ModuleAdapter):
    """The cut of ``Tiny``."""

    def embed(self, x: Tensor) -> Tensor:
        return self.module.get_submodule("stem")(x)

    def encode(self, tokens: Tensor) -> Tensor:
        for block in self.module.get_submodule("blocks").children():
            tokens = block(tokens)
        return tokens

    def pool(self, hidden: Tensor) -> Tensor:
        return self.module.get_submodule("norm")(hidden.mean(1))

    def head(self, features: Tensor) -> Tensor:
        return self.module.get_submodule("classify")(features)


@dataclass(frozen=True)
class AsTensor:
    """An embedder that hands the samples on."""

    name: str = "as-tensor"
    description: str = "as they are"
    space: Literal["input", "tokens"] = "input"

    def __call__(self, x: Array) -> Tensor:
        return torch.from_numpy(np.array(x, np.float32))


def tiny() -> Source:
    adapter = TinyAdapter(Tiny(), name="tiny", class_names=("a", "b", "c"), token=TokenSpec(dim=WIDTH))
    return Source(adapter, device="cpu")


def of(module: nn.Module, **fields: Any) -> Source:
    return Source(ModuleAdapter(module, **fields), device="cpu")


def target(n: int = 11, shape: tuple[int, ...] = (N_TOKENS, 4)) -> Target:
    return Target(generator(1).normal(size=(n, *shape)).astype(np.float32), np.arange(n) % 3)


def by_hand(source: Source, data: Target, reduce: Callable[[Tensor], Tensor]) -> dict[str, Array]:
    """Features of the blocks, features and logits, one sample at a time and without hooks."""
    module, rows = source.module, []
    assert isinstance(module, Tiny)
    with torch.no_grad():
        for sample in torch.from_numpy(data.x):
            tokens, row = module.stem(sample[None]), {}
            for index, block in enumerate(module.blocks):
                tokens = block(tokens)
                row[f"blocks.{index}"] = reduce(tokens[0])
            row["features"] = module.norm(tokens.mean(1))[0]
            row["logits"] = module(sample[None])[0]
            rows.append(row)
    return {name: torch.stack([row[name] for row in rows]).numpy() for name in rows[0]}


REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda tokens: tokens.mean(0),
    "cls": lambda tokens: tokens[0].clone(),
    "tokens": lambda tokens: tokens.flatten(),
}


@pytest.mark.parametrize("pooling", ["mean", "cls", "tokens"])
def test_layers_features_and_logits_equal_those_of_single_samples(pooling: Literal["mean", "cls", "tokens"]) -> None:
    source, data = tiny(), target()
    options = CaptureOptions(layers=("blocks.*",), pooling=pooling, batch_size=4)
    found, expected = extract(source, data, AsTensor(), options), by_hand(source, data, REDUCTIONS[pooling])
    logits = expected.pop("logits")
    assert list(found.features) == list(expected) == ["blocks.0", "blocks.1", "blocks.2", "features"]
    for name, rows in expected.items():
        assert found.features[name].dtype == np.float32
        np.testing.assert_allclose(found.features[name], rows, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-5, atol=1e-6)
    assert found.target is data
    assert (found.source, found.embedder, found.source_classes) == ("tiny", "as they are", ("a", "b", "c"))
    assert found.notes == ()


def test_tokens_go_straight_to_the_encoder() -> None:
    source, data = tiny(), target()
    with torch.no_grad():
        tokens = Target(source.adapter.embed(torch.from_numpy(data.x)).numpy(), data.y)
    through, straight = extract(source, data, AsTensor()), extract(source, tokens, AsTensor(space="tokens"))
    np.testing.assert_array_equal(through.logits, straight.logits)
    with pytest.raises(OptionError, match=r"'stem' gives no tensor.*layers that run after the embedder"):
        extract(source, tokens, AsTensor(space="tokens"), CaptureOptions(layers=("stem",)))


def test_headless_source_has_logits_without_columns() -> None:
    found = extract(of(nn.Flatten()), target(), AsTensor())
    assert found.logits.shape == (11, 0)
    assert (found.source_classes, found.head) == ((), "none")


def test_batch_size_changes_rounding_only_and_runs_repeat_bit_for_bit() -> None:
    source, data = tiny(), target(23)

    def run(size: int | None) -> Activations:
        return extract(source, data, AsTensor(), CaptureOptions(layers=("blocks.*",), batch_size=size))

    first = run(None)
    for size in (1, 3, 22, 23, 100):
        for name, rows in run(size).features.items():
            np.testing.assert_allclose(rows, first.features[name], rtol=1e-5, atol=1e-6)
    for size in (5, None):
        once, again = run(size), run(size)
        for name in once.features:
            assert once.features[name].tobytes() == again.features[name].tobytes()


def test_arrays_are_read_only_and_progress_ends_with_all_samples() -> None:
    seen: list[tuple[str, int, int]] = []
    found = extract(
        tiny(), target(), AsTensor(), CaptureOptions(batch_size=4), lambda task, done, n: seen.append((task, done, n))
    )
    assert seen == [("features", 4, 11), ("features", 8, 11), ("features", 11, 11)]
    for array in (*found.features.values(), found.logits):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_layers_of_a_glob_that_never_run_are_left_out() -> None:
    found = extract(tiny(), target(), AsTensor(), CaptureOptions(layers=("blocks.0.**",)))
    assert list(found.features) == ["blocks.0.dense", "blocks.0.drop", "features"]


def test_features_are_what_the_head_was_given_even_if_it_works_in_place() -> None:
    @dataclass
    class InPlace(ModuleAdapter):
        class_names: tuple[str, ...] | None = ("a", "b")

        def head(self, features: Tensor) -> Tensor:
            return features.zero_()[:, :2]

    data = target()
    found = extract(Source(InPlace(nn.Flatten()), device="cpu"), data, AsTensor())
    np.testing.assert_array_equal(found.features["features"], data.x.reshape(11, -1))


def state_of(module: nn.Module) -> tuple[Any, ...]:
    """Everything of a module that a capture could change."""
    return (
        [part.training for part in module.modules()],
        [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()],
        [(parameter.requires_grad, parameter.grad) for parameter in module.parameters()],
        {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()},
    )


@pytest.mark.parametrize("where", ["nowhere", "embedder", "encode", "head", "progress"])
def test_module_is_as_it_was_also_after_an_exception(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny()
    source.module.train()
    source.module.get_submodule("blocks.1").eval()
    source.module.get_submodule("blocks.0.dense").weight.requires_grad_(False)
    before, calls = state_of(source.module), 0

    def third_time(*_: Any, **__: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ZeroDivisionError

    def spoilt(method: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *given: (third_time(), method(*given))[1]

    for owner, name in ((AsTensor, "__call__"), (TinyAdapter, "encode"), (TinyAdapter, "head")):
        if where == {"__call__": "embedder"}.get(name, name):
            monkeypatch.setattr(owner, name, spoilt(getattr(owner, name)))
    progress = third_time if where == "progress" else lambda *_: None

    def run() -> Activations:
        return extract(
            source, target(), AsTensor(), CaptureOptions(layers=("**.dense", "norm"), batch_size=3), progress
        )

    if where == "nowhere":
        np.testing.assert_array_equal(run().logits, run().logits)  # dropout is off
    else:
        with pytest.raises(ZeroDivisionError):
            run()
    assert state_of(source.module) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layers": ("blocks.O",)}, r"layer 'blocks.O'.*did you mean 'blocks.\d'"),
        ({"layers": "norm"}, r"expected a tuple of names; use layers=\('norm',\)"),
        ({"layers": ("blocks.0.unused",)}, "'blocks.0.unused' gives no tensor in the forward pass of tiny"),
        ({"pooling": "max"}, "pooling='max'; expected 'mean', 'cls' or 'tokens'"),
        ({"batch_size": 0}, "batch size 0; expected at least 1"),
    ],
)
def test_mistaken_options_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        extract(tiny(), target(), AsTensor(), CaptureOptions(**options))
