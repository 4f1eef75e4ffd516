"""Every kind of model, saved by the test and loaded by name: its parts give its own output, and it stays as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import transformers as tf
from timm.models import save_for_hf
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.errors import SourceError
from gapkit.sources.from_timm import adapt_timm
from gapkit.types import Adapter

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
IMAGES = {"image_size": 32, "patch_size": 8, **SIZES}
SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4}
WORDS = {"vocab_size": 50, "max_position_embeddings": 40, **SIZES}
SMALL_WORDS = {"vocab_size": 50, "max_position_embeddings": 40, "dim": 32, "n_layers": 2, "n_heads": 2}
FRAMES = {
    **SIZES,
    "conv_dim": (16, 16),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 8,
}
FIVE = {"num_labels": 5}

MODELS: dict[str, Callable[[], nn.Module]] = {
    "vit-classes": lambda: tf.ViTForImageClassification(tf.ViTConfig(**IMAGES, **FIVE)),
    "vit-bare": lambda: tf.ViTModel(tf.ViTConfig(**IMAGES)),
    "swin-classes": lambda: tf.SwinForImageClassification(tf.SwinConfig(**SWIN, **FIVE)),
    "swin-bare": lambda: tf.SwinModel(tf.SwinConfig(**SWIN)),
    "resnet-classes": lambda: tf.ResNetForImageClassification(
        tf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], **FIVE)
    ),
    "bert-classes": lambda: tf.BertForSequenceClassification(tf.BertConfig(**WORDS, **FIVE)),
    "bert-bare": lambda: tf.BertModel(tf.BertConfig(**WORDS)),
    "roberta-classes": lambda: tf.RobertaForSequenceClassification(tf.RobertaConfig(**WORDS, **FIVE)),
    "roberta-bare": lambda: tf.RobertaModel(tf.RobertaConfig(**WORDS)),
    "distilbert-classes": lambda: tf.DistilBertForSequenceClassification(tf.DistilBertConfig(**SMALL_WORDS, **FIVE)),
    "wav2vec2-classes": lambda: tf.Wav2Vec2ForSequenceClassification(tf.Wav2Vec2Config(**FRAMES, **FIVE)),
    "wav2vec2-bare": lambda: tf.Wav2Vec2Model(tf.Wav2Vec2Config(**FRAMES)),
    "hubert-classes": lambda: tf.HubertForSequenceClassification(tf.HubertConfig(**FRAMES, **FIVE)),
    "hubert-bare": lambda: tf.HubertModel(tf.HubertConfig(**FRAMES)),
}
TIMM: dict[str, dict[str, Any]] = {
    "vit_tiny_patch16_224": {
        "img_size": 32,
        "patch_size": 8,
        "embed_dim": 48,
        "depth": 2,
        "num_heads": 3,
        "num_classes": 7,
    },
    "vit_base_patch16_siglip_gap_224": {
        "img_size": 32,
        "patch_size": 8,
        "embed_dim": 48,
        "depth": 1,
        "num_heads": 3,
        "num_classes": 0,
    },
    "swin_tiny_patch4_window7_224": {
        "img_size": 32,
        "patch_size": 4,
        "embed_dim": 24,
        "depths": (1, 1),
        "num_heads": (2, 4),
        "window_size": 4,
        "num_classes": 5,
    },
    "test_resnet": {"num_classes": 4},
    "test_efficientnet": {"num_classes": 0},
    "deit_tiny_distilled_patch16_224": {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_classes": 3},
}


def make(build: Callable[[], nn.Module]) -> nn.Module:
    """A model with random weights, every parameter moved so that zeros of an initialiser hide nothing."""
    with seeded_torch(1):
        module = build().eval()
        for name, parameter in module.named_parameters():
            if "parametrizations" not in name:
                parameter.data += 0.05 * torch.randn_like(parameter)
    return module


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[nn.Module, Path]]:
    """Every model of transformers with the folder that it was saved to."""
    folder = tmp_path_factory.mktemp("transformers")
    found = {}
    for name, build in MODELS.items():
        module = make(build)
        module.save_pretrained(folder / name)
        found[name] = (module, folder / name)
    return found


@pytest.fixture(scope="module")
def saved_timm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[nn.Module, Path]]:
    """Every model of timm with its folder."""
    folder = tmp_path_factory.mktemp("timm")
    found = {}
    for name, options in TIMM.items():
        module = make(lambda name=name, options=options: timm.create_model(name, **options))
        save_for_hf(module, str(folder / name), safe_serialization=True)
        found[name] = (module, folder / name)
    return found


def batch(source: gk.Source, seed: int = 0) -> Tensor:
    """Three random inputs of the source's own kind."""
    rng = np.random.default_rng(seed)
    if source.input.kind == "text":
        return torch.from_numpy(rng.integers(5, 50, (3, 9)))
    return torch.from_numpy(rng.normal(size=(3, *source.input.shape)).astype(np.float32))


