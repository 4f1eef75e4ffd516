"""What a learned embedder has to know of a source: its own embedder in pieces, and the tokens its encoder takes."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from gapkit.sources.bundled import BundledAdapter
from gapkit.sources.from_module import probe_batch
from gapkit.sources.from_timm import TimmSwin, TimmTransformer
from gapkit.sources.source import Source
from gapkit.sources.transformer_cuts import ImageCut
from gapkit.tensors import evaluating
from gapkit.types import Adapter, EmbeddingPart, InputSpec


def embedding_part(source: Source) -> EmbeddingPart:
    """The parts of a source that a learned embedder begins from; all of them copies, the source stays as it is.

    Number and grid of the source's own tokens are read from a pass of its embedder over a made-up batch. Of text they
    depend on the sample. Encoders of grids, and vision transformers of transformers, take exactly that many; timm's
    resample their positions, text encoders take fewer, the bundled one and audio encoders any number.

    Args:
        source: any source; without a token space the part says so, and nothing else.
    """
    adapter = source.adapter
    fields: dict[str, Any] = {
        "source": source.name,
        "weights_hash": source.weights_hash,
        "input": source.input,
        "token": source.token,
        "embed": _embedding(source),
        "surrogate": source.surrogate,
    }
    if source.token is None:
        return EmbeddingPart(**fields)
    if source.input.kind != "text":
        fields["count"], fields["grid"] = _own_tokens(fields["embed"](probe_batch(source.input)), source.input)
    fields["exact"] = source.token.layout == "grid" or isinstance(adapter, ImageCut)
    fields["placed"] = not isinstance(adapter, BundledAdapter)
    return EmbeddingPart(**fields, **_pieces(adapter))


def _embedding(source: Source) -> Callable[[Tensor], Tensor]:
    """The source's own embedder, as a function."""

    def embed(x: Tensor) -> Tensor:
        with evaluating(source.module), torch.no_grad():
            return source.adapter.embed(x.to(source.device)).to("cpu", torch.float32)

    return embed


def _own_tokens(tokens: Tensor, input: InputSpec) -> tuple[int, tuple[int, int] | None]:
    """Number of tokens (B, N, dim) or (B, H, W, dim), and their grid where an image of this shape has one."""
    if tokens.ndim == 4:
        return tokens.shape[1] * tokens.shape[2], (tokens.shape[1], tokens.shape[2])
    count = tokens.shape[1]
    if input.kind != "image":
        return count, None
    _, height, width = input.shape
    rows = max(1, round((count * height / width) ** 0.5))
    return count, (rows, count // rows) if count % rows == 0 else None


def _pieces(adapter: Adapter) -> dict[str, Any]:
    """Convolutions, norm and positions of the embedders that are made of these."""
    module: Any = adapter.module
    if isinstance(adapter, BundledAdapter):
        stem = module.stem
        return {"layers": _copied(stem.layers), "position": stem.position.detach().to("cpu", copy=True)}
    if isinstance(adapter, TimmTransformer | TimmSwin):
        embedding = module.patch_embed
        return _patches(getattr(embedding, "proj", None), getattr(embedding, "norm", None))
    if isinstance(adapter, ImageCut) and adapter.patches is not None:
        return _patches(getattr(module.get_submodule(".".join(adapter.patches).strip(".")), "projection", None), None)
    return {}


def _patches(convolution: object, norm: object) -> dict[str, Any]:
    """One convolution and perhaps a layer norm."""
    if not isinstance(convolution, nn.Conv2d):
        return {}
    found: dict[str, Any] = {"layers": _copied(nn.Sequential(convolution))}
    if isinstance(norm, nn.LayerNorm):
        found["norm"] = _copied(norm)
    return found


def _copied(module: nn.Module) -> Any:
    """A deep copy on the CPU in float32, in eval mode, whose parameters are trained."""
    return deepcopy(module).to("cpu", torch.float32).eval().requires_grad_(True)
