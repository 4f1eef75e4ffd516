"""Models of transformers: text encoders, vision transformers, wav2vec 2.0 and its kin; with a head or bare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, seeded_torch
from gapkit.errors import SourceError
from gapkit.sources.checkpoint import first_line, other_architecture, read_checkpoint
from gapkit.sources.folders import read_config, read_json
from gapkit.sources.from_module import FORWARD_ERRORS, probe_batch
from gapkit.sources.hub import WEIGHT_FILES
from gapkit.sources.linear_head import check_exact, find_head, tensor_of
from gapkit.sources.transformer_cuts import AudioCut, ImageCut, TextCut, TransformersCut
from gapkit.types import InputSpec, TokenSpec

CLASSIFICATION = ("ForSequenceClassification", "ForImageClassification", "ForAudioClassification")
POOLER = "pooler."
"""Part of a bare model that is not used, so that its weights may be missing."""
AUDIO_SECONDS = 1
SAMPLE_RATE = 16_000
IMAGE_SIZE = 224
MANY_TOKENS = 512
"""Text is cut there where the model knows no limit."""
# What configurations that are no such thing make transformers raise.
CONFIG_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)


def load_transformers_folder(folder: Path, *, title: str) -> TransformersCut:
    """A model from a folder with config.json and weights, as ``save_pretrained`` writes it or the hub holds it.

    Raises:
        SourceError: incomplete, damaged, or of a kind that gapkit does not know.
    """
    files = [folder / name for name in WEIGHT_FILES if (folder / name).is_file()]
    if not files:
        raise SourceError(
            f"{title}: no weights in {folder}",
            expected=" or ".join(WEIGHT_FILES) + " beside config.json",
            remedy="save the model with save_pretrained",
        )
    state = _read_shards(files[0]) if files[0].suffix == ".json" else read_checkpoint(files[0])
    return _load(folder, state, path=files[0], title=title, lenient=True)


def load_transformers_file(path: Path, *, arch: str, title: str) -> TransformersCut:
    """A checkpoint of the architecture that a folder's config.json describes.

    Raises:
        SourceError: damaged, or of another architecture.
    """
    return _load(Path(arch), read_checkpoint(path), path=path, title=title, lenient=False)


def adapt_transformers(module: nn.Module, folder: Path | None, *, title: str) -> TransformersCut:
    """Cut a model of transformers; it is put into eval mode.

    Args:
        module: a classification model or a bare one.
        folder: with the tokenizer or the preprocessor configuration, where there is one.
        title: how the source was asked for.

    Raises:
        SourceError: its parts do not give its own output.
    """
    model: Any = module.eval()
    kind = {"input_ids": _text, "pixel_values": _image, "input_values": _audio}.get(model.main_input_name)
    if kind is None or model.config.is_encoder_decoder:
        raise _unknown(title, model)
    preparation = {} if folder is None else read_json(folder / "preprocessor_config.json")
    bare = not type(model).__name__.endswith(CLASSIFICATION)
    try:
        cut = kind(model, folder, preparation, title)
        x = _probe(cut)
        with torch.inference_mode():
            if not bare:
                cut.head_name = find_head(model, lambda: tensor_of(model(x)))
                cut.class_names = _class_names(model)
            own = cut.pool(_hidden(model(x))) if bare else tensor_of(model(x))
        if bare or cut.class_names is not None:
            check_exact(cut, x, own)
        elif cut.head_name is None:
            raise _unknown(title, model)
    except FORWARD_ERRORS as error:
        raise _unknown(title, model) from error
    return cut


def _load(folder: Path, state: dict[str, Tensor], *, path: Path, title: str, lenient: bool) -> TransformersCut:
    """Build the architecture, fill it and cut it; ``lenient`` leaves tensors that it has no place for out."""
    model_class, config = _architecture(folder, title)
    try:
        with seeded_torch(0), _quiet():
            model, report = model_class.from_pretrained(
                None, config=config, state_dict=state, output_loading_info=True, ignore_mismatched_sizes=True
            )
    except CONFIG_ERRORS as error:
        raise SourceError(
            f"{title}: {path} does not fit {model_class.__name__} ({first_line(error)})",
            expected="a checkpoint of this architecture",
            remedy="check config.json",
        ) from error
    bare = not model_class.__name__.endswith(CLASSIFICATION)
    problems = {
        "missing": sorted(key for key in report["missing_keys"] if not (bare and POOLER in key)),
        "not in the architecture": [] if lenient or bare else sorted(report["unexpected_keys"]),
        "of another shape": [
            f"{key} {tuple(found)} instead of {tuple(wanted)}" for key, found, wanted in report["mismatched_keys"]
        ],
    }
    if any(problems.values()):
        raise other_architecture(path, model_class.__name__, problems, total=len(model.state_dict()))
    return adapt_transformers(model, folder, title=title)


def _library() -> Any:
    """Transformers, imported when it is needed and untyped: it makes most of its names when they are asked for."""
    return import_module("transformers")


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar and no report of transformers: what it has to say is in the errors."""
    logging: Any = import_module("transformers.utils.logging")
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


def _architecture(folder: Path, title: str) -> tuple[Any, Any]:
    """The class of the model, bare unless the configuration names a classification model, and the configuration."""
    transformers = _library()
    named = read_config(folder, title=title).get("architectures") or [""]
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if str(named[0]).endswith(CLASSIFICATION):
            return getattr(transformers, named[0]), config
        return transformers.MODEL_MAPPING[type(config)], config
    except CONFIG_ERRORS as error:
        raise SourceError(
            f"{title}: transformers cannot build {named[0] or 'it'} ({first_line(error)})",
            expected="the configuration of a text, image or audio encoder",
            remedy="check config.json",
        ) from error


