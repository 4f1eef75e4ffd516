"""First values of patches from a source's patch convolution and positions, against what they are by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import gapkit as gk
from gapkit.embedders import PatchOptions, choose, fit, learned_embedder
from gapkit.embedders.patch_modules import Cuts
from gapkit.embedders.patch_start import LOOKED_AT, PLACE_SHARE, fitted_kernel
from gapkit.embedders.training import train_sample
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


def learned(source: gk.Source, x: np.ndarray, **options: Any) -> torch.nn.Module:
    """A learned embedder's module for made samples."""
    rate = 10.0 if x.ndim > 2 or x.shape[1] > 60 else None  # short rows are tables
    samples = gk.Target(x, np.arange(len(x)) % 2, sample_rate=rate)
    return learned_embedder(samples, embedding_part(source), PatchOptions(**options)).module


def test_positions_from_a_source_that_tells_places_by_padding_get_half_of_the_variance() -> None:
    """They are the source's own, whose variance is 0.1 % of its tokens', times one number."""
    source = gk.load_source("vit", device="cpu")
    own = source.module.stem.position
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(8, 64)), rng.normal(size=(8, 5, 16, 16))):
        module = learned(source, x, kind="patch", tokens=64)
        ratio = module.position / own
        torch.testing.assert_close(ratio, ratio[:, :1, :1].expand_as(ratio), rtol=1e-4, atol=0)
        with torch.no_grad():
            tokens = source.adapter.embed(torch.from_numpy(surrogate_inputs(source)))
        assert float(module.position.detach().var() / tokens.var()) == pytest.approx(PLACE_SHARE, rel=0.02)


def surrogate_inputs(source: gk.Source) -> np.ndarray:
    """Surrogate samples as the source takes them."""
    embedder = fit(choose(source.surrogate, source.input, source.token), source.surrogate, source.input, source.token)
    return embedder(train_sample(source.surrogate, limit=LOOKED_AT)).numpy()


def test_random_positions_of_patches_have_half_of_the_variance() -> None:
    source = gk.load_source("vit", device="cpu")
    module = learned(source, np.random.default_rng(0).normal(size=(8, 64)), kind="patch", init="random")
    assert float(module.position.detach().std()) == pytest.approx(1.0, rel=0.02)
    assert float(module.gain) == 1.0


@pytest.mark.parametrize("shape", [(12,), (3, 40)])
def test_weights_that_are_drawn_keep_their_size_and_a_fixed_gain_makes_the_tokens_as_large(
    shape: tuple[int, ...],
) -> None:
    source = gk.load_source("vit", device="cpu")
    x = np.random.default_rng(0).normal(size=(8, *shape))
    own, random = (learned(source, x, kind="patch", init=init) for init in ("source", "random"))
    drawn = "weight" if len(shape) == 1 else "convolution.weight"
    assert torch.equal(own.get_parameter(drawn), random.get_parameter(drawn))
    assert float(own.gain) > 2.0
    assert "gain" not in dict(own.named_parameters())
    assert "gain" in own.state_dict()


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
