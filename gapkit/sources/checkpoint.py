"""Reading checkpoints without unpickling code, and saying how one differs from an architecture."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gapkit.errors import SourceError, nearest

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
CONTAINERS = ("state_dict", "model_state_dict", "model", "state_dict_ema", "module")
PREFIXES = ("_orig_mod.", "module.")
SHOWN = 3

# What torch.load and safetensors raise on bytes that are no checkpoint.
UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


def check_file(path: Path, *, name: str) -> None:
    """Refuse a checkpoint that is not there.

    Raises:
        SourceError: no such file; names the nearest ones beside it.
    """
    if path.is_file():
        return
    beside = [item.name for item in path.parent.iterdir() if item.suffix in SUFFIXES] if path.parent.is_dir() else []
    close = nearest(path.name, beside)
    raise SourceError(
        f"{name}: there is no file {path}",
        expected="a checkpoint (" + ", ".join(SUFFIXES) + ")",
        remedy=f"did you mean {close}?" if close else "check the path",
    )


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Name -> tensor on the CPU, from safetensors or from ``torch.save``d weights; code in a pickle is never run.

    Weights inside the usual containers (``state_dict``, ``model``, ...) are found, and the prefixes that wrappers add
    (``module.``, ``_orig_mod.``) are taken off.

    Raises:
        SourceError: the file cannot be read, or holds more than weights.
    """
    try:
        if is_safetensors(path):
            return read_safetensors(path)[1]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # tried all the same
            content = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise unreadable(path, error) from error
    except OSError as error:
        raise SourceError(
            f"{path}: {error.strerror or error}", expected="a readable checkpoint", remedy="check the file"
        ) from error
    return _bare(_state(content, path))


def is_safetensors(path: Path) -> bool:
    """Whether the name says so, or the content does: a length of 8 bytes, then JSON."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def read_safetensors(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file; it raises what safetensors raises."""
    with safe_open(str(path), framework="pt", device="cpu") as file:
        return dict(file.metadata() or {}), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118


def first_line(error: BaseException, *, longest: int = 160) -> str:
    """The first line of what an exception says, or its kind where it says nothing.

    Example:
        >>> first_line(ValueError("no weights")), first_line(EOFError())
        ('no weights', 'EOFError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:longest]


def unreadable(path: Path, error: Exception) -> SourceError:
    """The message for a file that is damaged or holds a pickle with more than weights."""
    if isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error).lower().replace(" ", "_"):
        return SourceError(
            f"{path} holds a pickle with more than weights, which could run code when it is loaded",
            expected="weights alone: a dict of tensors, or safetensors",
            remedy="save model.state_dict() and use that file",
        )
    return SourceError(
        f"{path} is damaged or no checkpoint ({type(error).__name__}: {first_line(error)})",
        expected="safetensors, or weights saved by torch.save",
        remedy="copy or download it again",
    )


def _state(content: Any, path: Path) -> dict[str, Tensor]:
    """The dict of tensors in what was loaded."""
    for key in CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if isinstance(content, Mapping):
        tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors
    raise SourceError(
        f"{path} holds no weights ({type(content).__name__})",
        expected="a dict of tensors, or one under " + ", ".join(repr(key) for key in CONTAINERS),
        remedy="save model.state_dict()",
    )


def _bare(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names without the prefixes that DataParallel and torch.compile add to all of them."""
    for _ in PREFIXES:
        for prefix in PREFIXES:
            if all(key.startswith(prefix) for key in state):
                state = {key[len(prefix) :]: value for key, value in state.items()}
    return state


def load_weights(module: nn.Module, state: Mapping[str, Tensor], *, path: Path, arch: str) -> None:
    """Fill a module with a checkpoint that has exactly its tensors, whatever their precision.

    Raises:
        SourceError: names the tensors that are missing, left over or of another shape, the first few and how many.
    """
    own = module.state_dict()
    problems = {
        "missing": [key for key in own if key not in state],
        "not in the architecture": [key for key in state if key not in own],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(own[key].shape)}"
            for key in own
            if key in state and state[key].shape != own[key].shape
        ],
    }
    if any(problems.values()):
        raise other_architecture(path, arch, problems, total=len(own))
    module.load_state_dict(dict(state))


def other_architecture(
    path: Path | str,
    arch: str,
    problems: Mapping[str, list[str]],
    *,
    total: int,
    remedy: str = "give the architecture that the checkpoint was trained with (--arch)",
) -> SourceError:
    """The message for a checkpoint that does not fit: how many tensors of each kind, and the first few."""
    parts = [
        f"{len(keys)} {what} ({', '.join(keys[:SHOWN])}{', ...' if len(keys) > SHOWN else ''})"
        for what, keys in problems.items()
        if keys
    ]
    return SourceError(
        f"{path} does not fit {arch}: tensors " + "; ".join(parts),
        expected=f"the {total} tensors of {arch}",
        remedy=remedy,
    )
