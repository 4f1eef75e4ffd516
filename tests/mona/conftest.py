"""Small problems of every kind of encoder, with random weights that no class of the targets is known by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import timm
import torch
import transformers as tf
from torch import Tensor, nn

from gapkit.arrays import seeded_torch
from gapkit.mona.problem import BatchProblem, LabelledBatch, SourceEncoder
from gapkit.sources.bundled import BUNDLED_INPUT, BundledAdapter, BundledConfig, BundledViT
from gapkit.sources.from_timm import adapt_timm
from gapkit.sources.from_transformers import adapt_transformers
from gapkit.types import Adapter, TokenSpec

CLASSES, SIDE = 5, 32


class PatchEmbedder(nn.Module):
    """Two-channel images (B, 2, 32, 32) to tokens, as a sequence or a grid."""

    def __init__(self, token: TokenSpec, patch: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(2, token.dim, patch, patch)
        self.norm = nn.LayerNorm(token.dim)
        self.grid = token.layout == "grid"

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(self.project(images).permute(0, 2, 3, 1))
        return tokens if self.grid else tokens.flatten(1, 2)


def bundled(width: int = 32) -> Adapter:
    module = BundledViT(BundledConfig(width=width, depth=2, heads=2, stem=(8, 16), n_classes=7)).eval()
    return BundledAdapter(name="bundled", module=module, input=BUNDLED_INPUT, token=TokenSpec(dim=width))


def vit() -> Adapter:
    sizes: dict[str, Any] = {"img_size": SIDE, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
    return adapt_timm(timm.create_model("vit_tiny_patch16_224", num_classes=7, **sizes), title="vit")


def swin() -> Adapter:
    sizes: dict[str, Any] = {"img_size": SIDE, "patch_size": 4, "embed_dim": 24, "depths": (1, 1), "num_heads": (2, 2)}
    module = timm.create_model("swin_tiny_patch4_window7_224", window_size=4, num_classes=7, **sizes)
    return adapt_timm(module, title="swin")


def bert() -> Adapter:
    sizes: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = tf.BertConfig(vocab_size=50, max_position_embeddings=80, intermediate_size=64, **sizes)
    return adapt_transformers(tf.BertModel(config), None, title="bert")


MODELS: dict[str, tuple[Callable[[], Adapter], int]] = {
    "bundled": (bundled, 8),
    "vit": (vit, 8),
    "swin": (swin, 4),
    "bert": (bert, 8),
}
MakeProblem = Callable[..., BatchProblem]


@pytest.fixture(scope="session")
def make_problem() -> MakeProblem:
    """A problem by the name of its encoder; targets are noise with a class in it, the surrogate's tokens likewise."""

    def make(name: str, *, seed: int, dtype: torch.dtype = torch.float64, n: int = 8, m: int = 10) -> BatchProblem:
        build, patch = MODELS[name]
        with seeded_torch(seed):
            adapter = build()
            embedder = PatchEmbedder(cast(TokenSpec, adapter.token), patch)
            encoder = SourceEncoder(adapter)
            for parameter in encoder.parameters():  # biases and norms that are not 0 and 1
                parameter.data.add_(0.05 * torch.randn_like(parameter))
            y, labels = torch.arange(n) % CLASSES, torch.arange(m) % 3
            x = torch.randn(n, 2, SIDE, SIDE) + 0.3 * y[:, None, None, None]
            tokens = embedder(torch.randn(m, 2, SIDE, SIDE)).detach()
            tokens = tokens + 0.5 * torch.randn(3, *tokens.shape[1:])[labels]
            head = nn.Linear(encoder(tokens).shape[1], CLASSES)
        problem = BatchProblem(
            (embedder, encoder, head),
            target=LabelledBatch(inputs=x.to(dtype), labels=y),
            source=LabelledBatch(inputs=tokens.to(dtype), labels=labels),
        )
        return problem.to(dtype)

    return make


@pytest.fixture(scope="session")
def relative_error() -> Callable[[dict[str, Tensor], dict[str, Tensor]], float]:
    """Length of the difference in units of the length of the second."""

    def error(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
        assert found.keys() == expected.keys()
        left, right = (torch.cat([t.double().reshape(-1) for t in named.values()]) for named in (found, expected))
        return float((left - right).norm() / right.norm())

    return error
