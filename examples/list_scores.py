"""Print every transferability score and distance as rows of a Markdown table: what it is, needs, costs and avoids.

    python examples/list_scores.py

The README shows what it prints.
"""

from __future__ import annotations

from gapkit.scores.catalogue import distances, scores
from gapkit.types import Traits

HEAD = ("measure", "formula", "paper", "range", "better", "needs", "conditional", "cost", "not reproduced")


def ends(traits: Traits) -> str:
    """The range; an open end where there is none."""
    low = "(-inf" if traits.lowest is None else f"[{traits.lowest:g}"
    high = "inf)" if traits.highest is None else f"{traits.highest:g}]"
    return f"{low}, {high}"


def cells(traits: Traits) -> tuple[str, ...]:
    """One row; a bar inside a cell would end it."""
    texts = (
        f"`{traits.name}` {traits.title}",
        traits.formula,
        traits.paper,
        ends(traits),
        traits.better,
        ", ".join(traits.needs).replace("_", " "),
        "yes" if traits.conditional else "marginal",
        traits.cost,
        traits.avoids,
    )
    return tuple(text.replace("|", "\\|") for text in texts)


def main() -> None:
    """Print the table."""
    print("| " + " | ".join(HEAD) + " |")
    print("|" + "---|" * len(HEAD))
    for measure in (*scores(), *distances()):
        print("| " + " | ".join(cells(measure.traits)) + " |")


if __name__ == "__main__":
    main()
