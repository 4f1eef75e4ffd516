"""What a target looks like: everything that ``gapkit inspect`` says about it but the embedder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from gapkit.arrays import Array
from gapkit.labels import NUMBERS
from gapkit.types import TEST, TRAIN, Target

Modality = Literal["text", "sequence of codes", "audio series", "series", "image", "field", "vectors"]
AUDIO_RATE = 1000.0  # Hz; slower series hold no sound
LONG_ENOUGH, SMOOTH = 32, 0.7  # columns and lag-1 autocorrelation from which on vectors look like a series
SMALLEST_SIDE = 8  # pixels
CHANNELS = (1, 3, 4)
LOOKED_AT = 256  # samples


@dataclass(frozen=True, kw_only=True)
class Description:
    """A target in numbers and words.

    Attributes:
        name: of the target.
        n: number of samples.
        shape: of x, first axis the samples.
        dtype: of x.
        modality: a guess from shape, dtype, sample rate and alphabet.
        task: "classification", "regression", "multilabel" or "dense".
        class_counts: samples for each class name, zeros for classes without one; empty for numbers.
        label_range: smallest and largest y of a regression or dense target.
        value_range: smallest and largest x; shortest and longest string.
        groups: number of groups; None where there are none.
        group_key: what the groups came from.
        split_counts: samples for "train" and "test"; empty where there is no split.
        sample_rate: in Hz.
        alphabet: symbols of integer codes.
        notes: what the reader did, and what stands out in the labels.
    """

    name: str
    n: int
    shape: tuple[int, ...]
    dtype: str
    modality: Modality
    task: str
    class_counts: dict[str, int]
    label_range: tuple[float, float] | None
    value_range: tuple[float, float]
    groups: int | None
    group_key: str | None
    split_counts: dict[str, int]
    sample_rate: float | None
    alphabet: tuple[str, ...] | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, ready for JSON."""
        return asdict(self)


def describe(target: Target) -> Description:
    """Describe a target: shape, modality guess, classes, groups, splits, ranges and notes.

    Example:
        >>> found = describe(Target(np.array([[0, 1], [1, 0], [1, 1]]), ["a", "b", "a"]))
        >>> found.modality, found.class_counts
        ('vectors', {'a': 2, 'b': 1})
    """
    x, split = target.x, target.split
    counts = class_counts(target)
    quantity = target.task in NUMBERS
    measured = np.char.str_len(x) if x.dtype.kind == "U" else x
    return Description(
        name=target.name,
        n=len(target),
        shape=x.shape,
        dtype="string" if x.dtype.kind == "U" else str(x.dtype),
        modality=guess_modality(target),
        task=str(target.task),
        class_counts=counts,
        label_range=(float(target.y.min()), float(target.y.max())) if quantity else None,
        value_range=(float(measured.min()), float(measured.max())),
        groups=None if target.groups is None else len(np.unique(target.groups)),
        group_key=target.group_key,
        split_counts={}
        if split is None
        else {"train": int((split == TRAIN).sum()), "test": int((split == TEST).sum())},
        sample_rate=target.sample_rate,
        alphabet=target.alphabet,
        notes=(*target.notes, *_label_notes(target, counts)),
    )


def class_counts(target: Target) -> dict[str, int]:
    """Samples for each class name, in the order of the codes; for several labels, samples that have each."""
    names = target.class_names or ()
    if target.task == "multilabel":
        return dict(zip(names, target.y.sum(axis=0).tolist(), strict=True))
    if target.task in NUMBERS:
        return {}
    return dict(zip(names, np.bincount(target.y, minlength=len(names)).tolist(), strict=True))


def _label_notes(target: Target, counts: dict[str, int]) -> tuple[str, ...]:
    """Classes without samples, and several labels that are really one."""
    notes = []
    empty = sum(count == 0 for count in counts.values())
    if empty:
        notes.append(f"{empty} of {len(counts)} classes have no sample")
    if target.task == "dense":
        notes.append(f"dense: each sample has a field of {'x'.join(map(str, target.y.shape[1:]))} values")
    if target.task == "multilabel" and (target.y.sum(axis=1) == 1).all():
        notes.append("every sample has exactly one label: save y.argmax(axis=1) to read them as classes")
    return tuple(notes)


def guess_modality(target: Target) -> Modality:
    """Guess what the samples are; x of rank 2 to 4, or strings.

    Text are strings; codes have an alphabet; audio is a series at 1000 Hz or more. (n, H, W) is an image where it is
    uint8 or square and at least 8 pixels wide; (n, C, L) otherwise a series. Rank 4 is an image where its values lie in
    [0, 255] and it has 1, 3 or 4 channels, else a field. Vectors are a series where neighbouring columns hang together.
    """
    x = target.x
    if x.dtype.kind == "U":
        return "text"
    if target.alphabet is not None:
        return "sequence of codes"
    if target.sample_rate is not None and x.ndim <= 3:
        return "audio series" if target.sample_rate >= AUDIO_RATE else "series"
    if x.ndim == 4:
        return "image" if _looks_like_image(x) else "field"
    if x.ndim == 3:
        return _rank_three(x)
    return "series" if x.shape[1] >= LONG_ENOUGH and smoothness(x) > SMOOTH else "vectors"


def _rank_three(x: Array) -> Modality:
    """(n, H, W) or (n, C, L)."""
    height, width = x.shape[1:]
    if min(height, width) < SMALLEST_SIDE:
        return "series"
    if x.dtype == np.uint8:
        return "image"
    if height != width:
        return "series"
    return "image" if _in_pixel_range(x) else "field"


def _looks_like_image(x: Array) -> bool:
    """(n, H, W, C) or (n, C, H, W) with the channels and values of images."""
    return (x.shape[1] in CHANNELS or x.shape[3] in CHANNELS) and (x.dtype == np.uint8 or _in_pixel_range(x))


def _in_pixel_range(x: Array) -> bool:
    """Whether values lie in [0, 255]."""
    return bool(x.min() >= 0 and x.max() <= 255)


def smoothness(x: Array) -> float:
    """Median over samples of the lag-1 autocorrelation along the columns of x (n, d), each sample centred.

    Returns:
        A number in [-1, 1]; near 1 where neighbouring columns hang together, near 0 where they do not.
    """
    rows = np.asarray(x[:LOOKED_AT], dtype=np.float64)
    rows = rows[np.ptp(rows, axis=1) > 0]
    if not len(rows):
        return 0.0
    rows = rows - rows.mean(axis=1, keepdims=True)
    return float(np.median((rows[:, :-1] * rows[:, 1:]).sum(axis=1) / (rows**2).sum(axis=1)))
