"""Does the alignment help? All methods of ``gapkit align`` on targets of several modalities, five seeds each.

    python examples/align_study.py DATA OUT [--budget 300steps] [--workers 2] [--targets fsdd,uci_har] [--table]

DATA holds NAME.npz files with x, y and split. Every method gets the same trials on every target: one training for each
of three rates, of which the best on validation samples is trained again with all seeds. Each training is a run folder
in OUT; what is there is not computed again, so that a repeated command goes on where it was. The table is made from the
run folders alone, also before all are there (--table computes nothing). The test values in trials' folders are not
looked at. ``result.json`` is all that is read of a run: those of the runs in the README are in ``align_study_runs``,
and a copy of that folder is an OUT to go on from.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

import gapkit as gk
from gapkit.results.comparison import PairedTest

TARGETS = ("fsdd", "uci_har", "emg_gestures", "ecg5000_train", "dna_splice", "tab_satimage")
METHODS = ("mona", "orca", "mmd", "warmup", "finetune", "finetune+", "frozen", "scratch")
SCALES = (0.3, 1.0, 3.0)
"""Of the default learning rates: the trials."""
BUNDLED_WIDTH = 128
REFERENCE = "mona"


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is compared.

    Attributes:
        data: folder of the targets.
        out: folder of the run folders.
        budget: of a training, as ``gapkit align`` takes it.
        seeds: of the chosen trial; a trial has the first.
        scales: of the default learning rates, one for each trial.
    """

    data: Path
    out: Path
    budget: str
    seeds: tuple[int, ...]
    scales: tuple[float, ...] = SCALES

    def trial(self, target: str, method: str, scale: float) -> Path:
        """The run folder of a trial."""
        return self.out / target / method / f"trial-{scale:g}"

    def chosen(self, target: str, method: str) -> Path:
        """The run folder of the chosen trial with all seeds."""
        return self.out / target / method / "chosen"

    def run(self, workers: int, targets: tuple[str, ...], methods: tuple[str, ...]) -> None:
        """Train what is missing, ``workers`` at a time: of a target all trials, then the chosen ones."""
        for target in targets:
            trials = [
                Training(self, target, method, scale, self.seeds[:1], self.trial(target, method, scale))
                for method, scale in product(methods, self.scales)
            ]
            each(workers, trials)
            chosen = [
                Training(self, target, method, self.best(target, method), self.seeds, self.chosen(target, method))
                for method in methods
            ]
            each(workers, chosen)

    def best(self, target: str, method: str) -> float:
        """The scale with the best validation metric; among equals the one nearest to 1."""

        def order(scale: float) -> tuple[float, float]:
            return -(read(self.trial(target, method, scale)).validation.value or 0.0), abs(np.log(scale))

        return min(self.scales, key=order)


@dataclass(frozen=True)
class Training:
    """One run folder."""

    study: Study
    target: str
    method: str
    scale: float
    seeds: tuple[int, ...]
    folder: Path

    def __call__(self) -> None:
        """``gapkit align`` as a process of its own."""
        rates = asdict(gk.TrainingOptions().rates.of_width(BUNDLED_WIDTH))
        options = {
            "--source": "vit",
            "--target": str(self.study.data / f"{self.target}.npz"),
            "--method": self.method,
            "--budget": self.study.budget,
            "--seeds": ",".join(map(str, self.seeds)),
            "--trials": str(len(self.study.scales)),
            "--out": str(self.folder),
            "--embedder-rate": f"{self.scale * rates['embedder']:g}",
            "--encoder-rate": f"{self.scale * rates['encoder']:g}",
            "--head-rate": f"{self.scale * rates['head']:g}",
        }
        words = [word for pair in options.items() for word in pair]
        command = [sys.executable, "-m", "gapkit", "align", *words, "--no-measure", "--no-probe", "--quiet"]
        subprocess.run(command, check=True, env={"OMP_NUM_THREADS": "1"} | os.environ)  # noqa: S603
        print(f"{self.target} {self.method}: {self.folder.name}", file=sys.stderr, flush=True)


def each(workers: int, trainings: list[Training]) -> None:
    """Those without a finished run folder, several at a time; the first failure stops what has not begun."""
    missing = [one for one in trainings if not (one.folder / "result.json").is_file()]
    with ThreadPoolExecutor(workers) as pool:
        finish(pool, missing)


