"""Initial values of learned embedders: from the source, or random."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gapkit.arrays import seeded_torch
from gapkit.embedders.choice import choose
from gapkit.embedders.fixed import fit
from gapkit.embedders.patch_modules import GAIN, CopiedEmbedding, FeatureTokens, Patches
from gapkit.embedders.training import train_sample
from gapkit.types import EmbeddingPart, TokenSpec

POSITION_STD = 0.02
"""Of random positions of a copied embedding, as vision transformers have it."""
PLACE_SHARE = 0.5
"""Of the variance of patches' tokens that positions have, at least. A source's embedder that holds the positions may
tell places in other ways too (by padding), and need little of them; patches do not. (DNA, 160 steps of fine-tuning:
validation accuracy 0.54 with the bundled source's positions as they are, 3 % of the deviation, 0.92 and more with half
of the variance.)"""
LOOKED_AT = 64
"""Samples that the scale of the first tokens is matched on."""
LEAST_VARIANCE = 1e-12
"""Tokens that vary less are constant but for rounding, and are not scaled."""

Moments = tuple[float, float]


def draw(module: nn.Module) -> None:
    """Random positions; the layers have torch's own initial values already. Call it inside ``seeded_torch``.

    Those of patches have ``PLACE_SHARE`` of the variance beside a layer norm's 1.
    """
    position = getattr(module, "position", None)
    if isinstance(position, nn.Parameter):
        patches = isinstance(module, Patches)
        nn.init.normal_(position, std=sqrt(PLACE_SHARE / (1 - PLACE_SHARE)) if patches else POSITION_STD)


def begin_copy(module: CopiedEmbedding, part: EmbeddingPart) -> None:
    """The weights of the source's own layers, norm and positions."""
    if part.layers is not None:
        module.layers.load_state_dict(part.layers.state_dict())
    if part.norm is not None:
        module.norm.load_state_dict(part.norm.state_dict())
    _set(module.position, part.position)


def begin_from_source(module: Patches | FeatureTokens, part: EmbeddingPart, x: Tensor, wanted: Moments) -> str:
    """The source's patch convolution, norm and positions where it has them; then its tokens' mean and deviation.

    Args:
        module: with random initial values, which stay where the source has none.
        part: of the source.
        x: prepared samples of the target, on which mean and standard deviation of all entries are matched.
        wanted: mean and standard deviation of the entries of the source's own tokens.

    Returns:
        What was done, in words.
    """
    done = ["random vectors"]
    if isinstance(module, Patches):
        done = ["a random convolution"]
        convolution = patch_convolution(part, module.sizes.dim)
        if convolution is not None:
            with torch.no_grad():
                module.convolution.weight.copy_(fitted_kernel(convolution.weight.detach(), module.convolution.weight))
                if convolution.bias is not None:
                    module.convolution.bias.copy_(convolution.bias.detach())
            done = [f"the patch convolution of {part.source}"]
        if part.norm is not None:
            module.norm.load_state_dict(part.norm.state_dict())
            done.append("its layer norm" if convolution is not None else f"the layer norm of {part.source}")
        if module.position is not None and part.position is not None and part.grid is not None:
            _set(module.position, fitted_positions(part.position, part.grid, module))
            done.append("its positions" if convolution is not None else f"the positions of {part.source}")
    match_moments(module, x, wanted)
    return f"{', '.join(done)}, scaled to the tokens of {part.source}"


def _set(parameter: nn.Parameter | None, value: Tensor | None) -> None:
    """Give a parameter its value, where there are both."""
    if parameter is not None and value is not None:
        with torch.no_grad():
            parameter.copy_(value)


def patch_convolution(part: EmbeddingPart, dim: int) -> nn.Conv2d | None:
    """The one convolution from patches to tokens that a source's embedder consists of; None where it has more."""
    layers = [] if part.layers is None else list(part.layers)
    first = layers[0] if len(layers) == 1 else None
    return first if isinstance(first, nn.Conv2d) and (first.out_channels, first.groups) == (dim, 1) else None