def hooks(module: nn.Module) -> list[int]:
    """How many hooks every layer has."""
    return [len(layer._forward_hooks) + len(layer._forward_pre_hooks) for layer in module.modules()]


def parts(adapter: Adapter, x: Tensor) -> Tensor:
    """head(pool(encode(embed(x)))), without the head where there is none."""
    features = adapter.pool(adapter.encode(adapter.embed(x)))
    assert features.ndim == 2
    return features if adapter.class_names is None else adapter.head(features)


@torch.inference_mode()
@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("-classes")])
def test_parts_of_a_classifier_give_its_own_logits(name: str, saved: dict[str, tuple[nn.Module, Path]]) -> None:
    module, folder = saved[name]
    source = gk.load_source(f"hf:{folder}", device="cpu")
    assert source.class_names == tuple(f"LABEL_{k}" for k in range(5))
    x = batch(source)
    assert torch.equal(parts(source.adapter, x), module(x).logits)
    assert (source.token is None) == (name == "resnet-classes")


@torch.inference_mode()
@pytest.mark.parametrize("name", [name for name in MODELS if name.endswith("-bare")])
def test_parts_of_a_bare_model_give_its_hidden_states(name: str, saved: dict[str, tuple[nn.Module, Path]]) -> None:
    module, folder = saved[name]
    source = gk.load_source(f"hf:{folder}", device="cpu")
    adapter = source.adapter
    assert (source.class_names, source.n_classes) == (None, 0)
    x = batch(source)
    hidden = module(x).last_hidden_state
    assert torch.equal(adapter.encode(adapter.embed(x)), hidden)
    expected = hidden[:, 0] if name == "vit-bare" else hidden.mean(dim=1)
    torch.testing.assert_close(adapter.pool(hidden), expected)
    with pytest.raises(SourceError, match="no classification head"):
        adapter.head(expected)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["bert-classes", "roberta-classes", "distilbert-classes", "bert-bare", "roberta-bare"])
def test_padding_is_masked_as_in_the_models_own_call(name: str, saved: dict[str, tuple[nn.Module, Path]]) -> None:
    module, folder = saved[name]
    adapter = gk.load_source(f"hf:{folder}", device="cpu").adapter
    pad = module.config.pad_token_id
    x = torch.from_numpy(np.random.default_rng(3).integers(5, 50, (3, 9)))
    x[1, 5:] = pad
    x[2, 2:] = pad
    mask = (x != pad).long()
    own = module(input_ids=x, attention_mask=mask)
    if adapter.class_names is not None:
        assert torch.equal(parts(adapter, x), own.logits)
        assert not torch.equal(parts(adapter, x), module(input_ids=x).logits)
        return
    hidden = own.last_hidden_state
    means = torch.stack([hidden[0].mean(0), hidden[1, :5].mean(0), hidden[2, :2].mean(0)])
    torch.testing.assert_close(parts(adapter, x), means)


@torch.inference_mode()
def test_tokens_of_other_origin_reach_the_encoder(saved: dict[str, tuple[nn.Module, Path]]) -> None:
    module, folder = saved["bert-classes"]
    source = gk.load_source(f"hf:{folder}", device="cpu")
    assert source.token is not None
    table = module.bert.embeddings.word_embeddings.weight
    assert (source.token.dim, source.token.max_len) == (32, 40)
    assert source.token.mean == pytest.approx(float(table.mean()), abs=1e-6)
    assert source.token.std == pytest.approx(float(table.std()), rel=1e-5)
    tokens = torch.from_numpy(np.random.default_rng(4).normal(size=(2, 13, 32)).astype(np.float32))
    adapter = source.adapter
    given = adapter.head(adapter.pool(adapter.encode(tokens)))
    assert torch.equal(given, module(inputs_embeds=tokens).logits)


@torch.inference_mode()
@pytest.mark.parametrize("name", ["vit-classes", "wav2vec2-classes"])
def test_encoding_tokens_leaves_the_model_as_it_was(name: str, saved: dict[str, tuple[nn.Module, Path]]) -> None:
    module, folder = saved[name]
    source = gk.load_source(f"hf:{folder}", device="cpu")
    x, names = batch(source), [name for name, _ in source.module.named_modules()]
    tokens, before = source.adapter.embed(x), hooks(source.module)
    with pytest.raises(RuntimeError):
        source.adapter.encode(tokens[..., :-1])
    assert torch.equal(source.module(x).logits, module(x).logits)
    assert [name for name, _ in source.module.named_modules()] == names
    assert hooks(source.module) == before


