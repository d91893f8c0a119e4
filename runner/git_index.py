"""Reads git's index file: which files it lists, and the stat each had when git wrote it. Pure.

git compares change times in whole seconds, and of the mode one bit; the nanoseconds that it stores as well tell
a file that nobody has touched. The format, version 2, is https://git-scm.com/docs/index-format.
"""

import hashlib
import struct
from dataclasses import dataclass

from runner.tree import Stat

_FLAGGED_OR_UNMERGED = 0x8000 | 0x3000
_GITLINK = 0o160000
_S = 1_000_000_000  # nanoseconds


class BadIndex(ValueError):
    """The bytes are no sound index of the version that is known, or entries are flagged to be passed over."""


@dataclass(frozen=True, slots=True)
class Index:
    """Files and symbolic links, with their stat, and the folders of submodules."""

    files: dict[bytes, Stat]
    submodules: tuple[bytes, ...] = ()


def read_index(data: bytes, *, sha256: bool) -> Index:
    """The index in ``data``, which is that of a repository with SHA-256 object names or with SHA-1.

    Raises:
        BadIndex: its checksum is wrong, its version is not 2, or an entry is unmerged or assumed unchanged.
    """
    width = 32 if sha256 else 20
    _check(data, width)
    try:
        return _entries(data, struct.Struct(f">4I4x2I8xI{width}xH"))
    except (struct.error, IndexError) as error:
        raise BadIndex(f"the index cannot be read: {error}") from error


def _entries(data: bytes, entry: struct.Struct) -> Index:
    files: dict[bytes, Stat] = {}
    submodules: list[bytes] = []
    at = 12
    for _ in range(int.from_bytes(data[8:12], "big")):
        changed_s, changed_ns, modified_s, modified_ns, inode, mode, size, flags = entry.unpack_from(data, at)
        end = data.find(b"\0", at + entry.size)
        name = data[at + entry.size : end]
        if flags & _FLAGGED_OR_UNMERGED:
            raise BadIndex("the index has flagged or unmerged entries")
        if mode == _GITLINK:
            submodules.append(name)
        else:
            files[name] = (changed_s * _S + changed_ns, modified_s * _S + modified_ns, inode, size)
        at += (end - at + 8) & ~7  # padded with one to eight NULs to a multiple of eight
    return Index(files, tuple(submodules))


def _check(data: bytes, width: int) -> None:
    digest = hashlib.sha256 if width == 32 else hashlib.sha1
    if data[:4] != b"DIRC" or digest(data[:-width], usedforsecurity=False).digest() != data[-width:]:
        raise BadIndex("the index is damaged")
    if data[4:8] != b"\0\0\0\2":
        raise BadIndex("the index is of a version that the runner does not make")
