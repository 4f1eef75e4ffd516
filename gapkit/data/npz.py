"""Reader of .npz archives: which key is what, and the arrays behind the keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gapkit.arrays import Array
from gapkit.data.archive import Archive, open_archive
from gapkit.data.keys import choose_group, listing, require
from gapkit.data.memory import check_memory
from gapkit.data.options import ReadOptions
from gapkit.data.raw import Raw
from gapkit.errors import DataError

INPUT_KEYS = ("x", "X", "images")
LABEL_KEYS = ("y", "Y", "labels", "label", "targets", "target")
PARTS = ("train", "test", "val", "valid", "validation")

Parts = Mapping[str, str]
"""Which key holds which split: {"train": "x_train", "test": "x_test"}, or {"": "x"} where one key holds all."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which keys hold what; None where there is no such key.

    Attributes:
        x: inputs.
        y: labels.
        group: groups.
        group_key: what the groups are called.
        split: one value for each sample, beside inputs that stand under one key.
        names: class names.
        rate: sample rate.
        alphabet: symbols, or something else of that name.
    """

    x: Parts
    y: Parts
    group: Parts | None
    group_key: str | None
    split: str | None
    names: str | None
    rate: str | None
    alphabet: str | None

    def used(self) -> set[str]:
        """All keys that are read."""
        single = {key for key in (self.split, self.names, self.rate, self.alphabet) if key}
        return single.union(*(parts.values() for parts in (self.x, self.y, self.group or {})))


def read_npz(path: Path, options: ReadOptions) -> Raw:
    """Read x and y, or X and labels, or x_train, y_train, x_test and y_test, and what stands beside them.

    Beside them: ``split``, a group key, ``class_names``, ``sample_rate``, ``alphabet``; other keys are named in the
    notes.

    Raises:
        DataError: no such keys (the message names those there are), or an array that cannot be read.
        OptionError: a key that was asked for and is not there.
    """
    with open_archive(path) as archive:
        layout = find_layout(archive.keys, options, where=archive.name)
        raw = _read(archive, layout)
    ignored = [key for key in archive.keys if key not in layout.used()]
    joined = () if "" in layout.x else ("joined " + listing(layout.x.values()),)
    left = ("ignored: " + listing(ignored),) if ignored else ()
    return replace(raw, notes=(*joined, *raw.notes, *left))


def find_layout(keys: Iterable[str], options: ReadOptions, *, where: str) -> Layout:
    """Tell by the names of the keys what is what.

    Raises:
        DataError: no inputs, no labels, or not the same splits of both; the message names the keys there are.
        OptionError: a key that was asked for and is not there.
    """
    stems = _stems(keys)
    x = _choose(stems, options.column, INPUT_KEYS, what="x", where=where)
    y = _choose(stems, None if options.labels is None else str(options.labels), LABEL_KEYS, what="y", where=where)
    if set(stems[x]) != set(stems[y]):
        raise DataError(
            f"{where} has {listing(stems[x].values())} but {listing(stems[y].values())}",
            expected="labels for the same splits as inputs",
            remedy="save x and y, or x_train, y_train, x_test and y_test",
        )
    group = choose_group(tuple(stems), options.group, where=where, taken=(x, y))
    names = [f"{y}_names", f"{y.removeprefix('y_')}_names", *(["class_names"] if y in LABEL_KEYS else [])]
    whole = {stem for stem, parts in stems.items() if "" in parts} - {x, y, group}
    return Layout(
        x=stems[x],
        y=stems[y],
        group=stems[group] if group else None,
        group_key=group,
        split="split" if "split" in whole and "" in stems[x] else None,
        names=next((name for name in names if name in whole), None),
        rate="sample_rate" if "sample_rate" in whole else None,
        alphabet="alphabet" if "alphabet" in whole else None,
    )


def _stems(keys: Iterable[str]) -> dict[str, Parts]:
    """Keys by what they are called without the split: x_train and x_test are both x; a key x of its own wins."""
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        head, _, tail = key.rpartition("_")
        first, _, rest = key.partition("_")
        if head and tail in PARTS:
            found.setdefault(head, {})[tail] = key
        elif rest and first in PARTS:
            found.setdefault(rest, {})[first] = key
        else:
            found.setdefault(key, {})[""] = key
    return {stem: {"": parts[""]} if "" in parts else parts for stem, parts in found.items()}


def _choose(stems: Mapping[str, Parts], asked: str | None, usual: tuple[str, ...], *, what: str, where: str) -> str:
    """The stem of inputs or labels."""
    if asked is not None:
        require(asked, tuple(stems), what="key", where=where)
        return asked
    found = next((name for name in usual if name in stems), None)
    if found is None:
        keys = listing(key for parts in stems.values() for key in parts.values())
        raise DataError(
            f"{where} has no {what}: its keys are {keys}" if keys else f"{where} has no arrays",
            expected="x and y, or X and labels, or x_train, y_train, x_test and y_test",
            remedy="save it again with np.savez(file, x=..., y=...), or name the key of the labels with --labels KEY"
            if what == "y"
            else "save it again with np.savez(file, x=..., y=...), or name the key with column='KEY'",
        )
    return found


def _read(archive: Archive, layout: Layout) -> Raw:
    """Read the arrays of a layout."""
    inputs = _gather(archive, layout.x, layout.x)
    x = _joined(inputs, f"{archive.name}: x")
    parts = np.repeat(np.array(list(layout.x)), [len(piece) for piece in inputs]) if "" not in layout.x else None
    alphabet, notes = _alphabet(archive.read(layout.alphabet) if layout.alphabet else None, x)
    return Raw(
        x=x,
        y=_joined(_gather(archive, layout.y, layout.x), f"{archive.name}: y"),
        class_names=_names(archive.read(layout.names), archive.name) if layout.names else None,
        groups=_joined(_gather(archive, layout.group, layout.x), archive.name) if layout.group else None,
        group_key=layout.group_key,
        split=archive.read(layout.split) if layout.split else parts,
        sample_rate=_rate(archive.read(layout.rate), archive.name) if layout.rate else None,
        alphabet=alphabet,
        notes=notes,
    )


def _gather(archive: Archive, parts: Parts, order: Iterable[str]) -> list[Array]:
    """The arrays of one thing, split by split, or the only one."""
    if "" in parts:
        return [archive.read(parts[""])]
    missing = [part for part in order if part not in parts]
    if missing:
        raise DataError(
            f"{archive.name} has {listing(parts.values())} but nothing for {listing(missing)}",
            expected="one array for each split",
            remedy="save the others too, or pass --group none (group='none')",
        )
    return [archive.read(parts[part]) for part in order]


def _joined(pieces: list[Array], where: str) -> Array:
    """Splits one after another."""
    if len(pieces) == 1:
        return pieces[0]
    shapes = {piece.shape[1:] for piece in pieces}
    if min(piece.ndim for piece in pieces) == 0 or len(shapes) > 1 or len({p.dtype.kind == "U" for p in pieces}) > 1:
        raise DataError(
            f"{where} has the splits {listing(f'{piece.shape} {piece.dtype}' for piece in pieces)}",
            expected="splits that differ in the number of samples only",
            remedy="save them in one shape and dtype",
        )
    check_memory(sum(piece.nbytes for piece in pieces), where=f"{where}, joined,")
    return np.concatenate(pieces)


def _names(values: Array, where: str) -> tuple[str, ...]:
    """Class names from an array of them."""
    if values.ndim != 1:
        raise DataError(
            f"{where}: class_names has shape {values.shape}",
            expected="one name for each class, shape (K,)",
            remedy="correct class_names, or leave it out",
        )
    return tuple(str(value) for value in values.tolist())


def _rate(values: Array, where: str) -> float:
    """The sample rate from an array that holds one number, once or for each sample."""
    numbers = np.unique(values) if values.dtype.kind in "iuf" else np.empty(0)
    if len(numbers) == 1 and np.isfinite(numbers[0]) and numbers[0] > 0:
        return float(numbers[0])
    raise DataError(
        f"{where}: sample_rate holds {listing(values.reshape(-1).tolist(), limit=4) or 'nothing'}",
        expected="one positive number of Hz",
        remedy="resample the series to one rate, or leave sample_rate out and pass --sample-rate",
    )


def _alphabet(values: Array | None, x: Array) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """Symbols of integer codes, and a note: other arrays may be called alphabet too, such as the script of a letter."""
    if values is None:
        return None, ()
    symbols = values.ndim == 1 and values.dtype.kind == "U" and len(np.unique(values)) == len(values)
    if not (symbols and x.ndim == 2 and x.dtype.kind in "iu" and x.size):
        return None, ("ignored: alphabet, as it does not list the symbols of integer codes (n, length)",)
    low, high = int(x.min()), int(x.max())
    if low < 0 or high >= len(values):
        return None, (f"ignored: alphabet, as its {len(values)} symbols do not cover the codes {low} to {high}",)
    return tuple(str(value) for value in values.tolist()), ()
