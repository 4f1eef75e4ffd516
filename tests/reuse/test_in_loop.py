"""``ReuseProbe`` against its measures on features captured by hand, and a training with it against one without."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import Array, generator, seeded_torch
from gapkit.reuse import cka, mutual_knn, procrustes, subspace_overlap
from gapkit.reuse.controls import random_copies
from gapkit.reuse.observing import untouched
from gapkit.statistics.folds import stratified_folds
from gapkit.statistics.probes import linear_probe

N, WIDTH = 60, 12
LAYERS = ("blocks.*",)
ALL = gk.ReuseProbeOptions(measures=("all",), copies=3)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The global generators of torch, numpy and Python at a seed, and afterwards as before."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        random.setstate(random.Random(seed).getstate())  # noqa: S311
        np.random.set_state(np.random.RandomState(seed).get_state())  # noqa: NPY002
        with seeded_torch(seed):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@pytest.fixture(autouse=True)
def _seeded(_global_generators_untouched: None) -> Iterator[None]:
    """The same weights every time; what a test draws is given back."""
    with seeded(0):
        yield


class Block(nn.Module):
    """A residual block with dropout and BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.norm, self.drop = nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(torch.tanh(self.norm(self.dense(x))))


class Restless(nn.Module):
    """Draws numbers and keeps a table that it makes in its first pass, in eval mode too, and works in ``train``."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.switched = nn.Parameter(torch.ones(WIDTH)), 0
        self.noise, self.kept = 0.1, None

    def train(self, mode: bool = True) -> Restless:
        self.switched += 1
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        drawn = torch.rand(len(x), 1, device=x.device) + float(np.random.random())  # noqa: NPY002
        if self.kept is None:
            self.kept = torch.linspace(0.5, 1.5, WIDTH, device=x.device)
        return x * self.scale * self.kept + self.noise * drawn


class Net(nn.Module):
    """Rows (B, 6) to two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.restless = nn.Linear(6, WIDTH), Restless()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.head, self.passes = nn.Linear(WIDTH, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.restless(self.stem(x))
        for block in self.blocks:
            x = block(x)
        self.passes += 1
        return self.head(x)


def surrogate(n: int = N) -> gk.Target:
    labels = np.arange(n) % 3
    x = generator(5).normal(size=(n, 6)) + 1.5 * np.eye(3, 6)[labels]
    return gk.Target(x.astype(np.float32), labels)


def step(model: nn.Module, optimiser: torch.optim.Optimizer) -> float:
    """One step of a training that draws its data, and noise on it, from torch's global generator."""
    x = torch.randn(16, 6)
    loss = nn.functional.cross_entropy(model(x + 0.1 * torch.randn_like(x)), (x[:, 0] > 0).long())
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


def trained(steps: int, watch: Callable[[Net, int], Any] = lambda *_: None) -> tuple[Net, list[float], Any]:
    """A model trained for some steps, its losses and the optimiser's state."""
    with seeded(1):
        model = Net()
        model.blocks[1].norm.eval()  # as one that is frozen
        optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
        losses = []
        for number in range(steps):
            watch(model, number)
            losses.append(step(model, optimiser))
        watch(model, steps)
        return model, losses, optimiser.state_dict()


def bits(thing: Any) -> Any:
    """Everything in a nest of tensors, as bytes."""
    if isinstance(thing, Tensor):
        return str(thing.dtype), tuple(thing.shape), thing.detach().cpu().numpy().tobytes()
    if isinstance(thing, dict):
        return {key: bits(value) for key, value in thing.items()}
    return [bits(value) for value in thing] if isinstance(thing, list | tuple) else thing


def test_a_training_of_fifty_steps_ends_with_the_same_bits() -> None:
    seen: list[gk.ReuseProbe] = []

    def watch(model: Net, number: int) -> None:
        if number == 0:
            seen.append(gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=ALL))
            seen.append(gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate()))
        seen[1].measure(number)
        if number % 25 == 0:
            seen[0].measure(number)

    plain, watched = trained(50), trained(50, watch)
    assert bits(watched[0].state_dict()) == bits(plain[0].state_dict())
    assert watched[1] == plain[1]
    assert bits(watched[2]) == bits(plain[2])
    assert [one.step for one in seen[0].history] == [0, 25, 50]
    assert len(seen[1].history) == 51
    last = seen[1].history[-1].layers["blocks.0"]
    assert last["drift"].value > 0
    assert last["cka"].value < 0.999


@pytest.mark.gpu
def test_a_training_on_cuda_ends_with_the_same_bits_and_draws_the_same_numbers() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")

    def run(watched: bool) -> Any:
        with seeded(1):
            model = Net().cuda()
            optimiser = torch.optim.AdamW(model.parameters(), lr=0.02)
            probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=ALL) if watched else None
            for number in range(50):
                if probe is not None:
                    before = torch.cuda.get_rng_state()
                    probe.measure(number)
                    assert torch.equal(torch.cuda.get_rng_state(), before)
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    if probe is not None and number == 25:
                        assert probe.measure(number) == probe.history[-2]
                    x = torch.randn(16, 6, device="cuda")
                    loss = nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long())
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            return bits(model.state_dict()), bits(optimiser.state_dict())

    assert run(True) == run(False)


def by_hand(model: Net, x: Array, layer: int) -> Array:
    """Features of a block of a copy in eval mode, without hooks of gapkit's."""
    twin = copy.deepcopy(model).eval()
    rows: list[Tensor] = []
    twin.blocks[layer].register_forward_hook(lambda _, __, output: rows.append(output.detach().clone()))
    with torch.no_grad(), seeded(9):
        twin(torch.from_numpy(x))
    return rows[0].numpy().astype(np.float64)


