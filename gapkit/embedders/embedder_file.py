"""A learned embedder as one safetensors file: weights and statistics as tensors, everything else as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from gapkit.embedders.learned import LearnedEmbedder, MadeFor
from gapkit.embedders.patch_modules import CopySizes, PatchSizes, TableSizes, build_module
from gapkit.embedders.preparation import PicturePreparation, ValuePreparation
from gapkit.embedders.stored import Tensors, as_stored, from_stored
from gapkit.errors import DataError, StorageError
from gapkit.files import SAFETENSORS, write_atomically

ABOUT, VERSION = "gapkit learned embedder", 1
"""One key of metadata: of several, the order in the file would be another one every time."""
WEIGHTS = "weights."
# What contents that are no embedder raise while one is built from them.
UNREADABLE = (
    SafetensorError,
    DataError,
    RuntimeError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)


def save_embedder(embedder: LearnedEmbedder, path: str | Path) -> None:
    """Write the embedder with its weights as they are now; a file that is there is replaced at once or not at all.

    Args:
        embedder: on any device.
        path: of the file; its name should end in .safetensors, by which ``--embedder`` knows it.

    Raises:
        StorageError: the file cannot be written.
    """
    tensors: Tensors = {}
    told = {
        "version": VERSION,
        "name": embedder.name,
        "start": embedder.start,
        "sizes": as_stored(embedder.module.sizes, "sizes", tensors),
        "preparation": as_stored(embedder.preparation, "preparation", tensors),
        "made_for": as_stored(embedder.made_for, "made_for", tensors),
    }
    state = embedder.module.state_dict()
    tensors |= {f"{WEIGHTS}{name}": value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomically(Path(path), save(tensors, metadata={ABOUT: json.dumps(told)}))


def load_embedder(path: str | Path) -> LearnedEmbedder:
    """The embedder that ``save_embedder`` wrote, with the same key; in eval mode on the CPU.

    Raises:
        StorageError: there is no such file, it is damaged, or holds something else.
    """
    file = Path(path)
    if not file.is_file():
        raise StorageError(
            f"there is no embedder {file}",
            expected=f"a file that gapkit.embedders.save_embedder wrote, such as embedder{SAFETENSORS}",
            remedy="check the path",
        )
    try:
        embedder = _built(*_read(file))
        _try_out(embedder)
    except OSError as error:
        raise _unreadable(file, error.strerror or str(error)) from error
    except UNREADABLE as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise _unreadable(file, f"{type(error).__name__}: {said[:160]}") from error
    return embedder


def _read(file: Path) -> tuple[dict[str, Any], Tensors]:
    """The JSON and the tensors.

    Raises:
        ValueError: safetensors of another kind, or of a later gapkit.
    """
    with safe_open(str(file), framework="pt", device="cpu") as content:
        metadata = content.metadata() or {}
        tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
    if ABOUT not in metadata:
        raise ValueError("it holds other tensors")
    told = json.loads(metadata[ABOUT])
    if told["version"] != VERSION:
        raise ValueError(f"it has version {told['version']} of the format, this gapkit reads {VERSION}")
    return told, tensors


def _built(told: dict[str, Any], tensors: Tensors) -> LearnedEmbedder:
    """The embedder of these fields and tensors.

    Raises:
        ValueError: fields of another kind.
    """
    sizes, preparation, made_for = (from_stored(told[name], tensors) for name in ("sizes", "preparation", "made_for"))
    kinds = (PatchSizes | TableSizes | CopySizes, ValuePreparation | PicturePreparation, MadeFor)
    if not all(isinstance(*pair) for pair in zip((sizes, preparation, made_for), kinds, strict=True)):
        raise ValueError("its fields are of other kinds")
    # On the meta device: no memory and no random numbers are taken for values that are replaced.
    with torch.device("meta"):
        module = build_module(sizes)
    weights = {key.removeprefix(WEIGHTS): value for key, value in tensors.items() if key.startswith(WEIGHTS)}
    module.load_state_dict(weights, assign=True)
    return LearnedEmbedder(
        name=str(told["name"]),
        module=module.eval(),
        preparation=preparation,
        start=str(told["start"]),
        made_for=made_for,
    )


def _try_out(embedder: LearnedEmbedder) -> None:
    """Run the embedder on one sample of zeros, so that contradictions show here and not in a measurement.

    Raises:
        ValueError: it gives other tokens than it says.
    """
    tokens = embedder(np.zeros((1, *embedder.preparation.sample), dtype=np.uint8))
    if tokens.flatten(1, -2).shape != (1, embedder.count, embedder.dim) or not embedder.description:
        raise ValueError(f"it gives tokens {tuple(tokens.shape[1:])}")


def _unreadable(file: Path, said: str) -> StorageError:
    """The message for a file that is damaged or holds something else."""
    return StorageError(
        f"{file} is no learned embedder, or damaged ({said})",
        expected="a file that gapkit.embedders.save_embedder wrote",
        remedy="copy it again, or make it anew",
    )
