"""Times the bare forward pass and the capture of all blocks in turns and prints the ratios of the pairs as JSON.

Run by ``test_capture.py`` as a process of its own: ``python cost_worker.py PAIRS``.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Array, generator, seeded_torch
from gapkit.sources.capture import CaptureOptions, extract
from gapkit.sources.source import Source
from gapkit.types import InputSpec, Target

BATCH, N, SIDE = 64, 1920, 64
"""Samples for some seconds: what a capture does once, such as a pass over two samples, is 1 % of 640."""


class AsTensor:
    """An embedder that hands the samples on."""

    name, description = "as-tensor", "as they are"
    space: Literal["input", "tokens"] = "input"

    def __call__(self, x: Array) -> Tensor:
        return torch.from_numpy(x)


def seconds(work: Callable[[], object]) -> float:
    """Processor time, which other processes change least."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main(pairs: int) -> list[float]:
    """Ratios of capture to bare forward pass, over the same samples in the same batches."""
    import timm

    with seeded_torch(0):
        module = timm.create_model("vit_tiny_patch16_224", img_size=SIDE)
    source = Source.from_module(module, input=InputSpec(kind="image", shape=(3, SIDE, SIDE)), device="cpu")
    target = Target(generator(0).normal(size=(N, 3, SIDE, SIDE)).astype(np.float32), np.arange(N) % 2)
    options = CaptureOptions(layers=("blocks.*",), batch_size=BATCH)

    def bare() -> None:
        with torch.inference_mode():
            for start in range(0, N, BATCH):
                module(torch.from_numpy(target.x[start : start + BATCH]))

    def capture() -> None:
        if len(extract(source, target, AsTensor(), options).features) != 13:
            raise RuntimeError("not every block was captured")

    ratios: list[float] = []
    for pair in range(pairs + 2):
        both = [bare, capture] if pair % 2 else [capture, bare]
        spent = {work: seconds(work) for work in both}
        ratios.append(spent[capture] / spent[bare])
    return ratios[2:]  # the first two warm up


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps({"ratios": main(int(sys.argv[1]))}))