def test_values_are_those_of_the_functions_on_features_captured_by_hand() -> None:
    model, data, folds = trained(0)[0], surrogate(), stratified_folds(surrogate().y, 5, seed=0)
    model.restless.noise = 0.0  # which would be another one by hand
    probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=data, options=ALL)
    before = copy.deepcopy(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(20):
        step(model, optimiser)
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


def state_of(model: nn.Module) -> tuple[Any, ...]:
    """Everything of a model that a measurement could change."""
    parts, parameters = list(model.modules()), list(model.parameters())
    return (
        [part.training for part in parts],
        [[list(hooks) for key, hooks in sorted(vars(part).items()) if key.endswith("_hooks")] for part in parts],
        [(id(one), one.requires_grad, id(one.grad), bits(one.grad), one._version) for one in parameters],
        bits(model.state_dict()),
        [buffer._version for buffer in model.buffers()],
        {name: tensor.device for name, tensor in model.state_dict().items()},
    )


def globals_now() -> tuple[Any, ...]:
    """Everything global that a measurement could change."""
    numpy = np.random.get_state()  # noqa: NPY002
    return (
        bits(torch.random.get_rng_state()),
        (numpy[1].tobytes(), numpy[2:]),
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype()),
        (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"), torch.is_autocast_cache_enabled()),
        (torch.backends.cudnn.enabled, torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        torch.get_num_threads(),
    )


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("around", ["nothing", "no_grad", "autocast"])
def test_a_measurement_changes_nothing_also_where_it_fails(around: str, fails: bool) -> None:
    model, failing = trained(3)[0], False
    model.blocks[0].dense.weight.requires_grad_(False)
    model.blocks[2].register_forward_hook(lambda *_: None)

    def forward(module: nn.Module, batch: Tensor) -> None:
        assert not any(part.training for part in module.modules())
        assert not torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")
        module(batch)
        if failing:
            raise ZeroDivisionError

    probe = gk.ReuseProbe(model, layers=("stem", *LAYERS), surrogate=surrogate(), forward=forward)
    contexts = {"nothing": torch.enable_grad(), "no_grad": torch.no_grad(), "autocast": torch.autocast("cpu")}
    switched = model.restless.switched
    with contexts[around]:
        before = state_of(model), globals_now()
        failing = fails
        if fails:
            with pytest.raises(ZeroDivisionError):
                probe.measure()
        else:
            probe.measure()
        assert (state_of(model), globals_now()) == before
    assert model.restless.switched == switched  # train() and eval() of the model's own do work
    assert model.training
    assert not model.blocks[1].norm.training


def test_the_generators_of_python_are_kept_too() -> None:
    # Shape checks draw from Python's own, so that a whole measurement would not show it here.
    before, drawn = random.getstate(), []
    for _ in range(2):
        with untouched(Net(), seed=3):
            drawn.append((random.random(), float(np.random.random()), float(torch.rand(()))))  # noqa: NPY002, S311
        assert random.getstate() == before
    assert drawn[0] == drawn[1]


def test_a_graph_that_waits_runs_backwards_and_gives_the_same_gradients() -> None:
    def gradients(watched: bool) -> Any:
        with seeded(4):
            model = Net()
            loss = model(torch.randn(8, 6)).square().sum()
            if watched:
                gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=ALL).measure()
            loss.backward()
            return bits([one.grad for one in model.parameters()])

    assert gradients(True) == gradients(False)


def test_a_model_that_keeps_what_it_makes_in_its_first_pass_can_be_trained() -> None:
    model = Net()
    gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate())
    assert model.restless.kept is not None
    assert not model.restless.kept.is_inference()
    step(model, torch.optim.SGD(model.parameters(), lr=0.1))


@pytest.mark.parametrize("own", [False, True])
def test_weights_that_autocast_has_cast_keep_their_gradients(own: bool) -> None:
    def forward(module: nn.Module, batch: Tensor) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=own):
            module(batch)

    def gradient(watched: bool) -> Any:
        with seeded(4):
            model = Net()
            probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), forward=forward)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                if watched:
                    probe.measure()
                loss = model(torch.randn(8, 6)).float().square().sum()
            loss.backward()
            return bits([one.grad for one in model.parameters()])

    assert None not in gradient(True)
    assert gradient(True) == gradient(False)


def test_what_autocast_is_on_outside_does_not_matter_and_numbers_drawn_in_eval_mode_are_the_same() -> None:
    model = trained(2)[0]
    model.restless.noise = 3.0
    probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=gk.ReuseProbeOptions(measures=("all",)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = probe.measure(0)
    assert inside == probe.measure(0)


def test_a_measurement_ends_with_the_last_layer() -> None:
    model = Net()
    probe = gk.ReuseProbe(model, layers=("blocks.0",), surrogate=surrogate())
    model.passes = 0
    probe.measure()
    assert model.passes == 1  # the first pass, of two samples


def test_history_records_and_table_say_the_same() -> None:
    model = trained(1)[0]
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
    model = trained(5)[0]
    options = gk.ReuseProbeOptions(measures=("cka",), intervals=True)
    probe = gk.ReuseProbe(model, layers=LAYERS, surrogate=surrogate(), options=options)
    step(model, torch.optim.SGD(model.parameters(), lr=0.5))
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
    model = trained(1)[0]
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
