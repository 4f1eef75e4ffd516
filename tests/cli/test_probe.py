"""``gapkit probe`` end to end, in this process, on the bundled source with a checkpoint that was moved a little."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import gapkit as gk
from gapkit.cli.app import run
from gapkit.pipeline import probe_run as runs

PROBE = ["probe", "--before", "vit", "--device", "cpu", "--layers", "blocks.0,blocks.6", "--classes", "4"]
FAST = ["--max-samples", "60", "--bootstrap", "100", "--no-projection"]


@pytest.fixture(name="tuned", scope="module")
def moved_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled source's weights with noise, and a head of ten classes."""
    state = dict(gk.load_source("vit", device="cpu").module.state_dict())
    noise = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if value.ndim >= 2:
            state[name] = value + 0.3 * value.std() * torch.randn(value.shape, generator=noise)
    for name in ("head.weight", "head.bias"):
        state[name] = state[name][:10].clone()
    path = tmp_path_factory.mktemp("tuned") / "tuned.pt"
    torch.save(state, path)
    return path


@pytest.fixture(name="target", scope="module")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A hundred of the bundled digits: BatchNorm's statistics are estimated anew from them for every reset."""
    digits = gk.load_target("sample:digits")
    path = tmp_path_factory.mktemp("target") / "digits.npz"
    np.savez(path, x=digits.x[:100], y=digits.y[:100])
    return ["--target", str(path)]


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def numbers(text: str) -> dict[str, object]:
    """A result as JSON without what differs between two equal runs."""
    content = json.loads(text)
    for key in ("created", "seconds"):
        del content["provenance"][key]
    return content


