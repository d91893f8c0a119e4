"""Reads git's index file: which files it lists, and the stat each had when git wrote it. Pure.

git compares change times in whole seconds, and of the mode one bit; the nanoseconds that it stores as well tell
a file that nobody has touched. The format, version 2, is https://git-scm.com/docs/index-format.
"""

import hashlib
import struct
from dataclasses import dataclass

from runner.tree import Stat

# Of an entry: the second of its change time, the upper byte of its mode's lower half, and of its flags
_GLANCE = {width: struct.Struct(f">I22xB13x{width}xB") for width in (20, 32)}
_STAT = struct.Struct(">4I4xI12xI")
_FLAGGED_OR_UNMERGED = 0x80 | 0x30
_GITLINK = 0xE0
_S = 1_000_000_000  # nanoseconds


class BadIndex(ValueError):
    """The bytes are no sound index of the version that is known, or entries are flagged to be passed over."""


@dataclass(frozen=True, slots=True)
class Index:
    """Files and symbolic links, with their stat if it was asked for, and the folders of submodules."""

    files: dict[bytes, Stat | None]
    submodules: tuple[bytes, ...] = ()


def read_index(data: bytes, *, sha256: bool, settled_s: int = 0) -> Index:
    """The index in ``data``, which is that of a repository with SHA-256 object names or with SHA-1.

    Stats are read, which takes long, of files whose change time is not before ``settled_s``, in seconds.

    Raises:
        BadIndex: its checksum is wrong, its version is not 2, or an entry is unmerged or assumed unchanged.
    """
    width = 32 if sha256 else 20
    _check(data, width)
    try:
        return _entries(data, _GLANCE[width], settled_s)
    except (struct.error, ValueError) as error:
        raise BadIndex(f"the index cannot be read: {error}") from error


def _entries(data: bytes, glance: struct.Struct, settled_s: int) -> Index:
    files: dict[bytes, Stat | None] = {}
    submodules: list[bytes] = []
    at = 12
    for _ in range(int.from_bytes(data[8:12], "big")):
        changed_s, mode, flags = glance.unpack_from(data, at)
        start = at + glance.size + 1
        end = data.index(b"\0", start)
        if flags & _FLAGGED_OR_UNMERGED:
            raise BadIndex("the index has flagged or unmerged entries")
        if mode == _GITLINK:
            submodules.append(data[start:end])
        else:
            files[data[start:end]] = None if changed_s < settled_s else _stat(data, at)
        at += (end - at + 8) & ~7  # padded with one to eight NULs to a multiple of eight
    return Index(files, tuple(submodules))


def _stat(data: bytes, at: int) -> Stat:
    changed_s, changed_ns, modified_s, modified_ns, inode, size = _STAT.unpack_from(data, at)
    return (changed_s * _S + changed_ns, modified_s * _S + modified_ns, inode, size)


def _check(data: bytes, width: int) -> None:
    digest = hashlib.sha256 if width == 32 else hashlib.sha1
    if data[:4] != b"DIRC" or digest(data[:-width], usedforsecurity=False).digest() != data[-width:]:
        raise BadIndex("the index is damaged")
    if data[4:8] != b"\0\0\0\2":
        raise BadIndex("the index is of a version that the runner does not make")
