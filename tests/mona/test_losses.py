"""The losses on the surrogate against numpy's, loops and finite differences, and where features have no direction."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gapkit.arrays import generator
from gapkit.errors import DataError, OptionError, UndefinedError
from gapkit.mona.losses import align_loss, knowledge_loss, recognition_loss, uniform_loss
from gapkit.statistics.geometry import alignment, uniformity


def draw(seed, n=20, d=6, n_classes=3):
    rng = generator(seed, 31)
    labels = np.arange(n) % n_classes
    return rng.normal(size=(n, d)) + rng.normal(size=(n_classes, d))[labels], labels


@pytest.mark.parametrize(("n", "d", "n_classes"), [(20, 6, 3), (12, 40, 5), (30, 1, 2), (7, 3, 6)])
@pytest.mark.parametrize("scale", [1.0, 1e-170, 1e170])
def test_both_equal_those_of_numpy(n, d, n_classes, scale):
    x, y = draw(n, n, d, n_classes)
    features, labels = torch.from_numpy(scale * x), torch.from_numpy(y + 7)  # labels need not begin at 0
    assert align_loss(features, labels).item() == pytest.approx(alignment(x, y), abs=1e-10)
    for t in (0.5, 2.0, 400.0):
        assert uniform_loss(features, t).item() == pytest.approx(uniformity(x, t=t), abs=1e-10)
    expected = alignment(x, y) + uniformity(x)
    assert knowledge_loss(features, labels).item() == pytest.approx(expected, abs=1e-10)


def test_both_are_means_over_pairs():
    x, y = draw(1)
    units = x / np.linalg.norm(x, axis=1, keepdims=True)
    pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
    squares = {pair: float(np.square(units[pair[0]] - units[pair[1]]).sum()) for pair in pairs}
    features, labels = torch.from_numpy(x), torch.from_numpy(y)
    inside = np.mean([squares[i, j] for i, j in pairs if y[i] == y[j]])
    assert align_loss(features, labels).item() == pytest.approx(inside, abs=1e-12)
    spread = math.log(np.mean([math.exp(-2 * square) for square in squares.values()]))
    assert uniform_loss(features).item() == pytest.approx(spread, abs=1e-12)


@pytest.mark.parametrize("loss", ["align", "uniform", "knowledge"])
def test_gradients_are_those_of_finite_differences(loss):
    x, y = draw(2, n=9, d=4)
    labels = torch.from_numpy(y)
    value = {
        "align": lambda features: align_loss(features, labels),
        "uniform": uniform_loss,
        "knowledge": lambda features: knowledge_loss(features, labels),
    }[loss]
    assert torch.autograd.gradcheck(value, torch.from_numpy(x).requires_grad_(), atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_rows_and_rows_of_zeros_have_finite_gradients(dtype):
    x, y = draw(3)
    features = torch.from_numpy(x).to(dtype)
    features[4], features[7] = 3 * features[1], features[1]  # of the same class, and of the same direction
    features[5] = 0
    features[6] = 1e-30 * features[6]
    features.requires_grad_()
    knowledge_loss(features, torch.from_numpy(y)).backward()
    assert torch.isfinite(features.grad).all()
    assert (features.grad[5] == 0).all()
    assert (features.grad[1] != 0).any()
    # A factor moves a sample along its own direction, which no loss of directions depends on.
    along = (features.grad * features.detach()).sum(dim=1) / features.grad.norm(dim=1).clamp_min(1e-30)
    assert (along.abs() <= 1e-5 * features.detach().norm(dim=1)).all()


def test_features_that_are_all_the_same_are_worst_and_still():
    features = torch.ones(6, 3, requires_grad=True)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    knowledge_loss(features, labels).backward()
    assert align_loss(features, labels).item() == pytest.approx(0, abs=1e-6)
    assert uniform_loss(features).item() == pytest.approx(0, abs=1e-6)
    assert features.grad.abs().max() < 1e-6


def test_under_autocast_the_losses_have_the_digits_of_float32():
    x, y = draw(4, n=40, d=64)
    features, labels = torch.from_numpy(x).float(), torch.from_numpy(y)
    expected = knowledge_loss(features.double(), labels).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert knowledge_loss(features, labels).item() == pytest.approx(expected, abs=1e-5)
        rounded = knowledge_loss(features.bfloat16(), labels)
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(knowledge_loss(features.bfloat16().double(), labels).item(), abs=1e-5)


def test_recognition_is_the_mean_negative_log_of_the_softmax():
    rng = generator(5, 31)
    logits, labels = rng.normal(size=(8, 4)), np.arange(8) % 4
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.mean([math.log(shares[i, k]) for i, k in enumerate(labels)])
    found = recognition_loss(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    assert found == pytest.approx(expected, abs=1e-12)


def test_batches_without_a_pair_are_refused_in_words():
    features = torch.eye(3)
    with pytest.raises(UndefinedError, match="3 samples, each of another class.*two samples of a class.*larger"):
        align_loss(features, torch.tensor([0, 1, 2]))
    with pytest.raises(UndefinedError, match="1 samples; expected at least two"):
        uniform_loss(features[:1])
    with pytest.raises(DataError, match=r"labels of shape \(2,\) beside 3 rows"):
        knowledge_loss(features, torch.tensor([0, 1]))
    with pytest.raises(DataError, match=r"features of shape \(3,\)"):
        uniform_loss(torch.ones(3))
    with pytest.raises(OptionError, match="t is 0"):
        uniform_loss(features, 0)
