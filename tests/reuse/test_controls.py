"""Random-weight copies: fresh everywhere, reproducible, and the original as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import timm
import torch
import transformers as tf
from torch import Tensor, nn

from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError, SourceError
from gapkit.reuse.controls import random_copies


@pytest.fixture(autouse=True)
def _seeded():
    with seeded_torch(0):
        yield


class Bare(nn.Module):
    """Parameters without any initialiser, beside layers with one."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.table = nn.Parameter(torch.randn(9)), nn.Parameter(torch.randn(5, 4))
        self.ones = nn.Parameter(torch.ones(3, 3))
        self.register_buffer("mask", torch.arange(4))
        self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.attention = nn.MultiheadAttention(4, 2)


def bert() -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return tf.BertForMaskedLM(tf.BertConfig(vocab_size=20, max_position_embeddings=12, **sizes))


def hf_vit() -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    return tf.ViTForImageClassification(tf.ViTConfig(image_size=16, patch_size=8, **sizes))


def timm_vit() -> nn.Module:
    return timm.create_model(
        "vit_tiny_patch16_224", img_size=32, embed_dim=16, depth=2, num_heads=2, num_classes=3, init_values=0.1
    )


def timm_resnet() -> nn.Module:
    return timm.create_model("resnet18", num_classes=3)


def timm_swin() -> nn.Module:
    options = {"img_size": 32, "patch_size": 4, "window_size": 4, "embed_dim": 8, "depths": (1, 1), "num_heads": (1, 2)}
    return timm.create_model("swin_tiny_patch4_window7_224", num_classes=3, **options)


def transformer() -> nn.Module:
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)


BUILDERS = [Bare, bert, hf_vit, timm_vit, timm_resnet, timm_swin, transformer]


