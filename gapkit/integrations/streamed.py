"""Central sums of batches as one vector each, float64, that any number of processes can merge in any order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from gapkit.arrays import Floats
from gapkit.reuse.crossed import total_variance

EXACT = torch.float64


@dataclass(frozen=True, kw_only=True)
class PairSums:
    """Sums over n samples of z = (x, y) less their mean, up to the fourth order that debiased linear CKA reads.

    With u and v the parts of z that belong to x and y: n, the mean, the scatter ``sum z z'``, the cubes ``sum |u|^2 z``
    and ``sum |v|^2 z``, and the fourths ``sum |u|^4``, ``sum |u|^2 |v|^2``, ``sum |v|^4``. As one vector of
    ``1 + D + D^2 + 2 D + 3`` numbers, D = d + d'. Merged by Chan, Golub and LeVeque's update (1979), carried on to the
    fourth order, so that a mean far from 0 costs no digits.

    Attributes:
        first: d, features of x.
        second: d', features of y.
    """

    first: int
    second: int

    @property
    def width(self) -> int:
        """D."""
        return self.first + self.second

    @property
    def size(self) -> int:
        """Numbers in a vector."""
        return 1 + self.width + self.width**2 + 2 * self.width + 3

    def measure(self, x: Tensor, y: Tensor) -> Tensor:
        """The vector of one batch, (B, d) and (B, d')."""
        both = torch.cat([x, y], dim=1).to(EXACT)
        mean = both.mean(dim=0)
        z = both - mean
        squares = torch.stack([part.square().sum(dim=1) for part in z.split([self.first, self.second], dim=1)])
        products = squares @ squares.T
        fourths = torch.stack([products[0, 0], products[0, 1], products[1, 1]])
        return torch.cat([mean.new_tensor([len(z)]), mean, (z.T @ z).ravel(), (squares @ z).ravel(), fourths])

    def parts(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """N (), mean (D,), scatter (D, D), cubes (2, D) and fourths (3,)."""
        wide = self.width
        n, mean, scatter, cubes, fourths = vector.split([1, wide, wide**2, 2 * wide, 3])
        return n[0], mean, scatter.reshape(wide, wide), cubes.reshape(2, wide), fourths

    def merge(self, vectors: Tensor) -> Tensor:
        """The vector of all samples together, of vectors (k, size)."""
        return reduce(self._merge_two, vectors)

    def _merge_two(self, a: Tensor, b: Tensor) -> Tensor:
        """Both sets about their common mean."""
        n_a, n_b = a[0], b[0]
        apart = self.parts(b)[1] - self.parts(a)[1]
        n = (n_a + n_b).clamp(min=1)
        left, right = self._moved(a, apart * (n_b / n)), self._moved(b, -apart * (n_a / n))
        merged = left + right
        merged[1 : 1 + self.width] = left[1 : 1 + self.width]
        return merged

    def _moved(self, vector: Tensor, shift: Tensor) -> Tensor:
        """Sums about the mean to sums about the mean plus a shift."""
        n, mean, scatter, cubes, fourths = self.parts(vector)
        parts = slice(0, self.first), slice(self.first, self.width)
        trace = [scatter.diagonal()[part].sum() for part in parts]
        length = [shift[part] @ shift[part] for part in parts]
        turned = torch.stack([scatter[:, part] @ shift[part] for part in parts])
        along = [[cubes[i, part] @ shift[part] for part in parts] for i in range(2)]
        moved = torch.stack([cubes[i] - (trace[i] + n * length[i]) * shift - 2 * turned[i] for i in range(2)])
        fourth = [
            fourths[i + j]
            - 2 * (along[i][j] + along[j][i])
            + length[i] * trace[j]
            + length[j] * trace[i]
            + 4 * (turned[j][parts[i]] @ shift[parts[i]])
            + n * length[i] * length[j]
            for i, j in ((0, 0), (0, 1), (1, 1))
        ]
        scatter = scatter + n * torch.outer(shift, shift)
        return torch.cat([n[None], mean + shift, scatter.ravel(), moved.ravel(), torch.stack(fourth)])


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """Counts and means of classes, and what is within them: the scatter, or squared distances from the means.

    As one vector: counts (C,), means (C, d), then the within-class scatter (d, d) or, ``scattered`` being False, the
    sums of squared distances of each class (C,). Merged class by class by Chan's update.

    Attributes:
        classes: C.
        features: d.
        scattered: which of the two is kept.
    """

    classes: int
    features: int
    scattered: bool

    @property
    def within(self) -> int:
        """Numbers of what is within classes."""
        return self.features**2 if self.scattered else self.classes

    @property
    def size(self) -> int:
        """Numbers in a vector."""
        return self.classes * (1 + self.features) + self.within

    def measure(self, features: Tensor, labels: Tensor) -> Tensor:
        """The vector of one batch, (B, d) and class codes (B,)."""
        rows = features.to(EXACT)
        own = torch.nn.functional.one_hot(labels, self.classes).to(EXACT)
        counts = own.sum(dim=0)
        # About the mean of the batch, which has the digits that classes far from 0 would lose.
        centre = rows.mean(dim=0)
        means = centre + own.T @ (rows - centre) / counts.clamp(min=1)[:, None]
        apart = rows - means[labels]
        within = (apart.T @ apart).ravel() if self.scattered else own.T @ apart.square().sum(dim=1)
        return torch.cat([counts, torch.where(counts[:, None] > 0, means, 0.0).ravel(), within])

    def parts(self, vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Counts (C,), means (C, d) and what is within, (d, d) or (C,)."""
        counts, means, within = vector.split([self.classes, self.classes * self.features, self.within])
        shape = (self.features, self.features) if self.scattered else (self.classes,)
        return counts, means.reshape(self.classes, self.features), within.reshape(shape)

    def merge(self, vectors: Tensor) -> Tensor:
        """The vector of all samples together, of vectors (k, size)."""
        return reduce(self._merge_two, vectors)

    def _merge_two(self, a: Tensor, b: Tensor) -> Tensor:
        """Both sets, class by class; a class that one of them lacks is the other's."""
        (n_a, m_a, w_a), (n_b, m_b, w_b) = self.parts(a), self.parts(b)
        counts = n_a + n_b
        share = (n_b / counts.clamp(min=1))[:, None]
        apart = m_b - m_a
        weighted = apart * (share * n_a[:, None]).sqrt()
        between = weighted.T @ weighted if self.scattered else weighted.square().sum(dim=1)
        return torch.cat([counts, (m_a + apart * share).ravel(), (w_a + w_b + between).ravel()])


def beyond_error(means: Floats, products: Floats, n: float) -> float:
    """Standard error of ``a_before - a_rand``, for new samples and new copies: as ``crossed.variance_parts`` has it.

    Args:
        means: (2 + s,) of the hits before, after, and of s random-weight copies.
        products: (2 + s, 2 + s) sums of products of these hits.
        n: samples, at least 2.
    """
    s = len(means) - 2
    scatter = products - n * np.outer(means, means)
    units, random = np.concatenate([[1.0, 0.0], np.full(s, -1 / s)]), scatter[2:, 2:]
    parts = [
        units @ scatter @ units / (n * (n - 1)),
        np.square(means[2:] - means[2:].mean()).sum() / (s * (s - 1)),
        (np.trace(random) - random.sum() / s) / (n * s * (n - 1) * (s - 1)),
    ]
    return float(np.sqrt(max(0.0, float(total_variance(np.array(parts))))))
