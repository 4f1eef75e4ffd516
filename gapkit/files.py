"""Writing files so that nothing half-written is ever read."""

from __future__ import annotations

from pathlib import Path

from gapkit.errors import StorageError

SAFETENSORS = ".safetensors"
"""How files of tensors end, those of learned embedders among them."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside ``path``, then move into place.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    # One name for all: what a killed process has left is written over.
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(
            f"{path} cannot be written ({error.strerror})",
            expected="a writable folder with free space",
            remedy="free space, or choose another place (--out)",
        ) from error
