# ruff: noqa: PTH101, PTH104, PTH106, PTH108, PTH118 (paths are bytes here, and Path has none)
"""The files of a checkout: what may be there, and removing everything else.

git itself does not see all that a command can leave behind: ``git status`` and ``git clean`` pass over named
pipes, sockets, empty folders and modes. So the folder is walked here, by what its index lists. Paths are bytes
and relative to the checkout, as git has them; folders are never followed through symbolic links.
"""

import os
import re
import secrets
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

Stat = tuple[int, int, int, int]
"""Change time and modification time in nanoseconds; inode and size, of each 32 bits as in an index."""

Layout = Mapping[bytes, Mapping[bytes, Stat | None]]
"""Folder → files that may be in it, and the stat they must have; None where git itself will notice what was touched.
``b""`` is the checkout itself; a folder that is not named may not be there."""


class Seen(NamedTuple):
    """A folder that held nothing but what it may: its stat before it was read, and the folders in it."""

    stat: Stat
    folders: tuple[bytes, ...]


_32_BITS = 0xFFFFFFFF


class Stopped(Exception):
    """The walk was told to stop."""


class Mounted(OSError):
    """Something is mounted in the checkout. The text is a sentence, with what to do."""


def layout(files: Mapping[bytes, Stat | None], folders: Iterable[bytes]) -> dict[bytes, dict[bytes, Stat | None]]:
    """The layout with exactly these files, and these folders even if empty."""
    result: dict[bytes, dict[bytes, Stat | None]] = {b"": {}}
    for path, recorded in files.items():
        folder, _, name = path.rpartition(b"/")
        if folder not in result:
            _add_folder(result, folder)
        result[folder][name] = recorded
    for folder in folders:
        _add_folder(result, folder)
    return result


def stat_of(found: os.stat_result) -> Stat:
    """What tells whether a file was touched.

    Who writes to a file, or changes its mode, owner, attributes or links, changes its change time, and that
    cannot be set (https://man7.org/linux/man-pages/man7/inode.7.html).
    """
    return (found.st_ctime_ns, found.st_mtime_ns, found.st_ino & _32_BITS, found.st_size & _32_BITS)


def sweep(
    root: Path, allowed: Layout, seen: Mapping[bytes, Seen], *, trash: Path, stop: threading.Event
) -> dict[bytes, Seen]:
    """Removes from ``root`` everything that is not in ``allowed``, or has not the stat that it must have.

    Folders get their usual mode. One that is as an earlier sweep has ``seen`` it is not read again: whatever is
    added to a folder, renamed or deleted in it changes its change time. ``trash`` is a fresh, empty folder on the
    same file system; its mode is the usual one. Returns what is for the next sweep.

    Raises:
        Mounted: nothing was removed.
        OSError: something resists, such as an immutable file.
        Stopped: ``stop`` was set.
    """
    usual = os.lstat(trash)
    dump = os.fsencode(trash)
    top = os.fsencode(root)
    _refuse_mounts(os.path.realpath(top))
    numbers = count()
    fresh = {}
    pending = [b""]
    while pending:
        if stop.is_set():
            raise Stopped
        folder = pending.pop()
        path = os.path.join(top, folder) if folder else top
        found = _with_usual_mode(path, usual)
        known = seen.get(folder)
        foreign: list[bytes] = []
        if not known or known.stat != stat_of(found) or not _may_be_passed_over(folder, known, allowed):
            _without_attributes(path)
            keep, foreign = _sort(path, folder, allowed)
            known = Seen(stat_of(found), tuple(keep))
            for name in foreign:
                _discard(os.path.join(path, name), dump, numbers, stop)
        pending += known.folders
        if not foreign and known.stat[0] < usual.st_ctime_ns:  # else it could change again and look the same
            fresh[folder] = known
    return fresh


