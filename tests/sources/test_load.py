"""Names of sources, checkpoints that do not fit, and the hub without a network."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import transformers as tf
from huggingface_hub import constants
from safetensors.torch import save_file

import gapkit as gk
from gapkit.arrays import seeded_torch
from gapkit.errors import OptionError, SourceError
from gapkit.sources import hub
from gapkit.sources.checkpoint import read_checkpoint
from gapkit.sources.listing import list_sources
from gapkit.sources.short_names import SHORT_NAMES, resolve
from gapkit.sources.timm_names import check_timm_name, timm_architectures

LIMIT = 5.0
BERT = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline mode is off: the probe is made."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.fixture
def silence() -> Iterator[str]:
    """A server that accepts every connection and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                held.append(server.accept()[0])
            except OSError:
                return

    threading.Thread(target=accept, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()
    for connection in held:
        connection.close()


def save_resnet(path: Path, **options: object) -> torch.nn.Module:
    """A tiny ResNet of timm with random weights, and its checkpoint."""
    with seeded_torch(2):
        module = timm.create_model("test_resnet", **options).eval()
    save_file(module.state_dict(), path)
    return module


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vitt", "source 'vitt'.*did you mean 'vit'"),
        ("swinb", "did you mean 'swin-b'"),
        ("tim:resnet50", "did you mean 'timm:'"),
        ("hf:", "source 'hf:'"),
        ("zzzzzz", "gapkit sources"),
        ("timm:resnet5", "timm has no model 'resnet5'.*did you mean 'resnet50'"),
        ("hf:./no/such/folder", "no folder"),
    ],
)
def test_unknown_names_get_the_nearest(name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        gk.load_source(name)


def test_short_names_stand_for_models_that_there_are() -> None:
    known = set(timm_architectures())
    assert known == set(timm.list_models())
    for name, (source, kind, _) in SHORT_NAMES.items():
        prefix, rest = resolve(name)
        assert f"{prefix}:{rest}" == source
        if prefix == "timm":
            assert timm.get_pretrained_cfg(rest).has_weights
            assert kind == "image"
        else:
            assert hub.REPOSITORY.fullmatch(rest)
    check_timm_name("resnet50.any_tag", title="timm:resnet50")


def test_arch_is_for_checkpoints_and_devices_are_checked() -> None:
    with pytest.raises(OptionError, match="architecture 'resnet50' for source 'vit'"):
        gk.load_source("vit", arch="resnet50")
    with pytest.raises(OptionError, match="--device auto"):
        gk.load_source("vit", device="cuda:99")
    with pytest.raises(OptionError, match="precision 'fp64'"):
        gk.load_source("vit", device="cpu", precision="fp64")


@torch.inference_mode()
def test_timm_checkpoints_bring_their_number_of_classes(tmp_path: Path) -> None:
    module = save_resnet(tmp_path / "tuned.safetensors", num_classes=3)
    own = gk.Target(np.arange(12.0).reshape(6, 2), [0, 1] * 3)
    source = gk.load_source(f"file:{tmp_path / 'tuned.safetensors'}", arch="test_resnet", device="cpu", surrogate=own)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(2, *source.input.shape)).astype(np.float32))
    assert torch.equal(source.module(x), module(x))
    assert source.class_names == ("class 0", "class 1", "class 2")
    assert source.surrogate is own
    wrapped = {"state_dict": {f"module.{key}": value for key, value in module.state_dict().items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "wrapped.pt")
    again = gk.load_source(f"file:{tmp_path / 'wrapped.pt'}", arch="test_resnet", device="cpu")
    assert again.weights_hash == source.weights_hash
    headless = save_resnet(tmp_path / "bare.safetensors", num_classes=0)
    bare = gk.load_source(f"file:{tmp_path / 'bare.safetensors'}", arch="test_resnet", device="cpu")
    assert bare.class_names is None
    assert torch.equal(bare.adapter.pool(bare.adapter.encode(x)), headless(x))


@torch.inference_mode()
def test_transformers_checkpoints_load_with_a_configuration(tmp_path: Path) -> None:
    with seeded_torch(1):
        model = tf.BertForSequenceClassification(tf.BertConfig(**BERT, num_labels=3)).eval()
    model.save_pretrained(tmp_path / "whole")
    model.config.save_pretrained(tmp_path / "arch")
    torch.save(model.state_dict(), tmp_path / "weights.bin")
    arch = str(tmp_path / "arch")
    source = gk.load_source(f"file:{tmp_path / 'weights.bin'}", arch=arch, device="cpu")
    assert source.weights_hash == gk.load_source(f"hf:{tmp_path / 'whole'}", device="cpu").weights_hash
    assert source.weights_hash == gk.load_source(f"file:{tmp_path / 'whole'}", device="cpu").weights_hash
    state = model.state_dict()
    del state["classifier.weight"]
    state["extra.weight"] = torch.zeros(2)
    state["bert.embeddings.word_embeddings.weight"] = torch.zeros(7, 32)
    torch.save(state, tmp_path / "other.bin")
    words = (
        r"1 missing \(classifier.weight\); 1 not in the architecture \(extra.weight\); 1 of another shape "
        r"\(bert.embeddings.word_embeddings.weight \(7, 32\) instead of \(50, 32\)\)"
    )
    with pytest.raises(SourceError, match=words):
        gk.load_source(f"file:{tmp_path / 'other.bin'}", arch=arch, device="cpu")


def test_other_architectures_name_the_first_tensors_and_how_many(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    module = save_resnet(path, num_classes=3)
    state = dict(module.state_dict())
    state["fc.weight"] = torch.zeros(3, 5)
    state["fc.extra"] = torch.zeros(3)
    del state["bn1.weight"]
    save_file(state, path)
    words = r"1 missing \(bn1.weight\); 1 not in the architecture \(fc.extra\); 1 of another shape \(fc.weight \(3, 5\)"
    with pytest.raises(SourceError, match=words):
        gk.load_source(f"file:{path}", arch="test_resnet", device="cpu")
    with pytest.raises(SourceError, match=r"does not fit vit: tensors \d+ missing \(stem.*, \.\.\.\); \d+ not in"):
        gk.load_source(f"file:{path}", arch="vit", device="cpu")
    with pytest.raises(SourceError, match="without an architecture.*--arch"):
        gk.load_source(f"file:{path}", device="cpu")
    with pytest.raises(SourceError, match="timm has no model 'test_resnt'.*did you mean 'test_resnet'"):
        gk.load_source(f"file:{path}", arch="test_resnt", device="cpu")
    with pytest.raises(SourceError, match="no file .*x.safetensors.*did you mean 'w.safetensors'"):
        gk.load_source(f"file:{tmp_path / 'x.safetensors'}", arch="vit", device="cpu")


class Touch:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """What pickle calls on loading."""
        return Path.touch, (self.path,)


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(2).bytes(500))


def truncated(path: Path) -> None:
    save_file({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])


def truncated_zip(path: Path) -> None:
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:1500])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def no_weights(path: Path) -> None:
    torch.save({"epoch": 3}, path)


