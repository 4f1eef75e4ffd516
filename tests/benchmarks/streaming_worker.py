"""Streams 200 000 samples of 768 features and prints the peak memory before and after, in bytes, as JSON.

Run by ``test_capture.py`` as a process of its own, since the peak is that of a whole process:
``python streaming_worker.py SAMPLES`` or ``python streaming_worker.py SAMPLES CACHE``.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from gapkit.arrays import Array, seeded_torch
from gapkit.sources.cache import FeatureCache
from gapkit.sources.capture import CaptureOptions, extract
from gapkit.sources.source import Source
from gapkit.types import InputSpec, Target

WIDTH = 768


class AsTensor:
    """An embedder that hands the samples on."""

    name, description = "as-tensor", "as they are"
    space: Literal["input", "tokens"] = "input"

    def __call__(self, x: Array) -> Tensor:
        return torch.from_numpy(np.array(x, np.float32))


def peak() -> int:
    """Largest resident memory of this process so far, in bytes (Linux counts in KiB, macOS in bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main(n: int, cache: FeatureCache | None) -> dict[str, object]:
    """Capture one hidden layer, the features and the logits, all streamed."""
    with seeded_torch(0):
        module = nn.Sequential(nn.Linear(2, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 2))
    source = Source.from_module(module, input=InputSpec(kind="array", shape=(2,)), device="cpu")
    x = np.arange(2 * n, dtype=np.float32).reshape(n, 2) / n
    target = Target(x, np.arange(n) % 2)
    options = CaptureOptions(layers=("0",), cache=cache)
    extract(source, target.take(np.arange(1000)), AsTensor(), CaptureOptions(layers=("0",)))
    before = peak()
    found = extract(source, target, AsTensor(), options)
    after = peak()
    last = torch.tanh(module[0](torch.from_numpy(x[-1:]))).detach().numpy()
    right = bool(np.allclose(found.features["features"][-1:], last, atol=1e-6))
    return {"before": before, "after": after, "shapes": [a.shape for a in found.features.values()], "right": right}


if __name__ == "__main__":
    torch.set_num_threads(1)
    kept = FeatureCache(Path(sys.argv[2])) if len(sys.argv) > 2 else None
    sys.stdout.write(json.dumps(main(int(sys.argv[1]), kept)))
