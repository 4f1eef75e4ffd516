"""The knowledge-reuse score on small networks of which it is known how far the source's structure is kept.

**Worlds.** A source of L = 4 blocks ``out(tanh(inner(x)))`` is trained on eight classes, the signs of three products
of inputs, which random weights hardly see. "Tuning" keeps blocks 1 .. k and loses blocks k + 1 .. L, for k = 0 .. L.
Kept means: untouched, or, with the next block undoing it, mapped by an orthogonal matrix, scaled or shifted; or small
noise in the weights. Lost means one of

* ``rotated``: noise that knows nothing of the classes along the old class directions, and class means that are equal;
* ``fresh``: new random weights;
* ``permuted``: 300 steps of Adam on permuted labels, with blocks 1 .. k frozen.

**What "finds k" means**, written down before any score was seen: with ``s_0 = 1`` and ``s_(L+1) = 0`` around the scores
``s_1 .. s_L``, the largest drop ``s_l - s_(l+1)`` is at ``l = k``. A way of losing passes when k is found in at least
nine of ten worlds. An undefined score is a miss.

**What was found** in 30 worlds of each way, six for each k: ``rotated`` 30, ``fresh`` 18 (all for k = 0, 1 and 4, none
for 2 and 3), ``permuted`` 13. Kept layers scored at least 0.98; the code computes what the definition says. A lost
layer is a map of the kept one before it, and a random map, or one that was trained on noise, still passes on what can
be read off that: where two or three layers were kept, the first lost one scored 0.62 to 0.96 (``fresh``) and 0.63 to
0.91 (``permuted``). That is the definition's doing, and its docstring lists it.

**A second rule**, written down after that and before its own worlds were drawn: k is the number of leading layers with
a score of at least 0.97, in worlds of other seeds, with the same share. It found k in 20 of 20 worlds of each way; the
first rule found it in 20, 12 and 7 of these.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.reuse.tuned import as_tuned

LAYERS, WIDTH, INPUTS, CLASSES = 4, 32, 8, 8
KEEPING = ("untouched", "orthogonal", "scale", "shift", "noise")
LOSING = ("rotated", "fresh", "permuted")
SHARE_FOUND, NEARLY_ONE = 0.9, 0.97


class Block(nn.Module):
    """A block whose output is linear, so that the next block can undo any map of it."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inner, self.out = nn.Linear(inputs, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.inner(x)))


