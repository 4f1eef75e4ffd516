"""The run folder: figures, report and ``result.json``, written so that nothing half-written is ever read."""

from __future__ import annotations

import os
from pathlib import Path

from gapkit.errors import StorageError
from gapkit.files import write_atomically
from gapkit.results import Result

RESULT = "result.json"
REPORT = "report.html"


def check_folder(folder: Path, *, overwrite: bool = False) -> Path:
    """Refuse a run folder that cannot be used, before anything is computed; nothing is created.

    Raises:
        StorageError: it holds another run or other files, is no folder, or cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        what = "holds another run" if (folder / RESULT).exists() else "is not empty"
        raise StorageError(
            f"{folder} {what}", expected="a new or empty folder", remedy="pass --overwrite, or another --out"
        )
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        what = "is not writable" if nearest.is_dir() else "is a file"
        raise StorageError(
            f"{folder} cannot be created ({nearest} {what})",
            expected="a folder that may be created and written",
            remedy="choose another --out",
        )
    return folder


def write_run(result: Result, folder: Path) -> Path:
    """Write the figures, the report, then ``result.json``: where that is, the run is whole.

    The same result gives the same bytes.
    """
    from gapkit.reports.html import draw_charts, page

    make_folder(folder / "figures")
    drawn = draw_charts(result)
    for name, content in drawn.items():
        write_atomically(folder / "figures" / f"{name}.svg", content)
    write_atomically(folder / REPORT, page(result, drawn).encode())
    write_atomically(folder / RESULT, result.to_json().encode())
    return folder


def make_folder(folder: Path) -> None:
    """Create the folder and its parents.

    Raises:
        StorageError: the operating system refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be created ({error.strerror})",
            expected="a folder that may be created and written",
            remedy="choose another --out",
        ) from error
