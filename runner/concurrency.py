"""What asyncio lacks: a lock between processes, and work that has ended when the task that waits for it has."""

import asyncio
import fcntl
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
_POLL_S = 0.05


@asynccontextmanager
async def locked(path: Path, *, shared: bool = False, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Holds an ``flock`` on ``path`` for the block. ``waiting`` is called once if somebody else has it.

    The kernel frees it when the process dies. It is polled for, because a thread that blocks in flock(2)
    could not be cancelled.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        told = False
        while not _try(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if not told:
                waiting()
                told = True
            await asyncio.sleep(_POLL_S)
        yield
    finally:
        os.close(fd)


async def in_thread(function: Callable[[threading.Event], T]) -> T:
    """Runs ``function`` in a thread. Cancelled, it sets the event it gave it and waits until it has ended."""
    stop = threading.Event()
    thread = asyncio.ensure_future(asyncio.to_thread(function, stop))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        stop.set()
        while not thread.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({thread})
        thread.exception()
        raise


async def together(*work: Coroutine[object, object, object]) -> None:
    """Runs all at the same time. When one fails the others are cancelled and have ended before its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
