"""Layers by name, their outputs as rows, and hooks that go, against values computed without hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, generator, seeded_torch
from gapkit.errors import OptionError
from gapkit.sources.hooks import Pooling, capturing, select_layers


@pytest.fixture(autouse=True)
def _seeded(_global_generators_untouched: None) -> Iterator[None]:
    """The same weights every time."""
    with seeded_torch(0):
        yield


class Made(nn.Module):
    """What a function says."""

    def __init__(self, make: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> object:
        return self.make(x)


def samples(*shape: int) -> Tensor:
    return torch.from_numpy(generator(1).normal(size=shape).astype(np.float32))


def captured(layer: nn.Module, x: Tensor, *, pooling: Pooling = "mean", grid: bool = False) -> Array:
    """The rows that the hook of one layer leaves."""
    with torch.no_grad(), capturing({"layer": layer}, pooling=pooling, grid=grid) as found:
        layer(x)
    assert found["layer"].dtype == torch.float32
    return found["layer"].numpy()


def model_output(x: Tensor) -> object:
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    return BaseModelOutputWithPooling(pooler_output=x[:, 0], last_hidden_state=x)


KINDS: dict[str, tuple[Callable[[Tensor], object], Callable[[Tensor], Tensor]]] = {
    "tensor": (lambda x: x, lambda x: x.mean(1)),
    "tuple": (lambda x: (None, x, -x), lambda x: x.mean(1)),
    "nested list": (lambda x: [(x,), -x], lambda x: x.mean(1)),
    "dict": (lambda x: {"other": -x, "last_hidden_state": x}, lambda x: x.mean(1)),
    "dict without the name": (lambda x: {"first": x, "other": -x}, lambda x: x.mean(1)),
    "model output": (model_output, lambda x: x.mean(1)),
    "row": (lambda x: x[:, 0], lambda x: x[:, 0]),
    "number": (lambda x: x[:, 0, 0], lambda x: x[:, 0, :1]),
    "double": (lambda x: x.double(), lambda x: x.mean(1)),
    "video": (lambda x: x.reshape(6, 5, 2, 2, 1), lambda x: x.mean(2)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_output_becomes_one_row(kind: str) -> None:
    make, expected = KINDS[kind]
    x = samples(6, 5, 4)
    np.testing.assert_allclose(captured(Made(make), x), expected(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("output", ["text", None, (), {"loss": 1.0}])
def test_output_without_a_tensor_leaves_nothing(output: object) -> None:
    layer = Made(lambda _: output)
    with capturing({"layer": layer}, pooling="mean", grid=False) as found:
        layer(samples(2, 3))
    assert found == {}


def convolutions() -> nn.Module:
    return nn.Sequential(nn.Conv1d(3, 6, 3), nn.BatchNorm1d(6), nn.ReLU())


@pytest.mark.parametrize(
    ("make", "shape", "grid", "axes"),
    [
        (lambda: nn.Conv2d(3, 6, 3), (3, 7, 7), False, (2, 3)),
        (lambda: nn.Conv2d(3, 6, 3), (3, 7, 7), True, (2, 3)),
        (lambda: nn.Conv1d(3, 6, 3), (3, 9), False, (2,)),
        (convolutions, (3, 9), False, (2,)),
        (lambda: nn.Linear(3, 6), (7, 3), False, (1,)),
        (lambda: nn.Linear(3, 6), (5, 7, 3), False, (1, 2)),
        (nn.Identity, (5, 7, 6), False, (2, 3)),
        (nn.Identity, (5, 7, 6), True, (1, 2)),
        (nn.Identity, (5, 7), False, (1,)),
        (lambda: nn.Conv2d(3, 6, 1), (3, 6, 6), False, (2, 3)),
        (lambda: nn.Linear(3, 6), (6, 6, 3), True, (1, 2)),
    ],
)
def test_channels_are_found_by_their_number_and_else_by_the_layout(
    make: Callable[[], nn.Module], shape: tuple[int, ...], grid: bool, axes: tuple[int, ...]
) -> None:
    layer, x = make().eval(), samples(4, *shape)
    with torch.no_grad():
        expected = layer(x).numpy().mean(axis=axes)
    np.testing.assert_allclose(captured(layer, x, grid=grid), expected, rtol=1e-4, atol=1e-6)


def test_windowed_transformer_of_timm_is_averaged_over_its_grid() -> None:
    import timm

    sizes: dict[str, Any] = {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2)}
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, **sizes).eval()
    layers = select_layers(swin, ("patch_embed", "patch_embed.proj", "layers.*"))
    x = samples(3, 3, 32, 32)
    with torch.no_grad(), capturing(layers, pooling="mean", grid=True) as found:
        swin(x)
        grid = swin.patch_embed(x)
    assert {name: rows.shape[1] for name, rows in found.items()} == {
        "patch_embed": 12,
        "patch_embed.proj": 12,
        "layers.0": 12,
        "layers.1": 24,
    }
    np.testing.assert_allclose(found["patch_embed"], grid.mean((1, 2)), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 4)])
def test_class_token_of_what_has_no_tokens_is_refused(shape: tuple[int, ...]) -> None:
    layer = nn.Conv2d(1, 2, 1) if len(shape) == 3 else nn.Conv1d(3, 2, 1)
    with pytest.raises(OptionError, match="no class token"):
        captured(layer, samples(4, *shape), pooling="cls")


class Twice(nn.Module):
    """Runs one layer twice and overwrites what it gave."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(4, 4)
        self.same = self.dense

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.dense(x)).zero_()


