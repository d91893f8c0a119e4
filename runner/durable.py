"""Files that are there as a whole or not at all, also after a power cut. Standard library only."""

import os
from pathlib import Path


def read(path: Path) -> bytes | None:
    """The contents; None where there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def replace(path: Path, data: bytes) -> None:
    """Write a file, or exchange it for a new one, readable by its owner only."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    _write_new(new, data)
    new.rename(path)
    fsync_folder(path.parent)


def create(path: Path, data: bytes) -> bool:
    """Create a file, readable by its owner only; False where there is one already.

    Exactly one of several callers gets True; a reader may see the file before its contents.
    """
    try:
        _write_new(path, data)
    except FileExistsError:
        return False
    fsync_folder(path.parent)
    return True


def _write_new(path: Path, data: bytes) -> None:
    """Raises FileExistsError."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def fsync_folder(path: Path) -> None:
    """Make the folder's list of names durable: fsync(2), "Calling fsync() does not necessarily ensure"."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
