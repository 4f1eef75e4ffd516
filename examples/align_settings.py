"""What does MoNA's alignment hang on? One setting at a time is changed, and validation samples say what it gives.

    python examples/align_settings.py DATA OUT [--targets fsdd,uci_har] [--seeds 3] [--workers 2] [--table]

DATA holds NAME.npz files with x, y and split. The settings are lambda, alpha, the loss on the surrogate, the lengths of
warm-up and alignment, the learning rates, and other methods beside them; but for ``finetune+`` all have the same steps
of fine-tuning.
Training samples are few, as a source should help most there: half of 600, and the others choose and judge. A setting
on a target is a ``.json`` file in OUT, one number for each seed: what is there is not computed again, and the table is
made from these files alone. No test sample's value is kept or looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from align_study import finish

import gapkit as gk
from gapkit.files import write_atomically
from gapkit.mona.lesson import Lesson
from gapkit.mona.options import HypergradientOptions
from gapkit.mona.training_options import INNER_RATE, AlignmentOptions, Steps

STEPS = Steps(warm=15, align=30, tune=105)
DEFAULT = "mona"


def settings() -> dict[str, Lesson]:
    """Name -> lesson."""
    training = gk.TrainingOptions(steps=STEPS, validation=0.5, evaluate_every=15)
    mona, rates = Lesson(training=training), training.rates.of_width(128)

    def aligned(*, alpha: float = INNER_RATE, weight: float = 1.0, loss: str = "contrastive") -> Lesson:
        hypergradient = HypergradientOptions(alpha=alpha, weight=weight)
        return replace(mona, alignment=AlignmentOptions(hypergradient=hypergradient, loss=loss))

    def trained(**more: object) -> Lesson:
        return replace(mona, training=replace(training, **more))

    return {
        DEFAULT: mona,
        "lambda 0": aligned(weight=0.0),
        "lambda 10": aligned(weight=10.0),
        "alpha 0.3": aligned(alpha=0.3),
        "alpha 30": aligned(alpha=30.0),
        "cross entropy": aligned(loss="cross_entropy"),
        "no warm-up": trained(steps=replace(STEPS, warm=0)),
        "warm-up x 4": trained(steps=replace(STEPS, warm=60)),
        "alignment x 4": trained(steps=replace(STEPS, align=120)),
        "embedder x 1/3": trained(rates=replace(rates, embedder=rates.embedder / 3)),
        "encoder x 1/3": trained(rates=replace(rates, encoder=rates.encoder / 3)),
        **{method: replace(mona, method=method) for method in ("warmup", "orca", "finetune", "finetune+")},
    }


@dataclass(frozen=True)
class Comparison:
    """What is compared.

    Attributes:
        data: folder of the targets.
        out: folder of the metrics.
        samples: for training and validation together.
        seeds: how many.
    """

    data: Path
    out: Path
    samples: int
    seeds: int

    def file(self, target: str, name: str) -> Path:
        """Where a setting's metrics are; other samples and seeds have other files."""
        stem = name.replace(" ", "_").replace("/", "-")
        return self.out / f"{target}-{self.samples}-{self.seeds}" / f"{stem}.json"

    def train(self, target: str, name: str) -> None:
        """Train one setting, and write its validation metrics."""
        options = gk.AlignOptions(
            lesson=settings()[name],
            seeds=tuple(range(self.seeds)),
            max_samples=self.samples,
            max_test=20,
            measure=False,
            probe=False,
        )
        with tempfile.TemporaryDirectory() as folder:
            source = gk.load_source("vit", device="cpu")
            found = gk.align(source, gk.load_target(self.data / f"{target}.npz"), options=options, folder=Path(folder))
        path = self.file(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps([run.validation for run in found.runs]).encode())
        print(f"{target} {name}", file=sys.stderr, flush=True)

    def train_missing(self, targets: tuple[str, ...], names: tuple[str, ...], workers: int) -> None:
        """What has no file, several at a time; the first failure stops what has not begun."""
        missing = [(target, name) for name, target in product(names, targets) if not self.file(target, name).is_file()]
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # of processes that start anew
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            finish(pool, [partial(self.train, target, name) for target, name in missing])

    def read(self, target: str, name: str) -> np.ndarray:
        """Validation metric of each seed."""
        return np.array(json.loads(self.file(target, name).read_text("utf-8")))

    def table(self, targets: tuple[str, ...], names: tuple[str, ...]) -> str:
        """A line for each setting: the metric on each target, and how far the defaults are ahead, seed by seed."""
        names = tuple(name for name in names if all(self.file(target, name).is_file() for target in targets))
        head = f"{'setting':<16}" + "".join(f"{target:<16}" for target in targets)
        lines = [head + f"{DEFAULT} less it (standard error)"]
        for name in names:
            found = [self.read(target, name) for target in targets]
            line = f"{name:<16}" + "".join(f"{values.mean():<16.3f}" for values in found)
            if name != DEFAULT and DEFAULT in names:
                apart = np.concatenate([self.read(target, DEFAULT) for target in targets]) - np.concatenate(found)
                line += f"{apart.mean():+.3f}"
                line += f" ({apart.std(ddof=1) / np.sqrt(len(apart)):.3f})" if len(apart) > 1 else ""
            lines.append(line.rstrip())
        return "\n".join(lines) if names else ""


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--targets", default="fsdd,uci_har")
    parser.add_argument("--samples", type=int, default=600, help="for training and validation, half each")
    parser.add_argument("--settings", default=",".join(settings()))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print what is there, and compute nothing")
    given = parser.parse_args()
    targets, names = tuple(given.targets.split(",")), tuple(given.settings.split(","))
    comparison = Comparison(given.data, given.out, given.samples, given.seeds)
    if not given.table:
        comparison.train_missing(targets, names, given.workers)
    print(comparison.table(targets, names))


if __name__ == "__main__":
    main()
