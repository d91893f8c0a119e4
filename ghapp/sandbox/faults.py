"""Faults: what can go wrong between GitHub and its clients, on order.

A fault is for requests whose method and path match; it happens `times` times, the oldest first, and
`hits` says how often it did. Paths are as below /api/v3; regular expressions must match wholly.
"""

import asyncio
import re
from dataclasses import dataclass, field

from .replies import DOCUMENTATION


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer this instead of doing the work."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, str]:
        return {"message": self.message, "documentation_url": DOCUMENTATION, "status": str(self.status)}


@dataclass(frozen=True, slots=True)
class Drop:
    """Break the connection: before the work, or after it (the answer is lost)."""

    after: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Let the request wait, before the work or after it: for a while, or until `Fault.release`."""

    after: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Stale:
    """Show a listing of statuses or checks as it was before this many changes of its commit."""

    changes: int


Effect = Answer | Drop | Wait | Stale


@dataclass(slots=True)
class Fault:
    method: str
    path: re.Pattern[str]
    effect: Effect
    times: int | None
    hits: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let every request go that waits here, and those to come."""
        self.released.set()

    async def wait(self, effect: Wait) -> None:
        if effect.seconds is None:
            await self.released.wait()
        else:
            await asyncio.sleep(effect.seconds)


class Faults:
    """The faults on order."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that befalls this request, if any."""
        for fault in self.orders:
            fits = fault.method in ("*", method.upper()) and fault.path.fullmatch(path)
            if fits and (fault.times is None or fault.hits < fault.times):
                fault.hits += 1
                fault.reached.set()
                return fault
        return None

    def clear(self) -> None:
        """Forget all faults and let go what waits in them."""
        for fault in self.orders:
            fault.release()
        self.orders.clear()

    def order(self, method: str, path: str, effect: Effect, times: int | None = 1) -> Fault:
        """`times` None means until cleared; `method` "*" means any."""
        fault = Fault(method.upper(), re.compile(path), effect, times)
        self.orders.append(fault)
        return fault

    def answer(
        self,
        method: str,
        path: str,
        status: int,
        *,
        message: str = "Fault",
        headers: dict[str, str] | None = None,
        times: int | None = 1,
    ) -> Fault:
        return self.order(method, path, Answer(status, message, headers or {}), times)

    def secondary_limit(
        self, method: str, path: str, retry_after_s: int, *, status: int = 403, times: int | None = 1
    ) -> Fault:
        """https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api"""
        message = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        headers = {"Retry-After": str(retry_after_s)}
        return self.answer(method, path, status, message=message, headers=headers, times=times)

    def drop(self, method: str, path: str, *, after: bool, times: int | None = 1) -> Fault:
        return self.order(method, path, Drop(after), times)

    def block(self, method: str, path: str, *, after: bool = False, times: int | None = 1) -> Fault:
        """Let requests wait until `release`; `reached` is set when one does."""
        return self.order(method, path, Wait(after=after), times)

    def stale(self, method: str, path: str, changes: int, *, times: int | None = 1) -> Fault:
        return self.order(method, path, Stale(changes), times)
