"""How much memory a run has needed at most."""

from __future__ import annotations

import sys

import torch

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None


def peak_bytes(device: torch.device) -> int:
    """On CUDA what torch has held there, else the resident memory of the process: the largest so far; 0 if unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
