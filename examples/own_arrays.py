"""The misalignment of arrays: log-probabilities and features of any model, from any framework.

    python examples/own_arrays.py

The world is made here, and its gap is known: half of the source's classes are the target's under other names, with a
tenth of the labels wrong.
"""

from __future__ import annotations

from gapkit.data.worlds import WorldOptions, make_world
from gapkit.gap import ConditionalInputs, GapOptions, measure_misalignment


def main() -> None:
    """Measure and compare with the truth."""
    world = make_world(WorldOptions(relation="injection", n_source=8, n_target=4, label_noise=0.1, seed=0))
    draw = world.draw(2000, seed=1)
    inputs = ConditionalInputs(
        log_probabilities=draw.log_probabilities,  # (n, K_s)
        features=draw.features,  # (n, d)
        labels=draw.labels,  # (n,)
        n_classes=4,
    )
    result = measure_misalignment(inputs, GapOptions(discrepancies=("kl",)))
    for row in result.rows:
        low, high = row.value_interval
        bounds = "" if row.bounds is None else f"   D between {row.bounds[0]:.3f} and {row.bounds[1]:.3f}"
        print(f"{row.label_map:<10} {row.value:.3f} nats ({low:.3f} - {high:.3f}){bounds}")
    truth = world.truth("kl")
    print(f"the true D is {truth.value:.3f} nats ({truth.normalised:.2f} of the label entropy)")
    found = [entry.source for entry in result.label_maps["injection"].entries]
    print("read as", found, "and truly", world.label_map.argmax(axis=0).tolist())


if __name__ == "__main__":
    main()