class Network(nn.Module):
    """Blocks and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(INPUTS if index == 0 else WIDTH) for index in range(LAYERS)))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(x))


def draw(seed, n):
    """Samples and classes: the signs of three products."""
    rng = np.random.default_rng([seed, 90])
    x = (rng.choice([-1.0, 1.0], size=(n, INPUTS)) + 0.4 * rng.normal(size=(n, INPUTS))).astype(np.float32)
    bits = np.stack([x[:, 2 * bit] * x[:, 2 * bit + 1] > 0 for bit in range(3)], axis=1)
    return x, (bits @ np.array([1, 2, 4])).astype(np.int64)


def fit(model, parameters, seed, labels=None, *, steps, rate=3e-3):
    """Adam on the classes of 4000 samples, or on other labels."""
    x, y = (torch.as_tensor(one) for one in draw(seed, 4000))
    y = y if labels is None else labels(y)
    optimiser = torch.optim.Adam(parameters, lr=rate)
    for _ in range(steps):
        rows = torch.randint(len(x), (256,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimiser.step()


@cache
def pretrained(seed):
    """A trained network; nobody writes to it."""
    with seeded_torch(seed):
        model = Network()
        fit(model, model.parameters(), seed, steps=1500)
    return model.eval()


def copied(seed):
    model = Network()
    model.load_state_dict(pretrained(seed).state_dict())
    return model


@torch.no_grad()
def keep(model, block, way, generator):
    """Change a block in a way that the next one undoes."""
    own, after = model.blocks[block].out, model.head
    if block + 1 < LAYERS:
        after = model.blocks[block + 1].inner
    if way == "orthogonal":
        q = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=generator))[0]
        own.weight.copy_(q @ own.weight)
        own.bias.copy_(q @ own.bias)
        after.weight.copy_(after.weight @ q.T)
    elif way == "scale":
        for tensor in (own.weight, own.bias):
            tensor *= 7.0
        after.weight /= 7.0
    elif way == "shift":
        shift = 3 * torch.randn(WIDTH, generator=generator)
        own.bias += shift
        after.bias -= after.weight @ shift
    elif way == "noise":
        for tensor in model.blocks[block].parameters():
            tensor += 0.05 * tensor.std() * torch.randn(tensor.shape, generator=generator)


def class_directions(features, labels):
    """The projection onto the span of the differences of class means."""
    means = torch.stack([features[labels == code].mean(dim=0) for code in range(CLASSES)])
    basis = torch.linalg.svd(means - means.mean(dim=0), full_matrices=False)[2][: CLASSES - 1]
    return basis.T @ basis


@torch.no_grad()
def rotate_away(model, source, first, seed, generator):
    """Fill the old class directions with what knows no class, and let nothing that knows one through, linearly."""
    x, y = (torch.as_tensor(one) for one in draw(seed, 4000))
    for block in range(first, LAYERS):
        old = class_directions(source.blocks[: block + 1](x), y)
        inner = torch.tanh(model.blocks[block].inner(model.blocks[:block](x)))
        own = model.blocks[block].out
        noise = own.weight.std() * torch.randn(WIDTH, WIDTH, generator=generator)
        blind = torch.eye(WIDTH) - class_directions(inner, y)
        own.weight.copy_(((torch.eye(WIDTH) - old) @ own.weight + 2 * old @ noise) @ blind)


def lose(model, first, way, seed, generator):
    """Lose all blocks from ``first`` on."""
    if way == "rotated":
        rotate_away(model, pretrained(seed), first, seed, generator)
    elif way == "fresh":
        for block in model.blocks[first:]:
            block.inner.reset_parameters()
            block.out.reset_parameters()
    elif first < LAYERS:
        moving = [tensor for block in model.blocks[first:] for tensor in block.parameters()]
        fit(model, [*moving, *model.head.parameters()], seed, lambda y: y[torch.randperm(len(y))], steps=300)


def tuned(seed, k, keeping, losing):
    """A network that keeps k blocks of the source and loses the others."""
    generator = torch.Generator().manual_seed(1000 * seed + k)
    with seeded_torch(500 + seed):
        model = copied(seed)
        for block in range(k):
            keep(model, block, keeping, generator)
        lose(model, k, losing, seed, generator)
    return model.eval()


def scores(seed, k, keeping, losing, measure="knowledge_reuse"):
    """Estimates of the layers, in their order."""
    names = tuple(f"blocks.{index}" for index in range(LAYERS))
    x, y = draw(10_000 + seed, 500)
    options = gk.ProbeOptions(layers=names, matrices=(), bootstrap=100, projection=False, keep_features=False)
    before = gk.Source.from_module(pretrained(seed), input=gk.InputSpec(kind="array", shape=(INPUTS,)))
    found = gk.probe(before, tuned(seed, k, keeping, losing), surrogate=gk.Target(x, y), options=options)
    return [found.find(name, measure) for name in names]


def found(estimates):
    """The k at which the score drops most; None where one is undefined."""
    if any(estimate.value is None for estimate in estimates):
        return None
    return int(np.argmax(-np.diff([1.0, *(estimate.value for estimate in estimates), 0.0])))


def leading(estimates):
    """How many layers score nearly one before the first that does not."""
    low = [estimate.value is None or estimate.value < NEARLY_ONE for estimate in estimates]
    return low.index(True) if any(low) else len(low)


def test_the_source_has_learnt_its_classes():
    x, y = draw(20_000, 1000)
    assert (pretrained(0)(torch.as_tensor(x)).argmax(1).numpy() == y).mean() > 0.8


def test_a_head_of_another_size_leaves_the_global_generators_alone():
    with seeded_torch(0):
        module = Network()
        module.head = nn.Linear(WIDTH, 3)
    before = gk.Source.from_module(pretrained(0), input=gk.InputSpec(kind="array", shape=(INPUTS,)))
    state = torch.random.get_rng_state()
    assert as_tuned(before, module).source.n_classes == 3
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("keeping", KEEPING)
def test_what_is_kept_scores_high_and_what_follows_it_low(keeping):
    k = 1 + KEEPING.index(keeping) % (LAYERS - 1)
    estimates = scores(0, k, keeping, "rotated")
    assert found(estimates) == k
    assert all(estimate.interval[0] > 0.5 for estimate in estimates[:k])
    assert all(estimate.interval[1] < 0.5 for estimate in estimates[k:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "losing",
    [
        "rotated",
        pytest.param("fresh", marks=pytest.mark.xfail(strict=True, reason="18 of 30: a kept layer is passed on")),
        pytest.param("permuted", marks=pytest.mark.xfail(strict=True, reason="13 of 30: a kept layer is passed on")),
    ],
)
def test_k_is_where_the_score_drops_most(losing):
    worlds = [(seed, k, KEEPING[(seed + k) % len(KEEPING)]) for seed in range(6) for k in range(LAYERS + 1)]
    hits = [found(scores(seed, k, keeping, losing)) == k for seed, k, keeping in worlds]
    assert np.mean(hits) >= SHARE_FOUND


@pytest.mark.slow
@pytest.mark.parametrize("losing", LOSING)
def test_k_is_the_number_of_leading_layers_that_score_nearly_one(losing):
    worlds = [(seed, k, KEEPING[(seed + k) % len(KEEPING)]) for seed in range(6, 10) for k in range(LAYERS + 1)]
    hits = [leading(scores(seed, k, keeping, losing)) == k for seed, k, keeping in worlds]
    assert np.mean(hits) >= SHARE_FOUND


@pytest.mark.slow
def test_a_network_that_was_never_trained_retains_nothing():
    """The interval is of the given network, which lies beside the mean of all such: at most nominally is it 95 %.

    Where networks bring all of the variance, the interval of three copies holds 0 with the probability that Student's t
    with two degrees of freedom is below 4.30 / 2, 0.84; so at least 0.8 is asked for, before any share was seen. It was
    26 of 32, and no value was further from 0 than 0.09.
    """
    found = [one for seed in range(8) for one in scores(seed, 0, "untouched", "fresh", "retention")]
    known = [one for one in found if one.status == "ok"]
    assert len(known) >= 24
    assert np.mean([one.interval[0] <= 0 <= one.interval[1] for one in known]) >= 0.8
