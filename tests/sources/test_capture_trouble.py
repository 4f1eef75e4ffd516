"""Sources that refuse, give NaN, or run out of memory, and the precision that they run in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, generator, seeded_torch
from gapkit.errors import SourceError
from gapkit.sources.capture import CaptureOptions, extract
from gapkit.sources.source import Source
from gapkit.types import InputSpec, Target


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
    """What ``make`` says."""

    def __init__(self, make: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> object:
        return self.make(x)


def of(module: nn.Module) -> Source:
    """A headless source of inputs (5, 4)."""
    return Source.from_module(module, input=InputSpec(kind="array", shape=(5, 4)), head="", device="cpu")


def target(n: int = 11, shape: tuple[int, ...] = (5, 4)) -> Target:
    return Target(generator(1).normal(size=(n, *shape)).astype(np.float32), np.arange(n) % 3)


def test_source_that_does_not_take_the_input_is_named() -> None:
    with pytest.raises(SourceError, match=r"Linear does not run on what the embedder 'as-tensor' gives .*\(5, 4\)"):
        extract(of(nn.Linear(4, 2)), target(shape=(5, 7)), AsTensor())


def test_not_a_number_is_an_error_that_names_layer_and_sample() -> None:
    x = target().x.copy()
    x[7, 0, 0] = 1e38  # finite, but not a thousand times it
    module = nn.Sequential(Made(lambda t: t * 1000), nn.Flatten())
    with pytest.raises(SourceError, match="infinite features in fp32, first for sample 7; expected finite"):
        extract(of(module), Target(x, np.arange(11) % 3), AsTensor(), CaptureOptions(batch_size=4))


def test_rows_of_another_width_are_refused() -> None:
    module = nn.Sequential(Made(lambda t: t[:, : 2 if t[0, 0, 0] == 9 else 3]), nn.Flatten())
    x = target().x.copy()
    x[4, 0, 0] = 9
    with pytest.raises(SourceError, match="columns for the samples before 8"):
        extract(of(module), Target(x, np.arange(11) % 3), AsTensor(), CaptureOptions(batch_size=4))


def test_layer_that_does_not_run_in_every_batch_is_refused() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return (x if (x[:, 0, 0] == 9).any() else self.layer(x)).mean(1)[:, :2]

    x = target().x.copy()
    x[4, 0, 0] = 9
    with pytest.raises(SourceError, match=r"gives \{'features': 2, 'logits': 0\} columns for the samples before 8"):
        extract(of(Sometimes()), Target(x, np.arange(11) % 3), AsTensor(), CaptureOptions(layers=("*",), batch_size=4))


def test_precision_is_that_of_the_source_alone() -> None:
    seen: list[tuple[str, bool]] = []

    class Watching(AsTensor):
        def __call__(self, x: Array) -> Tensor:
            seen.append(("embedder", torch.is_autocast_enabled("cpu")))
            return super().__call__(x)

    module = nn.Sequential(nn.Linear(4, 2), Made(lambda t: (seen.append((str(t.dtype), True)), t)[1]), nn.Flatten())
    plain = of(module)
    seen.clear()
    source = Source(plain.adapter, device="cpu", precision="bf16")
    found = extract(source, target(), Watching(), CaptureOptions(layers=("0",)))
    assert set(seen) == {("embedder", False), ("torch.bfloat16", True)}
    assert found.features["0"].dtype == np.float32
    seen.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        extract(plain, target(), AsTensor())
    assert set(seen) == {("torch.float32", True)}


def test_automatic_batch_size_keeps_large_layers_below_a_bound() -> None:
    sizes: list[int] = []

    def widen(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return x[:, :1, :1].expand(-1, 2_000, 2_000)

    wide = nn.Sequential(Made(widen), Made(lambda t: t[:, 0, :3]))
    source = of(wide)
    sizes.clear()
    extract(source, target(70), AsTensor())
    assert sizes[0] == 2
    assert max(sizes) == 8  # 4 x 16 MB a sample, 512 MiB together
    source = of(nn.Sequential(Made(lambda t: (sizes.append(len(t)), t)[1]), nn.Flatten()))
    sizes.clear()
    extract(source, target(150), AsTensor())
    assert sizes == [2, 64, 64, 22]


def test_halved_batch_size_is_said_once_and_gives_the_features_of_that_size() -> None:
    class Hungry(nn.Linear):
        limit = 5

        def forward(self, input: Tensor) -> Tensor:
            if len(input) > self.limit:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(input)

    source = of(nn.Sequential(Hungry(4, 4), nn.Flatten()))
    found = extract(source, target(30), AsTensor(), CaptureOptions(batch_size=16))
    assert found.notes == ("memory ran out with 16 samples at once; it went on with 4",)
    plain = extract(source, target(30), AsTensor(), CaptureOptions(batch_size=4))
    assert plain.notes == ()
    assert plain.features["features"].tobytes() == found.features["features"].tobytes()
    Hungry.limit = 0
    with pytest.raises(SourceError, match="Sequential runs out of memory with a single sample"):
        extract(source, target(30), AsTensor())
