"""``ReuseProbe`` against its measures on features captured by hand, and what it says of mistakes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import Array, generator, seeded_torch
from gapkit.reuse import cka, mutual_knn, procrustes, subspace_overlap
from gapkit.reuse.controls import random_copies
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.probes import linear_probe

N, WIDTH = 60, 12
LAYERS = ("blocks.*",)
ALL = gk.ReuseProbeOptions(measures=("all",), copies=3)


@pytest.fixture(autouse=True)
def _seeded(_global_generators_untouched: None) -> Iterator[None]:
    """The same weights every time; what a test draws is given back."""
    with seeded_torch(0):
        yield


class Block(nn.Module):
    """A residual block with dropout and BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.norm, self.drop = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(torch.tanh(self.norm(self.dense(x))))


class Net(nn.Module):
    """Rows (B, 6) to two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head, self.passes = nn.Linear(WIDTH, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        self.passes += 1
        return self.head(x)


def surrogate(n: int = N) -> gk.Target:
    labels = np.arange(n) % 3
    x = generator(5).normal(size=(n, 6)) + 1.5 * np.eye(3, 6)[labels]
    return gk.Target(x.astype(np.float32), labels)


def step(model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """One step of a training that draws its data from torch's global generator."""
    x = torch.randn(16, 6)
    loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def trained(steps: int, model: Net | None = None) -> Net:
    """A model after some steps."""
    model = Net() if model is None else model
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(steps):
        step(model, optimiser)
    return model


def by_hand(model: Net, x: Array, layer: int) -> Array:
    """Features of a block of a copy in eval mode, without hooks of gapkit's."""
    twin = copy.deepcopy(model).eval()
    rows: list[Tensor] = []
    twin.blocks[layer].register_forward_hook(lambda _, __, output: rows.append(output.detach().clone()))
    with torch.no_grad():
        twin(torch.from_numpy(x))
    return rows[0].numpy().astype(np.float64)


def test_values_are_those_of_the_functions_on_features_captured_by_hand() -> None:
    model, data, folds = Net(), surrogate(), stratified_folds(surrogate().y, 5, seed=0)
    probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=data, options=ALL)
    before = copy.deepcopy(model)
    trained(20, model)
    found = probe.measure(20)
    assert list(found.layers) == list(probe.layers) == ["blocks.0", "blocks.1", "blocks.2"]
    copies = list(random_copies(before, 3, seed=0))
    for index, values in enumerate(found.layers.values()):
        x, y = by_hand(before, data.x, index), by_hand(model, data.x, index)
        assert values["cka"].value == pytest.approx(cka(x, y), abs=1e-5)
        assert values["procrustes"].value == pytest.approx(procrustes(x, y), abs=1e-5)
        assert values["mutual_knn"].value == pytest.approx(mutual_knn(x, y), abs=1e-3)
        assert values["subspace_overlap"].value == pytest.approx(subspace_overlap(x, y), abs=1e-4)
        a_before, a_after = (linear_probe(rows, data.y, folds).accuracy for rows in (x, y))
        a_random = np.mean([linear_probe(by_hand(one, data.x, index), data.y, folds).accuracy for one in copies])
        assert values["probe_accuracy"].value == pytest.approx(a_after)
        assert values["probe_accuracy_ratio"].value == pytest.approx(a_after / a_before)
        if values["retention"].status == "ok":
            assert values["retention"].value == pytest.approx((a_after - a_random) / (a_before - a_random))
        old, new = (dict(one.blocks[index].named_parameters()) for one in (before, model))
        moved = sum((new[name] - old[name]).detach().double().square().sum().item() for name in old)
        norm = sum(tensor.detach().double().square().sum().item() for tensor in old.values())
        assert values["drift"].value == pytest.approx((moved / norm) ** 0.5)
        assert {name: one.n for name, one in values.items() if name != "drift"} == dict.fromkeys(
            [name for name in values if name != "drift"], N
        )


