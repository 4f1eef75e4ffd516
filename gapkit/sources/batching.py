"""How many samples go through a source at once: a size from a bound on memory, halved where memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from gapkit.errors import SourceError

CPU_LARGEST, ACCELERATOR_LARGEST = 64, 256
"""More samples gain little on an accelerator, and lose on a CPU: their tensors leave the caches and are mapped anew for
every layer (a small vision transformer: 600 images a second in batches of 32 or 64, 465 in batches of 256)."""
CPU_BYTES, ACCELERATOR_BYTES = 1 << 29, 1 << 32
"""What one batch may take. Fixed numbers, not the memory that is free: the batch size, and with it the rounding of the
features, is then the same in every run."""
LIVE_TENSORS = 4
"""Outputs as large as the largest one that are taken to be alive together: a block's input, its hidden layer, that
after the activation, the residual."""
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")

Rows = TypeVar("Rows")


@dataclass(frozen=True)
class Batch(Generic[Rows]):
    """What a forward pass gave for the samples up to ``stop``, and the batch size it ran with."""

    rows: Rows
    stop: int
    size: int


def automatic_size(row_bytes: int, device: torch.device) -> int:
    """The batch size: a power of two whose tensors keep below a fixed bound for the kind of device.

    It is at most 64 on a CPU and 256 elsewhere.

    Args:
        row_bytes: what one sample takes.
        device: where the source runs.

    Example:
        >>> automatic_size(400_000, torch.device("cpu")), automatic_size(10_000_000, torch.device("cpu"))
        (64, 32)
    """
    on_cpu = device.type == "cpu"
    budget, largest = (CPU_BYTES, CPU_LARGEST) if on_cpu else (ACCELERATOR_BYTES, ACCELERATOR_LARGEST)
    fitting = max(1, budget // max(1, row_bytes))
    return min(largest, 1 << (fitting.bit_length() - 1))


def batches(
    forward: Callable[[int, int], Rows], start: int, stop: int, size: int, *, name: str
) -> Iterator[Batch[Rows]]:
    """Run ``forward(first, past)`` over the samples from ``start`` to ``stop``, halving the size where memory runs out.

    The size stays halved, and every batch says with which size it ran: whoever goes on at its ``stop`` with its
    ``size`` makes the same batches.

    Raises:
        SourceError: memory runs out with a single sample.
    """
    while start < stop:
        past = min(start + size, stop)
        rows = _attempt(forward, start, past)
        if rows is not None:
            yield Batch(rows, past, size)
            start = past
            continue
        if past - start == 1:
            raise SourceError(
                f"{name} runs out of memory with a single sample",
                expected="memory for one forward pass",
                remedy="use a smaller source, fewer layers, --precision bf16 or --device cpu",
            )
        # A last batch can be smaller than the size.
        size = min(size, past - start) // 2


def _attempt(forward: Callable[[int, int], Rows], start: int, stop: int) -> Rows | None:
    """The forward pass, or None where memory ran out; its tensors are freed when this returns."""
    try:
        return forward(start, stop)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, the host's or a device's, ran out.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory")), is_out_of_memory(ValueError())
        (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in OUT_OF_MEMORY)
