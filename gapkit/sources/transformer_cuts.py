"""Cuts of transformers models by what they take: token ids, images, waveforms.

A model's own forward pass is run with tokens in place of what its embedder gives. For classification models ``encode``
runs up to the input of the classifier, since architectures differ in how they pool; for bare ones ``pool`` averages, or
takes the class token of images. Poolers of bare models are left out: checkpoints rarely hold their weights.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from gapkit.sources.cut import Cut
from gapkit.sources.linear_head import caught_input


class Given(nn.Module):
    """Stands in for a module and gives what it was made with; everything else is asked of the original."""

    def __init__(self, original: nn.Module, answer: Any) -> None:
        """Keep both out of the parameters of the model."""
        super().__init__()
        self.__dict__["original"], self.__dict__["answer"] = original, answer

    def forward(self, *_: Any, **__: Any) -> Any:
        """The answer, whatever the input."""
        return self.__dict__["answer"]

    def __getattr__(self, name: str) -> Any:
        """Attributes of the original, such as the weights whose dtype the model looks at."""
        return getattr(self.__dict__["original"], name)


@contextmanager
def standing_in(parent: nn.Module, name: str, answer: Any) -> Iterator[None]:
    """Let a stand-in answer for one submodule inside the block; hooks on the submodule do not see it."""
    original = parent.get_submodule(name)
    setattr(parent, name, Given(original, answer))
    try:
        yield
    finally:
        setattr(parent, name, original)


@dataclass(kw_only=True)
class TransformersCut(Cut):
    """What the three kinds share.

    Attributes:
        head_name: name of the classifier; None for a bare model.
    """

    head_name: str | None = None

    @property
    def model(self) -> Any:
        """The module; architectures share methods but no type that declares them."""
        return self.module

    @property
    def base(self) -> Any:
        """The model without its head."""
        return self.model.base_model

    @property
    def classifier(self) -> nn.Module | None:
        """The last linear map."""
        return None if self.class_names is None else self.model.get_submodule(self.head_name)

    @abstractmethod
    def run(self, tokens: Tensor) -> Any:
        """The model's output for tokens in place of its own."""

    def encode(self, tokens: Tensor) -> Tensor:
        """The classifier's input (B, d), or the last hidden states of a bare model."""
        if self.head_name is None:
            return self.run(tokens).last_hidden_state
        with caught_input(self.model.get_submodule(self.head_name)) as caught:
            self.run(tokens)
        return caught[-1]

    def pool(self, hidden: Tensor) -> Tensor:
        """Mean over the tokens of a bare model."""
        return hidden.mean(dim=1) if hidden.ndim == 3 else hidden


@dataclass(kw_only=True)
class TextCut(TransformersCut):
    """Text encoders; tokens are word embeddings (B, N, dim), before positions are added.

    A token that equals the embedding of the padding symbol is padding: so the attention mask is a function of the
    tokens, and tokens of other origin are all attended to.

    Attributes:
        pad: id of the padding symbol, None where there is none.
    """

    pad: int | None = None

    def embed(self, x: Tensor) -> Tensor:
        """Token ids (B, N) to word embeddings."""
        return self.base.get_input_embeddings()(x)

    def run(self, tokens: Tensor) -> Any:
        """The model on embeddings, with the mask, and with positions where they depend on it (RoBERTa)."""
        real = self.real(tokens)
        if real is None:
            return self.model(inputs_embeds=tokens)
        extra: dict[str, Any] = {}
        embeddings: Any = getattr(self.base, "embeddings", None)
        if hasattr(embeddings, "create_position_ids_from_input_ids"):
            counted = (real.cumsum(dim=1) * real).long()
            extra["position_ids"] = counted + embeddings.padding_idx
        return self.model(inputs_embeds=tokens, attention_mask=real.long(), **extra)

    def encode(self, tokens: Tensor) -> Tensor:
        """The classifier's input, or the last hidden states with zeros at padding."""
        hidden = super().encode(tokens)
        real = self.real(tokens) if hidden.ndim == 3 else None
        return hidden if real is None else hidden * real.unsqueeze(-1)

    def pool(self, hidden: Tensor) -> Tensor:
        """Mean over the tokens that are not padding; a layer norm leaves no real one at zero."""
        if hidden.ndim == 2:
            return hidden
        real = (hidden != 0).any(dim=-1).sum(dim=1, keepdim=True).clamp(min=1)
        return hidden.sum(dim=1) / real

    def real(self, tokens: Tensor) -> Tensor | None:
        """Which tokens (B, N) are not padding; None for a model without a padding symbol."""
        if self.pad is None:
            return None
        return (tokens != self.base.get_input_embeddings().weight[self.pad]).any(dim=-1)


@dataclass(kw_only=True)
class ImageCut(TransformersCut):
    """Vision transformers; tokens are patches (B, N, dim) before class token and positions.

    Attributes:
        patches: path of the patch embedding; None for a model without tokens (a CNN).
        grid: height and width in patches where the patch embedding gives them with its tokens (Swin).
    """

    patches: tuple[str, str] | None = None
    grid: tuple[int, int] | None = None

    def embed(self, x: Tensor) -> Tensor:
        """Images to patches."""
        if self.patches is None:
            return x
        parent, name = self.patches
        tokens = self.model.get_submodule(parent).get_submodule(name)(x)
        return tokens[0] if isinstance(tokens, tuple) else tokens

    def run(self, tokens: Tensor) -> Any:
        """The model with these patches in place of its own."""
        if self.patches is None:
            return self.model(pixel_values=tokens)
        parent, name = self.patches
        answer = tokens if self.grid is None else (tokens, self.grid)
        blank = tokens.new_zeros(1).expand(len(tokens), *self.input.shape)
        with standing_in(self.model.get_submodule(parent), name, answer):
            return self.model(pixel_values=blank)

    def pool(self, hidden: Tensor) -> Tensor:
        """The class token where there is one, else the mean over tokens or positions of a map."""
        if hidden.ndim == 3 and hasattr(getattr(self.base, "embeddings", None), "cls_token"):
            return hidden[:, 0]
        if hidden.ndim == 3:
            return hidden.mean(dim=1)
        return hidden.mean(dim=(2, 3)) if hidden.ndim == 4 else hidden


@dataclass(kw_only=True)
class AudioCut(TransformersCut):
    """wav2vec 2.0 and its kin; tokens are the projected frames (B, N, dim) of the convolutions.

    Attributes:
        pair: whether the projection gives its input too (wav2vec 2.0 does, HuBERT does not).
    """

    pair: bool = field(default=False)

    def embed(self, x: Tensor) -> Tensor:
        """Waveforms (B, samples) to frames."""
        frames = self.base.feature_projection(self.base.feature_extractor(x).transpose(1, 2))
        return frames[0] if isinstance(frames, tuple) else frames

    def run(self, tokens: Tensor) -> Any:
        """The model with these frames in place of its own."""
        blank = tokens.new_zeros(1).expand(len(tokens), 1, tokens.shape[1])
        answer = (tokens, tokens) if self.pair else tokens
        with (
            standing_in(self.base, "feature_extractor", blank),
            standing_in(self.base, "feature_projection", answer),
        ):
            return self.model(input_values=blank[:, 0])
