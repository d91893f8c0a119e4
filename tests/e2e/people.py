"""What people see of Kedge: the API, the pages, and what the database holds where no door shows it."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg

ADMIN = "admin-token-for-the-tests-000000"
AS_ADMIN = {"Authorization": f"Bearer {ADMIN}"}
WITHIN_S = 45.0
FINAL = {"succeeded", "failed", "errored", "cancelled", "rejected"}


async def until(true: Callable[[], Any], what: str | Callable[[], str], within_s: float = WITHIN_S) -> Any:
    """Wait for a condition; what it gave. ``true`` may be a coroutine function."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                value = true()
                if asyncio.iscoroutine(value):
                    value = await value
                if value:
                    return value
                await asyncio.sleep(0.05)
    except TimeoutError:
        text = what if isinstance(what, str) else what()
        raise AssertionError(f"did not happen within {within_s:.0f} s: {text}") from None


class Stopwatch:
    """Measures for people to read; nothing is asserted of it."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def tell(self, what: str) -> None:
        print(f"{what}: {time.monotonic() - self._began:.2f} s")


@dataclass(kw_only=True)
class People:
    """Ask as an admin, and wait for what is to be seen."""

    url: str
    session: aiohttp.ClientSession
    database_url: str

    def says(self) -> str:
        """What a failed test adds to its message."""
        return ""

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url + path, headers=AS_ADMIN) as response:
            assert response.status == 200, (path, response.status, await response.text())
            return await response.json()

    async def ready(self) -> Any:
        """What ``/readyz`` says, which is open to everybody."""
        async with self.session.get(f"{self.url}/readyz") as response:
            return await response.json()

    async def page(self, url: str) -> str:
        """A page, signed in."""
        async with self.session.get(url, headers=AS_ADMIN, allow_redirects=False) as response:
            assert (response.status, response.content_type) == (200, "text/html"), (url, response.status)
            return await response.text()

    async def deploys(self, app: str = "hello") -> list[dict[str, Any]]:
        """Every deploy, oldest first."""
        listed = await self.get(f"/api/0/{app}/deploys?limit=200")
        return sorted(listed["items"], key=lambda one: int(one["number"]))

    async def number(self, number: int) -> dict[str, Any]:
        found = await self.get(f"/api/0/hello/deploys/{number}")
        assert isinstance(found, dict)
        return found

    async def cancel(self, number: int) -> tuple[int, Any]:
        url = f"{self.url}/api/0/hello/deploys/{number}/cancel"
        async with self.session.post(url, headers=AS_ADMIN) as response:
            return response.status, await response.json()

    async def log(self, number: int) -> str:
        url = f"{self.url}/api/0/hello/deploys/{number}/log"
        async with self.session.get(url, headers=AS_ADMIN) as response:
            return await response.text()

    async def in_state(self, number: int, *states: str, within_s: float = WITHIN_S) -> dict[str, Any]:
        """Wait until the deploy exists and is in one of the states."""
        last: dict[str, Any] = {}

        async def there() -> dict[str, Any] | None:
            with suppress(aiohttp.ClientError):
                found = [one for one in await self.deploys() if one["number"] == number]
                last.update(found[0] if found else {})
                return found[0] if found and found[0]["state"] in states else None
            return None

        what = f"hello#{number} is {' or '.join(states)}"
        found = await until(there, lambda: f"{what}; it is {last}\n{self.says()}", within_s)
        assert isinstance(found, dict)
        return found

    async def ended(self, number: int, within_s: float = WITHIN_S) -> dict[str, Any]:
        return await self.in_state(number, *FINAL, within_s=within_s)

    async def blocked(self, number: int, *words: str, within_s: float = WITHIN_S) -> str:
        """Wait until the deploy waits with these words in its blockers; all its blockers."""

        async def said() -> str | None:
            found = [one for one in await self.deploys() if one["number"] == number]
            text = " ".join(blocker["message"] for one in found for blocker in one["blockers"])
            return text if text and all(word in text for word in words) else None

        return str(await until(said, lambda: f"hello#{number} is blocked by {words}\n{self.says()}", within_s))

    async def rows(self, query: str) -> list[dict[str, Any]]:
        """What no door shows, from the database."""
        if self.database_url.startswith("sqlite:///"):
            path = self.database_url.removeprefix("sqlite:///")
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                database.row_factory = sqlite3.Row
                return [dict(row) for row in database.execute(query)]
        connection = await asyncpg.connect(self.database_url)
        try:
            return [dict(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def told(self) -> None:
        """Wait until nothing is owed to GitHub any more."""
        owed = "SELECT id FROM notices WHERE state = 'waiting' AND channel = 'status'"

        async def nothing() -> bool:
            return not await self.rows(owed)

        await until(nothing, lambda: f"everything is told\n{self.says()}", within_s=60)

    async def heard(self) -> None:
        """Wait until every delivery that is stored was worked on."""

        async def nothing() -> bool:
            return not await self.rows("SELECT id FROM deliveries WHERE state = 'waiting'")

        await until(nothing, lambda: f"everything is heard\n{self.says()}")
