"""Folders with one folder per class, of images or of wav files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gapkit.arrays import Array
from gapkit.data import images, waves
from gapkit.data.keys import listing
from gapkit.data.options import ReadOptions
from gapkit.data.raw import SPLIT_WORDS, Raw
from gapkit.errors import DataError, OptionError

EXPECTED = "a folder of images or of wav files for each class, possibly within train and test"


@dataclass(frozen=True, kw_only=True)
class ClassFiles:
    """The files of a folder of classes, in sorted order.

    Attributes:
        paths: files.
        labels: name of the class folder for each file.
        splits: name of the split folder for each file, None where there are no split folders.
        notes: what was left out.
    """

    paths: tuple[Path, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...] | None
    notes: tuple[str, ...]


def read_folder(path: Path, options: ReadOptions) -> Raw:
    """Read a folder of images per class or of wav files per class; ``train`` and ``test`` folders become the split.

    Raises:
        DataError: no class folders, images and wav files mixed, or a file that cannot be decoded.
        OptionError: labels, a column or groups were asked for.
    """
    _refuse_names(path, options)
    pictures, sounds = find_class_files(path, images.SUFFIXES), find_class_files(path, waves.SUFFIXES)
    if pictures.paths and sounds.paths:
        raise DataError(
            f"{path.name} has {len(pictures.paths)} images and {len(sounds.paths)} wav files",
            expected="one kind of file",
            remedy="move one kind to a folder of its own",
        )
    if pictures.paths:
        names = [file.relative_to(path).as_posix() for file in pictures.paths]
        opened = [images.Picture(name=name, content=file) for name, file in zip(names, pictures.paths, strict=True)]
        x, notes = images.stack_images(opened, where=path.name)
        return _raw(pictures, x, notes, rate=None)
    if sounds.paths:
        x, rate, notes = waves.stack_waves(sounds.paths, rate=options.sample_rate, where=path.name)
        return _raw(sounds, x, notes, rate=rate)
    raise _no_classes(path)


def _refuse_names(path: Path, options: ReadOptions) -> None:
    """A folder has neither columns nor groups."""
    group = None if options.group == "none" else options.group
    for what, value in (("labels", options.labels), ("column", options.column), ("group", group)):
        if value is not None:
            raise OptionError(
                f"{path.name} is a folder of classes and has no {what} {str(value)!r}",
                expected="labels from the names of the folders, and no groups",
                remedy=f"leave out {what}, or save the data as .npz",
            )


def find_class_files(path: Path, suffixes: Sequence[str]) -> ClassFiles:
    """All files with one of ``suffixes`` below the class folders of ``path``; hidden ones are left out."""
    folders = _visible_folders(path)
    has_splits = bool(folders) and all(folder.name.lower() in SPLIT_WORDS for folder in folders)
    found: list[tuple[Path, str, str]] = []
    empty: list[str] = []
    for split in folders if has_splits else [path]:
        for folder in _visible_folders(split):
            files = [file for file in sorted(folder.rglob("*")) if _wanted(file, folder, suffixes)]
            found.extend((file, folder.name, split.name) for file in files)
            if not files:
                empty.append(folder.relative_to(path).as_posix())
    paths, labels, splits = zip(*found, strict=True) if found else ((), (), ())
    return ClassFiles(
        paths=paths,
        labels=labels,
        splits=splits if has_splits else None,
        notes=(f"folders without samples left out: {listing(empty)}",) if empty else (),
    )


def _visible_folders(path: Path) -> list[Path]:
    """Folders in ``path`` in sorted order, hidden ones left out."""
    return sorted(item for item in path.iterdir() if item.is_dir() and not item.name.startswith("."))


def _wanted(file: Path, folder: Path, suffixes: Sequence[str]) -> bool:
    """Whether a file is of the kind and not hidden."""
    if file.suffix.lower() not in suffixes or any(part.startswith(".") for part in file.relative_to(folder).parts):
        return False
    return file.is_file()


def _raw(files: ClassFiles, x: Array, notes: tuple[str, ...], *, rate: float | None) -> Raw:
    """What was found in a folder."""
    return Raw(
        x=x,
        y=np.array(files.labels),
        split=None if files.splits is None else np.array(files.splits),
        sample_rate=rate,
        notes=("classes from folders", *notes, *files.notes),
    )


def _no_classes(path: Path) -> DataError:
    """The error for a folder that has no class folders with files."""
    files = [item for item in sorted(path.iterdir()) if item.is_file() and not item.name.startswith(".")]
    folders = _visible_folders(path)
    media = [item for item in files if item.suffix.lower() in images.SUFFIXES + waves.SUFFIXES]
    got = f"{path.name} is a folder without classes: " + (
        f"{len(folders)} folders without images or wav files" if folders else f"{len(files)} files and no folders"
    )
    remedy = "put the files of each class into a folder of its own"
    if files and not media:
        remedy = f"name a file in it, such as {files[0].name}, or " + remedy
    return DataError(got, expected=EXPECTED, remedy=remedy)