def finish(pool: Executor, calls: Sequence[Callable[[], None]]) -> None:
    """Wait for all calls; the first failure stops what has not begun."""
    done = [pool.submit(one) for one in calls]
    try:
        for one in done:
            one.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def read(folder: Path) -> gk.AlignmentResult:
    """The result in a run folder."""
    return gk.AlignmentResult.from_json((folder / "result.json").read_text(encoding="utf-8"))


def whole(study: Study, targets: tuple[str, ...], methods: tuple[str, ...]) -> dict[str, dict[str, gk.AlignmentResult]]:
    """Target -> method -> result, of targets that every method has finished on."""
    folders = {target: {method: study.chosen(target, method) for method in methods} for target in targets}
    return {
        target: {method: read(folder) for method, folder in own.items()}
        for target, own in folders.items()
        if all((folder / "result.json").is_file() for folder in own.values())
    }


def table(study: Study, found: dict[str, dict[str, gk.AlignmentResult]]) -> str:
    """A block for each target, and the mean difference over targets."""
    tests = {target: paired(results) for target, results in found.items()}
    blocks = [block(study, target, results, tests[target]) for target, results in found.items()]
    differences: dict[str, list[Any]] = {}
    for method, test in (item for own in tests.values() for item in own.items()):
        differences.setdefault(method, []).append(test.difference)
    return "\n\n".join(text for text in (*blocks, over_targets(differences)) if text)


def paired(results: dict[str, gk.AlignmentResult]) -> dict[str, PairedTest]:
    """The reference against each other method, by the method; tests that are undefined are left out."""
    others = [result for method, result in results.items() if method != REFERENCE]
    tests = gk.compare(results[REFERENCE], *others).paired
    return {test.b: test for test in tests if test.a == REFERENCE and test.status == "ok"}


def block(study: Study, target: str, results: dict[str, gk.AlignmentResult], tests: dict[str, PairedTest]) -> str:
    """A title and a line for each method."""
    first = next(iter(results.values()))
    n, seeds, trials = first.target.n, len(first.seeds), first.budget["trials"]
    lines = [
        f"{target}: {n} test samples, {first.budget['asked']}, {seeds} seeds, {trials} validation trials each",
        f"{'method':<11}{first.metric.name + ' (95 %)':<26}{'validation':<12}{'scale':<7}"
        f"{REFERENCE + ' less it (95 %)':<30}{'p':<9}{'seconds':<9}passes",
    ]
    for method, result in results.items():
        test, estimate = tests.get(method), result.metric.estimate
        said = "" if test is None else with_interval(test.difference, test.interval, "+.3f")
        p = "" if test is None else f"{test.p:.3f}"
        lines.append(
            f"{method:<11}{with_interval(estimate.value, estimate.interval, '.3f'):<26}{result.validation.value:<12.3f}"
            f"{study.best(target, method):<7g}{said:<30}{p:<9}{result.cost.seconds:<9.0f}{result.cost.passes:.0f}"
        )
    return "\n".join(lines)


def with_interval(value: float | None, interval: tuple[float, float] | None, form: str) -> str:
    """A number with its interval."""
    low, high = interval or (float("nan"), float("nan"))
    return f"{value:{form}} ({low:{form}} to {high:{form}})"


def over_targets(differences: dict[str, list[float]]) -> str:
    """Mean difference over targets with Student's interval, where there are at least two targets."""
    lines: list[str] = []
    for method, values in differences.items():
        if len(values) < 2:
            continue
        half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
        mean = float(np.mean(values))
        lines.append(f"{method:<11}{with_interval(mean, (mean - half, mean + half), '+.3f')}, {len(values)} targets")
    return "\n".join([f"{REFERENCE} less the method, mean over targets (95 %, Student)", *lines]) if lines else ""


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--budget", default="300steps")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--table", action="store_true", help="print what is there, and compute nothing")
    given = parser.parse_args()
    targets, methods = tuple(given.targets.split(",")), tuple(given.methods.split(","))
    study = Study(data=given.data, out=given.out, budget=given.budget, seeds=tuple(range(given.seeds)))
    if not given.table:
        study.run(given.workers, targets, methods)
    print(table(study, whole(study, targets, methods)))


if __name__ == "__main__":
    main()
