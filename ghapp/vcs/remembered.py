"""Answers that stay good for a while, asked for once however many want them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from cachetools import TLRUCache

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """A bounded memory of what `get` was told, each answer ``until`` a time of its own (ms since the epoch).

    Callers that ask for the same key at the same time share one question and its outcome, a failure too; one that
    is cancelled meanwhile takes nothing from the others. Failures are not remembered.
    """

    def __init__(self, until: Callable[[V, float], float], *, clock: Callable[[], int], size: int = 1024) -> None:
        self._known: TLRUCache[K, V] = TLRUCache(size, ttu=lambda _key, value, now: until(value, now), timer=clock)
        self._asking: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        """What is known of the key, else what ``ask`` answers. Raises what ``ask`` raises."""
        known = self._known.get(key)
        if known is not None:
            return known
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._ask(key, ask))
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._asked(key, task))
        return await asyncio.shield(asking)

    async def _ask(self, key: K, ask: Callable[[], Awaitable[V]]) -> V:
        value = await ask()
        self._known[key] = value
        return value

    def _asked(self, key: K, task: asyncio.Task[V]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it when every caller has gone

    def forget(self, key: K) -> None:
        """Ask anew next time."""
        self._known.pop(key, None)

    def forget_where(self, wrong: Callable[[V], bool]) -> None:
        """Ask anew for every key whose answer proved wrong."""
        for key in [key for key, known in self._known.items() if wrong(known)]:
            del self._known[key]

    async def close(self) -> None:
        """End the questions under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