def remove(path: Path, *, trash: Path, stop: threading.Event) -> None:
    """Removes a file, or a folder with all that is in it, however deep, read-only or oddly named.

    Every folder is moved to ``trash`` before its contents go, so neither the depth nor the length of a path
    matters; a mount point cannot be moved, and so what is mounted is never emptied.

    Raises:
        OSError: something resists.
        Stopped: ``stop`` was set.
    """
    if os.path.lexists(path):
        _discard(os.fsencode(path), os.fsencode(trash), count(), stop)


def new_trash(parent: Path, *, stop: threading.Event) -> Path:
    """A fresh folder under ``parent`` for :func:`sweep`; what a killed runner left there is removed."""
    parent.mkdir(parents=True, exist_ok=True)
    fresh = parent / secrets.token_hex(8)
    fresh.mkdir()
    for old in parent.iterdir():
        if old != fresh:
            remove(old, trash=fresh, stop=stop)
    return fresh


def _add_folder(result: dict[bytes, dict[bytes, Stat | None]], folder: bytes) -> None:
    while folder not in result:
        result[folder] = {}
        folder = folder.rpartition(b"/")[0]


def _refuse_mounts(top: bytes) -> None:
    """What is mounted in the checkout is somewhere else too, where nothing shall be removed: proc_pid_mountinfo(5)."""
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        point = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), line.split(b" ")[4])
        if point == top or point.startswith(top + b"/"):
            raise Mounted(f"{os.fsdecode(point)} is a mount point. Unmount it, then deploy again.")


def _with_usual_mode(path: bytes, usual: os.stat_result) -> os.stat_result:
    """Gives a folder the usual mode, and returns what was found."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):  # somebody has just replaced it: what a link leads to is not ours
        raise NotADirectoryError(f"{os.fsdecode(path)} is no folder any more")
    if stat.S_IMODE(found.st_mode) != stat.S_IMODE(usual.st_mode):
        os.chmod(path, stat.S_IMODE(usual.st_mode))
    return found


def _without_attributes(path: bytes) -> None:
    """Takes access lists off a folder: they would shape the files made in it."""
    with suppress(OSError):  # a file system without extended attributes
        for name in os.listxattr(path):
            if name.startswith(("user.", "system.posix_acl_")):
                os.removexattr(path, name)


def _may_be_passed_over(folder: bytes, seen: Seen, allowed: Layout) -> bool:
    """Whether nothing in an unchanged folder needs a look: no file's stat, no folder that may no longer be there.

    Nor a file that may no longer be there: git has deleted it, which has changed the folder.
    """
    return all(below in allowed for below in seen.folders) and not any(allowed[folder].values())


def _sort(path: bytes, folder: bytes, allowed: Layout) -> tuple[list[bytes], list[bytes]]:
    """The folders below ``path`` that stay, relative to the checkout, and the names that do not."""
    files = allowed[folder]
    keep, foreign = [], []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below = folder + b"/" + entry.name if folder else entry.name
                (keep.append(below) if below in allowed else foreign.append(entry.name))
            elif entry.name not in files or not _may_stay(entry, files[entry.name]):
                foreign.append(entry.name)
    return keep, foreign


def _may_stay(entry: os.DirEntry[bytes], recorded: Stat | None) -> bool:
    """Whether the file is as recorded, and has no second name through which it could be changed elsewhere."""
    if recorded is None:
        return entry.is_file(follow_symlinks=False) or entry.is_symlink()
    found = entry.stat(follow_symlinks=False)
    return found.st_nlink == 1 and stat_of(found) == recorded


def _discard(path: bytes, trash: bytes, numbers: Iterator[int], stop: threading.Event) -> None:
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    pending = [_move(path, trash, next(numbers))]
    while pending:
        if stop.is_set():
            raise Stopped
        folder = pending.pop()
        with os.scandir(folder) as entries:
            found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for entry_path, is_folder in found:
            if is_folder:
                pending.append(_move(entry_path, trash, next(numbers)))
            else:
                os.unlink(entry_path)
        os.rmdir(folder)


def _move(folder: bytes, trash: bytes, number: int) -> bytes:
    os.chmod(folder, 0o700)  # a folder that may not be written cannot be moved either
    target = os.path.join(trash, b"%d" % number)
    os.rename(folder, target)
    return target