def test_json_is_printed_alone_and_the_run_is_read_again_but_for_another(
    tuned: Path, target: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, control = tmp_path / "run", tmp_path / "control.pt"
    control.write_bytes(tuned.read_bytes())
    asked = [*PROBE, *FAST, *target, "--after", str(tuned), "--control", str(control), "--json", "--out", str(out)]
    code, text, said = outcome(asked, capsys)
    assert code == 0, said
    assert text == (out / "result.json").read_text(encoding="utf-8")
    result = gk.ReuseResult.from_json(text)
    assert result.names == ("blocks.0", "blocks.6")
    assert (result.before.n_classes, result.after.n_classes) == (352, 10)
    # The control is the tuned model itself.
    assert result.find("blocks.0", "control_reuse") == result.find("blocks.0", "reuse")
    with monkeypatch.context() as patched:
        patched.setattr(runs, "probe", None)
        assert outcome([*asked, "--resume"], capsys)[:2] == (0, text)
    for changed, named in (
        (["--seed", "1"], "seed"),
        (["--resets", "6"], "resets"),
        (["--layers", "blocks.1"], "layers"),
        (["--surrogate", "sample:digits"], "surrogate"),
        (["--split", "all"], "split"),
        (["--after", str(weights(tuned, tmp_path / "other.pt"))], "weights"),
    ):
        code, printed, said = outcome([*asked, *changed, "--resume"], capsys)
        assert (code, printed) == (2, "")
        assert "holds another run (" in said
        assert named in said.split("holds another run (")[1]
    weights(tuned, control)  # the same name, other weights
    code, _, said = outcome([*asked, "--resume"], capsys)
    assert code == 2
    assert "holds another run (control differ)" in said
    assert (out / "result.json").read_text(encoding="utf-8") == text


def weights(given: Path, path: Path) -> Path:
    """A checkpoint like the given one, whose numbers are others."""
    torch.save({name: 1.01 * value for name, value in torch.load(given).items()}, path)
    return path


@pytest.mark.slow
def test_an_interrupted_run_is_finished_from_the_cache_with_the_same_result(
    tuned: Path, target: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [*PROBE, *FAST, *target, "--after", str(tuned), "--json", "--resume"]
    whole = outcome([*asked, "--out", str(tmp_path / "whole")], capsys)[1]
    monkeypatch.setenv("GAPKIT_CACHE", str(tmp_path / "another-cache"))
    with monkeypatch.context() as patched:

        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr("gapkit.pipeline.rewinding.causal_reuse", interrupt)
        code, text, said = outcome([*asked, "--out", str(tmp_path / "cut")], capsys)
    assert (code, text) == (130, "")
    assert "Traceback" not in said
    # Logits of every rewound and reset model are there already: extract is asked, and runs nothing.
    runs_of_models: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr("gapkit.sources.capture._batches", lambda *given: runs_of_models.append(given) or iter(()))
        code, text, said = outcome([*asked, "--out", str(tmp_path / "cut")], capsys)
    assert code == 0, said
    assert numbers(text) == numbers(whole)
    assert runs_of_models == []


def test_the_table_is_printed_and_fits_a_wide_terminal(
    tuned: Path, target: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, said = outcome([*PROBE, *FAST, *target, "--after", str(tuned), "--out", str(tmp_path / "r")], capsys)
    assert code == 0, said
    assert "vit: image 3x32x32, 352 classes, head: own" in text
    assert max(len(line) for line in text.splitlines()[:-1]) <= 126
    assert text.splitlines()[-1] == f"report    {tmp_path / 'r' / 'report.html'}"
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "blocks.6" in page
    assert {path.name for path in (tmp_path / "r" / "figures").iterdir()} >= {"retention.svg", "matrices.svg"}


def test_layers_are_listed_as_text_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    code, text, _ = outcome(["probe", "--before", "vit", "--list-layers"], capsys)
    assert code == 0
    assert "layers of vit" in text
    code, listed, _ = outcome(["probe", "--before", "vit", "--list-layers", "--json"], capsys)
    layers = json.loads(listed)
    assert [layer["name"] for layer in layers if layer["block"]] == [f"blocks.{k}" for k in range(7)]
    state = gk.load_source("vit", device="cpu").module.get_submodule("blocks.0").state_dict()
    assert next(layer["weights"] for layer in layers if layer["name"] == "blocks.0") == sum(
        value.numel() for value in state.values()
    )
    assert all(f"{layer['weights']:,}" in text for layer in layers)


class Strange:
    """What a pickle may hold besides weights."""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "no --after; expected the tuned model"),
        (["--after", "tuned.pr"], "did you mean 'tuned.pt'"),
        (["--after", "garbage.pt"], "is damaged or no checkpoint"),
        (["--after", "pickle.pt"], "holds a pickle with more than weights"),
        (["--after", "other.pt"], "does not fit vit"),
        (["--after", "tuned.pt", "--control", "tuned.pt"], "--control without --target"),
        (
            ["--after", "tuned.pt", "--target", "sample:digits", "--control-start", "tuned.pt"],
            "--control-start without --control",
        ),
        (["--after", "tuned.pt", "--target", "sample:digits", "--control", "none.pt"], "none.pt: there is no file"),
        (["--after", "tuned.pt", "--seeds", "0,0,1"], "seeds 0,0,1; expected at least 3 different ones"),
        (["--after", "tuned.pt", "--seeds", "a,b"], "--seeds"),
        (["--after", "tuned.pt", "--resets", "2"], "resets 2; expected at least 5"),
        (["--after", "tuned.pt", "--layers", "nope"], "layer 'nope'"),
        (["--after", "tuned.pt", "--matrices", "nope"], "matrices 'nope'"),
        (["--after", "tuned.pt", "--max-samples", "3"], "expected at least 20"),
        (["--after", "tuned.pt", "--classes", "1"], "expected at least 2"),
        (["--after", "tuned.pt", "--surrogate", "nothing.npz"], "nothing.npz"),
        (["--after", "tuned.pt", "--target", "sample:digits", "--split", "test"], "sample:digits has no test samples"),
        (["--after", "tuned.pt", "--resume", "--no-cache"], "--resume and --no-cache"),
    ],
)
def test_mistakes_are_one_message_and_exit_2(
    options: list[str],
    said: str,
    tuned: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tuned.pt").symlink_to(tuned)
    Path("garbage.pt").write_bytes(tuned.read_bytes()[:1000])
    Path("pickle.pt").write_bytes(pickle.dumps({"weight": Strange()}))
    torch.save({"weight": torch.ones(2)}, "other.pt")
    code, text, error = outcome([*PROBE, *FAST, *options, "--out", "run"], capsys)
    assert (code, text) == (2, "")
    assert said in error
    assert "Traceback" not in error
    assert not Path("run").exists()


def test_a_folder_that_holds_something_else_is_kept(
    tuned: Path, target: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    for more in ([], ["--resume"]):
        code, _, said = outcome([*PROBE, *FAST, "--after", str(tuned), "--out", str(tmp_path / "run"), *more], capsys)
        assert code == 2
        assert str(tmp_path / "run") in said
    assert (tmp_path / "run" / "thesis.tex").read_text() == "x"