def test_retention_is_what_is_left_beyond_random_weights() -> None:
    class Reader(nn.Module):
        """Gives what is read only where its matrix is as it was made."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 4, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    labels = np.arange(120) % 2
    x = generator(2).normal(size=(120, 6)).astype(np.float32)
    x[:, 5] = np.where(labels == 1, 0.2, -0.2) + 0.05 * generator(3).normal(size=120)
    model = Reader()
    with torch.no_grad():
        model.layer.weight.zero_()[:, 5] = 1.0
    options = gk.ReuseProbeOptions(measures=("probe",), copies=4)
    with gk.ReuseProbe(model, layers=("layer",), surrogate=gk.Target(x, labels), options=options) as probe:
        model.layer.weight.data.zero_()[:, 0] = 1.0  # noise instead of the class
    start, end = (one.layers["layer"] for one in probe.history)
    assert list(start) == ["probe_accuracy", "probe_accuracy_ratio", "retention"]
    assert (start["probe_accuracy"].value, start["retention"].value) == (1.0, 1.0)
    assert start["probe_accuracy_ratio"].interval == (1.0, 1.0)
    assert end["probe_accuracy"].value == end["probe_accuracy_ratio"].value < 0.7
    assert end["retention"].value < end["probe_accuracy_ratio"].value  # the floor is above chance
    assert end["retention"].interval[0] < end["retention"].value < end["retention"].interval[1]


def test_a_measurement_ends_with_the_last_layer() -> None:
    model = Net()
    probe = gk.ReuseProbe(model, layers=("blocks.0",), surrogate=surrogate())
    model.passes = 0
    probe.measure()
    assert model.passes == 1  # the first pass, of two samples


def test_history_records_and_table_say_the_same() -> None:
    model = trained(1)
    with gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate()) as probe:
        with torch.no_grad():
            model.blocks[1].dense.weight.mul_(1.5)
        probe.measure(7)
    assert [one.step for one in probe.history] == [0, 7, 8]
    first, second, third = probe.to_records()
    keys = [f"blocks.{index}/{name}" for index in range(3) for name in ("cka", "drift")]
    assert list(first) == ["step", *keys]
    assert (first["step"], second["step"], third["step"]) == (0, 7, 8)
    assert {key: round(value, 6) for key, value in first.items() if key != "step"} == {
        key: 1.0 if key.endswith("cka") else 0.0 for key in keys
    }
    assert second["blocks.1/drift"] == probe.history[1].layers["blocks.1"]["drift"].value > 0.1
    assert second["blocks.0/drift"] == 0
    assert probe.table() == third_table(probe)
    with pytest.raises(AttributeError):
        probe.history[0].step = 3


def third_table(probe: gk.ReuseProbe) -> str:
    """The last table, put together from the records."""
    record = probe.to_records()[-1]
    lines = ["step 8    cka    drift"]
    lines += [f"blocks.{k}  {record[f'blocks.{k}/cka']:.3f}  {record[f'blocks.{k}/drift']:.3f}" for k in range(3)]
    return "\n".join(lines)


def test_an_exception_in_the_block_is_not_measured() -> None:
    probe = gk.ReuseProbe(Net(), layers=LAYERS, surrogate=surrogate())
    with pytest.raises(ZeroDivisionError), probe:
        raise ZeroDivisionError
    assert [one.step for one in probe.history] == [0]


def test_intervals_are_asked_for() -> None:
    model = trained(5)
    options = gk.ReuseProbeOptions(measures=("cka",), intervals=True)
    probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=options)
    trained(1, model)
    found = probe.measure().layers["blocks.2"]["cka"]
    assert found.interval[0] < found.value < found.interval[1] <= 1.0
    plain = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate()).measure().layers["blocks.2"]["cka"]
    assert (plain.interval, plain.reason) == (None, "no interval was asked for (intervals=True)")


def test_at_most_so_many_samples_class_by_class() -> None:
    sizes: list[int] = []
    options = gk.ReuseProbeOptions(samples=30, batch_size=8)
    labels = np.repeat([0, 1], [20, 180])
    data = gk.Target((generator(5).normal(size=(200, 6)) + labels[:, None]).astype(np.float32), labels)
    seen: list[Tensor] = []

    def forward(module: nn.Module, batch: Tensor) -> None:
        sizes.append(len(batch))
        seen.append(batch)
        module(batch)

    gk.ReuseProbe(Net(), layers=LAYERS, surrogate=data, forward=forward, options=options)
    assert sizes == [2, 8, 8, 8, 6]
    rows = torch.cat(seen[1:]).numpy()
    drawn = [int(np.flatnonzero((data.x == row).all(axis=1))[0]) for row in rows]
    assert len(set(drawn)) == 30
    assert labels[drawn].tolist().count(0) == 3


def test_what_training_has_spoilt_is_undefined_with_the_reason() -> None:
    model = trained(1)
    probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=ALL)
    model.blocks[2] = nn.Linear(WIDTH, 5)
    with torch.no_grad():
        model.blocks[1].dense.bias.fill_(float("nan"))
    model.head = nn.Linear(5, 2)
    found = probe.measure().layers
    assert {one.status for name, one in found["blocks.0"].items() if name != "retention"} == {"ok"}
    names = list(found["blocks.0"])
    assert [list(values) for values in found.values()] == [names] * 3
    assert {one.status for layer in ("blocks.1", "blocks.2") for one in found[layer].values()} == {"undefined"}
    assert "NaN or infinite" in found["blocks.1"]["cka"].reason
    assert "NaN or infinite" in found["blocks.1"]["drift"].reason
    assert found["blocks.2"]["retention"].reason == f"the layer had {WIDTH} features and has 5"
    assert "lacks" in found["blocks.2"]["drift"].reason
    del model.blocks[2]
    model.head = nn.Identity()
    assert "one row for each sample any more" in probe.measure().layers["blocks.2"]["cka"].reason
    assert "blocks.2/cka" not in probe.to_records()[-1]
    assert "blocks.2 cka: the layer does not give" in probe.table()


def test_weights_are_copied_and_a_shared_one_once() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.second(torch.tanh(self.first(x)))

    model = Shared()
    probe = gk.ReuseProbe(model, layers=("*",), surrogate=surrogate())
    with torch.no_grad():
        model.first.weight.mul_(3)
    found = probe.measure().layers
    assert [found[name]["drift"].value for name in ("first", "second")] == pytest.approx([2.0, 2.0])
    (one,) = {id(weights["weight"]) for weights in (layer.weights for layer in probe._reference.values())}
    assert one != id(model.first.weight)
    without = gk.ReuseProbe(model, layers=("*",), surrogate=surrogate(), options=options_of("cka"))
    assert [layer.weights for layer in without._reference.values()] == [None, None]


def options_of(*measures: str) -> gk.ReuseProbeOptions:
    return gk.ReuseProbeOptions(measures=measures)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile])
def test_what_is_wrapped_is_taken_out(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = Net()
    probe = gk.ReuseProbe(wrap(model), layers=LAYERS, surrogate=surrogate())
    assert probe.layers == ("blocks.0", "blocks.1", "blocks.2")


def test_token_ids_stay_integers_and_outputs_may_be_anything() -> None:
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertModel(BertConfig(vocab_size=20, **sizes))
    ids = generator(3).integers(0, 20, size=(24, 7)).astype(np.int32)
    probe = gk.ReuseProbe(model, layers=("encoder.layer.*",), surrogate=gk.Target(ids, np.arange(24) % 2))
    found = probe.measure().layers
    assert list(found) == ["encoder.layer.0", "encoder.layer.1"]
    assert found["encoder.layer.1"]["cka"].value == pytest.approx(1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"measures": "cka"}, r"measures='cka'; expected a tuple of names"),
        ({"measures": ()}, r"measures=\(\); expected a tuple"),
        ({"measures": ("ckaa",)}, "measure 'ckaa'; expected a measure; did you mean 'cka'"),
        ({"samples": 19}, "samples is 19; expected at least 20"),
        ({"copies": 2, "measures": ("all",)}, "2 random-weight copies; expected 0, or at least 3"),
        ({"copies": 3}, "3 random-weight copies without the measure 'probe'"),
        ({"pooling": "max"}, "pooling='max'"),
        ({"batch_size": 0}, "batch_size is 0; expected at least 1"),
    ],
)
def test_mistaken_options_are_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(gk.OptionError, match=words):
        gk.ReuseProbeOptions(**fields)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (("block.*",), "layer 'block.*'; .*did you mean 'blocks.2'"),
        (("unused",), "layer 'unused'; expected layers that run"),
        (("unused", "stem"), "layer 'unused'; expected layers that run"),
        (("unus*",), r"layers 'unus\*'; expected layers that run"),
        (("odd",), "layer 'odd'; expected layers that run in the forward pass and give one row for each sample"),
    ],
)
def test_layers_that_give_nothing_are_named(layers: tuple[str, ...], words: str) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x[:1].expand(3, -1)

    model = Net()
    model.unused, model.odd = nn.Linear(2, 2), Odd()
    model.stem.register_forward_hook(lambda _, __, output: (model.odd(output), None)[1])
    with pytest.raises(gk.OptionError, match=words):
        gk.ReuseProbe(model, layers=layers, surrogate=surrogate())


def test_surrogates_that_cannot_be_used_are_named() -> None:
    with pytest.raises(gk.DataError, match="the surrogate has strings; .*tokenise"):
        gk.ReuseProbe(Net(), layers=LAYERS, surrogate=gk.Target(np.array(["a", "b"]), np.arange(2)))
    quantities = gk.Target(surrogate().x, generator(1).normal(size=N), task="regression")
    with pytest.raises(gk.DataError, match="a surrogate for regression; expected classes for the linear probe"):
        gk.ReuseProbe(Net(), layers=LAYERS, surrogate=quantities, options=options_of("probe"))
    assert gk.ReuseProbe(Net(), layers=LAYERS, surrogate=quantities).measure().layers["blocks.0"]["cka"].value
    model = Net()
    with torch.no_grad():
        model.stem.bias.fill_(float("inf"))
    with pytest.raises(gk.DataError, match="layer 'stem' gives NaN or infinite values; .*before the training"):
        gk.ReuseProbe(model, layers=("stem",), surrogate=surrogate())
