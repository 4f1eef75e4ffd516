"""How much memory a run has needed at most."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import torch


def peak_bytes(device: torch.device) -> int:
    """On CUDA what torch has held there, else the resident memory of the process: the largest so far; 0 if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if importlib.util.find_spec("resource") is None:  # Windows has no such module
        return 0
    resource = importlib.import_module("resource")
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit
