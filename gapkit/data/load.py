"""The one entrance: a path or the name of a sample to a checked target."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from gapkit.data.options import DEFAULTS, ReadOptions
from gapkit.data.raw import Raw, finish
from gapkit.data.samples import PREFIX, SAMPLES, read_sample
from gapkit.errors import DataError, did_you_mean, nearest
from gapkit.types import Target

__all__ = ["SUFFIXES", "ReadOptions", "load_target"]

Reader = Callable[[Path, ReadOptions], Raw]
SUFFIXES = (".npz", ".npy", ".csv", ".tsv", ".parquet")
ALL_KINDS = ", ".join(SUFFIXES) + ", a folder of images or wav files per class, a Hugging Face data set, sample:digits"
NEIGHBOURS = 1000
NEAR = 0.75  # short words are alike by chance: .mat and .tsv share half of their letters


def load_target(path_or_name: str | Path, options: ReadOptions = DEFAULTS) -> Target:
    """Read a target; what kind of file it is, its suffix says.

    ``.npz`` (x and y, X and labels, or x_train, y_train, x_test, y_test), ``.npy`` with a file of labels, ``.csv``,
    ``.tsv``, ``.parquet``, a folder of images or wav files per class, a Hugging Face data set on disk, or
    ``sample:digits``. What was understood stands in ``notes`` of the target. Nothing is ever unpickled.

    Args:
        path_or_name: file, folder, or name of a sample.
        options: what the file does not say by itself.

    Raises:
        DataError: the file is missing, damaged, or holds no usable target.
        OptionError: a key or column that was asked for and is not there.

    Example:
        >>> target = load_target("sample:digits")
        >>> target.x.shape, target.n_classes
        ((1797, 8, 8), 10)
    """
    if str(path_or_name).startswith(PREFIX):
        return finish(read_sample(str(path_or_name)), name=str(path_or_name), options=options)
    path = Path(path_or_name).expanduser()
    name = path.name
    try:
        if not name:
            path, name = path.resolve(), path.resolve().name
        return finish(_choose(path)(path, options), name=name, options=options)
    except MemoryError as error:
        raise DataError(
            f"{name} does not fit into memory", expected="data that fits", remedy="save fewer samples"
        ) from error
    except OSError as error:
        raise DataError(
            f"{name} cannot be read ({error.strerror or error})",
            expected="a file or folder that you may read",
            remedy=f"check its permissions: ls -l {path}",
        ) from error


def _choose(path: Path) -> Reader:
    """The reader for a path; readers are imported when they are needed, as pandas and scipy take their time."""
    if path.is_dir():
        return _folder_reader(path)
    if not path.is_file():
        raise _missing(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from gapkit.data.npz import read_npz

        return read_npz
    if suffix == ".npy":
        from gapkit.data.npy import read_npy

        return read_npy
    if suffix in (".csv", ".tsv"):
        from gapkit.data.tables import read_csv

        return read_csv
    if suffix == ".parquet":
        return _read_parquet
    close = get_close_matches(suffix, SUFFIXES, n=1, cutoff=NEAR)
    raise DataError(
        f"{path.name} ends in {suffix!r}" if suffix else f"{path.name} has no suffix",
        expected=ALL_KINDS,
        remedy=f"did you mean {close[0]!r}?" if close else "save it as .npz: np.savez('data.npz', x=x, y=y)",
    )


def _folder_reader(path: Path) -> Reader:
    """A Hugging Face data set by its marker files, else class folders."""
    from gapkit.data.hub import is_hub_folder, read_hub

    if is_hub_folder(path):
        return read_hub
    from gapkit.data.folders import read_folder

    return read_folder


def _read_parquet(path: Path, options: ReadOptions) -> Raw:
    """A table of numbers and strings, or one with encoded images or arrays as Hugging Face data sets have them."""
    from gapkit.data.hub import is_hub_table, read_arrow
    from gapkit.data.tables import parquet_table, raw_from_frame

    table = parquet_table(path)
    if is_hub_table(table):
        return read_arrow({"": table}, options, where=path.name)
    return raw_from_frame(table.to_pandas(), options, where=path.name)


def _missing(path: Path) -> DataError:
    """The error for a path at which nothing stands, with what is called most like it."""
    expected = f"a file or folder that exists: {ALL_KINDS}"
    if path.exists():
        return DataError(f"{path} is neither a file nor a folder", expected=expected, remedy="name a regular file")
    if not path.parent.is_dir():
        return DataError(
            f"there is no folder {str(path.parent)!r}", expected=expected, remedy="check the path, and where you are"
        )
    neighbours = sorted(item.name for item in path.parent.iterdir())[:NEIGHBOURS]
    samples = [PREFIX + sample for sample in SAMPLES]
    close = nearest(path.name, [*neighbours, *samples])
    remedy = did_you_mean(path.name, [*neighbours, *samples]) if close else "check the path, and where you are"
    return DataError(f"there is no file {str(path)!r}", expected=expected, remedy=remedy)
