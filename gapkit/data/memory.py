"""Whether an array fits into memory, asked before memory is taken for it."""

from __future__ import annotations

import os
from pathlib import Path

from gapkit.errors import DataError

GIB = 2**30


def available_memory() -> int | None:
    """Bytes that can be had without swapping, within the limit of the control group; None where nobody knows."""
    limits = [limit for limit in (_kernel_estimate(), _control_group()) if limit is not None]
    return min(limits) if limits else None


def _kernel_estimate() -> int | None:
    """MemAvailable on Linux, else the physical memory."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _control_group() -> int | None:
    """Memory limit of the container, cgroup version 2; what is in use is left out, it holds the page cache too."""
    try:
        return int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def check_memory(nbytes: int, *, where: str) -> None:
    """Refuse what cannot fit.

    Raises:
        DataError: names the size and the memory there is.
    """
    available = available_memory()
    if available is not None and nbytes > available:
        raise DataError(
            f"{where} takes {_gib(nbytes)} GiB of memory and there are {_gib(available)} GiB",
            expected="data that fits into memory",
            remedy="save fewer samples, or x alone as .npy, which is read piece by piece (with --labels)",
        )


def _gib(nbytes: int) -> str:
    """Bytes in GiB with three digits."""
    return f"{nbytes / GIB:,.1f}" if nbytes >= GIB else f"{nbytes / GIB:.3f}"
