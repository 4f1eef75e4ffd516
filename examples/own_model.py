"""A model of your own as the source: a small network that knows five digits, measured on the five others.

    python examples/own_model.py

What is printed is the misalignment, layer by layer too: what the network's labels and features say about digits that it
has never seen.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import gapkit as gk


def train(images: np.ndarray, labels: np.ndarray, *, epochs: int = 30, seed: int = 0) -> nn.Module:
    """A convolutional network for five classes."""
    torch.manual_seed(seed)
    stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    body = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    network = nn.Sequential(stem, body, nn.Linear(128, 5))
    x, y = torch.tensor(images[:, None] / 16.0, dtype=torch.float32), torch.tensor(labels)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimiser.step()
    return network.eval()


def main() -> None:
    """Train on the digits 0 to 4, measure on 5 to 9."""
    digits = load_digits()
    known = digits.target < 5
    network = train(digits.images[known], digits.target[known])
    source = gk.Source.from_module(
        network,
        input=gk.InputSpec(kind="image", shape=(1, 8, 8)),
        class_names=tuple("01234"),
    )
    target = gk.Target((digits.images[~known] / 16 * 255).astype(np.uint8), digits.target[~known], name="digits 5 to 9")
    gap = gk.measure(source, target, options=gk.MeasureOptions(layers=("0", "1")))
    print(gap.table())
    print("\nread as: " + ", ".join(f"{line['target']} as {line['source']}" for line in gap.label_maps["injection"]))
    for layer, rows in gap.layers.items():
        print(f"layer {layer}: a linear head is left with {rows[0].normalised:.2f} of the label entropy")


if __name__ == "__main__":
    main()
