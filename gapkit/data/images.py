"""Image files or bytes to one array (n, H, W) or (n, H, W, 3) of uint8."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gapkit.arrays import Array
from gapkit.data.memory import check_memory
from gapkit.data.text import reason
from gapkit.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
# decoders that run no other program and follow no reference
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I")
LARGEST_SIDE = 384  # pixels; beyond what vision sources take, so larger images would only fill the memory
# what pillow raises on damaged files; its PNG decoder raises SyntaxError
DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One encoded image and how it is called in messages."""

    name: str
    content: Path | bytes


def stack_images(pictures: Sequence[Picture], *, where: str) -> tuple[Array, tuple[str, ...]]:
    """Decode all images: grey ones to (n, H, W), as soon as one has colour to (n, H, W, 3).

    Images of different sizes are resized (bilinear, aspect ratio not kept) to the size that most of them have, or to
    the median size where no size has half of them; what is larger than 384 pixels is made smaller.

    Returns:
        The images and notes on what was done to them.

    Raises:
        DataError: an image that cannot be decoded (the message names it), or more than the memory there is.
    """
    sizes, modes = zip(*(_header(picture) for picture in pictures), strict=True)
    size, notes = _common_size(Counter(sizes), len(pictures))
    colour = any(mode not in GREY_MODES for mode in modes)
    deep = sum(mode.startswith("I") for mode in modes)
    if deep:
        notes.append(f"{deep} images of 16 bits per pixel brought to 8")
    if colour and any(mode in GREY_MODES for mode in modes):
        notes.append("grey and colour images: all to RGB")
    shape = (len(pictures), size[1], size[0], *((3,) if colour else ()))
    check_memory(int(np.prod(shape, dtype=np.int64)), where=f"{where}: images of shape {shape}")
    x = np.empty(shape, dtype=np.uint8)
    for row, picture in zip(x, pictures, strict=True):
        row[...] = _pixels(picture, size, "RGB" if colour else "L")
    return x, tuple(notes)


@contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    """The image, with every failure named after it."""
    content = picture.content
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(content if isinstance(content, Path) else io.BytesIO(content), formats=FORMATS) as image:
                yield image
    except PermissionError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{picture.name} cannot be decoded ({reason(error)})",
            expected=f"an image: {', '.join(FORMATS)}",
            remedy="remove the file or replace it by a whole one",
        ) from error


def _header(picture: Picture) -> tuple[Size, str]:
    """Size and mode, without decoding the pixels."""
    with _opened(picture) as image:
        if image.mode == "F":
            raise ValueError("pixels are floats without a range")
        return image.size, image.mode


def _common_size(sizes: Counter[Size], n: int) -> tuple[Size, list[str]]:
    """The size for all images, and a note where not all have it."""
    (size, count), *_ = sizes.most_common(1)
    if count * 2 < n:
        widths, heights = (np.repeat([s[axis] for s in sizes], list(sizes.values())) for axis in (0, 1))
        size = (int(np.median(widths)), int(np.median(heights)))
    scale = min(1.0, LARGEST_SIDE / max(size))
    size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    if set(sizes) == {size}:
        return size, []
    return size, [f"{n - sizes[size]} of {n} images resized to {size[0]} x {size[1]} (width x height)"]


def _pixels(picture: Picture, size: Size, mode: str) -> Array:
    """Decoded pixels (H, W) or (H, W, 3), uint8."""
    with _opened(picture) as image:
        if image.mode.startswith("I"):
            # pillow would clip 16-bit values at 255
            image = Image.fromarray((np.asarray(image).astype(np.int64).clip(0, 0xFFFF) >> 8).astype(np.uint8))
        image = image.convert(mode)
        return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR))
