"""The one loop of whoever works through what is stored: the inbox, the outbox, the judge of automatic deploys."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import structlog

from ghapp.service.context import Context, Signals
from ghapp.store.base import Tx

log = structlog.get_logger(__name__)

Item = TypeVar("Item")

#: A wake-up call may be lost with the process that gave it: look by yourself too.
LONGEST_WAIT_S = 5.0


async def forever(
    ctx: Context,
    topic: str,
    work: Callable[[Context], Awaitable[int]],
    next_at: Callable[[Tx, int], Awaitable[int | None]],
) -> None:
    """Until cancelled: do what is due for as long as ``work`` did anything, then wait for the wake-up call ``topic``,
    for the time (ms) that ``next_at`` names, or a moment. A failure is told and tried again."""
    while True:
        woken = ctx.signals.watch(topic)
        try:
            worked = await work(ctx)
            now = ctx.now()
            due_at = await ctx.stores.main.read(lambda tx, now=now: next_at(tx, now))  # type: ignore[misc]
        except Exception:
            log.exception(f"{topic} failed")
            worked, due_at, now = 0, None, ctx.now()
        if worked:  # what came of it may be due at once
            continue
        wait_s = LONGEST_WAIT_S if due_at is None else min(LONGEST_WAIT_S, (due_at - now) / 1000)
        await Signals.wait(woken, wait_s)


async def beside(items: Iterable[Item], do: Callable[[Item], Awaitable[None]], at_once: int) -> None:
    """``do`` it with each, so many at a time. What ``do`` raises ends the others too, and then this: none of them
    goes on unseen while the next round begins with the same."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: Item) -> None:
        async with gate:
            await do(item)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(one(item))
