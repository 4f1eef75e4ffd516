"""A layer's other values inside a block: what is put in, and that every bit comes back."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError, UndefinedError
from gapkit.reuse.swap import reset_values, rewind_values, swapped


@pytest.fixture(autouse=True)
def _seeded():
    with seeded_torch(0):
        yield


def mlp():
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Dropout(0.5), nn.Linear(4, 3))


def cnn():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(0.3)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)),
    )


class Transformer(nn.Module):
    """Two blocks behind an embedding that the output layer shares."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 8)
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True) for _ in range(2))
        self.out = nn.Linear(8, 9)
        self.out.weight = self.embed.weight
        self.register_buffer("positions", torch.arange(4), persistent=False)

    def forward(self, x):
        hidden = self.embed(x + self.positions[:1])
        for block in self.blocks:
            hidden = block(hidden)
        return self.out(hidden)


INPUTS = {mlp: (2, 6), cnn: (2, 3, 5, 5), Transformer: (2, 4)}
LAYERS = [(mlp, "0"), (mlp, ""), (cnn, "1"), (cnn, ""), (Transformer, "blocks.1"), (Transformer, "embed")]
LAYERS += [(Transformer, "blocks"), (Transformer, "")]


def inputs(make, seed=0, n=2):
    rng = np.random.default_rng([seed, 1])
    shape = (n, *INPUTS[make][1:])
    if make is Transformer:
        return torch.from_numpy(rng.integers(9, size=shape))
    return torch.from_numpy(rng.normal(size=shape).astype(np.float32))


def pair(make):
    """A tuned model and the one that it was tuned from."""
    pretrained = make()
    tuned = copy.deepcopy(pretrained)
    with torch.no_grad():
        for tensor in (*tuned.parameters(), *tuned.buffers()):
            if tensor.is_floating_point():
                tensor += torch.rand(tensor.shape)
    return tuned, pretrained


