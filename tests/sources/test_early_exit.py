"""Captures that end with the last wanted layer, against whole passes over the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, generator, seeded_torch
from gapkit.errors import OptionError, SourceError
from gapkit.sources.cache import FeatureCache
from gapkit.sources.capture import CaptureOptions, extract
from gapkit.sources.early_exit import ending_early
from gapkit.sources.source import Source
from gapkit.types import Activations, InputSpec, Target

N, BATCH = 11, 4
PASSES = 1 + 3  # the first one, over two samples, is whole


@pytest.fixture(autouse=True)
def _seeded(_global_generators_untouched: None) -> Iterator[None]:
    """The same weights every time."""
    with seeded_torch(0):
        yield


class AsTensor:
    """An embedder that hands the samples on."""

    name = "as-tensor"
    description = "as they are"
    space: Literal["input", "tokens"] = "input"

    def __call__(self, x: Array) -> Tensor:
        return torch.from_numpy(np.array(x, np.float32))


class Made(nn.Module):
    """What a function says, and how often it was asked."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.make, self.calls = make, 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return self.make(x)


def identity() -> Made:
    return Made(lambda x: x)


def source_of(module: nn.Module, shape: tuple[int, ...] = (5, 4)) -> Source:
    """A headless source."""
    source = Source.from_module(module, input=InputSpec(kind="array", shape=shape), head="", device="cpu")
    for part in module.modules():
        if isinstance(part, Made):
            part.calls = 0
    return source


def target(shape: tuple[int, ...] = (5, 4)) -> Target:
    return Target(generator(1).normal(size=(N, *shape)).astype(np.float32), np.arange(N) % 3)


def run(source: Source, data: Target, *layers: str, outputs: bool = False, **options: Any) -> Activations:
    given = CaptureOptions(layers=layers, batch_size=BATCH, outputs=outputs, **options)
    return extract(source, data, AsTensor(), given)


def check_same_bits(source: Source, data: Target, *layers: str) -> None:
    """The layers alone have the bits that they have in whole passes."""
    whole, early = run(source, data, *layers, outputs=True), run(source, data, *layers)
    assert list(early.features) == [name for name in whole.features if name != "features"] != []
    for name, rows in early.features.items():
        assert rows.dtype == np.float32
        assert rows.tobytes() == whole.features[name].tobytes()


def chain() -> nn.Sequential:
    """Two blocks, each followed by a counter, then an end."""
    return nn.Sequential(nn.Linear(4, 6), identity(), nn.Linear(6, 3), identity(), nn.Flatten())


def calls(module: nn.Module) -> list[int]:
    return [part.calls for part in module.modules() if isinstance(part, Made)]


@pytest.mark.parametrize(
    ("layers", "expected"), [(("0",), [1, 1]), (("0", "1"), [PASSES, 1]), (("*",), [PASSES, PASSES])]
)
def test_what_comes_after_the_last_wanted_layer_runs_in_the_first_pass_only(
    layers: tuple[str, ...], expected: list[int]
) -> None:
    source = source_of(chain())
    run(source, target(), *layers)
    assert calls(source.module) == expected


def test_only_the_layers_are_kept() -> None:
    source, data = source_of(chain()), target()
    check_same_bits(source, data, "0", "2")
    found = run(source, data, "2", "0")
    assert list(found.features) == ["0", "2"]
    assert (found.logits.shape, found.source_classes, found.head) == ((N, 0), (), "none")
    with torch.no_grad():
        expected = source.module[0](torch.from_numpy(data.x)).mean(1)
    np.testing.assert_allclose(found.features["0"], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="read-only"):
        found.features["0"][0] = 0
    assert not found.logits.flags.writeable


def test_a_head_that_is_not_reached_does_not_run() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(20, 6), identity(), nn.Linear(6, 3))
    source = Source.from_module(module, input=InputSpec(kind="array", shape=(5, 4)), device="cpu")
    assert source.n_classes == 3
    check_same_bits(source, target(), "1")
    module[2].calls = 0
    assert (run(source, target(), "1").source_classes, calls(module)) == ((), [1])


class Several(nn.Module):
    """Calls ``layer`` as often as ``times`` says for a batch, then what overwrites its output, then ``end``."""

    def __init__(self, times: Callable[[Tensor], int]) -> None:
        super().__init__()
        self.layer, self.other, self.end = nn.Linear(4, 4), nn.Linear(4, 4), identity()
        self.same = self.layer
        self.times = times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times(x)):
            x = torch.tanh(self.layer(x))
        return self.end(self.other(self.layer(x).mul_(0.5).add_(1))).flatten(1)


