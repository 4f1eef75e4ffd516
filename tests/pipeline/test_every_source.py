"""Every kind of source gives features and probabilities for every kind of target, through a fixed embedder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import transformers as tf
from timm.models import save_for_hf
from torch import nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.pipeline.measure import choose_embedder, run_source

N = 60
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
FRAMES = {"conv_dim": (16, 16), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
POSITIONS = {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2}
TIMM = {"img_size": 32, "num_classes": 7, "pretrained": False}
OPTIONS = gk.MeasureOptions(keep_features=False, folds=3, bootstrap=100)

TRANSFORMERS: dict[str, Callable[[], tf.PreTrainedModel]] = {
    "hf vit": lambda: tf.ViTForImageClassification(tf.ViTConfig(image_size=32, patch_size=8, num_labels=5, **SIZES)),
    "hf bert": lambda: tf.BertModel(tf.BertConfig(vocab_size=50, max_position_embeddings=40, **SIZES)),
    "hf wav2vec2": lambda: tf.Wav2Vec2Model(tf.Wav2Vec2Config(**FRAMES, **POSITIONS, **SIZES)),
}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "timm vit": lambda: timm.create_model(
        "vit_tiny_patch16_224", patch_size=8, embed_dim=48, depth=1, num_heads=3, **TIMM
    ),
    "timm swin": lambda: timm.create_model(
        "swin_tiny_patch4_window7_224",
        patch_size=4,
        embed_dim=24,
        depths=(1, 1),
        num_heads=(2, 2),
        window_size=4,
        **TIMM,
    ),
}


def targets() -> dict[str, gk.Target]:
    """One small target of each modality, two classes."""
    rng, y = np.random.default_rng(2), np.arange(N) % 2
    return {
        "grey images": gk.Target(rng.integers(0, 256, (N, 28, 28), dtype=np.uint8), y),
        "RGB images": gk.Target(rng.random((N, 3, 20, 20)), y),
        "speech": gk.Target(rng.normal(size=(N, 4000)), y, sample_rate=8000.0),
        "sensors": gk.Target(rng.normal(size=(N, 9, 64)).astype(np.float32), y),
        "vectors": gk.Target(rng.normal(size=(N, 16)), y),
        "codes": gk.Target(rng.integers(0, 4, (N, 30), dtype=np.uint8), y, alphabet=("A", "C", "G", "T")),
    }


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, gk.Source]:
    """Random-weight models that were saved and loaded by name, and a module."""
    folder = tmp_path_factory.mktemp("sources")
    with seeded_torch(2):
        for name, build in TRANSFORMERS.items():
            build().save_pretrained(folder / name)
        for name, build in MODELS.items():
            save_for_hf(build(), folder / name)
        cnn = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 6))
    found = {name: gk.load_source(f"hf:{folder / name}", device="cpu") for name in (*TRANSFORMERS, *MODELS)}
    cnn_input = gk.InputSpec(kind="image", shape=(3, 24, 24))
    return found | {
        "cnn": gk.Source.from_module(cnn, input=cnn_input, device="cpu"),
        "vit": gk.load_source("vit", device="cpu"),
    }


@pytest.mark.parametrize("source_name", [*TRANSFORMERS, *MODELS, "cnn", "vit"])
@pytest.mark.parametrize("target_name", list(targets()))
def test_features_and_probabilities(source_name: str, target_name: str, sources: dict[str, gk.Source]) -> None:
    source, target = sources[source_name], targets()[target_name]
    _, embedder = choose_embedder(source, target, name=OPTIONS.embedder)
    activations = run_source(source, target, embedder, None, OPTIONS)
    features = np.asarray(activations.features["features"])
    assert features.shape[0] == N
    assert features.std(axis=0).max() > 0
    probabilities = np.exp(activations.log_probabilities)
    assert probabilities.shape == (N, len(activations.source_classes))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)
    assert activations.head.startswith("own" if source.class_names is not None else "k-means prototypes")
    np.testing.assert_array_equal(activations.target.y, target.y)


@pytest.mark.parametrize("source_name", ["hf bert", "hf wav2vec2", "timm swin"])
def test_measure(source_name: str, sources: dict[str, gk.Source], tmp_path: Path) -> None:
    result = gk.measure(sources[source_name], targets()["sensors"], options=OPTIONS)
    assert [row.status for row in result.misalignment] == ["ok"] * 10
    assert gk.GapResult.from_json((result.save(tmp_path) / "result.json").read_text(encoding="utf-8")) == result


def test_a_surrogate_gives_a_headless_source_its_classes(sources: dict[str, gk.Source]) -> None:
    surrogate = gk.Target(
        np.random.default_rng(3).normal(size=(N, 16)), np.arange(N) % 3, ["a", "b", "c"], name="s.npz"
    )
    result = gk.measure(sources["hf bert"], targets()["vectors"], surrogate=surrogate, options=OPTIONS)
    assert (result.source.head, result.source.n_classes) == ("probe on s.npz", 3)
    assert {line["source"] for line in result.label_maps["injection"]} <= {"a", "b", "c"}
