"""Pictures of every layout: sizes against PIL, scale, colours, padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from gapkit.arrays import generator
from gapkit.embedders import choose, fit
from gapkit.embedders.picture import match_channels, stretch
from gapkit.embedders.resize import Resize, border, choose_placement, place, value_range
from gapkit.types import InputSpec, Target

MakeTarget = Callable[..., Target]


def embedder_for(target: Target, input: InputSpec) -> Resize:
    """The fitted embedder of pictures."""
    embedder = fit(choose(target, input, None, name="resize"), target, input, None)
    assert isinstance(embedder, Resize)
    return embedder


def photographs(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Uint8 noise, border included."""
    return generator(seed).integers(0, 256, shape).astype(np.uint8)


def test_an_image_of_the_sources_size_is_only_normalised(make_target: MakeTarget, image_input: InputSpec) -> None:
    x = photographs((6, 32, 32, 3))
    out = embedder_for(make_target(x), image_input)(x).numpy()
    expected = (x / 255 - np.array(image_input.mean)) / np.array(image_input.std)
    np.testing.assert_allclose(out, expected.transpose(0, 3, 1, 2), atol=1e-5)


@pytest.mark.parametrize("size", [(64, 48), (20, 17), (8, 8), (100, 32)])
def test_sizes_change_as_in_pil(size: tuple[int, int]) -> None:
    picture = generator(1).random(size).astype(np.float32)
    ours = stretch(torch.from_numpy(picture)[None, None], (32, 32))[0, 0].numpy()
    pil = Image.fromarray(picture).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(ours, np.asarray(pil), atol=1e-5)


def test_every_layout_of_the_same_pictures_is_embedded_alike(make_target: MakeTarget, image_input: InputSpec) -> None:
    grey = photographs((6, 12, 20))
    rgb = np.repeat(grey[..., None], 3, axis=3)
    opaque = np.concatenate([rgb, np.full_like(grey[..., None], 255)], axis=3)
    layouts = [grey, grey[:, None], grey[..., None], rgb, rgb.transpose(0, 3, 1, 2), opaque]
    outs = [embedder_for(make_target(x), image_input)(x) for x in layouts]
    for out in outs[1:]:
        torch.testing.assert_close(out, outs[0], atol=1e-6, rtol=0)


def test_rgb_becomes_luma_for_a_grey_source(make_target: MakeTarget, grey_input: InputSpec) -> None:
    x = photographs((6, 32, 32, 3))
    out = embedder_for(make_target(x), grey_input)(x).numpy()[:, 0]
    pil = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in x])
    np.testing.assert_allclose(out * 255, pil, atol=1.0)  # PIL rounds to integers


