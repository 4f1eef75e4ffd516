"""Times ``F.T @ F`` and seven scores of one labelling in turns and prints the ratios of the pairs as JSON.

Run by ``test_scores.py`` as a process of its own: ``python scores_worker.py time PAIRS`` prints seconds of processor
time, ``python scores_worker.py small`` those of one labelling of a small target, and ``python scores_worker.py memory``
the bytes by which the peak of the process grows.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from gapkit.arrays import Array, generator, log_softmax
from gapkit.scores.gbc import GBC
from gapkit.scores.h_score import HScore, ShrunkHScore
from gapkit.scores.inputs import Score, ScoreInputs
from gapkit.scores.leep import LEEP
from gapkit.scores.logme import LogME
from gapkit.scores.nce import NCE
from gapkit.scores.transrate import TransRate

N, D, N_TARGET, N_SOURCE, BLOCK = 10_000, 768, 100, 1000, 500
OF_FEATURES: tuple[Score, ...] = (LogME(), HScore(), ShrunkHScore(), TransRate(), GBC())
SCORES: tuple[Score, ...] = (LEEP(), NCE(), *OF_FEATURES)


def draw() -> tuple[Array, Array]:
    """Features of correlated columns with classes in them, and the labels; made block by block, for the peak's sake."""
    rng = generator(0)
    labels, means, shift = rng.integers(N_TARGET, size=N), 0.3 * rng.normal(size=(N_TARGET, D)), rng.normal(size=D)
    mixing = rng.normal(size=(D, D)) * np.geomspace(1, 1e-2, D) / np.sqrt(D)
    features = np.empty((N, D))
    for start in range(0, N, BLOCK):
        own = labels[start : start + BLOCK]
        features[start : start + BLOCK] = rng.normal(size=(len(own), D)) @ mixing + means[own] + shift
    return features, labels


def draw_probabilities(labels: Array) -> Array:
    """Log-probabilities of a source that knows something of the labels."""
    logits = generator(1).normal(size=(N, N_SOURCE)) + 3 * (np.arange(N_SOURCE) == 7 * labels[:, None])
    return log_softmax(logits)


def seconds(work: Callable[[], object]) -> float:
    """Processor time, which other processes change least."""
    start = time.process_time()
    work()
    return time.process_time() - start


def peak() -> int:
    """Largest resident set so far, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def together(pairs: int) -> dict[str, list[float]]:
    """Of every pair: seconds of ``F.T @ F``, of all scores together, and of each of them in their order."""
    features, labels = draw()
    log_p = draw_probabilities(labels)
    spent: dict[str, list[float]] = {}

    def note(name: str, taken: float) -> None:
        spent.setdefault(name, []).append(taken)

    def product() -> None:
        note("product", seconds(lambda: features.T @ features))

    def scores() -> None:
        inputs = ScoreInputs(features=features, labels=labels, log_probabilities=log_p)
        parts = {score.traits.name: seconds(lambda score=score: score.on(inputs)(labels)) for score in SCORES}
        for name, taken in parts.items():
            note(name, taken)
        note("together", sum(parts.values()))

    for pair in range(pairs + 1):
        for work in (product, scores) if pair % 2 else (scores, product):
            work()
    return {name: values[1:] for name, values in spent.items()}  # the first pair warms up


def small() -> dict[str, float]:
    """Mean seconds of one of 200 permutations, for every score: 1800 samples, 192 features, 10 target classes."""
    rng, n = generator(2), 1800
    labels = rng.integers(10, size=n)
    features = rng.normal(size=(n, 192)) + 0.3 * rng.normal(size=(10, 192))[labels]
    log_p = log_softmax(rng.normal(size=(n, 352)))
    inputs = ScoreInputs(features=features, labels=labels, log_probabilities=log_p)
    permuted = [rng.permutation(labels) for _ in range(200)]
    spent: dict[str, float] = {}
    for score in SCORES:
        function = score.on(inputs)
        spent[score.traits.name] = seconds(lambda function=function: [function(codes) for codes in permuted]) / 200
    return spent


def memory() -> int:
    """Growth of the peak, over the features, by the scores that read nothing else."""
    features, labels = draw()
    small = ScoreInputs(features=features[:900], labels=labels[:900])
    for score in OF_FEATURES:  # what is loaded once
        score.on(small)(small.labels)
    inputs, before = ScoreInputs(features=features, labels=labels), peak()
    for score in OF_FEATURES:
        score.on(inputs)(labels)
    return peak() - before


if __name__ == "__main__":
    worked = {"time": lambda: together(int(sys.argv[2])), "small": small, "memory": memory}[sys.argv[1]]()
    sys.stdout.write(json.dumps(worked))
