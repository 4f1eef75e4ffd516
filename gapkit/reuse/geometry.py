"""Measures of a single layer, with their traits; the functions are those of ``gapkit.statistics``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from gapkit.arrays import Array
from gapkit.statistics.effective_rank import RankKind, effective_rank
from gapkit.statistics.geometry import alignment, davies_bouldin, nc1, uniformity
from gapkit.types import Traits


class Geometry(Protocol):
    """A measure of one layer, as the catalogue holds it."""

    traits: ClassVar[Traits]

    def of(self, features: Array, labels: Array) -> float:
        """Its value for features (n, d) and labels (n,), which those that need none leave unread.

        Raises:
            DataError: arrays that cannot be used.
            UndefinedError: data that do not allow it.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """``alignment`` with its traits."""

    traits: ClassVar[Traits] = Traits(
        name="alignment",
        title="alignment",
        formula="mean |u_i - u_j|^2 over pairs of the same class, u = x / |x|",
        paper="Wang and Isola, ICML 2020",
        needs=("features", "labels"),
        lowest=0.0,
        highest=4.0,
        better="lower",
        conditional=True,
        invariant=("sample_order", "class_names", "orthogonal", "scale"),
        cost="O(n d)",
        avoids="the sum over n^2 pairs",
    )

    def of(self, features: Array, labels: Array) -> float:
        """The mean squared distance inside classes."""
        return alignment(features, labels)


@dataclass(frozen=True, kw_only=True)
class Uniformity:
    """``uniformity`` with its traits.

    Attributes:
        t: how fast a pair ceases to count with its distance.
    """

    t: float = 2.0

    traits: ClassVar[Traits] = Traits(
        name="uniformity",
        title="uniformity",
        formula="log mean_{i != j} exp(-2 |u_i - u_j|^2), u = x / |x|",
        paper="Wang and Isola, ICML 2020",
        needs=("features",),
        lowest=-8.0,
        highest=0.0,
        better="lower",
        conditional=False,
        invariant=("sample_order", "class_names", "orthogonal", "scale"),
        tasks=("classification", "regression", "multilabel"),
        cost="O(n^2 d)",
        avoids="samples paired with themselves; features that are not normalised",
    )

    def of(self, features: Array, labels: Array) -> float:
        """The log mean of the pairs' potential."""
        return uniformity(features, t=self.t)


@dataclass(frozen=True, kw_only=True)
class DaviesBouldin:
    """``davies_bouldin`` with its traits."""

    traits: ClassVar[Traits] = Traits(
        name="davies_bouldin",
        title="Davies-Bouldin",
        formula="mean_c max_{c'} (s_c + s_c') / |m_c - m_c'|",
        paper="Davies and Bouldin, IEEE Transactions on Pattern Analysis and Machine Intelligence 1979",
        needs=("features", "labels"),
        lowest=0.0,
        highest=None,
        better="lower",
        conditional=True,
        invariant=("sample_order", "class_names", "shift", "orthogonal", "scale"),
        cost="O(n d + C^2 d)",
        avoids="distances below 1e-8 taken for 0; classes with the same mean left out",
    )

    def of(self, features: Array, labels: Array) -> float:
        """The mean over classes of the worst ratio."""
        return davies_bouldin(features, labels)


@dataclass(frozen=True, kw_only=True)
class NC1:
    """``nc1`` with its traits."""

    traits: ClassVar[Traits] = Traits(
        name="nc1",
        title="NC1",
        formula="tr(S_W pinv(S_B)) / C",
        paper="Papyan, Han and Donoho, PNAS 2020",
        needs=("features", "labels"),
        lowest=0.0,
        highest=None,
        better="lower",
        conditional=True,
        invariant=("sample_order", "class_names", "shift", "orthogonal", "scale"),
        cost="O(n d C + C^2 d)",
        avoids="a pseudo-inverse that keeps the direction of rounding of C means in C - 1 dimensions",
    )

    def of(self, features: Array, labels: Array) -> float:
        """Variance inside classes over that between them."""
        return nc1(features, labels)


@dataclass(frozen=True, kw_only=True)
class EffectiveRank:
    """``effective_rank`` with its traits, which are those of centred features.

    Attributes:
        kind: "entropy" or "participation".
        centred: False is RankMe's way.
    """

    kind: RankKind = "entropy"
    centred: bool = True

    traits: ClassVar[Traits] = Traits(
        name="effective_rank",
        title="effective rank",
        formula="exp(H(s / sum s)), s singular values of centred features",
        paper="Roy and Vetterli, EUSIPCO 2007",
        needs=("features",),
        lowest=1.0,
        highest=None,
        better="higher",
        conditional=False,
        invariant=("sample_order", "class_names", "shift", "orthogonal", "scale"),
        tasks=("classification", "regression", "multilabel"),
        cost="O(n d min(n, d))",
        avoids="a number that does not say whether s or s^2 is meant, or whether features are centred",
    )

    def of(self, features: Array, labels: Array) -> float:
        """The number of directions."""
        return effective_rank(features, kind=self.kind, centred=self.centred)
