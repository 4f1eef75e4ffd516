"""Hits with layers swapped against a loop that copies the model, and the model afterwards, to the bit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import PerSample, generator, seeded_torch
from gapkit.embedders import choose, fit
from gapkit.reuse.causal import Trial, layer_hits
from gapkit.reuse.hits import LayerHits
from gapkit.reuse.swap import reset_values, rewind_values

N, SEEDS = 60, (3, 4)


def target() -> gk.Target:
    rng, y = generator(0), np.arange(N) % 3
    x = 100 + 60 * rng.normal(size=(3, 16, 16))[y] + 20 * rng.normal(size=(N, 16, 16))
    return gk.Target(np.clip(x, 0, 255).astype(np.uint8), y, name="target")


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(54, 3),
    )


def transformer() -> nn.Module:
    block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
    blocks = nn.Sequential(block, copy.deepcopy(block))
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=4),
        nn.Flatten(2),
        Turned(),
        blocks,
        Turned(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


class Turned(nn.Module):
    """Tokens to channels, and back."""

    def forward(self, x: Tensor) -> Tensor:
        """The last two axes swapped."""
        return x.transpose(1, 2)


MODELS = {"BatchNorm": (convolutional, ("0", "3")), "transformer": (transformer, ("3.0", "3.1"))}


def trial(kind: str) -> Trial:
    """A model whose weights and statistics differ from those that it was tuned from."""
    with seeded_torch(1):
        pretrained, tuned = MODELS[kind][0]().eval(), MODELS[kind][0]().eval()
        for part in tuned.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()
    spec = gk.InputSpec(kind="image", shape=(1, 16, 16))
    source = gk.Source.from_module(tuned, input=spec, device="cpu")
    data = target()
    embedder = fit(choose(data, source.input, source.token), data, source.input, source.token)
    return Trial(tuned=source, pretrained=pretrained, scored=data, training=data, embedder=embedder, seeds=SEEDS)


def predicted(given: Trial, module: nn.Module) -> PerSample:
    """Hits of a module, BatchNorm's statistics those of the training samples, all of them one batch."""
    with torch.no_grad():
        x = given.embedder(given.training.x)
        norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
        for part in norms:
            part.reset_running_stats()
            part.momentum = None
            part.train()
        if norms:
            module(x)
        module.eval()
        return (module(x).argmax(dim=1).numpy() == given.scored.y).astype(np.float64)


def by_copies(given: Trial, layers: tuple[str, ...]) -> tuple[PerSample, list[PerSample]]:
    """Rewound, and reset by each seed: each time a new copy of the whole model."""

    def hit(values: list[dict[str, Tensor]]) -> PerSample:
        module = copy.deepcopy(given.tuned.module)
        for layer, own in zip(layers, values, strict=True):
            module.get_submodule(layer).load_state_dict(own)
        return predicted(given, module)

    module, old = given.tuned.module, given.pretrained
    rewound = hit([rewind_values(module, old, layer) for layer in layers])
    return rewound, [hit([reset_values(module, old, layer, seed=seed) for layer in layers]) for seed in SEEDS]


@pytest.mark.parametrize("kind", MODELS)
def test_hits_are_those_of_copies(kind: str) -> None:
    given, layers = trial(kind), MODELS[kind][1]
    before = {name: value.clone() for name, value in given.tuned.module.state_dict().items()}
    parts = {layer: (layer,) for layer in layers} | {"": layers}
    found = layer_hits(given, parts)
    tuned = predicted(given, copy.deepcopy(given.tuned.module))
    differing = 0
    for name, own in parts.items():
        hits = found[name]
        assert isinstance(hits, LayerHits)
        rewound, reset = by_copies(given, own)
        assert np.array_equal(hits.tuned, tuned)
        assert np.array_equal(hits.rewound, rewound)
        assert np.array_equal(hits.reset, np.array(reset))
        differing += int((hits.rewound != tuned).sum())
    assert differing > 0
    assert all(torch.equal(value, before[name]) for name, value in given.tuned.module.state_dict().items())


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("after", [2, 3, 5])
def test_the_model_is_as_it_was_after_an_exception(kind: str, after: int) -> None:
    given, layers = trial(kind), MODELS[kind][1]
    before = {name: value.clone() for name, value in given.tuned.module.state_dict().items()}
    ran: list[int] = []

    def break_off(*_: object) -> None:
        ran.append(1)
        if len(ran) == after:
            raise KeyboardInterrupt

    hook = given.tuned.module.get_submodule(layers[0]).register_forward_hook(break_off)
    with pytest.raises(KeyboardInterrupt):
        layer_hits(given, {"": layers})
    hook.remove()
    module = given.tuned.module
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not any(part.training for part in module.modules())


def test_a_layer_without_weights_has_a_reason_and_is_left_out_of_several() -> None:
    given = trial("BatchNorm")
    found = layer_hits(given, {"2": ("2",), "both": ("2", "3"), "3": ("3",)})
    assert isinstance(found["2"], str)
    assert "layer '2' has no parameters" in found["2"]
    both, alone = found["both"], found["3"]
    assert isinstance(both, LayerHits)
    assert isinstance(alone, LayerHits)
    assert np.array_equal(both.rewound, alone.rewound)
    assert np.array_equal(both.reset, alone.reset)


def test_progress_ends_at_its_total_whatever_is_undefined() -> None:
    told: list[tuple[int, int]] = []
    layer_hits(trial("BatchNorm"), {"2": ("2",), "3": ("3",)}, lambda _, done, total: told.append((done, total)))
    assert told[-1] == (7, 7)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