def _read_shards(index: Path) -> dict[str, Tensor]:
    """The tensors of all the files that an index lists; names with folders in them are refused."""
    names = sorted({Path(str(name)).name for name in dict(read_json(index).get("weight_map", {})).values()})
    return {key: value for name in names for key, value in read_checkpoint(index.parent / name).items()}


def _text(model: Any, folder: Path | None, _: dict[str, Any], title: str) -> TextCut:
    """A text encoder with its tokenizer, where the folder has one."""
    embedding = model.base_model.get_input_embeddings()
    limit = getattr(model.config, "max_position_embeddings", None) or MANY_TOKENS
    if hasattr(getattr(model.base_model, "embeddings", None), "create_position_ids_from_input_ids"):
        limit -= model.config.pad_token_id + 1  # RoBERTa counts positions from there
    tokenizer = None if folder is None else _tokenizer(folder)
    pad = model.config.pad_token_id if tokenizer is None else tokenizer.pad_token_id
    weight = embedding.weight.detach().double()
    return TextCut(
        name=title,
        module=model,
        input=InputSpec(
            kind="text", shape=(limit,), tokenizer=None if tokenizer is None else _encoder(tokenizer, limit)
        ),
        token=TokenSpec(dim=embedding.embedding_dim, max_len=limit, mean=float(weight.mean()), std=float(weight.std())),
        pad=pad,
    )


def _tokenizer(folder: Path) -> Any | None:
    """The tokenizer of a folder, None where it has none."""
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model")):
        return None
    transformers = _library()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except CONFIG_ERRORS:
        return None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _encoder(tokenizer: Any, limit: int) -> Callable[[Sequence[str]], Array]:
    """Strings to token ids (n, N), padded to the longest and cut at the limit."""

    def encode(texts: Sequence[str]) -> Array:
        found = tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="np")
        return np.asarray(found["input_ids"], dtype=np.int64)

    return encode


def _image(model: Any, _: Path | None, preparation: dict[str, Any], title: str) -> ImageCut:
    """An image model; its patch embedding is found by its usual name."""
    size = getattr(model.config, "image_size", None) or _size(preparation)
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    channels = getattr(model.config, "num_channels", 3)
    normalised = preparation.get("do_normalize", True)
    mean, std = (preparation.get(key) or (0.5,) * channels for key in ("image_mean", "image_std"))
    spec = InputSpec(
        kind="image",
        shape=(channels, height, width),
        mean=tuple(mean) if normalised else (),
        std=tuple(std) if normalised else (),
    )
    cut = ImageCut(name=title, module=model, input=spec)
    names = [name for name, _ in model.named_modules() if name.endswith("embeddings.patch_embeddings")]
    if len(names) == 1:
        parent, _, name = names[0].rpartition(".")
        cut.patches = (parent, name)
        with torch.inference_mode():
            given = model.get_submodule(names[0])(probe_batch(spec))
        tokens = given[0] if isinstance(given, tuple) else given
        if tokens.ndim != 3:
            cut.patches = None
            return cut
        cut.grid = tuple(given[1]) if isinstance(given, tuple) else None
        cut.token = TokenSpec(dim=tokens.shape[-1], max_len=tokens.shape[1])
    return cut


def _size(preparation: dict[str, Any]) -> int | tuple[int, int]:
    """Height and width that images are brought to."""
    size = preparation.get("crop_size") or preparation.get("size") or IMAGE_SIZE
    if isinstance(size, dict):
        edge = size.get("shortest_edge", IMAGE_SIZE)
        return size.get("height", edge), size.get("width", edge)
    return size


def _audio(model: Any, _: Path | None, preparation: dict[str, Any], title: str) -> AudioCut:
    """A model on waveforms: convolutions, projection, transformer."""
    rate = float(preparation.get("sampling_rate", SAMPLE_RATE))
    spec = InputSpec(kind="audio", shape=(int(rate * AUDIO_SECONDS),), sample_rate=rate)
    cut = AudioCut(name=title, module=model, input=spec)
    with torch.inference_mode():
        base = model.base_model
        frames = base.feature_extractor(probe_batch(spec)).transpose(1, 2)
        cut.pair = isinstance(base.feature_projection(frames), tuple)
    cut.token = TokenSpec(dim=model.config.hidden_size)
    return cut


def _probe(cut: TransformersCut) -> Tensor:
    """The made-up batch, of text without the padding symbol: the model's own call is then one without a mask."""
    x = probe_batch(cut.input)
    if not isinstance(cut, TextCut) or cut.pad is None:
        return x
    other = int(x.max()) + 1 if cut.pad <= int(x.max()) else 0
    return torch.where(x == cut.pad, other, x)


def _hidden(output: Any) -> Tensor:
    """The last hidden states."""
    return output.last_hidden_state


def _class_names(model: Any) -> tuple[str, ...] | None:
    """The configuration's names; None for a single output, which is a quantity."""
    labels = model.config.id2label
    count = int(model.config.num_labels)
    return tuple(str(labels.get(k, f"LABEL_{k}")) for k in range(count)) if count > 1 else None


def _unknown(title: str, model: Any) -> SourceError:
    """The message for an architecture of another kind."""
    return SourceError(
        f"{title} ({type(model).__name__}) is of a kind that gapkit cannot cut",
        expected="a text, image or audio encoder, bare or for classification",
        remedy="load the model yourself and pass it to gapkit.Source.from_module",
    )
