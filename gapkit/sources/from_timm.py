"""Models of timm: vision transformers and Swin with their token spaces, everything else without one."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gapkit.arrays import seeded_torch
from gapkit.errors import SourceError
from gapkit.sources.checkpoint import UNREADABLE, first_line, load_weights, read_checkpoint, unreadable
from gapkit.sources.cut import Cut, generic_names
from gapkit.sources.from_module import probe_batch
from gapkit.sources.hub import WEIGHT_FILES, fetch_file
from gapkit.sources.linear_head import WholeCut, check_exact, find_head
from gapkit.sources.timm_names import check_timm_name, distinct
from gapkit.types import InputSpec, TokenSpec


@dataclass(kw_only=True)
class TimmCut(Cut):
    """``forward_features``, ``forward_head`` up to the logits, classifier: what most models of timm are made of."""

    @property
    def model(self) -> Any:
        """The module; timm's models share methods but no type that declares them."""
        return self.module

    @property
    def classifier(self) -> nn.Module | None:
        """The last linear map."""
        return None if self.class_names is None else self.model.get_classifier()

    def encode(self, tokens: Tensor) -> Tensor:
        """Images to the last feature map or tokens."""
        return self.model.forward_features(tokens)

    def pool(self, hidden: Tensor) -> Tensor:
        """Pooling, norm and whatever else stands before the logits."""
        return self.model.forward_head(hidden, pre_logits=True)


@dataclass(kw_only=True)
class TimmTransformer(TimmCut):
    """A vision transformer behind its patch embedding; class token and positions belong to the encoder.

    Any number N of tokens is taken: positions are resampled to the grid h x w = N that is nearest to a square, as timm
    does for images of another size.
    """

    def embed(self, x: Tensor) -> Tensor:
        """Images to patches (B, N, dim)."""
        patches = self.model.patch_embed(x)
        return patches.flatten(1, 2) if patches.ndim == 4 else patches

    def encode(self, tokens: Tensor) -> Tensor:
        """Class token, positions, blocks, norm: what ``forward_features`` does behind the patch embedding."""
        placed = self.model.norm_pre(self.model.patch_drop(self._placed(tokens)))
        return self.model.norm(self.model.blocks(placed))

    def _placed(self, tokens: Tensor) -> Tensor:
        """Tokens with class token and positions."""
        batch, count, width = tokens.shape
        own = self.model.patch_embed.grid_size
        if count == own[0] * own[1] and not self.model.dynamic_img_size:
            return self.model._pos_embed(tokens)
        grid = own if count == own[0] * own[1] else _grid(count)
        dynamic, self.model.dynamic_img_size = self.model.dynamic_img_size, True
        try:
            return self.model._pos_embed(tokens.reshape(batch, *grid, width))
        finally:
            self.model.dynamic_img_size = dynamic


@dataclass(kw_only=True)
class TimmSwin(TimmCut):
    """A Swin transformer behind its patch embedding; tokens are a grid (B, H, W, dim) of fixed size."""

    def embed(self, x: Tensor) -> Tensor:
        """Images to the grid of patches."""
        return self.model.patch_embed(x)

    def encode(self, tokens: Tensor) -> Tensor:
        """Stages and norm."""
        return self.model.norm(self.model.layers(tokens))


def load_timm(name: str, *, title: str) -> Cut:
    """A model of timm with its pretrained weights, by name or from a folder that timm wrote.

    Args:
        name: ``resnet50``, ``resnet50.a1_in1k``, or a folder with config.json and weights.
        title: how the source was asked for.

    Raises:
        SourceError: unknown, out of reach, or damaged.
    """
    if (Path(name) / "config.json").is_file():
        return load_timm_folder(Path(name), title=title)
    import timm

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights or not config.hf_hub_id:
        with_weights = timm.list_models(f"{name.partition('.')[0]}*", pretrained=True)
        raise SourceError(
            f"{title} has no pretrained weights on the hub",
            expected="a model of timm that comes with weights",
            remedy=f"choose one of {', '.join(with_weights[:5])}" if with_weights else "choose another model",
        )
    repository = config.hf_hub_id
    if repository.endswith("/"):
        repository += name if "." in name else f"{name}.{config.tag}"
    files = [config.hf_hub_filename] if config.hf_hub_filename else [WEIGHT_FILES[0], WEIGHT_FILES[2]]
    weights = fetch_file(repository, files, name=title)
    return _with_weights(name, weights, title=title, overlay={"file": str(weights)})


def load_timm_folder(folder: Path, *, title: str) -> Cut:
    """A model from a folder with timm's config.json and weights.

    Raises:
        SourceError: no weights, damaged ones, or ones of another architecture.
    """
    weights = [folder / name for name in (WEIGHT_FILES[0], WEIGHT_FILES[2]) if (folder / name).is_file()]
    if not weights:
        raise SourceError(
            f"{title}: no weights in {folder}",
            expected=f"{WEIGHT_FILES[0]} or {WEIGHT_FILES[2]} beside config.json",
            remedy="save the model with timm.models.save_for_hf",
        )
    return load_timm_file(weights[0], arch=str(folder), title=title)


