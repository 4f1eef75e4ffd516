"""The last step of every embedder for image sources: pictures in [0, 1] to the source's size, colours and scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gapkit.types import InputSpec

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The picture that a source takes.

    Attributes:
        channels: C, 1 or 3 for most sources.
        height: H.
        width: W.
        mean: of each channel, subtracted from pictures in [0, 1]; empty for none.
        std: of each channel, pictures are divided by it; empty for none.
    """

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, input: InputSpec) -> Frame:
        """The frame of an image source."""
        channels, height, width = input.shape
        return cls(channels=channels, height=height, width=width, mean=input.mean, std=input.std)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height, self.width

    def normalise(self, pictures: Tensor) -> Tensor:
        """Pictures (B, c, H, W) in [0, 1] to (B, C, H, W) with the source's colours, mean and standard deviation."""
        pictures = match_channels(pictures, self.channels)
        mean = torch.tensor(self.mean or (0.0,), dtype=torch.float32).view(-1, 1, 1)
        std = torch.tensor(self.std or (1.0,), dtype=torch.float32).view(-1, 1, 1)
        return (pictures - mean).div_(std)

    def words(self, channels: int) -> str:
        """What ``normalise`` does to pictures with so many channels, after a semicolon; empty where it does nothing."""
        steps = [channel_words(channels, self.channels)]
        if self.mean:
            steps.append(f"source mean {_numbers(self.mean)}")
        if self.std:
            steps.append(f"source std {_numbers(self.std)}")
        done = ", ".join(step for step in steps if step)
        return f"; {done}" if done else ""


def _numbers(values: tuple[float, ...]) -> str:
    """One number where all are equal, else all of them."""
    distinct = values[:1] if len(set(values)) == 1 else values
    return " ".join(f"{value:.3g}" for value in distinct)


def match_channels(pictures: Tensor, channels: int) -> Tensor:
    """Pictures (B, c, H, W) to (B, channels, H, W).

    Grey is repeated, RGB becomes luma, two channels become red and blue with their mean as green; anything else
    becomes the mean of its channels.
    """
    given = pictures.shape[1]
    if given == channels:
        return pictures
    if given == 2 and channels == 3:
        first, second = pictures.split(1, dim=1)
        return torch.cat([first, (first + second) / 2, second], dim=1)
    if given == 3 and channels == 1:
        weights = torch.tensor(LUMA, dtype=torch.float32).view(1, 3, 1, 1)
        return (pictures * weights).sum(dim=1, keepdim=True)
    return pictures.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1)


def channel_words(given: int, channels: int) -> str:
    """What ``match_channels`` does, in words; empty where it does nothing."""
    if given == channels:
        return ""
    if given == 2 and channels == 3:
        return "two channels as red and blue, their mean as green"
    if given == 3 and channels == 1:
        return "RGB to grey"
    if given == 1:
        return "grey to RGB" if channels == 3 else f"repeated to {channels} channels"
    return "mean of the channels"


def stretch(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resizing with antialiasing (B, c, h, w) -> (B, c, *size), as PIL's; each value stays in its range."""
    if pictures.shape[-2:] == size:
        return pictures
    return F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)


def enlarge(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Cells (B, c, h, w) to blocks (B, c, *size) by the nearest neighbour; a side that is longer is shrunk first."""
    height, width = int(pictures.shape[-2]), int(pictures.shape[-1])
    shrunk = stretch(pictures, (min(height, size[0]), min(width, size[1])))
    return F.interpolate(shrunk, size=size, mode="nearest-exact")
