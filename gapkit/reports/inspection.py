"""What ``gapkit inspect --out`` writes: a picture of the first samples, then ``inspection.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gapkit.arrays import Array
from gapkit.files import write_atomically
from gapkit.reports.folder import make_folder


def write_inspection(content: Mapping[str, Any], pictures: Mapping[str, Sequence[Array]], folder: Path) -> Path:
    """Write ``figures/samples.png`` where there are pictures (class -> uint8), then ``inspection.json``.

    Raises:
        StorageError: the folder cannot be written.
    """
    from gapkit.reports.plots import figure_bytes, picture_grid

    make_folder(folder / "figures")
    figure = picture_grid(pictures, str(content["name"]))
    if figure is not None:
        write_atomically(folder / "figures" / "samples.png", figure_bytes(figure, "png"))
    write_atomically(folder / "inspection.json", (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    return folder
