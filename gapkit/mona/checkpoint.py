"""A training run on the disk: weights, optimiser, place and history in one file that is replaced as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from gapkit.errors import StorageError
from gapkit.sources.checkpoint import UNREADABLE, first_line, read_safetensors
from gapkit.sources.journal import sync_folder

SCHEMA, CHECKPOINT = 1, "checkpoint.safetensors"
ABOUT = "gapkit"


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """Where a run is.

    Attributes:
        stage: position of the stage.
        step: steps of it that are done.
        told: what else there is to go on with: the best look at the validation samples, cost, history; plain values.
        options: what the run was asked for; a run with other options is another run.
        tensors: weights, moments of the optimiser, best weights.
    """

    stage: int
    step: int
    told: dict[str, Any]
    options: dict[str, Any]
    tensors: dict[str, Tensor] = field(repr=False)


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint of a run: a reader sees the old one or the new one, also after a power failure.

    Raises:
        StorageError: it cannot be written; the old one is still there.
    """
    about = {
        "schema": SCHEMA,
        "stage": checkpoint.stage,
        "step": checkpoint.step,
        "told": checkpoint.told,
        "options": checkpoint.options,
    }
    # One name for all: what a killed process has left is written over.
    part = folder / f".{CHECKPOINT}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
        content = save(tensors, metadata={ABOUT: json.dumps(about)})
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / CHECKPOINT)
        sync_folder(folder)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise StorageError(
            f"{folder / CHECKPOINT} cannot be written ({error.strerror})",
            expected="a writable folder with free space",
            remedy="free space and repeat the command, which goes on from the last checkpoint",
        ) from error


def read_checkpoint(folder: Path, options: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint of a run with these options; None where there is none.

    Raises:
        StorageError: it is damaged, or of a run with other options, which are listed.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        metadata, tensors = read_safetensors(path)
        about = json.loads(metadata[ABOUT])
        if about.pop("schema") != SCHEMA:
            raise KeyError("schema")
        found = Checkpoint(**about, tensors=tensors)
    except UNREADABLE as error:
        raise StorageError(
            f"{path} is damaged or no checkpoint of a run ({type(error).__name__}: {first_line(error)})",
            expected="the checkpoint that an interrupted run has left",
            remedy="delete it, or choose another --out",
        ) from error
    # As JSON gives them back: tuples are lists.
    asked = json.loads(json.dumps(dict(options)))
    differing = differences(found.options, asked)
    if differing:
        raise StorageError(
            f"{path} is of another run ({'; '.join(differing)})",
            expected="the options of that run",
            remedy="repeat its command, pass --overwrite, or choose another --out",
        )
    return found


def differences(found: Mapping[str, Any], asked: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What two sets of options differ in, as ``name: there instead of here``.

    Example:
        >>> differences({"seed": 0, "steps": {"tune": 5}}, {"seed": 1, "steps": {"tune": 5}})
        ['seed: 0 there, 1 here']
    """
    told: list[str] = []
    for key in dict.fromkeys([*found, *asked]):
        there, here = found.get(key), asked.get(key)
        if isinstance(there, dict) and isinstance(here, dict):
            told += differences(there, here, f"{prefix}{key}.")
        elif there != here:
            told.append(f"{prefix}{key}: {there} there, {here} here")
    return told


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Moments and step counts by ``position.key``."""
    state: dict[int, dict[str, Tensor]] = optimiser.state_dict()["state"]
    return {f"{index}.{key}": torch.as_tensor(value) for index, entry in state.items() for key, value in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what ``optimiser_tensors`` gave; rates stay as they are set."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it.

    Example:
        >>> part({"a.x": torch.zeros(1), "b.x": torch.zeros(1)}, "a.").keys()
        dict_keys(['x'])
    """
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
