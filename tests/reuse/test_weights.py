"""Weight drift and effective rank of the change, against sums over entries and closed forms."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError
from gapkit.reuse.weights import weight_changes


@pytest.fixture(autouse=True)
def _seeded():
    with seeded_torch(0):
        yield


class Tied(nn.Module):
    """An output layer that shares the embedding's matrix."""

    def __init__(self, *, tied=True):
        super().__init__()
        self.embed, self.norm = nn.Embedding(7, 4), nn.LayerNorm(4)
        self.out = nn.Linear(4, 7, bias=False)
        if tied:
            self.out.weight = self.embed.weight


def build(make, seed=0):
    with seeded_torch(seed):
        return make()


def cnn():
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten()),
        nn.Linear(6, 5),
    )


def tuned(module, seed=1, scale=0.1):
    """A copy, all parameters moved."""
    found = copy.deepcopy(module)
    rng = np.random.default_rng([seed, 7])
    with torch.no_grad():
        for parameter in found.parameters():
            parameter += scale * torch.from_numpy(rng.normal(size=parameter.shape).astype(np.float32))
    return found


def entries(module):
    """All numbers of the distinct parameters, as Python floats."""
    return [value for parameter in module.parameters() for value in parameter.detach().reshape(-1).tolist()]


def naive_rank(change):
    """From the eigenvalues of dW'dW, summed in a loop."""
    matrix = change.reshape(len(change), -1)
    gram = matrix @ matrix.T if len(matrix) < matrix.shape[1] else matrix.T @ matrix
    lengths = [math.sqrt(max(value, 0.0)) for value in np.linalg.eigvalsh(gram)]
    shares = [length / sum(lengths) for length in lengths]
    return math.exp(-sum(share * math.log(share) for share in shares if share > 0))


@pytest.mark.parametrize("layer", ["", "0", "1", "0.0", "0.1", "2"])
def test_drift_and_rank_equal_loops_over_entries(layer):
    before = build(cnn)
    after = tuned(before)
    (found,) = weight_changes(before, after, [layer])
    old, new = entries(before.get_submodule(layer)), entries(after.get_submodule(layer))
    change = math.fsum((a - b) ** 2 for a, b in zip(new, old, strict=True))
    assert found.drift.value == pytest.approx(math.sqrt(change / math.fsum(b * b for b in old)), rel=1e-12)
    assert found.drift.n == len(old)
    assert found.drift.interval is None
    pairs = zip(before.get_submodule(layer).parameters(), after.get_submodule(layer).parameters(), strict=True)
    changes = [(b.detach().double() - a.detach().double()).numpy() for a, b in pairs if a.ndim >= 2]
    if not changes:
        assert (found.effective_rank.value, found.effective_rank.reason) == (None, "no parameter has two axes")
        return
    weights = [np.square(change).sum() for change in changes]
    expected = sum(w * naive_rank(change) for w, change in zip(weights, changes, strict=True)) / sum(weights)
    assert found.effective_rank.value == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_equal_singular_values_count_as_many_directions(rank):
    before = build(lambda: nn.Linear(8, 6))
    after = copy.deepcopy(before).double()
    rng = np.random.default_rng(3)
    left, right = (np.linalg.qr(rng.normal(size=(size, size)))[0][:, :rank] for size in (6, 8))
    after.weight.data += torch.from_numpy(left @ right.T)
    (found,) = weight_changes(before, after, [""])
    assert found.effective_rank.value == pytest.approx(rank, abs=1e-8)
    assert found.drift.value == pytest.approx(
        math.sqrt(rank) / math.sqrt(sum(v * v for v in entries(before))), rel=1e-10
    )


def test_equal_weights_have_no_drift_at_all():
    before = build(cnn)
    (found,) = weight_changes(before, copy.deepcopy(before), [""])
    assert found.drift.value == 0.0
    assert found.effective_rank.value is None
    assert found.effective_rank.status == "undefined"
    assert "dW is zero" in found.effective_rank.reason
    assert {tensor.reason for tensor in found.tensors} == {"dW is zero", "it has fewer than two axes"}
    zero = nn.Linear(2, 2)
    for parameter in zero.parameters():
        nn.init.zeros_(parameter)
    assert weight_changes(zero, copy.deepcopy(zero), [""])[0].drift.value == 0.0
    moved = copy.deepcopy(zero)
    nn.init.ones_(moved.weight)
    drift = weight_changes(zero, moved, [""])[0].drift
    assert (drift.value, drift.status) == (None, "undefined")
    assert "all zero" in drift.reason


