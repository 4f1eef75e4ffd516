"""Any module as a source."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.errors import SourceError

GREY = gk.InputSpec(kind="image", shape=(1, 8, 8))


class SmallCnn(nn.Module):
    """Two linear maps behind a convolution; the first is not the head."""

    def __init__(self, *, soft: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.hidden = nn.Linear(16, 6)
        self.logits = nn.Linear(6, 5)
        self.soft = soft

    def forward(self, x: Tensor) -> Tensor:
        logits = self.logits(torch.relu(self.hidden(self.body(x).flatten(1))))
        return logits.softmax(dim=1) if self.soft else logits


def make(**options: bool) -> SmallCnn:
    with seeded_torch(1):
        return SmallCnn(**options)


def images(n: int = 4) -> Tensor:
    return torch.from_numpy(np.random.default_rng(2).normal(size=(n, 1, 8, 8)).astype(np.float32))


@torch.inference_mode()
def test_the_head_is_found_and_its_input_is_the_feature() -> None:
    module = make()
    names = [name for name, _ in module.named_modules()]
    source = gk.Source.from_module(module, input=GREY, device="cpu")
    adapter, x = source.adapter, images()
    assert source.class_names == tuple(f"class {k}" for k in range(5))
    assert source.token is None
    features = adapter.pool(adapter.encode(adapter.embed(x)))
    assert torch.equal(features, torch.relu(module.hidden(module.body(x).flatten(1))))
    assert torch.equal(adapter.head(features), module(x))
    assert source.module is module
    assert [name for name, _ in module.named_modules()] == names
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in module.modules())
    assert source.layers() == tuple(name for name in names if name)


@torch.inference_mode()
def test_a_named_head_under_a_softmax_gives_logits() -> None:
    module = make(soft=True)
    source = gk.Source.from_module(module, input=GREY, head="logits", class_names=list("abcde"), device="cpu")
    x = images()
    logits = source.adapter.head(source.adapter.encode(x))
    assert source.class_names == ("a", "b", "c", "d", "e")
    torch.testing.assert_close(logits.softmax(dim=1), module(x))


@torch.inference_mode()
@pytest.mark.parametrize("options", [{"head": ""}, {}])
def test_without_a_head_the_output_is_the_feature(options: dict[str, str]) -> None:
    module = make(soft=not options)
    source = gk.Source.from_module(module, input=GREY, device="cpu", **options)
    x = images()
    assert source.class_names is None
    assert torch.equal(source.adapter.pool(source.adapter.encode(x)), module(x))
    with pytest.raises(SourceError, match="no classification head"):
        source.adapter.head(module(x))


@torch.inference_mode()
def test_tokens_and_maps_of_a_headless_module_are_averaged() -> None:
    with seeded_torch(1):
        module = nn.Conv2d(1, 4, 3)
    source = gk.Source.from_module(module, input=GREY, device="cpu")
    x = images()
    assert torch.equal(source.adapter.pool(source.adapter.encode(x)), module(x).mean(dim=(2, 3)))
    wide = gk.Source.from_module(nn.Identity(), input=gk.InputSpec(kind="array", shape=(7, 3)), device="cpu")
    y = torch.arange(42.0).reshape(2, 7, 3)
    assert torch.equal(wide.adapter.pool(wide.adapter.encode(y)), y.mean(dim=1))


def test_containers_that_are_never_called_are_no_layers() -> None:
    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 2))])

        def forward(self, x: Tensor) -> Tensor:
            for part in self.parts:
                x = part(x)
            return x

    with seeded_torch(1):
        module = Stack()
    source = gk.Source.from_module(module, input=gk.InputSpec(kind="array", shape=(3,)), device="cpu")
    assert source.layers() == ("parts.0", "parts.1", "parts.1.0")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input": gk.InputSpec(kind="image", shape=(3, 8, 8))}, r"does not run on a batch of shape \(2, 3, 8, 8\)"),
        ({"input": GREY, "head": "logit"}, "no linear layer 'logit'.*did you mean 'logits'"),
        ({"input": GREY, "class_names": ["a"]}, "1 class names for SmallCnn, whose head has 5 outputs"),
    ],
)
def test_what_does_not_fit_is_said(options: dict[str, object], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        gk.Source.from_module(make(), device="cpu", **options)
