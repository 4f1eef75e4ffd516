"""Times the bare forward loop and a whole ``measure`` in turns and prints the core-seconds of both as JSON.

Run by ``test_measure.py`` as a process of its own: ``python measure_worker.py MODEL SIDE SAMPLES PAIRS MINUTES``. Pairs
end early where the minutes are over; at least one is timed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import gapkit as gk
from gapkit.arrays import generator, seeded_torch
from gapkit.embedders import choose, fit

BATCH, CLASSES = 64, 10


def core_seconds(work: Callable[[], object]) -> float:
    """Processor time, which other processes change least."""
    start = time.process_time()
    work()
    return time.process_time() - start


def make_target(side: int, n: int) -> gk.Target:
    """Images whose brightness tells the ten classes, so that there is something to fit."""
    rng = generator(0)
    labels = np.arange(n) % CLASSES
    images = rng.integers(0, 200, (n, side, side, 3)) + 5 * labels[:, None, None, None]
    return gk.Target(images.astype(np.uint8), labels, name="images")


def main(model: str, side: int, n: int, pairs: int, minutes: float) -> list[tuple[float, float]]:
    """Core-seconds of the bare loop over the embedded images and of the measurement, pair by pair."""
    import timm

    with seeded_torch(0):
        module = timm.create_model(model, img_size=side)
    source = gk.Source.from_module(
        module, input=gk.InputSpec(kind="image", shape=(3, side, side)), head="head", device="cpu"
    )
    target = make_target(side, n)
    embedder = fit(choose(target, source.input, source.token), target, source.input, source.token)
    options = gk.MeasureOptions(max_samples=None, batch_size=BATCH, keep_features=False)

    def bare() -> None:
        with torch.inference_mode():
            for start in range(0, n, BATCH):
                module(embedder(target.x[start : start + BATCH]))

    def whole() -> None:
        gk.measure(source, target, options=options)

    gk.measure(source, target.take(np.arange(200)), options=options)  # imports and warming up
    spent: list[tuple[float, float]] = []
    started = time.monotonic()
    while len(spent) < pairs and (not spent or time.monotonic() - started < 60 * minutes):
        both = [bare, whole] if len(spent) % 2 else [whole, bare]
        took = {work: core_seconds(work) for work in both}
        spent.append((took[bare], took[whole]))
    return spent


if __name__ == "__main__":
    torch.set_num_threads(1)
    name, *numbers = sys.argv[1:]
    side, n, pairs, minutes = (int(number) for number in numbers)
    sys.stdout.write(json.dumps({"core_seconds": main(name, side, n, pairs, minutes)}))
