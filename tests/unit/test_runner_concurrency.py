"""Threads, locks and tasks of the runner have ended when whoever waits for them has."""

import asyncio
import threading
from pathlib import Path

import pytest

from runner.concurrency import in_thread, locked, together


async def test_a_cancelled_thread_has_ended() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        begun.set()
        stop.wait(10)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()


async def test_a_cancel_does_not_hide_what_others_wait_for() -> None:
    """Cancelled again while the thread ends, it still waits."""
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work(stop: threading.Event) -> None:
        begun.set()
        go.wait(10)
        ended.set()

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()


async def test_the_first_error_ends_the_others() -> None:
    ended = []

    async def long() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("long")

    async def failing() -> None:
        raise ValueError("this one")

    with pytest.raises(ValueError, match="this one"):
        await together(long(), failing())

    assert ended == ["long"]


async def test_a_lock_is_waited_for_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    waited, inside = asyncio.Event(), []

    async def second() -> None:
        async with locked(path, waiting=waited.set):
            inside.append("second")

    async with locked(path, waiting=lambda: pytest.fail("nobody has it")):
        task = asyncio.create_task(second())
        await waited.wait()
        assert inside == []
    await task

    assert inside == ["second"]


async def test_shared_locks_do_not_exclude_each_other(tmp_path: Path) -> None:
    def waits() -> None:
        pytest.fail("it waits")

    one = locked(tmp_path / "lock", shared=True, waiting=waits)
    two = locked(tmp_path / "lock", shared=True, waiting=waits)
    async with one, two:
        pass
