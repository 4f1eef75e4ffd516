"""Folders of images: classes, splits, modes, sizes, damaged files, and folders without classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gapkit.data import memory
from gapkit.data.images import LARGEST_SIDE
from gapkit.data.load import load_target
from gapkit.errors import OptionError

Refusal = Callable[..., Exception]


def picture(*shape: int, seed: int = 0) -> np.ndarray:
    """Random uint8 pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save_image(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Write an image, with its folders, and give its pixels back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def test_grey_images_by_class(tmp_path: Path) -> None:
    expected = [save_image(tmp_path / name, picture(9, 7, seed=i)) for i, name in enumerate(("b/2.png", "b/1.bmp"))]
    first = save_image(tmp_path / "a" / "deep" / "z.tif", picture(9, 7, seed=5))
    (tmp_path / "a" / ".hidden.png").write_text("no image")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    target = load_target(tmp_path)
    assert np.array_equal(target.x, [first, expected[1], expected[0]])
    assert target.class_names == ("a", "b")
    assert target.y.tolist() == [0, 1, 1]
    assert (target.split, target.groups, target.name) == (None, None, tmp_path.name)
    assert target.notes == ("classes from folders",)


@pytest.mark.parametrize("suffix", ["png", "PNG", "webp", "bmp", "ppm", "tiff"])
def test_colour_images(tmp_path: Path, suffix: str) -> None:
    pixels = picture(8, 8, 3)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Image.fromarray(pixels).save(tmp_path / "a" / f"1.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    save_image(tmp_path / "b" / "1.png", pixels[::-1].copy())
    target = load_target(tmp_path)
    assert np.array_equal(target.x, [pixels, pixels[::-1]])


def test_jpeg_is_near_its_pixels(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(16) * 4, np.arange(16) * 4).astype(np.uint8)
    for name in ("a", "b"):
        save_image(tmp_path / name / "1.jpg", smooth)
    assert np.abs(load_target(tmp_path).x.astype(int) - smooth).max() <= 6


def test_grey_beside_colour_palette_and_transparency_become_rgb(tmp_path: Path) -> None:
    grey, colour = picture(6, 6), picture(6, 6, 3)
    save_image(tmp_path / "a" / "1.png", grey)
    save_image(tmp_path / "a" / "2.png", np.dstack([colour, picture(6, 6, seed=3)]))
    save_image(tmp_path / "b" / "1.png", colour)
    palette = Image.fromarray(colour).quantize(8)
    palette.save(tmp_path / "b" / "2.png")
    target = load_target(tmp_path)
    assert np.array_equal(target.x, [np.dstack([grey] * 3), colour, colour, np.asarray(palette.convert("RGB"))])
    assert "grey and colour images: all to RGB" in target.notes


def test_bilevel_and_sixteen_bit_images(tmp_path: Path) -> None:
    deep = np.random.default_rng(2).integers(0, 65536, (6, 6)).astype(np.uint16)
    (tmp_path / "a").mkdir()
    Image.fromarray(picture(6, 6) > 127).save(tmp_path / "a" / "1.png")
    save_image(tmp_path / "b" / "1.png", deep)
    target = load_target(tmp_path)
    assert np.array_equal(target.x, [(picture(6, 6) > 127) * 255, deep // 256])
    assert "1 images of 16 bits per pixel brought to 8" in target.notes


def test_other_sizes_are_resized_to_the_most_common_one(tmp_path: Path) -> None:
    kept = [save_image(tmp_path / "a" / f"{i}.png", picture(10, 8, seed=i)) for i in range(3)]
    save_image(tmp_path / "b" / "flat.png", np.full((20, 30), 77, np.uint8))
    target = load_target(tmp_path)
    assert np.array_equal(target.x[:3], kept)
    assert (target.x[3] == 77).all()
    assert "1 of 4 images resized to 8 x 10 (width x height)" in target.notes


def test_without_a_common_size_the_median_is_taken_and_large_images_are_reduced(tmp_path: Path) -> None:
    for i, (width, height) in enumerate([(10, 30), (20, 50), (30, 40)]):
        save_image(tmp_path / "ab"[i % 2] / f"{i}.png", picture(height, width))
    assert load_target(tmp_path).x.shape == (3, 40, 20)
    for i in range(3):
        save_image(tmp_path / "ab"[i % 2] / f"{i}.png", picture(200, 800, seed=i))
    target = load_target(tmp_path)
    assert target.x.shape == (3, LARGEST_SIDE // 4, LARGEST_SIDE)
    assert f"3 of 3 images resized to {LARGEST_SIDE} x {LARGEST_SIDE // 4} (width x height)" in target.notes


@pytest.mark.parametrize(
    ("folders", "split"),
    [
        (("train", "test"), [1, 1, 0, 0]),
        (("Train", "Val"), [0, 0, 1, 1]),
        (("test", "training", "validation"), [1, 1, 0, 0, 0, 0]),
    ],
)
def test_split_folders(tmp_path: Path, folders: tuple[str, ...], split: list[int]) -> None:
    for folder in folders:
        for i, name in enumerate("ab"):
            save_image(tmp_path / folder / name / "1.png", picture(6, 6, seed=i))
    target = load_target(tmp_path)
    assert target.class_names == ("a", "b")
    assert target.y.tolist() == [0, 1] * len(folders)
    assert target.split is not None
    assert target.split.tolist() == split


def test_folders_without_images_are_left_out_and_said(tmp_path: Path) -> None:
    for name in "ab":
        save_image(tmp_path / name / "1.png", picture(6, 6, seed=ord(name)))
    (tmp_path / "annotations").mkdir()
    target = load_target(tmp_path)
    assert target.class_names == ("a", "b")
    assert "folders without samples left out: annotations" in target.notes


@pytest.mark.parametrize("cut", [0.0, 0.5, 0.95])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif"])
def test_corrupt_images_are_named(tmp_path: Path, refusal: Refusal, suffix: str, cut: float) -> None:
    save_image(tmp_path / "a" / "good.png", picture(40, 40, 3))
    save_image(tmp_path / "b" / f"bad.{suffix}", picture(40, 40, 3))
    path = tmp_path / "b" / f"bad.{suffix}"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    refusal(tmp_path, got=f"b/bad.{suffix} cannot be decoded", expected="PNG, JPEG", remedy="remove the file")


def test_images_of_floats_and_decompression_bombs_are_refused(
    tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_image(tmp_path / "a" / "1.png", picture(40, 40))
    save_image(tmp_path / "b" / "1.tif", np.random.default_rng(0).random((40, 40)).astype(np.float32))
    refusal(tmp_path, got="b/1.tif cannot be decoded (pixels are floats", expected="an image", remedy="replace it")
    save_image(tmp_path / "b" / "1.tif", picture(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    refusal(tmp_path, got="a/1.png cannot be decoded", expected="an image", remedy="remove the file")


def test_images_beyond_the_memory(tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        save_image(tmp_path / name / "1.png", picture(40, 40, seed=ord(name)))
    monkeypatch.setattr(memory, "available_memory", lambda: 3199)
    refusal(tmp_path, got="images of shape (2, 40, 40)", expected="fits into memory", remedy="fewer samples")


def test_folders_without_classes(tmp_path: Path, refusal: Refusal, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"expected": "a folder of images or of wav files for each class"}
    refusal(tmp_path, got="is a folder without classes: 0 files", remedy="put the files of each class", **words)
    (tmp_path / "data.txt").write_text("x")
    refusal(tmp_path, got="1 files and no folders", remedy="name a file in it, such as data.txt", **words)
    save_image(tmp_path / "1.png", picture(6, 6))
    refusal(tmp_path, got="2 files and no folders", remedy="put the files of each class", **words)
    (tmp_path / "empty").mkdir()
    refusal(tmp_path, got="1 folders without images or wav files", remedy="put the files of each class", **words)
    monkeypatch.chdir(tmp_path)
    refusal(".", got=f"{tmp_path.name} is a folder without classes", remedy="put the files of each class", **words)


def test_one_class_folder(tmp_path: Path, refusal: Refusal) -> None:
    save_image(tmp_path / "a" / "1.png", picture(6, 6))
    refusal(tmp_path, got="one class: all 1 samples have the label 'a'", expected="two classes", remedy="y was saved")


@pytest.mark.parametrize("option", ["labels", "column", "group"])
def test_folders_have_no_names_to_choose(tmp_path: Path, refusal: Refusal, option: str) -> None:
    words = {"got": f"has no {option} 'z'", "expected": "names of the folders", "remedy": f"leave out {option}"}
    assert isinstance(refusal(tmp_path, **words, **{option: "z"}), OptionError)