@torch.inference_mode()
@pytest.mark.parametrize("name", TIMM)
def test_parts_of_a_timm_model_give_its_own_output(name: str, saved_timm: dict[str, tuple[nn.Module, Path]]) -> None:
    module, folder = saved_timm[name]
    source = gk.load_source(f"timm:{folder}", device="cpu")
    x = batch(source)
    assert torch.equal(parts(source.adapter, x), module(x))
    layout = source.token.layout if source.token else None
    expected = {"vit_tiny": "sequence", "vit_base": "sequence", "swin_tin": "grid"}.get(name[:8])
    assert layout == expected
    assert (source.class_names is None) == (TIMM[name]["num_classes"] == 0)
    assert source.input.mean == tuple(module.pretrained_cfg["mean"])
    assert source.input.shape[0] == 3


@torch.inference_mode()
def test_another_number_of_tokens_gets_resampled_positions() -> None:
    """As timm itself does for a larger image, with ``dynamic_img_size``."""
    options = TIMM["vit_tiny_patch16_224"]
    module = make(lambda: timm.create_model("vit_tiny_patch16_224", dynamic_img_size=True, **options))
    fixed = make(lambda: timm.create_model("vit_tiny_patch16_224", **options))
    adapter = adapt_timm(fixed, title="timm:vit")
    images = torch.from_numpy(np.random.default_rng(5).normal(size=(2, 3, 32, 40)).astype(np.float32))
    tokens = adapt_timm(module, title="timm:vit").embed(images)
    assert tokens.shape == (2, 20, 48)
    assert torch.equal(adapter.head(adapter.pool(adapter.encode(tokens))), module(images))
    assert fixed.dynamic_img_size is False


def test_imagenet_names_are_found_and_distinct() -> None:
    with seeded_torch(0):
        adapter = adapt_timm(timm.create_model("test_resnet"), title="timm:test_resnet")
    names = adapter.class_names or ()
    assert (len(names), len(set(names))) == (1000, 1000)
    assert names[0].startswith("tench")


def test_hf_finds_timm_folders_too_and_keeps_labels(saved_timm: dict[str, tuple[nn.Module, Path]]) -> None:
    _, folder = saved_timm["test_resnet"]
    assert gk.load_source(f"hf:{folder}", device="cpu").class_names == tuple(f"class {k}" for k in range(4))


@torch.inference_mode()
def test_labels_and_preprocessing_come_from_the_folder(tmp_path: Path) -> None:
    config = tf.ViTConfig(**IMAGES, id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1})
    make(lambda: tf.ViTForImageClassification(config)).save_pretrained(tmp_path)
    preparation = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preparation))
    source = gk.load_source(f"hf:{tmp_path}", device="cpu")
    assert source.class_names == ("cat", "dog")
    assert (source.input.mean, source.input.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def test_strings_become_padded_ids_with_the_folders_tokenizer(tmp_path: Path) -> None:
    make(MODELS["bert-classes"]).save_pretrained(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "gap", "is", "measured"]
    tf.BertTokenizer(vocab={word: k for k, word in enumerate(words)}).save_pretrained(tmp_path)
    source = gk.load_source(f"hf:{tmp_path}", device="cpu")
    assert source.input.tokenizer is not None
    ids = source.input.tokenizer(["a gap is measured", "gap"])
    assert ids.dtype == np.int64
    assert ids.tolist() == [[2, 5, 6, 7, 8, 3], [2, 6, 3, 0, 0, 0]]
    assert source.input.tokenizer(["gap " * 100]).shape == (1, 40)


def test_checkpoint_of_a_masked_language_model_is_used_bare(tmp_path: Path) -> None:
    module = make(lambda: tf.BertForMaskedLM(tf.BertConfig(**WORDS)))
    module.save_pretrained(tmp_path)
    source = gk.load_source(f"hf:{tmp_path}", device="cpu")
    assert source.class_names is None
    x = batch(source)
    with torch.inference_mode():
        hidden = module.bert(x).last_hidden_state
        assert torch.equal(source.adapter.encode(source.adapter.embed(x)), hidden)


@pytest.mark.parametrize(
    "build",
    [
        lambda: tf.T5Model(tf.T5Config(vocab_size=50, d_model=32, num_layers=1, num_heads=2, d_ff=64, d_kv=16)),
        lambda: tf.GPT2ForSequenceClassification(
            tf.GPT2Config(
                vocab_size=50, n_embd=32, n_layer=1, n_head=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, **FIVE
            )
        ),
    ],
)
def test_other_architectures_are_refused(build: Callable[[], nn.Module], tmp_path: Path) -> None:
    make(build).save_pretrained(tmp_path)
    with pytest.raises(SourceError, match="kind that gapkit cannot cut.*from_module"):
        gk.load_source(f"hf:{tmp_path}", device="cpu")
