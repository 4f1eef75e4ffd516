"""Learned embedders for every kind of source and target: shapes, gradients, first values and refusals."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers as tf
from torch import nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.embedders import LearnedEmbedder, PatchOptions, choose, fit, learned_embedder
from gapkit.errors import DataError, GapkitError, OptionError, SourceError
from gapkit.sources.embedding_part import embedding_part
from gapkit.sources.from_timm import adapt_timm
from gapkit.sources.from_transformers import adapt_transformers
from gapkit.types import EmbeddingPart

N = 8
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
WORDS = {"vocab_size": 50, "max_position_embeddings": 40, **SIZES}
FRAMES = {
    "conv_dim": (16, 16),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3, "num_classes": 7}
SWIN = {"embed_dim": 24, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4}
HF_SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}

BUILD: dict[str, Callable[[], nn.Module]] = {
    "timm vit": lambda: timm.create_model("vit_tiny_patch16_224", **VIT),
    "timm swin": lambda: timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, patch_size=4, num_classes=5, **SWIN
    ),
    "hf vit": lambda: tf.ViTForImageClassification(tf.ViTConfig(image_size=32, patch_size=8, num_labels=5, **SIZES)),
    "hf swin": lambda: tf.SwinModel(tf.SwinConfig(**HF_SWIN)),
    "hf bert": lambda: tf.BertForSequenceClassification(tf.BertConfig(num_labels=5, **WORDS)),
    "hf roberta": lambda: tf.RobertaModel(tf.RobertaConfig(**WORDS)),
    "hf wav2vec2": lambda: tf.Wav2Vec2Model(tf.Wav2Vec2Config(**FRAMES, **SIZES)),
}
NAMES = ("vit", *BUILD)
IMAGES = ("vit", "timm vit", "timm swin", "hf vit", "hf swin")


@pytest.fixture(scope="module")
def sources() -> dict[str, gk.Source]:
    """The bundled source and tiny ones with random weights, moved so that zeros of an initialiser hide nothing."""
    found = {"vit": gk.load_source("vit", device="cpu")}
    for name, build in BUILD.items():
        with seeded_torch(1):
            module = build().eval()
            for key, parameter in module.named_parameters():
                if "parametrizations" not in key:
                    parameter.data += 0.05 * torch.randn_like(parameter)
        timms = name.startswith("timm")
        cut = adapt_timm(module, title=name) if timms else adapt_transformers(module, None, title=name)
        found[name] = gk.Source(cut, device="cpu")
    return found


@pytest.fixture(scope="module")
def parts(sources: dict[str, gk.Source]) -> dict[str, EmbeddingPart]:
    """What learned embedders know of them."""
    return {name: embedding_part(source) for name, source in sources.items()}


def target(kind: str, *shape: int, seed: int = 0) -> gk.Target:
    """A small target: "series" have a sample rate too low for a spectrogram, so that no axis is turned."""
    rng, y = np.random.default_rng(seed), np.arange(N) % 2
    made: dict[str, Callable[[], gk.Target]] = {
        "table": lambda: gk.Target(rng.normal(2, 3, (N, *shape)), y, name="table"),
        "series": lambda: gk.Target(rng.normal(2, 3, (N, *shape)), y, sample_rate=100.0, name="series"),
        "field": lambda: gk.Target(rng.normal(2, 3, (N, *shape)), y, name="field"),
        "images": lambda: gk.Target(rng.integers(0, 256, (N, 28, 28), dtype=np.uint8), y, name="images"),
        "speech": lambda: gk.Target(rng.normal(size=(N, 3000)), y, sample_rate=8000.0, name="speech"),
        "codes": lambda: gk.Target(rng.integers(0, 4, (N, 30), dtype=np.uint8), y, alphabet=tuple("ACGT"), name="dna"),
    }
    return made[kind]()


SHAPES = [
    ("table", 16),
    ("table", 1),
    ("table", 700),
    ("series", 9, 100),
    ("field", 5, 33, 20),
    ("images",),
    ("speech",),
    ("codes",),
]


def check_runs(embedder: LearnedEmbedder, source: gk.Source, samples: gk.Target) -> None:
    """The encoder takes the tokens, and the gradient of what comes out reaches every parameter of the module."""
    token = source.token
    assert token is not None
    prepared = embedder.preparation(samples.x)
    assert prepared.dtype == torch.float32
    tokens = embedder.module(prepared)
    assert tokens.shape[-1] == token.dim
    assert tokens.ndim == (4 if token.layout == "grid" else 3)
    assert token.max_len is None or embedder.count <= token.max_len
    features = source.adapter.pool(source.adapter.encode(tokens))
    assert len(features) == N
    mixed = torch.from_numpy(np.random.default_rng(9).normal(size=tuple(features.shape)).astype(np.float32))
    (features * mixed).sum().backward()
    for name, parameter in embedder.module.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name
    given = embedder(samples.x)
    assert not given.requires_grad
    assert torch.equal(given, tokens.detach())


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_every_source_and_target(
    name: str, shape: tuple[Any, ...], sources: dict[str, gk.Source], parts: dict[str, EmbeddingPart]
) -> None:
    samples, before = target(*shape), sources[name].weights_hash
    embedder = learned_embedder(samples, parts[name])
    assert embedder.space == "tokens"
    assert embedder.name == (
        "learned copy" if shape[0] in ("images", "speech") and name in IMAGES else "learned patches"
    )
    check_runs(embedder, sources[name], samples)
    for parameter in embedder.module.parameters():
        parameter.data.add_(1.0)
    assert sources[name].weights_hash == before  # the source's own module is never trained
    assert exact(name) or (embedder.count == 1) == (shape == ("table", 1))


def exact(name: str) -> bool:
    """Whether the encoder takes its own number of tokens only."""
    return name in ("timm swin", "hf vit", "hf swin")


@pytest.mark.parametrize("channels", [1, 3, 9])
@pytest.mark.parametrize("length", [1, 2, 46, 997, 1000])
@pytest.mark.parametrize("name", ["vit", "timm swin", "hf bert"])
def test_series_of_any_length(
    name: str, length: int, channels: int, sources: dict[str, gk.Source], parts: dict[str, EmbeddingPart]
) -> None:
    samples = target("series", channels, length)
    embedder = learned_embedder(samples, parts[name], PatchOptions(kind="patch"))
    check_runs(embedder, sources[name], samples)
    most, own = {"vit": (10**9, 32), "timm swin": (64, 64), "hf bert": (40, 32)}[name]
    if exact(name):
        assert embedder.count == own
    else:
        # Naively: every kernel that fits, the number of patches nearest to 32 in ratio.
        counts = [ceil(length / kernel) for kernel in range(1, length + 1)]
        fitting = [count for count in counts if count <= most and (count > 1 or length == 1)]
        assert embedder.count == min(fitting, key=lambda count: abs(np.log(count / own)))


@pytest.mark.parametrize("name", ["vit", "timm vit", "timm swin", "hf vit"])
def test_every_step_reaches_the_tokens(name: str, parts: dict[str, EmbeddingPart]) -> None:
    for samples in (target("series", 2, 101), target("field", 2, 21, 50), target("table", 130)):
        embedder = learned_embedder(samples, parts[name], PatchOptions(kind="patch"))
        x = embedder.preparation(samples.x[:2]).requires_grad_()
        mixed = embedder.module(x)
        weights = torch.from_numpy(np.random.default_rng(3).normal(size=tuple(mixed.shape)).astype(np.float32))
        (gradient,) = torch.autograd.grad((mixed * weights).sum(), x)
        assert bool((gradient[0] != 0).all())


@pytest.mark.parametrize("kind", ["images", "speech", "codes", "table"])
@pytest.mark.parametrize("name", IMAGES)
def test_a_copy_begins_with_the_tokens_of_the_fixed_embedder(
    name: str, kind: str, sources: dict[str, gk.Source], parts: dict[str, EmbeddingPart]
) -> None:
    samples, source = target(kind, *([16] if kind == "table" else [])), sources[name]
    embedder = learned_embedder(samples, parts[name], PatchOptions(kind="copy"))
    fixed = fit(choose(samples, source.input, source.token), samples, source.input, source.token)
    with torch.no_grad():
        own = source.adapter.embed(fixed(samples.x))
    torch.testing.assert_close(embedder(samples.x), own, rtol=1e-6, atol=1e-6)
    random = learned_embedder(samples, parts[name], PatchOptions(kind="copy", init="random"))
    assert float((random(samples.x) - own).abs().max()) > 0.01
    check_runs(random, source, samples)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[0] != "images"], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_first_tokens_have_mean_and_deviation_of_the_sources_own(
    name: str, shape: tuple[Any, ...], sources: dict[str, gk.Source], parts: dict[str, EmbeddingPart]
) -> None:
    samples, source = target(*shape), sources[name]
    embedder = learned_embedder(samples, parts[name], PatchOptions(kind="patch"))
    tokens = embedder(samples.x).double().numpy()
    if source.input.kind == "text":
        assert source.token is not None
        mean, std = source.token.mean, source.token.std
    elif source.surrogate is not None:
        rows = np.arange(64) * len(source.surrogate) // 64
        chosen = choose(source.surrogate, source.input, source.token)
        x = fit(chosen, source.surrogate, source.input, source.token)(source.surrogate.x[rows])
        own = parts[name].embed(x).double().numpy()
        mean, std = own.mean(), own.std()
    else:
        x = torch.from_numpy(np.random.default_rng(5).normal(size=(64, *source.input.shape)).astype(np.float32))
        own = parts[name].embed(x).double().numpy()
        mean, std = own.mean(), own.std()
    # Without a surrogate both sides are draws of noise; they agree as far as draws do.
    close = 1e-4 if source.input.kind == "text" or source.surrogate is not None else 0.05
    assert tokens.std() == pytest.approx(std, rel=close)
    assert tokens.mean() == pytest.approx(mean, abs=close * std)


def test_seeds(parts: dict[str, EmbeddingPart]) -> None:
    samples = target("series", 3, 50)
    for init in ("source", "random"):
        first, again, other = (
            learned_embedder(samples, parts["vit"], PatchOptions(init=init, seed=seed)).key  # pyright: ignore[reportArgumentType]
            for seed in (0, 0, 1)
        )
        assert first == again != other


@pytest.mark.parametrize(
    ("name", "shape", "tokens"),
    [("vit", (3, 50), 7), ("hf bert", (3, 50), 40), ("timm vit", (3, 50), 12), ("hf vit", (1, 5), 16)],
)
def test_asked_tokens_are_given(
    name: str,
    shape: tuple[int, int],
    tokens: int,
    sources: dict[str, gk.Source],
    parts: dict[str, EmbeddingPart],
) -> None:
    samples = target("series", *shape)
    embedder = learned_embedder(samples, parts[name], PatchOptions(tokens=tokens))
    assert embedder.count == tokens
    check_runs(embedder, sources[name], samples)


@pytest.mark.parametrize(
    ("name", "shape", "options", "error", "words"),
    [
        ("hf bert", ("series", 3, 50), {"tokens": 41}, OptionError, "2 to 40"),
        ("hf vit", ("series", 3, 50), {"tokens": 15}, OptionError, "expected 16, 4x4"),
        ("timm swin", ("table", 16), {"tokens": 63}, OptionError, "expected 64, 8x8"),
        ("vit", ("series", 3, 50), {"tokens": 1}, OptionError, "2 to 50"),
        ("vit", ("series", 3, 50), {"tokens": 51}, OptionError, "2 to 50"),
        ("vit", ("table", 16), {"tokens": 17}, OptionError, "2 to 16"),
        ("vit", ("images",), {"kind": "copy", "tokens": 63}, OptionError, "expected 64"),
        ("hf bert", ("table", 16), {"kind": "copy"}, OptionError, "use kind='patch'"),
        ("hf wav2vec2", ("speech",), {"kind": "copy"}, OptionError, "use kind='patch'"),
        ("vit", ("table",), {}, DataError, "single numbers"),
        ("vit", ("field", 2, 2, 2, 2), {}, DataError, "reshape"),
    ],
)
def test_refusals(
    name: str,
    shape: tuple[Any, ...],
    options: dict[str, Any],
    error: type[GapkitError],
    words: str,
    parts: dict[str, EmbeddingPart],
) -> None:
    with pytest.raises(error, match=words):
        learned_embedder(target(*shape), parts[name], PatchOptions(**options))


def test_strings_and_sources_without_tokens_are_refused(parts: dict[str, EmbeddingPart]) -> None:
    with pytest.raises(DataError, match="strings"):
        learned_embedder(gk.Target(np.array(["a", "b"]), [0, 1]), parts["hf bert"])
    with seeded_torch(0):
        cnn = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    source = gk.Source.from_module(cnn, input=gk.InputSpec(kind="image", shape=(3, 16, 16)), device="cpu")
    with pytest.raises(SourceError, match="has no token space.*align"):
        learned_embedder(target("images"), embedding_part(source))


@pytest.mark.parametrize("options", [{"kind": "conv"}, {"init": "zeros"}, {"tokens": 0}, {"seed": -1}])
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        PatchOptions(**options)


def test_samples_of_another_shape_are_refused(parts: dict[str, EmbeddingPart]) -> None:
    embedder = learned_embedder(target("series", 3, 50), parts["vit"])
    with pytest.raises(DataError, match=r"samples of shape \(3, 50\)"):
        embedder(np.zeros((4, 3, 51)))
