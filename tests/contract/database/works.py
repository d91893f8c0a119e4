"""Works on a small table of things, for the tests of every Database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from ghapp.store.base import Database, Row, Tx, Work


def add(name: str, n: object = 0) -> Work[None]:
    async def work(tx: Tx) -> None:
        await tx.run("INSERT INTO things (name, n) VALUES (:name, :n)", name=name, n=n)

    return work


async def names(db: Database) -> list[str]:
    async def work(tx: Tx) -> list[str]:
        return [row["name"] for row in await tx.all("SELECT name FROM things ORDER BY name")]

    return await db.read(work)


def ask(sql: str, **params: object) -> Work[Sequence[Row]]:
    async def work(tx: Tx) -> Sequence[Row]:
        return await tx.all(sql, **params)

    return work


class Held:
    """A work that adds a row, then waits until it is let go."""

    def __init__(self, name: str, error: BaseException | None = None) -> None:
        self.name, self.error = name, error
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()

    async def __call__(self, tx: Tx) -> None:
        await add(self.name)(tx)
        self.begun.set()
        await self.let_go.wait()
        if self.error:
            raise self.error


@asynccontextmanager
async def holding(db: Database, work: Held) -> AsyncIterator[asyncio.Task[None]]:
    """`work` has begun; it goes on and is waited for at the end."""
    task = asyncio.create_task(db.write(work))
    await work.begun.wait()
    yield task
    work.let_go.set()
    await asyncio.wait({task})


async def appears(db: Database, name: str) -> None:
    async with asyncio.timeout(20):
        while name not in await names(db):  # noqa: ASYNC110, nothing tells of it
            await asyncio.sleep(0.01)
