"""Values that keep nothing of a layer's structure: permuted entries, and the module's own initialiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gapkit.arrays import seeded_torch
from gapkit.errors import UndefinedError
from gapkit.reuse.swap import reset_values


@pytest.fixture(autouse=True)
def _seeded():
    with seeded_torch(0):
        yield


def pair():
    """A tuned block and the one that it was tuned from."""
    found = []
    for _ in range(2):
        block = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        for tensor in (*block.parameters(), *block.buffers()):
            if tensor.is_floating_point():
                tensor.data += torch.rand(tensor.shape)
        found.append(nn.Sequential(block))
    return found


def test_a_permutation_keeps_the_entries_of_pretrained_matrices_and_all_vectors():
    tuned, pretrained = pair()
    state = pretrained[0].state_dict()
    values = reset_values(tuned, pretrained, "0", seed=5)
    assert set(values) == set(state)
    for name, value in values.items():
        if value.ndim >= 2:
            assert not torch.equal(value, state[name])
            assert torch.equal(value.flatten().sort().values, state[name].flatten().sort().values)
        else:
            assert torch.equal(value, state[name])
    assert values["1.running_mean"].equal(pretrained[0][1].running_mean)


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31), rows=st.integers(1, 5), columns=st.integers(2, 7))
def test_resets_are_reproducible_permutations_whose_seeds_differ(seed, rows, columns):
    module = nn.Sequential(nn.Linear(columns, rows), nn.Linear(columns, rows))
    found = [reset_values(module, module, layer, seed=seed)["weight"] for layer in ("0", "0", "1")]
    assert torch.equal(found[0], found[1])
    assert sorted(found[0].flatten().tolist()) == sorted(module[0].weight.flatten().tolist())
    if rows * columns > 12:
        assert not torch.equal(reset_values(module, module, "0", seed=seed + 1)["weight"], found[0])
        module[1].weight.data = module[0].weight.data.clone()
        other = reset_values(module, module, "1", seed=seed)["weight"]
        assert not torch.equal(other, found[0])  # layers of one shape get permutations of their own


def test_permutations_are_uniform():
    module = nn.Linear(3, 1)
    module.weight.data = torch.tensor([[0.0, 1.0, 2.0]])
    counts = np.zeros(27)
    for seed in range(1200):
        a, b, c = reset_values(module, module, "", seed=seed)["weight"][0].int().tolist()
        counts[9 * a + 3 * b + c] += 1
    seen = counts[counts > 0]
    assert len(seen) == 6
    assert np.square(seen - 200).sum() / 200 < 20.5  # chi-squared, 5 degrees of freedom, 0.999


def test_the_initialiser_is_that_of_the_module_and_leaves_the_generators_alone():
    tuned, pretrained = pair()
    state = torch.random.get_rng_state()
    values = reset_values(tuned, pretrained, "0", seed=4, how="init")
    assert torch.equal(torch.random.get_rng_state(), state)
    expected = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
    with seeded_torch(4):
        expected[0].reset_parameters()
    assert torch.equal(values["0.weight"], expected[0].weight)
    assert torch.equal(values["0.bias"], expected[0].bias)
    assert torch.equal(values["1.weight"], torch.ones(4))
    assert torch.equal(values["1.running_var"], pretrained[0][1].running_var)


def test_a_layer_without_an_initialiser_is_undefined():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(3, 3))
            self.linear = nn.Linear(3, 3)

    module = nn.Sequential(Own())
    with pytest.raises(UndefinedError, match="Own in layer '0' has no reset_parameters"):
        reset_values(module, module, "0", seed=0, how="init")
    assert set(reset_values(module, module, "0.linear", seed=0, how="init")) == {"weight", "bias"}

    class Lazy(nn.Linear):
        def reset_parameters(self):
            nn.init.zeros_(self.bias)

    lazy = Lazy(2, 2)
    lazy.weight.data = torch.rand(2, 2)
    with pytest.raises(UndefinedError, match="do not reach 'weight'"):
        reset_values(lazy, lazy, "", seed=0, how="init")