def fitted_kernel(own: Tensor, like: Tensor) -> Tensor:
    """A patch kernel (dim, c, h, w) for other channels and another patch, (dim, C, k) or (dim, C, H, W).

    Other channels all get the mean over the source's. A plane is resampled bilinearly. A series gets, of each filter,
    the horizontal profile of its best rank-one approximation (singular value decomposition), resampled linearly. The
    result has the root of the sum of squares of the original, so that white noise gives equally large tokens.
    """
    kernel = own.to(torch.float32)
    if kernel.shape[1] != like.shape[1] or like.ndim == 3:
        kernel = kernel.mean(dim=1, keepdim=True)
    if like.ndim == 3:
        profile = horizontal_profile(kernel[:, 0])[:, None]
        fitted = F.interpolate(profile, size=like.shape[2], mode="linear", align_corners=False)
    else:
        size = (like.shape[2], like.shape[3])
        fitted = F.interpolate(kernel, size=size, mode="bilinear", antialias=True, align_corners=False)
    fitted = fitted.expand_as(like)
    norm = fitted.norm()
    return fitted * (own.norm() / norm) if norm > 0 else like.detach().clone()


def horizontal_profile(kernels: Tensor) -> Tensor:
    """(dim, h, w) to (dim, w): s_1 v_1 of each kernel, with the sign that makes the vertical profile's sum positive."""
    left, values, right = torch.linalg.svd(kernels.double(), full_matrices=False)
    sign = torch.where(left[:, :, 0].sum(dim=1) < 0, -1.0, 1.0)
    return (right[:, 0] * (values[:, :1] * sign[:, None])).to(kernels.dtype)


def fitted_positions(own: Tensor, grid: tuple[int, int], module: Patches) -> Tensor:
    """Positions (1, N, dim) of a grid for other tokens: resampled bicubically to their rows and columns.

    Tokens of a series are laid out row by row in the plane, as wide as high, as ``fold`` does.
    """
    plane = own.unflatten(1, grid).permute(0, 3, 1, 2)
    counts = [axis.count for axis in module.sizes.axes]
    if len(counts) == 1:
        columns = max(1, round(sqrt(counts[0])))
        counts = [-(-counts[0] // columns), columns]
    if tuple(counts) != grid:
        plane = F.interpolate(plane, size=tuple(counts), mode="bicubic", align_corners=False)
    return plane.flatten(2).transpose(1, 2)[:, : module.sizes.count]


@torch.no_grad()
def match_moments(module: Patches | FeatureTokens, x: Tensor, wanted: Moments) -> None:
    """Set the gain and shift the last bias, so that all tokens of ``x`` together have mean and deviation.

    With content c and positions p, a c + b + p has deviation s for
    a = (sqrt(cov(c, p)^2 + var(c) (s^2 - var(p))) - cov(c, p)) / var(c), which is the gain; b is shifted. Positions
    with less than ``PLACE_SHARE`` of s^2, or with all of it, are first scaled to have that share.
    """
    position = getattr(module, "position", None)
    tokens = module(x).double().reshape(len(x), module.sizes.count, -1)
    placed = torch.zeros_like(tokens) if position is None else position.double().expand_as(tokens)
    content = tokens - placed
    mean, std = wanted
    if position is not None:
        position.mul_(_place_scale(float(placed.var(correction=0)) / std**2))
        placed = position.double().expand_as(tokens)
    variance = float(content.var(correction=0))
    if variance < LEAST_VARIANCE:
        return
    covariance = float(((content - content.mean()) * (placed - placed.mean())).mean())
    room = std**2 - float(placed.var(correction=0))
    scale = (sqrt(covariance**2 + variance * room) - covariance) / variance
    shift = mean - scale * float(content.mean()) - float(placed.mean())
    last = module.norm if isinstance(module, Patches) else module
    module.get_buffer(GAIN).fill_(scale)
    last.bias.add_(shift / scale)


def _place_scale(share: float) -> float:
    """What positions with this share of the wanted variance are multiplied with."""
    return 1.0 if share == 0 or PLACE_SHARE <= share < 1 else sqrt(PLACE_SHARE / share)


def own_moments(part: EmbeddingPart, token: TokenSpec) -> Moments:
    """Mean and standard deviation of the entries of the source's own tokens.

    Of text they are known; of other sources they are taken from its surrogate, or without one from white noise, which
    has the mean and deviation of normalised inputs.
    """
    if part.input.kind == "text":
        return token.mean, token.std
    if part.surrogate is not None:
        chosen = choose(part.surrogate, part.input, part.token)
        x = fit(chosen, part.surrogate, part.input, part.token)(train_sample(part.surrogate, limit=LOOKED_AT))
    else:
        with seeded_torch(0):
            x = torch.randn(LOOKED_AT // 4, *part.input.shape)
    tokens = part.embed(x).double()
    return float(tokens.mean()), float(tokens.std(correction=0))