@pytest.mark.parametrize("layers", [("layer",), ("same",), ("layer", "same"), ("layer", "other"), ("*",)])
def test_the_last_of_several_calls_counts_whatever_overwrites_it(layers: tuple[str, ...]) -> None:
    source = source_of(Several(lambda _: 2))
    check_same_bits(source, target(), *layers)
    source.module.end.calls = 0
    run(source, target(), *layers)
    assert calls(source.module) == [PASSES if layers == ("*",) else 1]
    with torch.no_grad():
        x = torch.from_numpy(target().x)
        for _ in range(2):
            x = torch.tanh(source.module.layer(x))
        expected = source.module.layer(x).mean(1)
    for name in {"layer", "same"} & {*layers}:
        np.testing.assert_allclose(run(source, target(), *layers).features[name], expected, rtol=1e-4, atol=1e-6)


def test_a_pass_with_fewer_calls_than_the_first_goes_on_to_its_end() -> None:
    data = target()
    data.x[BATCH : 2 * BATCH] += 9  # the second batch
    source = source_of(Several(lambda x: 1 if x.mean() > 5 else 2))
    check_same_bits(source, data, "layer", "same")
    source.module.end.calls = 0
    run(source, data, "layer")
    assert source.module.end.calls == 2  # the first pass, and the one with fewer calls


def test_layers_inside_of_one_another_are_waited_for() -> None:
    inner = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 2))
    source = source_of(nn.Sequential(inner, identity(), nn.Flatten()))
    check_same_bits(source, target(), "0", "0.*")
    check_same_bits(source, target(), "0.0")
    assert run(source, target(), "0.0").features["0.0"].min() < 0  # not what ReLU has made of it
    source.module[1].calls = 0
    run(source, target(), "0", "0.*")
    assert calls(source.module) == [1]


def model_output(x: Tensor) -> object:
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    return BaseModelOutputWithPooling(pooler_output=x[:, 0], last_hidden_state=x)


def first(output: Any) -> Tensor:
    """The tensor that the next layer reads."""
    if isinstance(output, Tensor):
        return output
    return output["last_hidden_state"] if isinstance(output, dict) else output[1]


KINDS: dict[str, Callable[[Tensor], object]] = {
    "tuple": lambda x: (None, x * 2),
    "dict": lambda x: {"other": -x, "last_hidden_state": x * 2},
    "model output": model_output,
    "(B, D)": lambda x: x.flatten(1),
    "(B, N, D)": lambda x: x * 2,
    "(B, C, H, W)": lambda x: x.reshape(len(x), 5, 2, 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_output_is_the_same(kind: str) -> None:
    module = nn.Sequential(nn.Linear(4, 4), Made(KINDS[kind]), Made(first), nn.Flatten())
    check_same_bits(source_of(module), target(), "1")
    check_same_bits(source_of(module), target(), "0", "1")


def test_windowed_transformer_of_timm_has_the_same_grids() -> None:
    import timm

    sizes: dict[str, Any] = {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2)}
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, **sizes)
    source = source_of(swin, (3, 32, 32))
    check_same_bits(source, target((3, 32, 32)), "patch_embed", "layers.0")


def state_of(module: nn.Module) -> tuple[Any, ...]:
    """Everything of a module that a capture could change."""
    return (
        [part.training for part in module.modules()],
        [list(part._forward_hooks) + list(part._forward_pre_hooks) for part in module.modules()],
        [(parameter.requires_grad, parameter.grad) for parameter in module.parameters()],
        {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()},
    )


