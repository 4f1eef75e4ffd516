"""What other methods align by: distances between embedded target and embedded surrogate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gapkit.mona.model import TargetModel
from gapkit.mona.problem import pieces
from gapkit.mona.samples import Batch
from gapkit.mona.stages import Objective, average_gradients
from gapkit.mona.surrogates import SurrogateTokens, token_means
from gapkit.mona.team import Team
from gapkit.mona.transport import SourceStatistics, otdd_loss, source_statistics
from gapkit.scores.otdd_options import OTDDOptions

ALIGNED_AT_ONCE = 256
"""Target samples of one step: a distance between distributions needs many, and the encoder is not run."""
KERNEL_FACTORS = (0.5, 0.7071, 1.0, 1.4142, 2.0)
"""Of the median distance: the bandwidths whose kernels the mean is taken of."""
LARGEST_SURROGATE = 1000


class TransportObjective(Objective):
    """ORCA's: the optimal transport dataset distance between embedded target and embedded surrogate.

    Shen et al., *Cross-Modal Fine-Tuning: Align then Refine*, ICML 2023. Features are means over tokens, as there; the
    surrogate's statistics are computed once, and the gradient flows through the distances between classes too, which
    in the original code it does not.
    """

    def __init__(
        self, surrogate: SurrogateTokens, team: Team, *, seed: int, double: bool = False, microbatches: int = 1
    ) -> None:
        """Take the surrogate's statistics.

        Args:
            surrogate: at most 1000 of its samples are used.
            team: averages gradients.
            seed: of the subsample.
            double: whether batches are in float64.
            microbatches: pieces in which a batch goes through the embedder.
        """
        features = surrogate.means(np.arange(len(surrogate.labels)))
        features = features.double() if double else features.float()
        options = OTDDOptions(limit=LARGEST_SURROGATE, seed=seed)
        self.statistics: SourceStatistics = source_statistics(
            features, surrogate.labels, options=options, dtype=features.dtype, device=features.device
        )
        self.team, self.microbatches = team, microbatches

    def __call__(self, model: TargetModel, batch: Batch, step: int) -> dict[str, float]:
        """Distance and gradient of one batch."""
        features = self.team.gather(embedded_means(model, batch.inputs, self.microbatches))
        found = otdd_loss(features, all_labels(batch.classes, self.team), self.statistics)
        found.value.backward()
        average_gradients(model, self.team)
        parts = {"feature_part": float(found.feature_part.detach()), "label_part": float(found.label_part.detach())}
        return {"loss": float(found.value.detach()), **parts}


@dataclass(kw_only=True)
class DiscrepancyObjective(Objective):
    """Squared maximum mean discrepancy between embedded target and embedded surrogate, unbiased, without labels.

    ``mean_{i != i'} k + mean_{j != j'} k - 2 mean_{i, j} k``, the mean over Gaussian kernels whose bandwidths are
    factors of the median distance of each pair of batches (Gretton et al., JMLR 2012; Long et al., ICML 2015).

    Attributes:
        surrogate: means over tokens (m, dim).
        team: averages gradients.
        microbatches: pieces in which a batch goes through the embedder.
    """

    surrogate: Tensor
    team: Team
    microbatches: int = 1

    def __call__(self, model: TargetModel, batch: Batch, step: int) -> dict[str, float]:
        """Discrepancy and gradient of one batch."""
        features = self.team.gather(embedded_means(model, batch.inputs, self.microbatches))
        loss = squared_discrepancy(features, self.surrogate.to(features))
        loss.backward()
        average_gradients(model, self.team)
        return {"loss": float(loss.detach())}


def embedded_means(model: TargetModel, inputs: Tensor, microbatches: int) -> Tensor:
    """Means over the embedder's tokens (B, dim), with gradient.

    A distance between distributions is no mean over samples. In pieces each is embedded once more when the gradient of
    the whole distance comes back to it: the same gradient by the chain rule, with the activations of one at a time.
    """

    def means(piece: Tensor) -> Tensor:
        return token_means(model.embedder(piece))

    rows = pieces(len(inputs), microbatches)
    if len(rows) == 1:
        return means(inputs)
    found: list[Tensor] = [checkpoint(means, inputs[piece], use_reentrant=False) for piece in rows]
    return torch.cat(found)


def squared_discrepancy(x: Tensor, y: Tensor, factors: tuple[float, ...] = KERNEL_FACTORS) -> Tensor:
    """Unbiased MMD^2 of (n, d) and (m, d) with Gaussian kernels about the median distance, which is held constant.

    Example:
        >>> x = torch.tensor([[0.0], [1.0]])
        >>> round(float(squared_discrepancy(x, x + 5, (1.0,))), 3)
        0.862
    """
    n, pooled = len(x), torch.cat([x, y])
    # Exact differences: the quadratic form would leave noise on the diagonal that the root turns into NaN gradients.
    squares = torch.cdist(pooled, pooled, compute_mode="donot_use_mm_for_euclid_dist").square()
    apart = squares.detach()[squares.detach() > 0]
    median = apart.quantile(0.5) if len(apart) else squares.new_ones(())
    kernel = torch.stack([torch.exp(-squares / (2 * factor**2 * median)) for factor in factors]).mean(0)
    within_x, within_y, between = kernel[:n, :n], kernel[n:, n:], kernel[:n, n:]
    return _off_diagonal(within_x) + _off_diagonal(within_y) - 2 * between.mean()


def _off_diagonal(kernel: Tensor) -> Tensor:
    """Mean of a square matrix without its diagonal."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))


def all_labels(labels: Tensor, team: Team) -> Tensor:
    """Labels of all processes, in the order of ``Team.gather``."""
    return team.gather(labels.double().unsqueeze(1)).squeeze(1).long()
