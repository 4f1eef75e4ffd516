"""The nouns that every part of gapkit shares, and the protocols that parts are replaced by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from gapkit.arrays import (
    Array,
    LogProbabilities,
    StoredFeatures,
    check_lengths,
    check_samples,
    digest,
    log_softmax,
)
from gapkit.coercion import as_array, check_present
from gapkit.errors import OptionError
from gapkit.labels import Task, encode_labels

if TYPE_CHECKING:
    from torch import Tensor, nn

InputKind = Literal["image", "audio", "text", "array"]
TRAIN, TEST = 0, 1


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What a source's own embedder takes, one sample.

    Attributes:
        kind: "image" (C, H, W), "audio" (samples,), "text" (tokens,), "array" (any shape).
        shape: shape of one sample, without the batch axis.
        mean: per channel, subtracted from images in [0, 1] (empty: nothing is).
        std: per channel, images are divided by it.
        sample_rate: of audio, in Hz.
        tokenizer: of text, strings to padded token ids (n, N) int64.
    """

    kind: InputKind
    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    sample_rate: float | None = None
    tokenizer: Callable[[Sequence[str]], Array] | None = None


@dataclass(frozen=True, kw_only=True)
class TokenSpec:
    """The token space between embedder e and encoder f.

    Attributes:
        dim: width of a token.
        layout: "sequence" (B, N, dim) or "grid" (B, H, W, dim).
        max_len: largest number of tokens, None where any number does.
        mean: of the entries of the source's own tokens (its word or patch embeddings).
        std: likewise; a fixed embedder into token space matches both.
    """

    dim: int
    layout: Literal["sequence", "grid"] = "sequence"
    max_len: int | None = None
    mean: float = 0.0
    std: float = 1.0