class Outer(nn.Module):
    """A stem and blocks, of which the last fails when asked."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(5)
        self.blocks = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)), identity(), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.norm(self.stem(x)))


@pytest.mark.parametrize("fails_at", [None, 1, 2, 3])
def test_module_and_grad_mode_are_as_they_were_also_after_an_exception(fails_at: int | None) -> None:
    source = source_of(Outer())
    source.module.train()
    source.module.norm.eval()
    source.module.stem.weight.requires_grad_(False)
    source.module.blocks.register_forward_hook(lambda *_: None)
    before = state_of(source.module)
    source.module.blocks[1].make = lambda x: x if source.module.blocks[1].calls != fails_at else 1 / 0
    layers = ("stem", "blocks.0", "blocks.1")
    if fails_at is None:
        run(source, target(), *layers)
    else:
        with pytest.raises(ZeroDivisionError):
            run(source, target(), *layers)
    assert state_of(source.module) == before
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_hooks_of_the_user_see_what_runs_and_those_that_are_always_called_too() -> None:
    source, seen = source_of(Outer()), []
    blocks, block = source.module.blocks, source.module.blocks[0]
    block.register_forward_pre_hook(lambda *_: seen.append("before"))
    block.register_forward_hook(lambda _, __, output: (seen.append("after"), output + 1)[1])
    blocks.register_forward_hook(lambda *_: seen.append("around"), always_call=True)
    blocks[1].register_forward_hook(lambda *_: seen.append("later"))
    check_same_bits(source, target(), "blocks.0")
    seen.clear()
    run(source, target(), "blocks.0")
    assert seen[:4] == ["before", "after", "later", "around"]
    assert seen[4:] == ["before", "after", "around"] * 3


@pytest.mark.parametrize("then", ["swallow", "wrap"])
def test_a_module_around_that_catches_everything_changes_nothing(then: str) -> None:
    class Catching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.end = nn.Linear(4, 4), identity()

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.end(self.layer(x)).flatten(1)
            except Exception as error:
                if then == "wrap":
                    raise RuntimeError("something went wrong") from error
                return self.layer(x * 0).flatten(1)

    whole = run(source_of(module := Catching()), target(), "layer", outputs=True)
    module.end.calls = 0
    found = run(source_of(module), target(), "layer")
    assert module.end.calls == 1
    assert found.features["layer"].tobytes() == whole.features["layer"].tobytes()


def test_an_error_before_the_last_layer_is_told() -> None:
    module = nn.Sequential(nn.Linear(4, 2), Made(lambda x: x * 1e38 * 1e38), nn.Linear(2, 2), nn.Flatten())
    with pytest.raises(SourceError, match="NaN or infinite 2 in fp32"):
        run(source_of(module), target(), "2")
    with pytest.raises(SourceError, match="does not run on what the embedder"):
        run(source_of(nn.Sequential(nn.Linear(4, 2), nn.Flatten())), target((5, 7)), "0")


def test_a_first_pass_that_runs_out_of_memory_is_not_counted() -> None:
    sizes: list[int] = []

    def fit(x: Tensor) -> Tensor:
        sizes.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError
        return x

    made = Made(lambda x: x)
    source = source_of(nn.Sequential(nn.Linear(4, 4), made, nn.Linear(4, 4), identity(), nn.Flatten()))
    made.make = fit
    found = run(source, target(), "0", "2")
    assert sizes[:3] == [2, 1, 4]  # two samples, one of them, the first batch
    assert list(found.features) == ["0", "2"]
    assert source.module[3].calls == 1


def test_the_cache_keeps_both_apart_and_an_interrupted_capture_goes_on(tmp_path: Path) -> None:
    cache, data = FeatureCache(tmp_path / "cache", checkpoint_seconds=0), target()
    source = source_of(chain())
    whole = run(source, data, "0", outputs=True, cache=cache)
    early = run(source, data, "0", cache=cache)
    assert (list(whole.features), list(early.features)) == (["0", "features"], ["0"])
    assert early.features["0"].tobytes() == whole.features["0"].tobytes()
    assert sorted(entry.layers for entry in cache.list()) == [("0",), ("0", "features", "logits")]
    before = calls(source.module)
    assert list(run(source, data, "0", cache=cache).features) == ["0"]
    assert calls(source.module) == before

    def stop(_: str, done: int, __: int) -> None:
        if done == BATCH:
            raise KeyboardInterrupt

    options = CaptureOptions(layers=("2",), batch_size=BATCH, outputs=False, cache=cache)
    with pytest.raises(KeyboardInterrupt):
        extract(source, data, AsTensor(), options, stop)
    seen: list[int] = []
    again = extract(source, data, AsTensor(), options, lambda _, done, __: seen.append(done))
    assert seen == [2 * BATCH, N]
    assert again.features["2"].tobytes() == run(source, data, "2").features["2"].tobytes()


def test_without_layers_there_is_nothing_to_keep() -> None:
    with pytest.raises(OptionError, match=r"outputs=False and no layers; expected at least one layer"):
        CaptureOptions(outputs=False)
    made = Made(lambda x: x.flatten(1))
    made.unused = nn.Linear(2, 2)
    with pytest.raises(OptionError, match=r"no layer of '\*' gives a tensor in the forward pass of Made"):
        run(source_of(made), target(), "*")


def test_a_pass_of_any_module_ends_early() -> None:
    module = chain()
    with ending_early({"0": module[0]}) as run_pass:
        for _ in range(3):
            run_pass(lambda: module(torch.zeros(2, 5, 4)))
        assert calls(module) == [1, 1]
        module(torch.zeros(2, 5, 4))  # a pass of its own
    assert calls(module) == [2, 2]
