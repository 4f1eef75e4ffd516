"""Which samples a model classifies right, with one layer tuned, rewound or reset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gapkit.arrays import Array, Floats, Labels, PerSample
from gapkit.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerHits:
    """Which samples of the target are classified right, with all of the model but one layer tuned.

    Any array-likes of booleans or numbers in [0, 1]; afterwards float64.

    Attributes:
        tuned: (n,) the layer tuned as well.
        rewound: (n,) the layer put back to its pretrained weights.
        reset: (s, n) the layer reset, one row for each seed.
        majority: (n,) by the largest class, see ``majority_hits``.
        groups: (n,) codes of samples that belong together.
    """

    tuned: Array
    rewound: Array
    reset: Array
    majority: Array
    groups: Array | None = None

    def __post_init__(self) -> None:
        """Check shapes and values.

        Raises:
            DataError: arrays that do not belong together, or are no hits.
        """
        n = np.shape(self.tuned)
        if len(n) != 1 or n[0] == 0:
            raise DataError(f"tuned has shape {n}", expected="one hit for each sample", remedy="pass (n,)")
        for name in ("tuned", "rewound", "majority", "reset"):
            object.__setattr__(self, name, _hits(getattr(self, name), name, n, rows=name == "reset"))
        if self.groups is None:
            return
        if np.shape(self.groups) != n:
            raise DataError(
                f"groups has shape {np.shape(self.groups)}", expected=f"shape {n}", remedy="give one for each sample"
            )
        object.__setattr__(self, "groups", np.unique(self.groups, return_inverse=True)[1].reshape(-1))

    @property
    def tables(self) -> tuple[Floats, Floats]:
        """What does not depend on seeds, (n, 3): tuned, rewound, majority; and what does, (n, 1, s)."""
        return np.stack([self.tuned, self.rewound, self.majority], axis=1), self.reset.T[:, None, :]


def majority_hits(labels: Labels) -> PerSample:
    """What always saying the largest class gets right, (n,) of 0 and 1; the first of several largest ones.

    Example:
        >>> majority_hits(np.array([2, 0, 2])).tolist()
        [1.0, 0.0, 1.0]
    """
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if not len(classes):
        raise DataError("no labels", expected="one for each sample", remedy="pass (n,)")
    return (codes.reshape(-1) == counts.argmax()).astype(np.float64)


def check_same(hits: LayerHits, control: LayerHits) -> None:
    """Refuse a control of other samples, groups or numbers of resets.

    Raises:
        DataError: they cannot be paired.
    """
    same = hits.reset.shape == control.reset.shape and np.array_equal(hits.majority, control.majority)
    grouped = (hits.groups is None) == (control.groups is None)
    if same and grouped and (hits.groups is None or np.array_equal(hits.groups, np.asarray(control.groups))):
        return
    raise DataError(
        f"the control has resets of shape {control.reset.shape}, the model {hits.reset.shape}, or samples differ",
        expected="the same samples, groups and number of resets",
        remedy="run both on the same samples with the same seeds",
    )


def _hits(given: object, name: str, n: tuple[int, ...], *, rows: bool) -> Floats:
    """Hits as float64, of shape (n,), or (s, n) for resets."""
    found = np.asarray(given)
    if found.ndim != 1 + rows or found.shape[-1:] != n or found.dtype.kind not in "biuf" or found.size == 0:
        raise DataError(
            f"{name} has shape {found.shape} and dtype {found.dtype}",
            expected=f"hits of shape {('s', *n) if rows else n}",
            remedy="pass predictions == labels",
        )
    values = found.astype(np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError(f"{name} has values outside of [0, 1]", expected="hits", remedy="pass predictions == labels")
    return values
