"""Short names of the usual sources, and the kinds of name that there are."""

from __future__ import annotations

from typing import Literal

from gapkit.errors import SourceError, did_you_mean, nearest

BUNDLED = "vit"
FORMS = "vit, timm:NAME, hf:NAME-OR-PATH, file:CHECKPOINT or a short name (gapkit sources)"
Kind = Literal["image", "audio", "text"]
Prefix = Literal["bundled", "timm", "hf", "file"]

SHORT_NAMES: dict[str, tuple[str, Kind, str]] = {
    "vit-b16": ("timm:vit_base_patch16_224.augreg2_in21k_ft_in1k", "image", "ViT-B/16, ImageNet-21k then 1k"),
    "vit-b16-21k": ("timm:vit_base_patch16_224.augreg_in21k", "image", "ViT-B/16, ImageNet-21k"),
    "vit-s16": ("timm:vit_small_patch16_224.augreg_in21k_ft_in1k", "image", "ViT-S/16, ImageNet-21k then 1k"),
    "vit-tiny": ("timm:vit_tiny_patch16_224.augreg_in21k_ft_in1k", "image", "ViT-Ti/16, ImageNet-21k then 1k"),
    "dinov2-s14": ("timm:vit_small_patch14_dinov2.lvd142m", "image", "DINOv2 ViT-S/14, no labels"),
    "swin-b": ("timm:swin_base_patch4_window7_224.ms_in22k_ft_in1k", "image", "Swin-B, ImageNet-22k then 1k"),
    "swin-t": ("timm:swin_tiny_patch4_window7_224.ms_in1k", "image", "Swin-T, ImageNet-1k"),
    "resnet50": ("timm:resnet50.a1_in1k", "image", "ResNet-50, ImageNet-1k"),
    "resnet18": ("timm:resnet18.a1_in1k", "image", "ResNet-18, ImageNet-1k"),
    "bert": ("hf:google-bert/bert-base-uncased", "text", "BERT base, English, lower case"),
    "roberta": ("hf:FacebookAI/roberta-base", "text", "RoBERTa base, English"),
    "distilbert": ("hf:distilbert/distilbert-base-uncased", "text", "DistilBERT base, English, lower case"),
    "wav2vec2": ("hf:facebook/wav2vec2-base", "audio", "wav2vec 2.0 base, 16 kHz English speech, no labels"),
    "hubert": ("hf:facebook/hubert-base-ls960", "audio", "HuBERT base, 16 kHz English speech, no labels"),
}
"""Short name -> full name, kind of input, meaning."""


def resolve(name: str) -> tuple[Prefix, str]:
    """What kind of source a name asks for, and the rest of the name.

    Raises:
        SourceError: no source is called so.

    Example:
        >>> resolve("hf:bert-base-uncased")
        ('hf', 'bert-base-uncased')
        >>> resolve("resnet50")
        ('timm', 'resnet50.a1_in1k')
    """
    if name == BUNDLED:
        return "bundled", name
    full = SHORT_NAMES[name][0] if name in SHORT_NAMES else name
    prefix, colon, rest = full.partition(":")
    if colon and rest:
        for known in ("timm", "hf", "file"):
            if prefix == known:
                return known, rest
    raise SourceError(f"source {name!r}", expected=FORMS, remedy=_remedy(name, prefix if colon else ""))


def _remedy(name: str, prefix: str) -> str:
    """The nearest prefix where there is one in the name, else the nearest short name."""
    if prefix:
        return did_you_mean(prefix + ":", ["timm:", "hf:", "file:"])
    close = nearest(name, [BUNDLED, *SHORT_NAMES])
    return f"did you mean {close}?" if close else f"list them with `gapkit sources`, or use {BUNDLED}"
