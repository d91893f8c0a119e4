"""The disk that mirrors and checkouts take: what nobody used for long goes, and more when room is short.

Whatever is deleted here is made anew when it is needed again.
"""

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from runner.concurrency import in_thread, locked
from runner.journal import Journal
from runner.tree import new_trash, remove

log = structlog.get_logger()

EVERY_S = 3600.0
UNUSED_S = 30 * 86_400.0
"""What was not used for so long is deleted, however much room there is."""
RECENT_S = 3600.0
"""What was used within this time stays, however little room there is: its next deploy may be under way."""
LARGEST_SHARE = 0.5
"""Of the disk, for all mirrors and checkouts together."""
LEAST_FREE_SHARE = 0.05
"""Of the disk: below it deploys that need room begin to fail."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A mirror or a checkout. ``lock`` is touched at each use, ``used_at`` (seconds since the epoch) is when; ``size``
    are the bytes of disk it takes. ``trash`` is where it goes."""

    path: Path
    lock: Path
    trash: Path
    used_at: float
    size: int


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes of the file system that the work folder is on."""

    total: int
    free: int


def to_delete(kept: Sequence[Kept], disk: Disk, now: float) -> list[Kept]:
    """What shall go, the longest unused first."""
    over = max(
        sum(one.size for one in kept) - disk.total * LARGEST_SHARE,
        disk.total * LEAST_FREE_SHARE - disk.free,
    )
    chosen = []
    for one in sorted(kept, key=lambda one: one.used_at):
        unused_s = now - one.used_at
        if unused_s >= UNUSED_S or (over > 0 and unused_s >= RECENT_S):
            chosen.append(one)
            over -= one.size
    return chosen


def survey(folder: Path, stop: threading.Event | None = None) -> list[Kept]:
    """The mirrors and checkouts under a work folder, as `runner.workspace` lays them out; in haste once ``stop`` is
    set."""
    mirrors = (folder / "mirrors").glob("*.git")
    places = [(path, path.with_suffix(".lock"), path.with_suffix(".trash")) for path in mirrors]
    for path in (folder / "checkouts").glob("*/*"):
        state = folder / "state" / path.relative_to(folder / "checkouts")
        places.append((path, state / "lock", state / "trash"))
    return [Kept(path, lock, trash, _used_at(lock), _size(path, stop)) for path, lock, trash in places]


def leftovers(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Where deletions and exports that were broken off may have left something, and the locks: nobody else looks
    there."""
    for trash in (folder / "mirrors").glob("*.trash"):
        yield trash, trash.with_suffix(".lock")
    for name in ("trash", "incoming"):
        for left in (folder / "state").glob(f"*/*/{name}"):
            yield left, left.with_name("lock")


def disk_of(folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(usage.total, usage.free)


async def tidy(folder: Path, in_use: Collection[Path]) -> list[Kept]:
    """Delete what `to_delete` names and no command runs in; what was deleted. What resists keeps nothing else."""
    for trash, lock in leftovers(folder):
        await _empty(trash, lock)
    kept = await in_thread(lambda stop: survey(folder, stop))
    chosen = [one for one in to_delete(kept, disk_of(folder), time.time()) if one.path not in in_use]
    deleted = []
    for one in chosen:
        try:
            if await _delete(one):
                deleted.append(one)
        except OSError as error:
            log.warning("could not be deleted; do it by hand", path=str(one.path), reason=str(error))
    return deleted


async def tidy_forever(folder: Path, journal: Journal) -> None:
    """At once, and then every hour. Failures are logged: a disk that cannot be tidied stops no deploy."""
    while True:
        try:
            for one in await tidy(folder, running_in(journal)):
                log.info("deleted, not used for long or room is short", path=str(one.path), bytes=one.size)
        except Exception as error:
            log.warning("could not tidy the work folder", reason=str(error))
        await asyncio.sleep(EVERY_S)


def running_in(journal: Journal) -> set[Path]:
    """The checkouts that commands run in, or may."""
    return {Path(entry.read_command().cwd) for entry in journal.entries() if (entry.path / "command").exists()}


async def _delete(one: Kept) -> bool:
    """With its lock; not where somebody has used it since it was chosen."""
    async with locked(one.lock, waiting=lambda: None):
        if _used_at(one.lock) != one.used_at:
            return False

        def work(stop: threading.Event) -> None:
            remove(one.path, trash=new_trash(one.trash, stop=stop), stop=stop)

        await in_thread(work)
        return True


async def _empty(trash: Path, lock: Path) -> None:
    try:
        async with locked(lock, waiting=lambda: None):
            await in_thread(lambda stop: new_trash(trash, stop=stop))
    except OSError as error:
        log.warning("could not be deleted; do it by hand", path=str(trash), reason=str(error))


def _used_at(lock: Path) -> float:
    try:
        return lock.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _size(root: Path, stop: threading.Event | None) -> int:
    return sum(_blocks(entry) * 512 for entry in _entries(root, stop))


def _blocks(entry: "os.DirEntry[str]") -> int:
    try:
        return entry.stat(follow_symlinks=False).st_blocks
    except OSError:  # a deploy that runs meanwhile has deleted it
        return 0


def _entries(root: Path, stop: threading.Event | None) -> Iterator["os.DirEntry[str]"]:
    """All below a folder; what cannot be read, or goes meanwhile, is passed over."""
    folders = [str(root)]
    while folders and not (stop and stop.is_set()):
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError:
            continue
