"""What a provider says of people, remembered briefly."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from cachetools import TTLCache

from ghapp.core.config import AppConfig
from ghapp.core.values import Repository
from ghapp.vcs.base import Person
from ghapp.vcs.provider import People
from ghapp.vcs.remembered import Remembered

#: Who has just been let in or out notices within this time.
REMEMBER_S = 30
#: Where it could not be asked, it is asked again after this time.
ASK_AGAIN_S = 10
#: Questions about who sees what, under way at a time: GitHub takes at most 100 calls at once, and deploys go first.
#: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
AT_ONCE = 10


class Permissions:
    """What the provider says of people, remembered briefly."""

    def __init__(self) -> None:
        self._known: TTLCache[tuple[object, ...], object] = TTLCache(maxsize=4096, ttl=REMEMBER_S)
        self._few = asyncio.Semaphore(AT_ONCE)
        self._access: Remembered[tuple[object, ...], str] = Remembered(_until, clock=_monotonic_ms, size=4096)

    async def role(self, people: People, repository: Repository, user: str) -> str:
        key = ("role", repository.id, user)
        if key not in self._known:
            self._known[key] = await people.permission(user)
        return str(self._known[key])

    async def in_team(self, people: People, repository: Repository, team: str, user: str) -> bool:
        key = ("team", repository.id, team, user)
        if key not in self._known:
            self._known[key] = await people.in_team(team, user)
        return bool(self._known[key])

    async def access(self, app: AppConfig, person: Person, ask: Callable[[], Awaitable[str | None]]) -> str | None:
        """What ``ask`` says that the person is in the app's repository; None where it does not know."""

        async def asked() -> str:
            async with self._few:
                return await ask() or ""

        return await self._access.get((app.via, app.repository or app.name, person), asked) or None


def _until(role: str, now: float) -> float:
    return now + 1000 * (REMEMBER_S if role else ASK_AGAIN_S)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
