"""How much of the leading principal subspace of a layer is left in another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from gapkit.arrays import Array, Features, Floats
from gapkit.errors import OptionError, UndefinedError
from gapkit.reuse.paired import check_paired
from gapkit.reuse.principal import check_gap, find_principal
from gapkit.types import Traits

RANK = 10
Space = Literal["features", "samples"]


def subspace_overlap(x: Array, y: Array, *, rank: int = RANK, space: Space = "features") -> float:
    """Mean squared cosine of the principal angles between leading principal subspaces: ``|V_x' V_y|_F^2 / rank``.

    V are the first ``rank`` right singular vectors of centred features (Bjorck and Golub, Mathematics of Computation
    1973; as a similarity of layers, Gur-Ari et al., arXiv 2018). In [0, 1], without unit, higher for layers that are
    more alike: 1 where both vary most in the same directions, whatever the order and size of their variances.

    In the space of *features*, the default, it compares one layer before and after tuning: does it still write into the
    same directions? That is what a later layer reads. It needs equal widths, is changed by an orthogonal map
    of one side (not by the same of both) and does not need the samples to be paired. Of independent subspaces it is
    ``rank / d`` on average. In the space of *samples*, V are left singular vectors: do the leading directions tell the
    same samples apart? Any widths; an orthogonal map of either side changes nothing; ``rank / (n - 1)`` on average.

    Args:
        x: (n, d), n >= 2.
        y: (n, d') of the same samples; d' = d in the space of features.
        rank: of the subspaces, at least 1.
        space: "features" or "samples".

    Raises:
        DataError: arrays that cannot be used.
        OptionError: another space, or a rank below 1.
        UndefinedError: different widths in the space of features; a side has fewer directions than ``rank``, or equal
            variances there, so that its subspace is one of many.

    Example:
        >>> x = np.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
        >>> x = np.vstack([x, -x])
        >>> round(subspace_overlap(x, x[:, ::-1], rank=2), 9), round(subspace_overlap(x, x[:, [1, 0, 2]], rank=2), 9)
        (0.5, 1.0)
    """
    if rank < 1 or space not in ("features", "samples"):
        raise OptionError(
            f"rank is {rank} and space is {space!r}",
            expected="a rank of at least 1, and 'features' or 'samples'",
            remedy="leave them out for rank 10 in the space of features",
        )
    first, second = check_paired(x, y, least=2, measure="principal subspaces")
    if space == "features" and first.shape[1] != second.shape[1]:
        raise UndefinedError(
            f"x has {first.shape[1]} features and y has {second.shape[1]}",
            expected="the same features, as one layer has before and after tuning",
            remedy="compare different layers with space='samples'",
        )
    bases = [_leading(rows, name, rank, space) for rows, name in ((first, "x"), (second, "y"))]
    return float(np.minimum(np.square(bases[0] @ bases[1].T).sum() / rank, 1.0))


@dataclass(frozen=True, kw_only=True)
class SubspaceOverlap:
    """``subspace_overlap`` with its traits, which are those in the space of features.

    Attributes:
        rank: of the subspaces.
        space: "features" or "samples".
    """

    rank: int = RANK
    space: Space = "features"

    traits: ClassVar[Traits] = Traits(
        name="subspace_overlap",
        title="subspace overlap",
        formula="|V_x' V_y|_F^2 / rank, V the leading right singular vectors of centred features",
        paper="Bjorck and Golub, Mathematics of Computation 1973",
        needs=("paired_features",),
        lowest=0.0,
        highest=1.0,
        better="higher",
        conditional=False,
        invariant=("sample_order", "shift", "scale"),
        symmetric=True,
        tasks=("classification", "regression", "multilabel"),
        cost="O(n d min(n, d))",
        avoids="a subspace that is one of many, among directions of equal variance",
    )

    def between(self, x: Array, y: Array) -> float:
        """The overlap of x (n, d) and y (n, d).

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        return subspace_overlap(x, y, rank=self.rank, space=self.space)


def _leading(rows: Features, name: str, rank: int, space: Space) -> Floats:
    """The leading singular vectors (rank, d) or (rank, n)."""
    directions = find_principal(rows, name)
    check_gap(directions, rank, name)
    kept = directions.leading(rank)
    return kept.left.T if space == "samples" else kept.right