def bits(module):
    """Everything about a module that a swap may not change."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        name: (
            id(tensor),
            tensor.data_ptr(),
            tensor.stride(),
            tensor.dtype,
            tensor.requires_grad,
            tensor._version,
            id(tensor.grad),
            tensor.detach().numpy().tobytes(),
        )
        for name, tensor in tensors.items()
    } | {f"mode {name}": (part.training, id(part)) for name, part in module.named_modules()}


@pytest.mark.parametrize(("make", "layer"), LAYERS)
@pytest.mark.parametrize("how", ["rewind", "permute", "init"])
def test_values_are_there_inside_and_every_bit_is_back_after(make, layer, how):
    tuned, pretrained = pair(make)
    before, before_pretrained = bits(tuned), bits(pretrained)
    if how == "rewind":
        values = rewind_values(tuned, pretrained, layer)
    else:
        values = reset_values(tuned, pretrained, layer, seed=1, how=how)
    state = tuned.get_submodule(layer)
    with swapped(tuned, layer, values):
        inside = {**dict(state.named_parameters()), **dict(state.named_buffers())}
        assert {name for name in inside if name in values} == set(inside) - {"positions"}
        assert all(torch.equal(tensor, values[name]) for name, tensor in inside.items() if name in values)
        assert bits(tuned) != before
        tuned(inputs(make))  # in train mode: BatchNorm inside a swapped layer changes its buffers, which come back
    untouched = {name for name in before if name in bits(tuned)} - {n for n in before if "running" in n or "num_b" in n}
    after = bits(tuned)
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}
    assert bits(pretrained) == before_pretrained


def test_all_layers_but_one_keep_the_function_and_a_rewound_whole_is_the_pretrained_model():
    for make in INPUTS:
        tuned, pretrained = (module.eval() for module in pair(make))
        x = inputs(make)
        expected, own = pretrained(x), tuned(x)
        with swapped(tuned, "", rewind_values(tuned, pretrained, "")):
            assert torch.equal(tuned(x), expected)
        assert torch.equal(tuned(x), own)
        assert not torch.equal(own, expected)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_exceptions_inside_restore_too(error):
    tuned, pretrained = pair(mlp)
    before = bits(tuned)

    def fail():
        with swapped(tuned, "2", rewind_values(tuned, pretrained, "2")):
            raise error

    with pytest.raises(error):
        fail()
    assert bits(tuned) == before


def test_whatever_the_block_does_to_the_values_is_undone():
    tuned, pretrained = pair(mlp)
    before = bits(tuned)
    with swapped(tuned, "2", rewind_values(tuned, pretrained, "2")):
        tuned[2].weight.data.fill_(float("nan"))
        with swapped(tuned, "2", {"weight": torch.ones(4, 5)}), swapped(tuned, "", {"2.bias": torch.ones(4)}):
            assert torch.equal(tuned[2].weight, torch.ones(4, 5))
        assert tuned[2].weight.isnan().all()
    assert bits(tuned) == before


def test_nan_payloads_and_signed_zeros_come_back():
    module = nn.Linear(2, 1)
    raw = torch.tensor([[0x7FC01234, -0x80000000]], dtype=torch.int32).view(torch.float32)
    module.weight.data.copy_(raw)
    with swapped(module, "", {"weight": torch.ones(1, 2)}):
        pass
    assert torch.equal(module.weight.detach().view(torch.int32), raw.view(torch.int32))


def test_a_graph_from_before_the_block_can_be_run_backwards_after_it():
    tuned, pretrained = pair(mlp)
    twin = copy.deepcopy(tuned)
    for module in (tuned, twin):
        module.eval()
    x = inputs(mlp)
    loss = tuned(x).square().sum()
    with swapped(tuned, "2", rewind_values(tuned, pretrained, "2")), torch.inference_mode():
        tuned(x)
    loss.backward()
    twin(x).square().sum().backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(tuned.parameters(), twin.parameters(), strict=True))
    grads = [parameter.grad.clone() for parameter in tuned.parameters()]
    with swapped(tuned, "", rewind_values(tuned, pretrained, "")):
        assert all(torch.equal(p.grad, g) for p, g in zip(tuned.parameters(), grads, strict=True))


def test_gradients_flow_inside_the_block_and_hooks_stay():
    tuned, pretrained = pair(mlp)
    calls = []
    tuned[2].register_forward_hook(lambda *_: calls.append(1))
    with swapped(tuned, "2", rewind_values(tuned, pretrained, "2")):
        tuned(inputs(mlp)).sum().backward()
    assert calls == [1]
    assert tuned[2].weight.grad is not None
    assert len(tuned[2]._forward_hooks) == 1


def test_inference_tensors_dtypes_and_views():
    with torch.inference_mode():
        module = nn.Linear(3, 2)
    kept = module.weight.clone()
    with swapped(module, "", {"weight": torch.ones(2, 3, dtype=torch.float64)}):
        assert torch.equal(module.weight, torch.ones(2, 3))
    assert torch.equal(module.weight, kept)
    half = nn.Linear(3, 2).bfloat16()
    with swapped(half, "", {"weight": torch.ones(2, 3)}):
        assert half.weight.dtype == torch.bfloat16
    flat = torch.arange(6.0)
    views = nn.Module()
    views.a, views.b = nn.Parameter(flat[:4].view(2, 2)), nn.Parameter(flat[2:].view(2, 2))
    before = bits(views)
    with swapped(views, "", {"a": torch.ones(2, 2), "b": torch.full((2, 2), 7.0)}):
        assert flat.tolist() == [1, 1, 7, 7, 7, 7]
    assert bits(views) == before
    square = nn.Module()
    square.a, square.b = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.ones(2, 2))
    with swapped(square, "", {"a": square.b, "b": square.a}):  # values that are the module's own tensors
        assert (square.a.sum().item(), square.b.sum().item()) == (4, 0)
    transposed = nn.Linear(3, 2)
    transposed.weight.data = torch.rand(3, 2).T
    before = bits(transposed)
    with swapped(transposed, "", {"weight": torch.arange(6.0).view(2, 3)}):
        assert transposed.weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert bits(transposed) == before


def test_shared_parameters_are_swapped_everywhere_and_get_one_value():
    tuned, pretrained = pair(Transformer)
    values = reset_values(tuned, pretrained, "", seed=0)
    assert values["embed.weight"] is values["out.weight"]
    with swapped(tuned, "embed", reset_values(tuned, pretrained, "embed", seed=0)):
        assert tuned.out.weight is tuned.embed.weight
        assert not torch.equal(tuned.out.weight, pretrained.out.weight)
    untied = copy.deepcopy(pretrained)
    untied.out.weight = nn.Parameter(untied.embed.weight.detach() + 1)
    before = bits(tuned)
    values = rewind_values(tuned, untied, "")
    with pytest.raises(UndefinedError, match="shared and gets two values"), swapped(tuned, "", values):
        pass
    assert bits(tuned) == before


def test_what_cannot_be_swapped_is_said_and_nothing_is_written():
    tuned, pretrained = pair(mlp)
    before = bits(tuned)
    other = mlp()
    other[4] = nn.Linear(4, 7)
    with pytest.raises(UndefinedError, match=r"\(3, 4\), pretrained \(7, 4\)"):
        rewind_values(tuned, other, "4")
    with pytest.raises(UndefinedError, match="no parameters"):
        rewind_values(tuned, pretrained, "1")
    with pytest.raises(OptionError, match="layer '9'"):
        rewind_values(tuned, pretrained, "9")
    with pytest.raises(OptionError, match="reset 'zero'"):
        reset_values(tuned, pretrained, "0", seed=0, how="zero")
    norm = nn.Sequential(nn.LayerNorm(4))
    with pytest.raises(UndefinedError, match="two axes and entries that differ"):
        reset_values(norm, norm, "0", seed=0)
    bad = [
        ({"weight": torch.ones(5, 6), "bias": torch.ones(4)}, UndefinedError, "has shape"),
        ({"weight": torch.ones(5, 6), "bios": torch.ones(5)}, OptionError, "did you mean 'bias'"),
        ({"weight": torch.ones(5, 6), "bias": torch.ones(5, device="meta")}, UndefinedError, "meta device"),
    ]
    for values, error, message in bad:
        with pytest.raises(error, match=message), swapped(tuned, "0", values):
            pass
    assert bits(tuned) == before
    module = nn.Module()
    module.register_buffer("mask", torch.zeros(1).expand(3))
    with pytest.raises(UndefinedError, match="expanded view"), swapped(module, "", {"mask": torch.ones(3)}):
        pass
