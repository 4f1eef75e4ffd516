"""The bundled source ``vit``: a small vision transformer, its weights and its surrogate."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gapkit.arrays import seeded_torch
from gapkit.errors import GapkitError, SourceError
from gapkit.sources.checkpoint import (
    UNREADABLE,
    is_safetensors,
    load_weights,
    read_checkpoint,
    read_safetensors,
    unreadable,
)
from gapkit.sources.cut import Cut, generic_names
from gapkit.types import InputSpec, Target, TokenSpec

BUNDLED_INPUT = InputSpec(kind="image", shape=(3, 32, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
WEIGHTS, SURROGATE = "vit.safetensors", "surrogate.npz"


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
        # Channels last: the first convolution and the poolings run several times as fast on a CPU, and what comes out
        # lies as tokens do. Contiguous: the blocks would hand another layout on, and copy it at every norm.
        features = self.layers(images.contiguous(memory_format=torch.channels_last))
        return features.flatten(2).transpose(1, 2).contiguous() + self.position


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


@dataclass(kw_only=True)
class BundledAdapter(Cut):
    """The bundled vision transformer, cut behind its convolution stem; its encoder takes any number of tokens."""

    @property
    def model(self) -> BundledViT:
        """The module by its own type."""
        return cast(BundledViT, self.module)

    def embed(self, x: Tensor) -> Tensor:
        """Normalised images (B, 3, 32, 32) to tokens (B, 64, width), positions included."""
        return self.model.stem(x)

    def encode(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, width) to hidden states of the same shape."""
        return self.model.encode(tokens)

    def pool(self, hidden: Tensor) -> Tensor:
        """Mean over the tokens."""
        return hidden.mean(dim=1)

    @property
    def classifier(self) -> nn.Module:
        """The linear head."""
        return self.model.head


def load_bundled(*, surrogate: Target | None = None, folder: Path | None = None) -> BundledAdapter:
    """The bundled source with its weights (stored in fp16, run in fp32) and its surrogate.

    Args:
        surrogate: instead of the bundled one, Omniglot and MNIST images held out from training.
        folder: where ``vit.safetensors`` and ``surrogate.npz`` lie; by default in the package.

    Raises:
        SourceError: the files are missing or damaged.
    """
    place = resources.files("gapkit.sources") / "weights"
    with resources.as_file(place) if folder is None else nullcontext(folder) as found:
        adapter = load_bundled_file(found / WEIGHTS, name="vit")
        names = adapter.class_names or ()
        adapter.surrogate = surrogate if surrogate is not None else _read_surrogate(found / SURROGATE, names)
    return adapter


def load_bundled_file(path: Path, *, name: str) -> BundledAdapter:
    """A checkpoint of the bundled architecture; sizes and class names come from its metadata where it has them.

    Raises:
        SourceError: the file is missing, damaged or of another architecture.
    """
    _check_there(path)
    metadata, state = _read(path)
    bias = state.get("head.bias")
    with seeded_torch(0):  # every one of its random weights is replaced
        module = BundledViT(_config(metadata, None if bias is None else len(bias)))
    load_weights(module, state, path=path, arch="vit")
    n_classes = module.config.n_classes
    return BundledAdapter(
        name=name,
        module=module,
        input=BUNDLED_INPUT,
        class_names=tuple(json.loads(metadata.get("class_names", "[]"))) or generic_names(n_classes),
        token=TokenSpec(dim=module.config.width, layout="sequence", max_len=None),
        trained_on=frozenset(json.loads(metadata.get("trained_on", "[]"))),
    )


def _check_there(path: Path) -> None:
    """Refuse a package without its weights in the words of a user."""
    if not path.is_file():
        raise SourceError(
            f"there is no file {path}",
            expected="the weights of the bundled architecture",
            remedy="install gapkit again, or train them with examples/train_bundled_source.py",
        )


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata (of safetensors) and tensors."""
    if not is_safetensors(path):
        return {}, read_checkpoint(path)
    try:
        return read_safetensors(path)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _config(metadata: dict[str, str], n_classes: int | None) -> BundledConfig:
    """The sizes in the metadata, else the usual ones."""
    sizes: dict[str, Any] = json.loads(metadata.get("config", "{}"))
    if n_classes is not None:
        sizes["n_classes"] = n_classes
    if "stem" in sizes:
        sizes["stem"] = tuple(sizes["stem"])
    return BundledConfig(**sizes)


def _read_surrogate(path: Path, class_names: Sequence[str]) -> Target:
    """The held-out images (n, 28, 28) with codes into the head's class names."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            x, y = archive["x"], archive["y"]
        return Target(x, y.astype(np.int64), class_names=class_names, name="surrogate of vit")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, GapkitError) as error:
        raise SourceError(
            f"{path} cannot be read ({type(error).__name__}: {error})",
            expected="images x and codes y of the bundled surrogate",
            remedy="install gapkit again",
        ) from error
