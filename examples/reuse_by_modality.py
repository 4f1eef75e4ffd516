"""Does a distant modality destroy more of the source? The bundled source tuned on four targets, three times each.

    python examples/reuse_by_modality.py DATA OUT [--steps 150 --rate 0.0005]

DATA holds tab_optdigits.npz (images of digits), fsdd.npz (spoken digits), uci_har.npz (inertial sensors) and
emg_gestures.npz (muscle signals), each with x, y and split; OUT takes checkpoints, results and reuse_by_modality.svg.
What is there already is not computed again. About half an hour on two cores.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from finetune_source import Recipe, tune, write
from matplotlib.figure import Figure

import gapkit as gk

TARGETS = {
    "tab_optdigits": "digits",
    "fsdd": "spoken digits",
    "uci_har": "inertial sensors",
    "emg_gestures": "muscle signals",
}
SEEDS = (0, 1, 2)
MARKERS = ("o", "s", "^", "D")
STYLES = ("-", "--", "-.", ":")


def result(source: gk.Source, data: Path, out: Path, name: str, recipe: Recipe) -> gk.ReuseResult:
    """One run: tuned and probed, or read."""
    stem = f"{name}-{recipe.steps}-{recipe.rate:g}-{recipe.seed}"
    path, weights = out / f"{stem}.json", out / f"{stem}.safetensors"
    if path.is_file():
        return gk.ReuseResult.from_json(path.read_text(encoding="utf-8"))
    target = gk.load_target(data / f"{name}.npz")
    tuned, _, accuracy = tune(source, target, recipe)
    write(tuned, target, weights)
    print(f"{name}, seed {recipe.seed}: accuracy {accuracy:.3f} on held-out training samples", file=sys.stderr)
    options = gk.ProbeOptions(max_samples=300, most_classes=15, projection=False, seed=recipe.seed)
    found = gk.probe(source, str(weights), target=target, options=options)
    path.write_text(found.to_json(), encoding="utf-8")
    return found


def mean(results: list[gk.ReuseResult], layer: str, measure: str) -> tuple[float, float, float]:
    """Mean, least and largest over the seeds that have the measure; NaN where none has."""
    known = [one.curve(measure)[layer].value for one in results if layer in one.curve(measure)]
    values = [value for value in known if value is not None]
    return (float(np.mean(values)), min(values), max(values)) if values else (float("nan"),) * 3


def cell(results: list[gk.ReuseResult], layer: str, measure: str) -> str:
    """A mean with its range over the seeds."""
    middle, low, high = mean(results, layer, measure)
    return "-" if np.isnan(middle) else f"{middle:.2f} ({low:.2f} - {high:.2f})"


def table(found: dict[str, list[gk.ReuseResult]], measure: str) -> str:
    """Layers by targets."""
    layers = next(iter(found.values()))[0].names
    lines = [f"{measure.replace('_', ' '):<18}" + "".join(f"{TARGETS[name]:<22}" for name in found)]
    for layer in layers:
        lines.append(f"{layer:<18}" + "".join(f"{cell(runs, layer, measure):<22}" for runs in found.values()))
    return "\n".join(line.rstrip() for line in lines)


def draw(found: dict[str, list[gk.ReuseResult]]) -> Figure:
    """Retention, knowledge reuse and causal reuse by layer; lines are means over seeds, bars their range."""
    layers = next(iter(found.values()))[0].names
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 3), ("retention", "knowledge_reuse", "reuse"), strict=True):
        for k, (name, runs) in enumerate(found.items()):
            rows = np.array([mean(runs, layer, measure) for layer in layers])
            places = np.arange(len(layers)) + (k - 1.5) * 0.12
            axes.vlines(places, rows[:, 1], rows[:, 2], color="#4f5b6b", linewidth=1)
            fill = "#1b2a41" if k % 2 == 0 else "white"
            style = {"marker": MARKERS[k], "markerfacecolor": fill, "linestyle": STYLES[k], "markersize": 5}
            axes.plot(places, rows[:, 0], color="#1b2a41", linewidth=1.2, label=TARGETS[name], **style)
        axes.set_title("causal reuse" if measure == "reuse" else measure.replace("_", " "), loc="left", fontsize=11)
        axes.set_xticks(range(len(layers)), layers, rotation=55, ha="right", rotation_mode="anchor", fontsize=9)
        axes.grid(axis="y", color="#dfe3e8")
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return figure


def main() -> None:
    """Tune, probe, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--rate", type=float, default=Recipe.rate)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    source, recipe = gk.load_source("vit", device="cpu"), Recipe(steps=given.steps, rate=given.rate)
    found = {
        name: [result(source, given.data, given.out, name, replace(recipe, seed=seed)) for seed in SEEDS]
        for name in TARGETS
    }
    print("\n\n".join(table(found, measure) for measure in ("retention", "knowledge_reuse", "reuse")))
    draw(found).savefig(given.out / "reuse_by_modality.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
