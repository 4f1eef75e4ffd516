"""``probe``: one source before and after, every measure finite or undefined with a reason, and nothing changed."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.errors import DataError, GapkitError, OptionError, SourceError, UndefinedError
from gapkit.estimates import Estimate
from gapkit.reuse import cka, subspace_overlap

if TYPE_CHECKING:
    from tests.pipeline.conftest import Walk

HIDDEN = ("1", "3")
OPTIONS = gk.ProbeOptions(bootstrap=100, keep_features=False, projection=False, layers=HIDDEN)
CAUSAL = {"criticality", "reuse", "contribution", "accuracy_tuned", "accuracy_rewound", "accuracy_reset"}


def probe(walk: Walk, *, after: Any = None, target: Any = None, surrogate: Any = None, **changed: Any) -> Any:
    """The tuned model, or another one, with some options changed."""
    options = replace(OPTIONS, **changed)
    given = walk.after if after is None else after
    return gk.probe(walk.before, given, target=target, surrogate=surrogate, options=options)


def stranger() -> nn.Module:
    """A module of another architecture."""
    with seeded_torch(0):
        return nn.Linear(2, 2)


def every(result: gk.ReuseResult) -> list[Estimate]:
    """All numbers of a result."""
    rows = [one for row in (*result.layers, *result.on_target) for one in row.measures.values()]
    return [*rows, *result.model.values()]


def check_whole(result: gk.ReuseResult) -> None:
    """Numbers are finite, with their value in their interval, or undefined with a reason; JSON goes both ways."""
    for one in every(result):
        if one.value is None:
            assert (one.status, one.interval) == ("undefined", None)
            assert one.reason
            continue
        assert np.isfinite(one.value)
        assert one.status == "ok" or (one.status == "partial" and one.reason)
        if one.interval is not None:
            assert one.interval[0] <= one.value <= one.interval[1]
    assert gk.ReuseResult.from_json(result.to_json()) == result


def numbers(result: gk.ReuseResult) -> dict[str, Any]:
    """The JSON without what differs between equal runs."""
    content = result.to_dict()
    for key in ("created", "seconds"):
        del content["provenance"][key]
    return content


@pytest.fixture(name="full", scope="module")
def everything(walk: Walk) -> gk.ReuseResult:
    """All layers, with a target, its representations, a control and all matrices."""
    asked = gk.ProbeTarget(data=walk.target, control=walk.control)
    options = gk.ProbeOptions(bootstrap=100, keep_features=False, on_target=True, matrices="all")
    return gk.probe(walk.before, walk.after, target=asked, options=options)


def test_everything_is_finite_or_undefined_with_a_reason(full: gk.ReuseResult) -> None:
    check_whole(full)
    assert full.names == ("0", "1", "2", "3", "4", "5", "features")
    assert [row.layer for row in full.on_target] == list(full.names)
    for layer in HIDDEN:
        assert full.find(layer, "retention").status == "ok"
        assert full.find(layer, "reuse").value is not None
    for figure in ("reuse", "retention", "measures", "matrices", "projection"):
        assert full.plot(figure) is not None
    with pytest.raises(OptionError, match="did you mean 'retention'"):
        full.plot("retenton")


def test_models_are_described_with_their_heads_also_where_runs_end_before_them(walk: Walk) -> None:
    result = probe(walk)
    assert result.before.description == "Sequential: image 1x8x8, 4 classes, head: own"
    assert result.after.description == "tuned Sequential: image 1x8x8, 3 classes, head: own"
    assert (result.before.n_classes, result.after.n_classes) == (4, 3)


def test_a_layer_that_tuning_made_narrower_has_no_shared_directions_and_all_else(full: gk.ReuseResult) -> None:
    found = full.find("5", "subspace")
    assert (found.status, found.value) == ("undefined", None)
    assert "x has 4 features and y has 3" in found.reason
    assert full.find("5", "cka").value is not None
    assert full.matrices["subspace_overlap"][1][3] is None
    assert full.find("5", "reuse").status == "undefined"


def test_similarities_are_those_of_the_layers_own_outputs(walk: Walk) -> None:
    """Standardised as the embedder does it, by its own words: 0 to 255 becomes 0 to 1."""
    result = probe(walk, matrices=("cka", "subspace_overlap"))
    x = torch.as_tensor(walk.surrogate.x, dtype=torch.float32)[:, None] / 255
    outputs = {}
    for name, module in (("before", walk.before.module), ("after", walk.after)):
        values = x
        for place, part in enumerate(module.children()):
            values = part(values)
            outputs[name, str(place)] = values.detach().double().numpy()
    for row, a in enumerate(HIDDEN):
        for column, b in enumerate(HIDDEN):
            expected = cka(outputs["before", a], outputs["after", b])
            assert result.matrices["cka"][row][column] == pytest.approx(expected, abs=1e-5)
        assert result.find(a, "cka").value == result.matrices["cka"][row][row]
    try:
        shared = subspace_overlap(outputs["before", "1"], outputs["after", "1"])
    except UndefinedError:
        shared = None
    assert result.find("1", "subspace").value == pytest.approx(shared, abs=1e-4)


def test_drift_and_accuracies_are_those_of_a_loop(walk: Walk) -> None:
    result = probe(walk, target=walk.target)
    for layer in HIDDEN:
        old, new = (module.get_submodule(layer).state_dict() for module in (walk.before.module, walk.after))
        moved = sum(float(((new[key] - old[key]).double() ** 2).sum()) for key in old)
        size = sum(float((old[key].double() ** 2).sum()) for key in old)
        assert result.find(layer, "drift").value == pytest.approx((moved / size) ** 0.5, rel=1e-5)
        other = copy.deepcopy(walk.after)
        other.get_submodule(layer).load_state_dict(old)
        for name, module in (("accuracy_tuned", walk.after), ("accuracy_rewound", other)):
            x = torch.as_tensor(walk.target.x, dtype=torch.float32)[:, None] / 255
            hits = module(x).argmax(dim=1).numpy() == walk.target.y
            assert result.find(layer, name).value == pytest.approx(hits.mean())


def test_no_tuning_at_all_keeps_everything_exactly(walk: Walk) -> None:
    same = copy.deepcopy(walk.before.module)
    result = probe(walk, after=same, target=walk.surrogate)
    check_whole(result)
    for layer in HIDDEN:
        for name in ("retention", "knn_retention", "cka", "held", "kept", "knowledge_reuse", "reuse"):
            assert result.find(layer, name).value == pytest.approx(1.0, abs=1e-9), name
        assert result.find(layer, "procrustes").value == pytest.approx(0.0, abs=1e-9)
        assert result.find(layer, "drift").value == 0.0
        assert result.find(layer, "drift_rank").status == "undefined"
    assert result.model["knowledge_reuse"].value == pytest.approx(1.0, abs=1e-9)
    assert result.model["reuse"].value == 1.0


def test_the_same_seed_gives_the_same_bits_and_leaves_models_alone(walk: Walk) -> None:
    asked = gk.ProbeTarget(data=walk.target, control=walk.control, control_start=copy.deepcopy(walk.control))
    modules = (walk.before.module, walk.after, walk.control)
    states = [{name: value.clone() for name, value in module.state_dict().items()} for module in modules]
    first, second = (probe(walk, target=asked, projection=True) for _ in range(2))
    assert numbers(first) == numbers(second)
    assert first.projection is not None
    for name in ("before", "after"):
        assert np.array_equal(getattr(first.projection, name), getattr(second.projection, name))
    for module, state in zip(modules, states, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


# Which parts of a result an option changes; the others stay to the bit.
CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "seed": ({"seed": 1}, {"layers", "model"}),
    "folds": ({"folds": 4}, {"layers", "model"}),
    "seeds": ({"seeds": (3, 4, 5)}, {"layers", "model"}),
    "bootstrap": ({"bootstrap": 200}, {"layers", "model"}),
    "resets": ({"resets": 6}, {"layers", "model"}),
    "reset": ({"reset": "init"}, {"layers", "model"}),
    "most_classes": ({"most_classes": 3}, {"layers", "model", "surrogate", "matrices", "notes"}),
    "max_samples": ({"max_samples": 100}, {"layers", "model", "surrogate", "target", "matrices", "notes"}),
    "matrices": ({"matrices": ("cka", "rsa")}, {"matrices"}),
    "on_target": ({"on_target": True}, {"on_target"}),
    "projection": ({"projection": True}, set()),
    "batch_size": ({"batch_size": 160}, set()),
    "pooling": ({"pooling": "cls"}, set()),
}


@pytest.fixture(name="usual", scope="module")
def usual_options(walk: Walk) -> dict[str, Any]:
    return numbers(probe(walk, target=walk.target))


@pytest.mark.slow
@pytest.mark.parametrize("option", CHANGES)
def test_options_change_what_they_should_and_nothing_else(option: str, walk: Walk, usual: dict[str, Any]) -> None:
    changed, parts = CHANGES[option]
    found = numbers(probe(walk, target=walk.target, **changed))
    differing = {key for key in usual if found[key] != usual[key]} - {"provenance"}
    assert differing == parts
    assert (found["provenance"]["options"] == usual["provenance"]["options"]) == (option == "batch_size")


def test_layers_by_glob_stop_before_what_is_not_asked_for(walk: Walk) -> None:
    """Only the first pass of each model runs to its end: smaller batches do not make the head run more often."""
    ran: list[str] = []
    hook = walk.before.module.get_submodule("5").register_forward_hook(lambda *_: ran.append("5"))
    counts: list[int] = []
    try:
        for size in (160, 10):
            ran.clear()
            result = probe(walk, layers="[12]", batch_size=size)
            counts.append(len(ran))
    finally:
        hook.remove()
    assert result.names == ("1", "2")
    assert len(set(counts)) == 1
    with pytest.raises(OptionError, match="nope"):
        probe(walk, layers="nope")


def test_a_control_is_rewound_to_the_pretrained_weights_or_to_its_own_start(walk: Walk) -> None:
    plain = probe(walk, target=walk.target)
    beside = probe(walk, target=gk.ProbeTarget(data=walk.target, control=walk.control))
    started = gk.ProbeTarget(data=walk.target, control=walk.control, control_start=copy.deepcopy(walk.control))
    still = probe(walk, target=started)
    for layer in HIDDEN:
        assert set(beside.layers[0].measures) - set(plain.layers[0].measures) == {"control_reuse", "reuse_excess"}
        assert beside.find(layer, "reuse") == plain.find(layer, "reuse")
        # A control that has not moved from its start reuses all of it: nothing is left for the model to exceed.
        assert still.find(layer, "control_reuse").value == 1.0
    assert any("control (--control) tells" in note for note in plain.notes)
    assert not any("control (--control) tells" in note for note in beside.notes)
    check_whole(beside)
    check_whole(still)


def test_a_control_with_another_number_of_outputs_has_no_reuse(walk: Walk) -> None:
    asked = gk.ProbeTarget(data=walk.target, control=copy.deepcopy(walk.before.module))
    result = probe(walk, target=asked)
    for layer in HIDDEN:
        for name in ("control_reuse", "reuse_excess"):
            assert result.find(layer, name).status == "undefined"
            assert "has 4 outputs, target 3 classes" in result.find(layer, name).reason
        assert result.find(layer, "reuse").value is not None


def test_a_head_that_does_not_fit_the_target_gives_no_causal_reuse(walk: Walk) -> None:
    result = probe(walk, after=copy.deepcopy(walk.before.module), target=walk.target)
    check_whole(result)
    for name in CAUSAL:
        assert result.find("1", name).reason == "the head of tuned Sequential has 4 outputs, target 3 classes"
    assert "undefined: the head of tuned Sequential has 4 outputs" in " ".join(result.table().split())


def test_a_headless_source_is_probed_and_says_that_it_has_no_head(walk: Walk) -> None:
    body, tuned = nn.Sequential(*list(walk.before.module)[:5]), nn.Sequential(*list(walk.after)[:5])
    before = gk.Source.from_module(body, input=walk.before.input, head="", surrogate=walk.surrogate, device="cpu")
    result = gk.probe(before, tuned, target=walk.target, options=OPTIONS)
    check_whole(result)
    assert result.before.head == "none"
    assert result.find("1", "reuse").reason == "tuned Sequential has no head of its own"
    assert result.find("1", "retention").value is not None


def test_accuracy_is_of_the_test_split_and_its_absence_is_said(walk: Walk) -> None:
    split = gk.Target(walk.target.x, walk.target.y, name="split", split=(np.arange(160) % 4 == 0).astype(np.uint8))
    for asked, n, told in (("auto", 40, "test"), ("test", 40, "test"), ("train", 120, "train"), ("all", 160, "all")):
        result = probe(walk, target=split, split=asked)
        assert (result.target.n, result.target.split, result.find("1", "reuse").n) == (n, told, n)
        assert not any("no test split" in note for note in result.notes)
    whole = probe(walk, target=walk.target)
    assert any(
        "target has no test split: accuracy is that on samples that tuning may have seen" in note
        for note in whole.notes
    )
    with pytest.raises(OptionError, match="target has no test samples"):
        probe(walk, target=walk.target, split="test")


def test_targets_without_one_class_per_sample_have_no_causal_reuse(walk: Walk) -> None:
    quantity = gk.Target(walk.target.x, np.linspace(0, 1, 160), name="quantity", task="regression")
    several = gk.Target(walk.target.x, np.eye(3, dtype=np.int64)[walk.target.y], name="several", task="multilabel")
    for target in (quantity, several):
        result = probe(walk, target=target)
        check_whole(result)
        assert result.find("1", "reuse").reason == f"{target.name} has no single class label per sample"
    check_whole(probe(walk, target=quantity, on_target=True))


@pytest.mark.parametrize("mistake", ["several labels", "no test split", "control of another shape"])
def test_mistakes_of_the_target_show_before_a_model_is_run(mistake: str, walk: Walk) -> None:
    several = gk.Target(walk.target.x, np.eye(3, dtype=np.int64)[walk.target.y], name="several", task="multilabel")
    told: list[str] = []
    given: dict[str, tuple[Any, dict[str, Any]]] = {
        "several labels": (several, {"on_target": True}),
        "no test split": (walk.target, {"split": "test"}),
        "control of another shape": (gk.ProbeTarget(data=walk.target, control=stranger()), {}),
    }
    target, changed = given[mistake]
    with pytest.raises(GapkitError):
        gk.probe(
            walk.before,
            walk.after,
            target=target,
            options=replace(OPTIONS, **changed),
            progress=lambda task, done, total: told.append(task),
        )
    assert told == []


def test_surrogates_that_do_not_do_are_refused_in_words(walk: Walk) -> None:
    x, y = walk.surrogate.x, walk.surrogate.y
    bare = gk.Source.from_module(walk.before.module, input=walk.before.input, head="5", device="cpu")
    with pytest.raises(OptionError, match="Sequential without a surrogate.*--surrogate"):
        gk.probe(bare, walk.after, options=OPTIONS)
    with pytest.raises(OptionError, match="few has 0 classes with 5 samples or more; expected at least two"):
        probe(walk, surrogate=gk.Target(x, np.arange(160) // 4, name="few"))
    with pytest.raises(OptionError, match="several has several labels per sample"):
        probe(walk, surrogate=gk.Target(x, np.eye(4, dtype=np.int64)[y], name="several", task="multilabel"))
    with pytest.raises(DataError, match="fewer than two of 4 classes have 5 groups"):
        probe(walk, surrogate=gk.Target(x, y, name="grouped", groups=y))


def test_surrogates_with_groups_quantities_and_few_samples_do(walk: Walk) -> None:
    x, y = walk.surrogate.x, walk.surrogate.y
    grouped = probe(walk, surrogate=gk.Target(x, y, name="grouped", groups=np.arange(160) // 4))
    check_whole(grouped)
    assert numbers(grouped)["layers"] != numbers(probe(walk))["layers"]
    check_whole(probe(walk, surrogate=gk.Target(x, np.linspace(0, 1, 160), name="quantity", task="regression")))
    for n, folds in ((40, 5), (8, 2)):
        small = probe(walk, surrogate=walk.surrogate.take(np.arange(n)), folds=folds, projection=True, matrices="all")
        check_whole(small)


def test_largest_classes_are_drawn_evenly_and_it_is_said(walk: Walk) -> None:
    y = np.repeat(np.arange(4), (100, 40, 16, 4))
    given = gk.Target(walk.surrogate.x, y, name="uneven", class_names=("w", "x", "y", "z"))
    result = probe(walk, surrogate=given, max_samples=60)
    counts = result.surrogate.class_counts
    assert counts == {"w": 22, "x": 22, "y": 16}
    assert "uneven: 60 of 160 samples, of 3 of 4 classes" in result.notes
    assert probe(walk, surrogate=given, most_classes=2, max_samples=None).surrogate.class_counts == {"w": 100, "x": 40}


def test_a_collapsed_model_is_undefined_where_it_has_to_be(walk: Walk) -> None:
    dead = copy.deepcopy(walk.after)
    with torch.no_grad():
        dead[1].weight.zero_()
        dead[1].bias.fill_(1.0)
    result = probe(walk, after=dead, target=walk.target, projection=True, matrices="all")
    check_whole(result)
    assert result.find("1", "cka").status == "undefined"
    assert result.find("1", "retention").value == pytest.approx(
        (0.25 - result.find("1", "probe_random").value)
        / (result.find("1", "probe_before").value - result.find("1", "probe_random").value),
        abs=0.02,
    )
    assert result.projection is None
    assert "nan" not in result.table()


def test_models_that_are_no_tuned_ones_are_refused(walk: Walk) -> None:
    broken = copy.deepcopy(walk.after)
    with torch.no_grad():
        broken[1].weight.fill_(float("nan"))
    with pytest.raises(SourceError, match="gives NaN or infinite"):
        probe(walk, after=broken)
    with pytest.raises(SourceError, match="tuned Linear does not fit Sequential"):
        probe(walk, after=stranger())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"resets": 2}, "resets 2; expected at least 5"),
        ({"seeds": (0, 0, 1)}, "seeds 0,0,1; expected at least 3 different ones"),
        ({"seeds": (0, 1, -2)}, "none below 0"),
        ({"bootstrap": 99}, "bootstrap 99; expected at least 100"),
        ({"most_classes": 1}, "most_classes 1; expected at least 2"),
        ({"reset": "zero"}, "reset 'zero'"),
        ({"pooling": "max"}, "pooling 'max'"),
        ({"matrices": "ckaa"}, "did you mean 'cka'"),
        ({"layers": ()}, "no layers"),
        ({"split": "tset"}, "did you mean 'test'"),
        ({"max_samples": 3}, "max_samples 3; expected at least 20"),
    ],
)
def test_options_out_of_range_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        gk.ProbeOptions(**changed)


@pytest.mark.slow
def test_seeds_of_copies_do_not_depend_on_one_another(walk: Walk) -> None:
    """The mean over copies does not know their order."""
    one, other = (probe(walk, seeds=seeds) for seeds in ((0, 1, 2), (2, 0, 1)))
    for layer in HIDDEN:
        for name in ("probe_random", "retention", "kept"):
            values = [result.find(layer, name).value for result in (one, other)]
            assert values[0] == pytest.approx(values[1], abs=1e-12)