Needs = Literal["features", "paired_features", "probabilities", "labels", "surrogate", "surrogate_labels"]
Invariance = Literal["sample_order", "class_names", "shift", "orthogonal", "scale"]


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What is declared of a measure, and proved for every measure by one contract test.

    Attributes:
        name: in options, JSON and Python, such as "logme".
        title: in tables and figures, such as "LogME".
        formula: in plain text, on one line.
        paper: authors, venue and year.
        needs: what the measure reads.
        lowest: of its range, None where it has no lower end.
        highest: of its range, None where it has no upper end.
        better: which end means that the source suits the target better: "higher", or "lower" as distances do.
        unit: such as "nats"; empty where it has none.
        conditional: whether it tells about P(Y|X), which a marginal distance does not.
        invariant: to what it is invariant: "sample_order", "class_names" (renamed classes), "shift" (a constant added
            to all features), "orthogonal" (maps of the features), "scale" (one positive factor).
        symmetric: whether the two samples of a distance may change places.
        tasks: kinds of targets that it is defined for.
        cross_fitted: whether samples are scored by folds that have not seen them.
        cost: in n samples, d features, C target and S source classes.
        fast: whether it is cheap enough to be measured always.
        subsample: the largest number of samples that it reads; more are subsampled; None where it reads all.
        permutations: labellings that it is tested against, at most; fewer where each takes long.
        avoids: the defect of the original code that is not reproduced here.
    """

    name: str
    title: str
    formula: str
    paper: str
    needs: tuple[Needs, ...]
    lowest: float | None
    highest: float | None
    better: Literal["higher", "lower"]
    conditional: bool
    cost: str
    avoids: str
    unit: str = ""
    invariant: tuple[Invariance, ...] = ("sample_order",)
    symmetric: bool = False
    tasks: tuple[Task, ...] = ("classification",)
    cross_fitted: bool = False
    fast: bool = True
    subsample: int | None = None
    permutations: int = 99


@dataclass(frozen=True)
class Target:
    """A labelled dataset (x, y), checked and encoded.

    ``Target(x, y)`` takes any array-likes; afterwards ``y`` holds codes (see ``gapkit.labels``) and every array has
    n rows.

    Attributes:
        x: (n, ...) numbers, or (n,) strings.
        y: (n,) int64 codes, (n,) float64 for regression, (n, K) int64 for multilabel, (n, ...) float32 for dense.
        class_names: in the order of the codes; found from y where they are not given.
        task: "classification", "regression", "multilabel" or "dense" (a field for each sample); guessed where it is not
            given.
        name: how the target is called in messages and results.
        groups: (n,) int64 codes of samples that belong together and are never split across folds.
        group_key: where the groups came from, such as "subject".
        split: (n,) 0 train, 1 test; None where the data has no split.
        sample_rate: in Hz, of series along the last axis.
        alphabet: the symbols that integer codes in x stand for.
        values: (n,) the numbers that the classes of a binned regression target stand for.
        notes: what the reader understood and did, in words.
    """

    x: Array
    y: Array
    class_names: Sequence[str] | None = None
    task: Task | None = None
    name: str = field(default="target", kw_only=True)
    groups: Array | None = field(default=None, kw_only=True)
    group_key: str | None = field(default=None, kw_only=True)
    split: Array | None = field(default=None, kw_only=True)
    sample_rate: float | None = field(default=None, kw_only=True)
    alphabet: tuple[str, ...] | None = field(default=None, kw_only=True)
    values: Array | None = field(default=None, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    def __post_init__(self) -> None:
        """Check x, encode y and the groups.

        Raises:
            DataError: x or y cannot be used; the message says where and what to do.
        """
        x = as_array(self.x, f"{self.name}: x")
        check_samples(x, name=f"{self.name}: x")
        encoded = encode_labels(self.y, class_names=self.class_names, task=self.task, name=f"{self.name}: y")
        lengths = {"y": len(encoded.values)}
        groups = None if self.groups is None else self._group_codes(self.groups)
        if groups is not None:
            lengths[self.group_key or "groups"] = len(groups)
        lengths |= {key: len(given) for key in ("split", "values") if (given := getattr(self, key)) is not None}
        check_lengths(len(x), lengths, name=self.name)
        values = {
            "x": x,
            "y": encoded.values,
            "class_names": encoded.class_names,
            "task": encoded.task,
            "groups": groups,
            "split": None if self.split is None else np.asarray(self.split).astype(np.uint8),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def _group_codes(self, groups: Array) -> npt.NDArray[np.int64]:
        """Codes of groups that may have any names."""
        name = f"{self.name}: {self.group_key or 'groups'}"
        found = as_array(groups, name)
        check_present(found, name, what="group")
        return np.unique(found, return_inverse=True)[1].reshape(-1)

    def __len__(self) -> int:
        """Number of samples n."""
        return len(self.x)

    @property
    def n_classes(self) -> int:
        """K_t: names, whether or not a sample has them; 0 for regression and dense."""
        return len(self.class_names or ())

    def take(self, index: npt.NDArray[np.int64]) -> Target:
        """The samples at ``index``, in that order; class names stay as they are."""
        return replace(
            self,
            x=self.x[index],
            y=self.y[index],
            groups=None if self.groups is None else self.groups[index],
            split=None if self.split is None else self.split[index],
            values=None if self.values is None else self.values[index],
        )

    def part(self, split: str) -> Target:
        """The samples of one split; a target without a split has only "all", which "train" means too.

        Raises:
            OptionError: the target has no such samples.
        """
        if split == "all" or (self.split is None and split == "train"):
            return self
        wanted = TRAIN if split == "train" else TEST
        mask = np.zeros(len(self), bool) if self.split is None else self.split == wanted
        if not mask.any():
            raise OptionError(
                f"{self.name} has no {split} samples",
                expected="a split array with 0 (train) and 1 (test)",
                remedy="use --split all (split='all')",
            )
        return self.take(np.flatnonzero(mask))

    @property
    def hash(self) -> str:
        """SHA-256 over x and what x means: it names the data in the cache and in results."""
        return digest(self.x, str(self.sample_rate), "\n".join(self.alphabet or ()))


@dataclass(frozen=True, kw_only=True)
class Activations:
    """What one source gives for one target: features by layer, logits, and the labels that belong to them.

    Attributes:
        target: the samples, in the order of the rows below; labels and groups travel with the features.
        source: name of the source.
        embedder: what the embedder did, in words.
        features: layer name -> (n, d) float32, possibly a memory map; the last one, "features", is what the head sees.
        logits: (n, K_s) float32; K_s = 0 as long as a headless source has not been given a head.
        source_classes: names of the K_s source classes.
        head: where the head came from: "own", "probe on ..." or "k-means prototypes".
        notes: what the capture has to say: a halved batch size, features that could not be kept.
    """

    target: Target
    source: str
    embedder: str
    features: Mapping[str, StoredFeatures]
    logits: StoredFeatures
    source_classes: tuple[str, ...]
    head: str = "own"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that every array has one row per sample."""
        lengths = {f"features of {layer}": len(array) for layer, array in self.features.items()}
        check_lengths(len(self.target), lengths | {"logits": len(self.logits)}, name=self.source)

    @property
    def log_probabilities(self) -> LogProbabilities:
        """Log p (n, K_s), by a float64 log-softmax."""
        return log_softmax(self.logits)


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddingPart:
    """What a learned embedder has to know of a source; ``gapkit.sources.embedding_part`` finds it.

    Attributes:
        source: its name.
        weights_hash: of the source.
        input: what its own embedder takes.
        token: its token space; None for a source that cannot be aligned.
        embed: e in eval mode without gradients: inputs (B, ...) to tokens, float32 on the CPU.
        count: tokens that its own embedder gives for a sample; None where that depends on the sample.
        grid: rows and columns of these tokens, where they lie in a plane.
        exact: whether the encoder takes that many tokens and no other number.
        placed: whether the encoder tells positions apart by itself; else they are part of the tokens.
        layers: copy of its own embedder up to the norm, of plain torch layers; None where it is made of others.
        norm: copy of the layer norm of its tokens, if there is one.
        position: copy of the positions (1, N, dim) in its own tokens, if there are any.
        surrogate: labelled set of its own modality, if there is one.
    """

    source: str
    weights_hash: str
    input: InputSpec
    token: TokenSpec | None
    embed: Callable[[Tensor], Tensor]
    count: int | None = None
    grid: tuple[int, int] | None = None
    exact: bool = False
    placed: bool = True
    layers: nn.Sequential | None = None
    norm: nn.LayerNorm | None = None
    position: Tensor | None = None
    surrogate: Target | None = None