def test_shared_parameters_count_once():
    before = build(Tied)
    after = tuned(before)
    (whole,) = weight_changes(before, after, [""])
    assert [tensor.name for tensor in whole.tensors] == ["embed.weight", "norm.weight", "norm.bias"]
    assert whole.drift.n == 28 + 8
    alone = [weight_changes(before, after, [layer])[0].drift.value for layer in ("embed", "out")]
    assert alone[0] == alone[1]
    untied = Tied(tied=False)
    untied.load_state_dict(after.state_dict())
    untied.out.weight.data += 1
    (found,) = weight_changes(before, untied, ["out"])
    assert found.drift.value > alone[1]
    assert weight_changes(before, untied, ["embed"])[0].drift.value == alone[0]
    assert len(weight_changes(before, untied, [""])[0].tensors) == 4


def test_ranks_are_weighted_by_the_squares_of_the_changes():
    before = build(lambda: nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)))
    after = copy.deepcopy(before).double()
    after[0].weight.data += torch.eye(3)  # rank 3, |dW|^2 = 3
    after[1].weight.data[1, 2] += 5.0  # rank 1, |dW|^2 = 25
    (found,) = weight_changes(before, after, [""])
    assert found.effective_rank.value == pytest.approx((3 * 3 + 25 * 1) / 28, rel=1e-7)


def test_a_position_embedding_is_a_matrix_of_positions():
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(torch.zeros(1, 5, 4))
            self.token = nn.Parameter(torch.ones(1, 1, 4))

    before = Positions()
    after = copy.deepcopy(before)
    after.table.data[0, :4] = torch.eye(4)
    after.token.data[0, 0, 1] = 0.0
    (found,) = weight_changes(before, after, [""])
    assert [tensor.effective_rank for tensor in found.tensors] == pytest.approx([4.0, 1.0])


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 10**6), power=st.sampled_from([-30, -8, 0, 8, 30]), rows=st.integers(1, 6))
def test_one_factor_on_both_models_and_rotations_change_nothing(seed, power, rows):
    rng = np.random.default_rng(seed)
    old, change = rng.normal(size=(rows, 5)), rng.normal(size=(rows, 5))
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]

    def found(before, after):
        models = []
        for values in (before, after):
            model = nn.Linear(5, rows, bias=False).double()
            model.weight.data = torch.from_numpy(values)
            models.append(model)
        (result,) = weight_changes(*models, [""])
        return result.drift.value, result.effective_rank.value

    drift, rank = found(old, old + change)
    assert 1 <= rank <= min(rows, 5) + 1e-12
    assert drift == pytest.approx(np.linalg.norm(change) / np.linalg.norm(old), rel=1e-10)
    assert found(old * 10.0**power, (old + change) * 10.0**power) == pytest.approx((drift, rank), rel=1e-8)
    assert found(old @ turn, (old + change) @ turn) == pytest.approx((drift, rank), rel=1e-8)


def test_half_precision_is_compared_in_double():
    before = build(lambda: nn.Linear(4, 4)).bfloat16()
    after = copy.deepcopy(before).float()
    assert weight_changes(before, after, [""])[0].drift.value == 0.0
    after.weight.data += 1e-4
    (found,) = weight_changes(before, after, [""])
    expected = after.weight.double() - before.weight.double()
    assert found.tensors[0].change == pytest.approx(expected.norm().item(), rel=1e-12)


def undefined(before, after, layer):
    (found,) = weight_changes(before, after, [layer])
    assert (found.drift.status, found.drift.value, found.tensors) == ("undefined", None, ())
    assert found.effective_rank == found.drift
    return found.drift.reason


def test_what_cannot_be_compared_is_said_and_the_other_layers_are_compared():
    before = build(cnn)
    after = tuned(before)
    after[2] = nn.Linear(6, 9)
    after[0][0].weight.data[0, 0, 0, 0] = math.nan
    first, second, third = weight_changes(before, after, ["0", "1", "2"])
    assert (first.drift.status, second.drift.status, third.drift.status) == ("undefined", "ok", "undefined")
    assert "NaN" in first.drift.reason
    assert "(9, 6), pretrained (5, 6)" in third.drift.reason
    after[2] = nn.Linear(6, 5, bias=False)
    assert "tuned model lacks 'bias'" in undefined(before, after, "2")
    assert "pretrained model lacks 'bias'" in undefined(after, before, "2")
    assert "has no parameters" in undefined(before, after, "0.2")
    after.add_module("extra", nn.Linear(2, 2))
    assert "pretrained model has no layer 'extra'" in undefined(before, after, "extra")
    assert "meta" in undefined(before, copy.deepcopy(before).to("meta"), "2")


def test_a_layer_that_neither_model_has_is_a_mistake():
    before = build(Tied)
    with pytest.raises(OptionError, match="did you mean 'embed'"):
        weight_changes(before, before, ["embedd"])


def test_the_models_stay_as_they_are():
    before = build(cnn)
    after = tuned(before)
    states = [{k: v.clone() for k, v in m.state_dict().items()} for m in (before, after)]
    weight_changes(before, after, ["", "0", "1"])
    for module, state in zip((before, after), states, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
