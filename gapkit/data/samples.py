"""Targets that need no file."""

from __future__ import annotations

import numpy as np

from gapkit.data.raw import Raw
from gapkit.errors import DataError, did_you_mean

PREFIX = "sample:"
SAMPLES = ("digits",)
GREY_LEVELS = 16


def read_sample(name: str) -> Raw:
    """The built-in target called ``name``, such as ``sample:digits``.

    Raises:
        DataError: there is no such sample.
    """
    if name.removeprefix(PREFIX) not in SAMPLES:
        known = [PREFIX + sample for sample in SAMPLES]
        raise DataError(f"{name!r} is no sample", expected=", ".join(known), remedy=did_you_mean(name, known))
    return _digits()


def _digits() -> Raw:
    """Handwritten digits of scikit-learn, 1797 images of 8 x 8; grey levels 0..16 become 0..255 as images have them."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = np.rint(np.asarray(images) * (255 / GREY_LEVELS)).astype(np.uint8).reshape(-1, 8, 8)
    return Raw(
        x=x,
        y=np.asarray(labels),
        class_names=tuple("0123456789"),
        notes=(f"grey levels 0 to {GREY_LEVELS} scaled to 0 to 255",),
    )