def test_alpha_is_composited_over_white(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = photographs((6, 32, 32, 4))
    embedder = embedder_for(make_target(x), plain_input)
    white = Image.new("RGBA", (32, 32), "white")
    pil = [np.asarray(Image.alpha_composite(white, Image.fromarray(image)).convert("RGB")) for image in x]
    np.testing.assert_allclose(embedder(x).numpy().transpose(0, 2, 3, 1) * 255, np.stack(pil), atol=1.5)
    assert "composited over white" in embedder.description


def test_two_channels_become_red_and_blue() -> None:
    pair = torch.rand(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    out = match_channels(pair, 3)
    torch.testing.assert_close(out, torch.stack([pair[:, 0], pair.mean(dim=1), pair[:, 1]], dim=1))
    torch.testing.assert_close(match_channels(torch.cat([pair, pair], dim=1), 1), pair.mean(dim=1, keepdim=True))


def test_digits_of_28_pixels_are_padded_by_two_with_zeros(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = np.zeros((6, 28, 28), dtype=np.uint8)
    x[:, 4:24, 4:24] = photographs((6, 20, 20))
    embedder = embedder_for(make_target(x), plain_input)
    expected = np.pad(x, ((0, 0), (2, 2), (2, 2))) / np.float32(255)
    for channel in embedder(x).numpy().swapaxes(0, 1):
        np.testing.assert_array_equal(channel, expected)
    assert "size kept, padded to 32x32 with the border's 0" in embedder.description


def test_padding_takes_the_value_of_the_border(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = np.full((6, 27, 31, 3), (10, 200, 90), dtype=np.uint8)
    x[:, 4:20, 4:20] = photographs((6, 16, 16, 3))
    out = embedder_for(make_target(x), plain_input)(x).numpy() * 255
    assert np.unique(out[:, 0, :2]).round(3).tolist() == [10.0]
    assert np.unique(out[:, 1, -3:]).round(3).tolist() == [200.0]
    np.testing.assert_allclose(out[:, :, 2:29, 0:31].transpose(0, 2, 3, 1), x, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "plain", "expected"),
    [
        ((28, 28), True, (28, 28)),
        ((28, 28), False, (32, 32)),  # a photograph is stretched
        ((24, 24), True, (24, 24)),
        ((23, 28), True, (32, 32)),  # too small to be padded
        ((33, 28), True, (32, 32)),
        ((32, 32), False, (32, 32)),
        ((10, 40), False, (32, 32)),  # 4:1 is still stretched
        ((10, 80), False, (16, 32)),  # 8:1 is stretched by 4, the rest is padded
        ((160, 10), False, (32, 8)),
    ],
)
def test_pictures_are_padded_or_stretched_by_size_and_border(
    size: tuple[int, int], plain: bool, expected: tuple[int, int]
) -> None:
    pictures = torch.rand(9, 1, *size, generator=torch.Generator().manual_seed(0))
    if plain:
        pictures[:, :, [0, -1]] = 0.0
        pictures[:, :, :, [0, -1]] = 0.0
    placement = choose_placement(pictures, (32, 32))
    assert (placement.height, placement.width) == expected
    assert place(pictures[:, :, : expected[0], : expected[1]], (40, 40), placement.fill).shape == (9, 1, 40, 40)


def test_the_share_of_a_border_is_counted_over_its_pixels() -> None:
    pictures = torch.zeros(1, 1, 10, 10)
    pictures[0, 0, 0, :4] = 1.0  # 4 + 1 (the corner counts in two edges) of 40
    fill, share = border(pictures)
    assert fill == (0.0,)
    assert share == pytest.approx(35 / 40)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.array([[0, 255]], dtype=np.uint8), (0.0, 255.0)),
        (np.array([[3, 70]], dtype=np.uint8), (0.0, 255.0)),
        (np.array([[0, 16]], dtype=np.uint8), (0.0, 16.0)),
        (np.array([[0, 1]], dtype=np.uint8), (0.0, 1.0)),
        (np.array([[0, 0]], dtype=np.uint8), (0.0, 255.0)),
        (np.array([[False, True]]), (0.0, 1.0)),
        (np.array([[-3.0, 5.0]] * 2000), (-3.0, 5.0)),
        (np.array([[2.0, 2.0]]), (2.0, 3.0)),
        (np.array([0.0] * 9999 + [4.0]), (0.0, 4.0)),
    ],
)
def test_the_range_is_the_dtypes_or_of_the_values(x: np.ndarray, expected: tuple[float, float]) -> None:
    assert value_range(x) == expected


def test_one_broken_pixel_does_not_take_the_contrast(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = generator(0).random((30, 32, 32))
    x[3, 5, 5] = 1e9
    out = embedder_for(make_target(x), plain_input)(x).numpy()
    assert out.std() == pytest.approx(np.sqrt(1 / 12), rel=0.02)
    assert (out.min(), out.max()) == (0.0, 1.0)


def test_integers_of_other_dtypes_use_their_train_range(make_target: MakeTarget, plain_input: InputSpec) -> None:
    x = generator(0).integers(-1000, 3000, (30, 32, 32)).astype(np.int16)
    embedder = embedder_for(make_target(x), plain_input)
    np.testing.assert_allclose(
        embedder(x).numpy()[:, 0], np.clip((x - embedder.low) / (embedder.high - embedder.low), 0, 1), atol=1e-6
    )
    assert -1000 <= embedder.low < -980
    assert 2980 < embedder.high <= 3000


def test_the_description_has_no_empty_clause() -> None:
    target = Target(np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8), np.arange(12) % 2)
    plain = embedder_for(target, InputSpec(kind="image", shape=(1, 8, 8)))
    assert "size kept; statistics of" in plain.description
    scaled = embedder_for(target, InputSpec(kind="image", shape=(3, 8, 8), mean=(0.5,) * 3))
    assert "size kept; grey to RGB, source mean 0.5; statistics of" in scaled.description