def load_timm_file(path: Path, *, arch: str, title: str) -> Cut:
    """A checkpoint of a timm architecture; the number of classes is the checkpoint's.

    Args:
        path: safetensors or ``torch.save``d weights.
        arch: timm's name, or a folder with timm's config.json.
        title: how the source was asked for.

    Raises:
        SourceError: unknown architecture, damaged checkpoint, or one of another architecture.
    """
    folder = (Path(arch) / "config.json").is_file()
    if not folder:
        check_timm_name(arch, title=f"architecture {arch!r}")
    state = read_checkpoint(path)
    module = _build(f"local-dir:{arch}" if folder else arch, state, from_folder=folder)
    load_weights(module, state, path=path, arch=arch)
    return adapt_timm(module, title=title)


def adapt_timm(module: nn.Module, *, title: str) -> Cut:
    """Cut a model of timm; it is put into eval mode.

    Raises:
        SourceError: its parts do not give its own output.
    """
    from timm.models.swin_transformer import SwinTransformer
    from timm.models.swin_transformer_v2 import SwinTransformerV2
    from timm.models.vision_transformer import VisionTransformer

    module.eval()
    model: Any = module
    spec = _input(model)
    names = _class_names(model)
    fields: dict[str, Any] = {"name": title, "module": module, "input": spec, "class_names": names}
    x = probe_batch(spec)
    with torch.inference_mode():
        own = module(x)
    if isinstance(module, VisionTransformer) and type(module).forward_head is VisionTransformer.forward_head:
        cut: Cut = TimmTransformer(**fields, token=TokenSpec(dim=model.embed_dim))
    elif isinstance(module, SwinTransformer | SwinTransformerV2):
        grid = model.patch_embed.grid_size
        token = TokenSpec(dim=_width(model), layout="grid", max_len=grid[0] * grid[1])
        cut = TimmSwin(**fields, token=token)
    else:
        return _adapt_other(fields, x, own)
    check_exact(cut, x, own)
    return cut


def _adapt_other(fields: dict[str, Any], x: Tensor, own: Tensor) -> Cut:
    """A model without token space: in timm's three parts where they fit, else as a whole.

    Then features are the input of its linear head, or the logits where two heads share the work (distilled DeiT).
    """
    cut: Cut = TimmCut(**fields)
    if isinstance(cut.classifier, nn.Linear) or fields["class_names"] is None:
        try:
            check_exact(cut, x, own)
        except (SourceError, TypeError):
            pass
        else:
            return cut
    with torch.inference_mode():
        head = find_head(cut.module, lambda: cut.module(x))
    cut = WholeCut(**fields, head_name=head)
    check_exact(cut, x, cut.pool(own))
    return cut


def _with_weights(name: str, weights: Path, *, title: str, overlay: dict[str, str]) -> Cut:
    """The model by name, filled by timm itself, which knows older layouts of its weights; nothing may be left out."""
    import timm

    try:
        with seeded_torch(0):
            module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay)
    except UNREADABLE as error:
        load_timm_file(weights, arch=name.partition(".")[0], title=title)
        raise unreadable(weights, error) from error
    return adapt_timm(module, title=title)


def _build(name: str, state: dict[str, Tensor], *, from_folder: bool) -> nn.Module:
    """The architecture with as many classes as the checkpoint has, 0 where it has no classifier.

    Its random weights never leave this module: ``load_weights`` asks for every one of them.
    """
    import timm

    options: dict[str, Any] = {}
    if not from_folder:
        config = timm.get_pretrained_cfg(name)
        classifier = "" if config is None else config.classifier
        if isinstance(classifier, str) and classifier:
            weight = state.get(f"{classifier}.weight")
            options["num_classes"] = 0 if weight is None else len(weight)
    try:
        with seeded_torch(0):
            return timm.create_model(name, pretrained=False, **options)
    except (RuntimeError, KeyError, TypeError, ValueError, AssertionError, OSError) as error:
        raise SourceError(
            f"architecture {name!r} cannot be built ({first_line(error)})",
            expected="timm's name, or a folder with timm's config.json",
            remedy="check --arch",
        ) from error


def _input(model: Any) -> InputSpec:
    """Size, mean and standard deviation from the model's own configuration."""
    from timm.data.config import resolve_model_data_config

    config = resolve_model_data_config(model)
    channels, *size = config["input_size"]
    size = getattr(getattr(model, "patch_embed", None), "img_size", None) or size  # as built, not as pretrained
    return InputSpec(
        kind="image",
        shape=(int(channels), *(int(edge) for edge in size)),
        mean=tuple(float(value) for value in config["mean"]),
        std=tuple(float(value) for value in config["std"]),
    )


def _width(model: Any) -> int:
    """Width of the first stage of a Swin transformer."""
    return int(model.patch_embed.proj.out_channels)


def _grid(count: int) -> tuple[int, int]:
    """Two factors of ``count`` that are as near to each other as can be.

    Example:
        >>> _grid(12), _grid(16), _grid(7)
        ((3, 4), (4, 4), (1, 7))
    """
    rows = next(rows for rows in range(isqrt(count), 0, -1) if count % rows == 0)
    return rows, count // rows


def _class_names(model: Any) -> tuple[str, ...] | None:
    """ImageNet's names where the model has as many classes as one of its sets; None for a headless model."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    count = int(model.num_classes or 0)
    if count < 2:
        return None
    config = model.pretrained_cfg
    labels = config.get("label_names")
    if isinstance(labels, list | tuple) and len(labels) == count:
        return distinct([str(label) for label in labels], [str(k) for k in range(count)])
    subset = infer_imagenet_subset(model)
    if subset is None:
        return generic_names(count)
    info = ImageNetInfo(subset)
    labels = info.label_names()
    return distinct([info.label_name_to_description(label) for label in labels], labels)
