"""Heads, losses and decoders: sizes, values against plain formulas, and that they can learn what they are for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError
from gapkit.mona.heads import DenseDecoder, build_head, relative_l2, task_loss


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("task", "outputs"), [("classification", 5), ("multilabel", 4), ("regression", 1)])
def test_a_head_begins_near_zero_and_depends_on_its_seed_alone(task: str, outputs: int) -> None:
    head, again, other = (build_head(task, 64, outputs, seed) for seed in (3, 3, 4))
    assert torch.equal(head.weight, again.weight)
    assert not torch.equal(head.weight, other.weight)
    assert torch.equal(head.bias, torch.zeros(outputs))
    given = head(draw(200, 64)).detach()
    assert given.shape == (200, outputs)
    assert 0.04 < float(given.std()) < 0.13  # 0.01 * sqrt(64) = 0.08


def test_losses_against_plain_formulas() -> None:
    logits, labels = draw(6, 3).double(), torch.tensor([0, 2, 1, 1, 0, 2])
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    expected = -np.mean([np.log(p[i, k]) for i, k in enumerate(labels.tolist())])
    assert float(task_loss("classification")(logits, labels)) == pytest.approx(expected, rel=1e-12)
    several = torch.from_numpy((np.random.default_rng(1).random((6, 3)) < 0.5).astype(np.int64))
    q = 1 / (1 + np.exp(-logits.numpy()))
    expected = -np.mean(np.where(several.numpy() == 1, np.log(q), np.log(1 - q)))
    assert float(task_loss("multilabel")(logits, several)) == pytest.approx(expected, rel=1e-12)
    truth = draw(6, seed=2).double()
    expected = np.mean([(float(logits[i, 0]) - float(truth[i])) ** 2 for i in range(6)])
    assert float(task_loss("regression")(logits[:, :1], truth)) == pytest.approx(expected, rel=1e-12)
    fields, wanted = draw(3, 2, 5).double(), draw(3, 2, 5, seed=3).double()
    wanted[1] = 0
    norms = [float((fields[i] - wanted[i]).pow(2).sum().sqrt()) for i in range(3)]
    scales = [float(wanted[i].pow(2).sum().sqrt()) or 1.0 for i in range(3)]
    expected = np.mean([norm / scale for norm, scale in zip(norms, scales, strict=True)])
    assert float(relative_l2(fields, wanted)) == pytest.approx(expected, rel=1e-12)
    assert float(relative_l2(torch.zeros(2, 4), draw(2, 4))) == pytest.approx(1.0)


SIZES = [
    ((100,), (16,), 1),
    ((1,), (4,), 2),
    ((997,), (7,), 1),
    ((33, 20), (4, 4), 3),
    ((16, 52), (8, 8), 1),
    ((8, 8), (1, 7), 1),
]


@pytest.mark.parametrize(("size", "grid", "channels"), SIZES)
def test_decoders_give_exactly_the_field_and_every_parameter_is_trained(
    size: tuple[int, ...], grid: tuple[int, ...], channels: int
) -> None:
    decoder = DenseDecoder(24, channels, size, grid)
    count = int(np.prod(grid))
    hidden = draw(3, count, 24)
    given = decoder(hidden)
    assert given.shape == (3, channels, *size)
    given.square().sum().backward()
    for name, parameter in decoder.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name
    with_class_token = torch.cat([draw(3, 1, 24, seed=5), hidden], dim=1)
    assert torch.equal(decoder(with_class_token), given)
    if len(grid) == 2:
        assert torch.equal(decoder(hidden.reshape(3, *grid, 24)), given)


def test_a_decoder_keeps_places() -> None:
    """What changes in one token changes the field around its place and not far from it."""
    decoder = DenseDecoder(8, 1, (64, 64), (8, 8))
    hidden = draw(1, 64, 8)
    moved = hidden.clone()
    moved[0, 0] += 1.0
    change = (decoder(moved) - decoder(hidden)).detach().abs()[0, 0]
    assert float(change[:8, :8].max()) > 0
    assert float(change[32:, :].max()) == 0
    assert float(change[:, 32:].max()) == 0


def overfit(decoder: nn.Module, hidden: Tensor, truth: Tensor) -> float:
    optimiser = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(120):
        optimiser.zero_grad()
        relative_l2(decoder(hidden), truth).backward()
        optimiser.step()
    return float(relative_l2(decoder(hidden), truth).detach())


@pytest.mark.parametrize(("size", "grid"), [((40,), (8,)), ((12, 10), (4, 4))])
def test_a_decoder_overfits_a_tiny_field(size: tuple[int, ...], grid: tuple[int, ...]) -> None:
    hidden = draw(2, int(np.prod(grid)), 16)
    axes = torch.meshgrid(*(torch.linspace(0, 3, length) for length in size), indexing="ij")
    truth = torch.stack([sum(torch.sin((k + 1) * axis) for axis in axes)[None] for k in range(2)])
    with seeded_torch(0):
        assert overfit(DenseDecoder(16, 1, size, grid), hidden, truth) < 0.05


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: build_head("dense", 8, 1, 0), "task 'dense'"),
        (lambda: build_head("classification", 8, 1, 0), "outputs 1"),
        (lambda: task_loss("segmentation"), "task 'segmentation'"),
        (lambda: task_loss("regression")(draw(4, 2), draw(4)), r"outputs \(4, 2\) for truth \(4,\)"),
        (lambda: DenseDecoder(8, 1, (10, 10), (4,)), "as many axes"),
        (lambda: DenseDecoder(8, 1, (0,), (4,)), "size 0"),
        (lambda: DenseDecoder(8, 1, (10,), (4,))(draw(2, 3, 8)), r"hidden states \(2, 3, 8\)"),
        (lambda: DenseDecoder(8, 1, (10,), (4,))(draw(2, 8)), r"hidden states \(2, 8\)"),
    ],
)
def test_mistakes_are_said_in_words(call, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        call()