POOLED: dict[Pooling, Callable[[Tensor], Tensor]] = {
    "mean": lambda tokens: tokens.mean(1),
    "cls": lambda tokens: tokens[:, 0],
    "tokens": lambda tokens: tokens.flatten(1),
}


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("shape", [(4,), (5, 4)])
def test_last_call_counts_and_what_follows_in_place_changes_nothing(shape: tuple[int, ...], pooling: Pooling) -> None:
    module, x = Twice(), samples(6, *shape)
    with torch.no_grad(), capturing(select_layers(module, ("*",)), pooling=pooling, grid=False) as found:
        assert not module(x).any()
    with torch.no_grad():
        twice = module.dense(module.dense(x))
    expected = twice if len(shape) == 1 else POOLED[pooling](twice)
    assert list(found) == ["dense", "same"]
    np.testing.assert_allclose(found["dense"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found["same"], found["dense"])


def nested() -> nn.Module:
    """Layers stem, blocks.0, blocks.0.0, blocks.0.1, blocks.1, blocks.1.0, norm."""
    blocks = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Sequential(nn.Linear(2, 2))])
    return nn.Sequential().append(nn.ModuleDict({"stem": nn.Linear(1, 2), "blocks": blocks, "norm": nn.Identity()}))[0]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("blocks.*",), ["blocks.0", "blocks.1"]),
        (("blocks.**",), ["blocks.0", "blocks.0.0", "blocks.0.1", "blocks.1", "blocks.1.0"]),
        (("blocks.?.0",), ["blocks.0.0", "blocks.1.0"]),
        (("norm", "blocks.[1-9]", "stem", "norm"), ["stem", "blocks.1", "norm"]),
        (("*",), ["stem", "norm"]),
        ((), []),
    ],
)
def test_patterns_choose_layers_in_the_order_of_the_module(patterns: tuple[str, ...], expected: list[str]) -> None:
    module = nested()
    layers = select_layers(module, patterns)
    assert list(layers) == expected
    assert all(module.get_submodule(name) is layer for name, layer in layers.items())


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        (("blocks.O",), r"layer 'blocks.O'; .*did you mean 'blocks.\d'"),
        (("blocks.*", "block.*"), r"layer 'block.\*'; .*did you mean 'blocks"),
        (("blocks",), r"layer 'blocks'; .*did you mean 'blocks.\d'"),
        (("qqqqqq",), "layer 'qqqqqq'; .*look below 'stem', 'norm'"),
        (("",), "layer ''; "),
    ],
)
def test_unknown_layers_are_named_with_the_nearest_ones(patterns: tuple[str, ...], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        select_layers(nested(), patterns)


@pytest.mark.parametrize("name", ["features", "logits"])
def test_layer_called_like_the_heads_input_or_output_is_refused(name: str) -> None:
    module = nn.Sequential()
    module.add_module(name, nn.Sequential(nn.Linear(4, 2)))
    with pytest.raises(OptionError, match=rf"ask for the layers in it, '{name}\.\*'"):
        select_layers(module, ("*",))
    assert list(select_layers(module, (f"{name}.*",))) == [f"{name}.0"]


def test_hooks_go_after_an_exception_and_other_hooks_stay() -> None:
    module = nested()
    module.get_submodule("norm").register_forward_hook(lambda *_: None)

    def n_hooks() -> int:
        return sum(len(layer._forward_hooks) for layer in module.modules())

    def fail() -> None:
        with capturing(select_layers(module, ("**",)), pooling="mean", grid=False):
            assert n_hooks() == 8
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert n_hooks() == 1
