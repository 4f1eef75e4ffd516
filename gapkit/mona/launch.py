"""What the environment says of the processes of one run, before torch is there."""

from __future__ import annotations

import os


def several_processes() -> bool:
    """Whether this process was started together with others (``torchrun``)."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def first_process() -> bool:
    """Whether it is the one that speaks; a process alone is."""
    return os.environ.get("RANK", "0") == "0"
