"""The bundled source ``vit``: a small vision transformer, its weights and its surrogate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class BundledConfig:
    """Sizes of the bundled vision transformer.

    Attributes:
        width: token dimension d.
        depth: number of transformer blocks.
        heads: attention heads per block.
        mlp_ratio: hidden width of the feed-forward part, in units of ``width``.
        stem: channels of the two convolutions before the last one, which maps to ``width``.
        n_classes: outputs of the head (K_s).
    """

    width: int = 128
    depth: int = 7
    heads: int = 4
    mlp_ratio: int = 2
    stem: tuple[int, int] = (48, 96)
    n_classes: int = 352


class ConvolutionStem(nn.Module):
    """Three convolutions with pooling: (B, 3, 32, 32) -> (B, 64, width) tokens with positions added."""

    def __init__(self, config: BundledConfig) -> None:
        """Build the stem; positions start at zero so that the first tokens are pure content."""
        super().__init__()
        first, second = config.stem
        self.layers = nn.Sequential(
            nn.Conv2d(3, first, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(first),
            nn.GELU(),
            nn.Conv2d(first, second, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(second),
            nn.GELU(),
            nn.Conv2d(second, config.width, 3, padding=1),
        )
        self.position = nn.Parameter(torch.zeros(1, 64, config.width))

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, 32, 32) to tokens (B, 64, width)."""
        return self.layers(images).flatten(2).transpose(1, 2) + self.position


class Block(nn.Module):
    """Pre-norm transformer block: attention, then a feed-forward part, each added to its input."""

    def __init__(self, config: BundledConfig) -> None:
        """Build one block of width ``config.width``."""
        super().__init__()
        width, hidden = config.width, config.width * config.mlp_ratio
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, N, width) to tokens of the same shape."""
        batch, count, width = tokens.shape
        qkv = self.qkv(self.norm1(tokens)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.project(attended.transpose(1, 2).reshape(batch, count, width))
        return tokens + self.contract(F.gelu(self.expand(self.norm2(tokens))))


class BundledViT(nn.Module):
    """Vision transformer for 32x32 RGB images with a convolution stem and mean pooling."""

    def __init__(self, config: BundledConfig | None = None) -> None:
        """Build the model with random weights; ``load_bundled`` fills in the trained ones."""
        super().__init__()
        self.config = config or BundledConfig()
        self.stem = ConvolutionStem(self.config)
        self.blocks = nn.ModuleList(Block(self.config) for _ in range(self.config.depth))
        self.norm = nn.LayerNorm(self.config.width)
        self.head = nn.Linear(self.config.width, self.config.n_classes)

    def encode(self, tokens: Tensor) -> Tensor:
        """Run the encoder f: tokens (B, N, width) -> hidden (B, N, width), for any N."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (B, 3, 32, 32) to logits (B, n_classes)."""
        return self.head(self.encode(self.stem(images)).mean(dim=1))
