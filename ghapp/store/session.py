"""What both databases do around a transaction: the Tx given to a work, and how a work is run."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from ghapp.store.base import Refusal, Row, Unavailable, Work

T = TypeVar("T")

_Call = Callable[[str, Mapping[str, object]], Awaitable[T]]


class Connection(Protocol):
    """One connection of a dialect. Its errors are already those of `base`."""

    async def fetch(self, sql: str, params: Mapping[str, object]) -> list[Row]: ...

    async def execute(self, sql: str, params: Mapping[str, object]) -> int: ...


class Session:
    """The Tx of one work: refuses statements after a failed one, and after the work has ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.ended = False
        self.failure: BaseException | None = None

    async def all(self, sql: str, /, **params: object) -> list[Row]:
        return await self._statement(self._connection.fetch, sql, params)

    async def one(self, sql: str, /, **params: object) -> Row | None:
        rows = await self.all(sql, **params)
        return rows[0] if rows else None

    async def run(self, sql: str, /, **params: object) -> int:
        return await self._statement(self._connection.execute, sql, params)

    async def _statement(self, call: _Call[T], sql: str, params: Mapping[str, object]) -> T:
        if self.ended:
            raise RuntimeError("This transaction has ended; use the Tx only inside the work it was given to.")
        if self.failure is not None:
            raise RuntimeError("A statement of this transaction has failed; let its error out of the work.")
        try:
            return await call(sql, params)
        except BaseException as error:
            self.failure = error
            raise


_current: ContextVar[Session | None] = ContextVar("current transaction", default=None)


def refuse_nested() -> None:
    """Raise RuntimeError inside a work: SQLite's writer, or the pool's last connection, would wait for itself."""
    session = _current.get()
    if session is not None and not session.ended:
        raise RuntimeError("A work uses the database through its own Tx only; pass that Tx on.")


async def perform(session: Session, work: Work[T]) -> T:
    """Run the work; raises what it raised, or the error of a statement that it hid."""
    _current.set(session)
    try:
        result = await work(session)
    finally:
        session.ended = True
    if session.failure is not None:
        raise session.failure
    return result


async def outcome(future: asyncio.Future[T]) -> T:
    """Wait without ever cancelling what is waited for: a cancelled caller leaves it running.

    If nobody is left to hear its error, asyncio logs it, unless it is a Refusal. Raises Unavailable if it was
    itself cancelled.
    """
    try:
        await asyncio.wait({future})
    except asyncio.CancelledError:
        future.add_done_callback(_unheard)
        raise
    if future.cancelled():
        raise Unavailable("The work was cancelled from inside; nothing of it was saved. Try again.")
    return future.result()


def _unheard(future: asyncio.Future[Any]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, Refusal):
        about = {"message": "Nobody was left to hear that this failed", "exception": error, "future": future}
        future.get_loop().call_exception_handler(about)


class Background:
    """Tasks that outlive whoever asked for them, until `wait`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, task: asyncio.Task[T]) -> T:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await outcome(task)

    async def wait(self) -> None:
        """Wait until none is left; their errors belong to those who asked."""
        while self._tasks:
            await asyncio.wait(self._tasks)