def code(path: Path) -> None:
    torch.save({"w": torch.zeros(2), "run": Touch(path.parent / "was-run")}, path)


def bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Touch(path.parent / "was-run")))


@pytest.mark.parametrize(
    ("damage", "suffix", "words"),
    [
        (garbage, ".safetensors", "damaged or no checkpoint"),
        (garbage, ".pt", "damaged or no checkpoint|more than weights"),
        (truncated, ".safetensors", "damaged or no checkpoint"),
        (truncated_zip, ".pt", "damaged or no checkpoint"),
        (empty, ".pt", "damaged or no checkpoint"),
        (no_weights, ".pt", "holds no weights"),
        (code, ".pt", "more than weights"),
        (bare_pickle, ".bin", "more than weights"),
    ],
)
def test_damaged_checkpoints_are_said_and_no_code_is_run(
    damage: Callable[[Path], None], suffix: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / f"model{suffix}"
    damage(path)
    with pytest.raises(SourceError, match=words) as refused:
        read_checkpoint(path)
    assert path.name in str(refused.value)
    assert not (tmp_path / "was-run").exists()


def test_mutated_checkpoints_never_give_a_traceback(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    refused = 0
    for suffix in (".safetensors", ".pt"):
        path = tmp_path / f"m{suffix}"
        state = {"a.weight": torch.ones(4, 3), "b": torch.zeros(2, dtype=torch.int64)}
        if suffix == ".pt":
            torch.save(state, path)
        else:
            save_file(state, path)
        whole = path.read_bytes()
        for _ in range(150):
            data = bytearray(whole)
            for position in rng.integers(0, len(data), 4):
                data[position] = rng.integers(256)
            path.write_bytes(bytes(data[: rng.integers(1, len(data) + 1)]))
            try:
                read_checkpoint(path)
            except SourceError:
                refused += 1
    assert refused > 200


def test_remote_code_and_incomplete_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no readable config\.json"):
        gk.load_source(f"hf:{tmp_path}", device="cpu")
    config = tf.BertConfig(**BERT).to_dict() | {"architectures": ["BertModel"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SourceError, match=r"no weights in .*save_pretrained"):
        gk.load_source(f"hf:{tmp_path}", device="cpu")
    (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')")
    with pytest.raises(SourceError, match="auto_map"):
        gk.load_source(f"hf:{tmp_path}", device="cpu")
    assert not (tmp_path / "was-run").exists()


def test_weights_that_are_missing_are_never_random(tmp_path: Path) -> None:
    """A bare checkpoint under a configuration that names a classification model has no classifier to load."""
    with seeded_torch(1):
        model = tf.BertModel(tf.BertConfig(**BERT))
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["BertForSequenceClassification"]}))
    with pytest.raises(SourceError, match=r"2 missing \(classifier.bias, classifier.weight\)"):
        gk.load_source(f"hf:{tmp_path}", device="cpu")


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("name", ["hf:nobody/nothing", "timm:resnet50", "swin-b"])
def test_without_a_network_the_message_comes_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(SourceError, match="not in the local cache.*cannot be reached.*vit is bundled") as refused:
        gk.load_source(name, device="cpu")
    assert time.monotonic() - started < LIMIT
    assert name in str(refused.value)


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("name", ["hf:nobody/nothing", "timm:resnet50.a1_in1k"])
def test_a_network_that_swallows_everything_is_given_up(
    name: str, silence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", silence)
    started = time.monotonic()
    with pytest.raises(SourceError, match="cannot be reached.*(timed out|no answer)"):
        gk.load_source(name, device="cpu")
    assert 0.9 * hub.PROBE_SECONDS < time.monotonic() - started < LIMIT


@pytest.mark.usefixtures("online")
def test_a_name_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_: object, **__: object) -> None:
        release.wait(30)
        raise OSError("too late")

    monkeypatch.setattr(hub, "urlopen", hang)
    started = time.monotonic()
    with pytest.raises(SourceError, match="no answer within"):
        hub.probe("nobody/nothing", name="hf:nobody/nothing")
    release.set()
    assert time.monotonic() - started < LIMIT


def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "urlopen", lambda *_, **__: pytest.fail("the network was asked"))
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE"):
        gk.load_source("hf:nobody/nothing", device="cpu")