def trained(make, seed: int = 0) -> nn.Module:
    """A module whose every parameter and running statistic has moved, so that nothing is as before training."""
    with seeded_torch(seed):
        module = make()
    rng = np.random.default_rng([seed, 5])
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += torch.from_numpy(10 + rng.normal(size=parameter.shape).astype(np.float32))
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d):
                part.running_mean += 3
                part.running_var *= 5
                part.num_batches_tracked += 8
    return module


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def same(module: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("make", BUILDERS)
def test_nothing_that_varies_stays_as_trained(make) -> None:
    module = trained(make)
    state = snapshot(module)
    first, second = random_copies(module, 2, seed=3)
    assert same(module, state)
    assert type(first) is type(module)
    old = dict(module.named_parameters())
    fresh = []
    for name, parameter in first.named_parameters():
        assert parameter.shape == old[name].shape
        assert parameter.requires_grad
        assert torch.isfinite(parameter).all()
        if not torch.all(old[name] == old[name].reshape(-1)[0]):
            assert not torch.equal(parameter, old[name]), name
        # trained() moved everything by 10; what initialisers reach is near 0 again, the rest permuted
        fresh.append(parameter.detach().abs().max().item() < 8)
    other = dict(second.named_parameters())
    drawn = [name for name, p in first.named_parameters() if p.ndim >= 2 and p.detach().std() > 0]
    assert drawn
    assert not any(torch.equal(first.get_parameter(name), other[name]) for name in drawn)
    assert all(fresh) == (make is not Bare)


@pytest.mark.parametrize("make", BUILDERS)
def test_copies_are_reproducible_and_independent_of_the_count(make) -> None:
    module = trained(make)
    states = [snapshot(found) for found in random_copies(module, 2, seed=3)]
    assert same(next(random_copies(module, 1, seed=3)), states[0])
    with seeded_torch(99):
        torch.rand(3)
        again = list(random_copies(module, 3, seed=3))
    assert same(again[1], states[1])
    assert not same(next(random_copies(module, seed=4)), states[0])


def test_without_an_initialiser_entries_are_permuted_and_buffers_of_the_architecture_kept() -> None:
    module = trained(Bare)
    (found,) = random_copies(module, 1, seed=0)
    for name in ("scale", "table"):
        new, old = getattr(found, name), getattr(module, name)
        assert not torch.equal(new, old)
        assert torch.equal(new.flatten().sort().values, old.flatten().sort().values)
    assert torch.equal(found.mask, module.mask)
    assert torch.equal(found.norm.running_mean, torch.zeros(4))
    assert torch.equal(found.norm.running_var, torch.ones(4))
    assert found.norm.num_batches_tracked == 0
    assert torch.equal(found.norm.weight, torch.ones(4))
    assert found.linear.weight.abs().max() <= 0.5  # kaiming_uniform(a=sqrt(5)): 1 / sqrt(fan_in)
    assert found.attention.in_proj_bias.abs().max() == 0


def test_a_parametrised_weight_that_its_initialiser_cannot_reach_is_permuted() -> None:
    with seeded_torch(0):
        module = nn.utils.parametrizations.weight_norm(nn.Linear(5, 4))
    (found,) = random_copies(module, 1, seed=0)
    new = found.parametrizations.weight.original1
    old = module.parametrizations.weight.original1
    assert not torch.equal(new, old)
    assert torch.equal(new.flatten().sort().values, old.flatten().sort().values)


def test_whole_model_initialisers_have_the_last_word() -> None:
    (found,) = random_copies(trained(timm_vit), 1, seed=0)
    assert 0.015 < found.blocks[0].attn.qkv.weight.std() < 0.025  # truncated normal, 0.02, not kaiming_uniform
    assert 0.01 < found.pos_embed.std() < 0.03
    assert found.blocks[0].attn.qkv.bias.abs().max() == 0
    (found,) = random_copies(trained(bert), 1, seed=0)
    query = found.bert.encoder.layer[0].attention.self.query
    assert 0.015 < query.weight.std() < 0.025
    assert query.bias.abs().max() == 0
    assert torch.equal(found.bert.encoder.layer[0].output.LayerNorm.weight, torch.ones(16))


def test_a_model_that_was_loaded_is_initialised_too(tmp_path) -> None:
    trained(bert).save_pretrained(tmp_path)
    with seeded_torch(0):
        module = tf.BertForMaskedLM.from_pretrained(tmp_path)
    (found,) = random_copies(module, 1, seed=0)
    assert max(parameter.abs().max() for parameter in found.parameters()) < 8


def test_shared_weights_stay_shared() -> None:
    module = trained(bert)
    assert module.get_output_embeddings().weight is module.get_input_embeddings().weight
    (found,) = random_copies(module, 1, seed=0)
    assert found.get_output_embeddings().weight is found.get_input_embeddings().weight
    assert found.get_input_embeddings().weight is not module.get_input_embeddings().weight


def test_modes_gradients_and_flags_of_the_original_stay_and_copies_have_no_gradients() -> None:
    module = trained(transformer)
    module.layers[0].eval()
    module.layers[1].norm1.weight.requires_grad_(False)
    module(torch.ones(3, 2, 8)).sum().backward()
    grads = {name: copy.deepcopy(p.grad) for name, p in module.named_parameters()}
    (found,) = random_copies(module, 1, seed=0)
    for name, parameter in module.named_parameters():
        twin = found.get_parameter(name)
        assert (parameter.grad is None) == (grads[name] is None)
        assert parameter.grad is None or torch.equal(parameter.grad, grads[name])
        assert twin.grad is None
        assert twin.requires_grad == parameter.requires_grad
    assert [part.training for part in found.modules()] == [part.training for part in module.modules()]


def test_the_generators_are_untouched_between_copies() -> None:
    before = torch.random.get_rng_state()
    for found in random_copies(trained(Bare), seed=1):
        assert torch.equal(torch.random.get_rng_state(), before)
        assert found.training


def test_what_cannot_be_copied_is_said() -> None:
    module = nn.Linear(2, 2)
    with pytest.raises(OptionError, match="0 random copies"):
        random_copies(module, 0, seed=0)
    module.kept = module(torch.ones(1, 2))
    with pytest.raises(SourceError, match="Linear cannot be copied"):
        next(random_copies(module, seed=0))