@runtime_checkable
class Progress(Protocol):
    """Told about long work: ``progress("features", done, total)``."""

    def __call__(self, task: str, done: int, total: int) -> None:
        """Called after every step of ``task``; ``done == total`` ends it."""
        ...


def no_progress(task: str, done: int, total: int) -> None:
    """The progress of those who do not watch."""


@runtime_checkable
class Adapter(Protocol):
    """A pretrained model cut into embedder e, encoder f, pooling and head h.

    ``head(pool(encode(embed(x))))`` equals the module's own forward pass exactly.
    """

    name: str
    module: nn.Module
    input: InputSpec
    class_names: tuple[str, ...] | None
    surrogate: Target | None
    token: TokenSpec | None

    def embed(self, x: Tensor) -> Tensor:
        """e: a batch of inputs to tokens (B, N, dim) or (B, H, W, dim)."""
        ...

    def encode(self, tokens: Tensor) -> Tensor:
        """f: tokens to hidden states."""
        ...

    def pool(self, hidden: Tensor) -> Tensor:
        """Hidden states to features (B, d), the head's input."""
        ...

    def head(self, features: Tensor) -> Tensor:
        """h: features (B, d) to logits (B, K_s); raises where ``class_names`` is None."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Maps target samples to what a source takes; a frozen value that was fitted on the train split."""

    @property
    def name(self) -> str:
        """Such as "resize"."""
        ...

    @property
    def description(self) -> str:
        """What it does to this target, in one line, with the normalisation."""
        ...

    @property
    def space(self) -> Literal["input", "tokens"]:
        """Whether batches go to ``embed`` ("input") or straight to ``encode`` ("tokens")."""
        ...

    @property
    def key(self) -> str:
        """Name and hash of every parameter and statistic: it names the embedder in the feature cache."""
        ...

    def __call__(self, x: Array) -> Tensor:
        """A batch of target samples (B, ...) to float32 (B, *input.shape), or tokens, or token ids int64 (B, N)."""
        ...