@pytest.mark.usefixtures("online")
@pytest.mark.parametrize("status", [401, 404])
def test_a_model_that_the_hub_does_not_have(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_ask", lambda _: status)
    with pytest.raises(SourceError, match=f"no public model 'nobody/nothing'.*{status}"):
        gk.load_source("hf:nobody/nothing", device="cpu")


def cache(folder: Path, repository: str, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lay files out as the hub's cache does."""
    place = folder / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    (place / "snapshots").mkdir()
    files.rename(place / "snapshots" / ("0" * 40))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))


@pytest.mark.usefixtures("online")
def test_cached_models_load_and_are_listed_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "urlopen", lambda *_, **__: pytest.fail("the network was asked"))
    with seeded_torch(1):
        model = tf.BertModel(tf.BertConfig(**BERT))
    model.save_pretrained(tmp_path / "bert")
    cache(tmp_path / "hub", "somebody/small-bert", tmp_path / "bert", monkeypatch)
    (tmp_path / "resnet").mkdir()
    save_resnet(tmp_path / "resnet" / "model.safetensors")
    cache(tmp_path / "hub", "timm/test_resnet.r160_in1k", tmp_path / "resnet", monkeypatch)
    assert gk.load_source("hf:somebody/small-bert", device="cpu").class_names is None
    tagged = gk.load_source("timm:test_resnet.r160_in1k", device="cpu")
    assert tagged.weights_hash == gk.load_source("timm:test_resnet", device="cpu").weights_hash
    cached = {listing.name for listing in list_sources() if listing.cached}
    assert cached == {"vit", "hf:somebody/small-bert", "timm:test_resnet.r160_in1k"}


@pytest.mark.parametrize("name", ["hf:nobody/nothing", "timm:resnet50", "timm:resnet5", "vitt"])
def test_what_is_out_of_reach_is_said_before_torch_is_imported(name: str) -> None:
    script = f"""
        import sys
        import gapkit as gk
        try:
            gk.load_source({name!r})
        except gk.SourceError:
            assert not {{"torch", "timm", "transformers"}} & set(sys.modules)
        else:
            raise AssertionError
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_the_listing_needs_no_torch() -> None:
    script = """
        import sys
        from gapkit.sources.listing import list_sources
        names = [listing.name for listing in list_sources()]
        assert names[0] == "vit" and "roberta" in names, names
        assert not {"torch", "timm", "transformers"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)
