"""A tuned model in the cut of its source: any number of outputs, one message for what does not fit, nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
import transformers as tf
from timm.models import save_for_hf
from torch import Tensor, nn

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.errors import SourceError
from gapkit.reuse.tuned import as_tuned, tuned_source

INPUT = gk.InputSpec(kind="image", shape=(1, 8, 8))
NAMES = ("a", "b", "c", "d")
IMAGES = {"image_size": 32, "patch_size": 8, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def network(seed: int, n_classes: int = 4, *, bias: bool = True) -> nn.Sequential:
    with seeded_torch(seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, n_classes, bias=bias))


def source(head: str = "3") -> gk.Source:
    names = NAMES if head else None
    return gk.Source.from_module(network(0), input=INPUT, head=head, class_names=names, device="cpu")


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in state.items()}


@pytest.mark.parametrize("n_classes", [2, 4, 9])
@pytest.mark.parametrize("bias", [True, False])
def test_the_head_has_the_outputs_of_the_weights(n_classes: int, bias: bool) -> None:
    before, after = source(), network(1, n_classes, bias=bias)
    kept = copied(before.module.state_dict())
    found = tuned_source(before, after.state_dict(), name="tuned").source
    x = torch.linspace(-1, 1, 128).reshape(2, 1, 8, 8)
    with torch.no_grad():
        outputs = found.adapter.head(found.adapter.pool(found.adapter.encode(found.adapter.embed(x))))
        assert torch.equal(outputs, after(x))
        assert torch.equal(found.module(x), after(x))
    assert found.n_classes == n_classes
    assert (found.class_names == NAMES) == (n_classes == 4)
    assert (before.name, before.class_names) == ("Sequential", NAMES)
    assert all(torch.equal(value, kept[name]) for name, value in before.module.state_dict().items())
    assert not {id(value) for value in found.module.parameters()} & {id(value) for value in before.module.parameters()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"1.weight": None}, r"tensors 1 missing \(1\.weight\); expected the 4 tensors of Sequential"),
        ({"4.weight": torch.ones(2)}, r"1 not in the architecture \(4\.weight\)"),
        ({"1.weight": torch.ones(6, 9)}, r"1 of another shape \(1\.weight\)"),
        ({"3.weight": torch.ones(4, 5)}, r"1 of another shape \(3\.weight\)"),
        ({"1.weight": None, "4.weight": torch.ones(2)}, r"1 missing \(1\.weight\); 1 not in the architecture"),
    ],
)
def test_what_does_not_fit_is_one_message_with_names(change: dict[str, Tensor | None], said: str) -> None:
    state = {name: value for name, value in (network(1).state_dict() | change).items() if value is not None}
    with pytest.raises(SourceError, match=f"tuned does not fit Sequential: .*{said}"):
        tuned_source(source(), state, name="tuned")


def test_a_prefix_before_all_names_is_taken_off() -> None:
    state = {f"model.body.{name}": value for name, value in network(1, 3).state_dict().items()}
    found = tuned_source(source(), state, name="tuned").source
    assert torch.equal(found.module.get_submodule("1").weight, state["model.body.1.weight"])
    assert found.n_classes == 3
    del state["model.body.1.bias"]
    with pytest.raises(SourceError, match="missing"):
        tuned_source(source(), state, name="tuned")


def test_a_headless_source_leaves_a_head_out_and_says_so() -> None:
    before = source(head="")
    state = {f"body.{name}": value for name, value in network(1).state_dict().items()} | {"classifier": torch.ones(2)}
    found = tuned_source(before, state, name="tuned")
    assert found.source.class_names is None
    assert found.notes == ("tuned: 1 tensors beside the source's are not used (classifier, ...)",)


def test_modules_sources_paths_and_folders_are_taken(tmp_path: Path) -> None:
    after = network(1, 3)
    torch.save(after.state_dict(), tmp_path / "tuned.pt")
    named = gk.Source.from_module(after, input=INPUT, class_names=("x", "y", "z"), device="cpu")
    for given in (after, named, tmp_path / "tuned.pt", str(tmp_path / "tuned.pt"), f"file:{tmp_path / 'tuned.pt'}"):
        found = as_tuned(source(), given).source
        assert torch.equal(found.module.get_submodule("3").weight, after[3].weight)
        assert (found.class_names == ("x", "y", "z")) == (given is named)
    for given in ("tuned.pr", tmp_path / "tuned.pr"):
        with pytest.raises(SourceError, match=r"there is no file .*tuned\.pr"):
            as_tuned(source(), given)
    with pytest.raises(SourceError, match="did you mean 'tuned.pt'"):
        as_tuned(source(), tmp_path / "tuned.pr")


@pytest.mark.parametrize("kind", ["timm", "transformers"])
def test_folders_of_timm_and_transformers_are_taken(kind: str, tmp_path: Path) -> None:
    with seeded_torch(2):
        for n in (5, 3):
            if kind == "timm":
                small = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3}
                save_for_hf(timm.create_model("vit_tiny_patch16_224", num_classes=n, **small), tmp_path / str(n))
            else:
                config = tf.ViTConfig(intermediate_size=32, num_labels=n, **IMAGES)
                tf.ViTForImageClassification(config).save_pretrained(tmp_path / str(n))
    before = gk.load_source(f"hf:{tmp_path / '5'}", device="cpu")
    after = gk.load_source(f"hf:{tmp_path / '3'}", device="cpu")
    found = as_tuned(before, str(tmp_path / "3")).source
    assert (before.n_classes, found.n_classes) == (5, 3)
    for name, value in after.module.state_dict().items():
        assert torch.equal(found.module.state_dict()[name], value)
