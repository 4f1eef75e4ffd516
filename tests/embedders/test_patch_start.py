"""First values of patches from a source's patch convolution and positions, against what they are by definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import gapkit as gk
from gapkit.embedders import PatchOptions, learned_embedder
from gapkit.embedders.patch_modules import Cuts
from gapkit.embedders.patch_start import fitted_kernel
from gapkit.sources.embedding_part import embedding_part


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("shape", [(6, 3, 4, 4), (6, 1, 4, 4), (6, 5, 2, 7), (6, 2, 9), (6, 1, 4)])
def test_a_kernel_keeps_its_size_for_other_channels_and_patches(shape: tuple[int, ...]) -> None:
    own = draw(6, 3, 4, 4)
    fitted = fitted_kernel(own, torch.zeros(shape))
    assert fitted.shape == shape
    assert float(fitted.norm()) == pytest.approx(float(own.norm()), rel=1e-5)
    if shape == own.shape:
        torch.testing.assert_close(fitted, own)
    else:
        torch.testing.assert_close(fitted, fitted[:, :1].expand(shape))


def test_grey_patches_have_the_mean_over_the_colours() -> None:
    own = draw(6, 3, 4, 4)
    fitted = fitted_kernel(own, torch.zeros(6, 2, 4, 4))
    mean = own.sum(dim=1) / 3
    torch.testing.assert_close(fitted[:, 1] / fitted.norm(), mean / (mean.norm() * 2**0.5))


def test_a_series_gets_the_horizontal_profile_of_separable_filters() -> None:
    """Of u v^T it is |u| v where u has a positive sum."""
    vertical, horizontal = draw(6, 4, seed=1).abs() + 0.1, draw(6, 5, seed=2)
    own = vertical[:, None, :, None] * horizontal[:, None, None, :]
    fitted = fitted_kernel(own, torch.zeros(6, 1, 5))
    torch.testing.assert_close(fitted[:, 0], vertical.norm(dim=1, keepdim=True) * horizontal)


def test_positions_of_as_many_tokens_are_the_sources_own() -> None:
    source = gk.load_source("vit", device="cpu")
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(8, 64)), rng.normal(size=(8, 5, 16, 16))):
        samples = gk.Target(x, np.arange(8) % 2, sample_rate=10.0)
        embedder = learned_embedder(samples, embedding_part(source), PatchOptions(kind="patch"))
        assert torch.equal(dict(embedder.module.named_parameters())["position"], source.module.stem.position)


@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize(("length", "count"), [(10, 4), (3, 8), (1, 3), (12, 4), (100, 7)])
def test_cuts_against_a_loop(length: int, count: int, spread: bool) -> None:
    size = -(-length // count)
    x = draw(2, 3, length)
    expected = []
    for k in range(count):
        start = k * (length - size) // max(1, count - 1) if spread else k * size
        expected += [x[..., place] if place < length else torch.zeros(2, 3) for place in range(start, start + size)]
    if spread and size * count == length:
        expected = [x[..., place] for place in range(length)]
    given = Cuts(length=length, size=size, count=count, spread=spread).apply(x, 2)
    torch.testing.assert_close(given, torch.stack(expected, dim=-1))
    if spread:
        assert {float(value) for value in given.flatten()} == {float(value) for value in x.flatten()}
