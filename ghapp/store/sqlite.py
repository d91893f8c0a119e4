"""SQLite: one writer whose waiting writes share a durable commit, and a few readers on snapshots beside it.

Pragmas and the properties of WAL: https://www.sqlite.org/pragma.html and https://www.sqlite.org/wal.html
"""

import asyncio
import contextvars
import json
import re
import sqlite3
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from ghapp.store.base import Conflict, Row, StoreError, Unavailable, Violation, Work
from ghapp.store.migrate import Dialect
from ghapp.store.session import Background, Session, outcome, perform, refuse_nested
from ghapp.store.sql import to_sqlite

T = TypeVar("T")

SQLITE = Dialect(
    id="INTEGER PRIMARY KEY AUTOINCREMENT",
    blob="BLOB",
    lock=None,  # a write has the whole file
)

_OLDEST = (3, 35)  # RETURNING: https://www.sqlite.org/lang_returning.html
_BATCH = 50  # writes that may share one commit: bounds how long the first of them waits
_READERS = 3
_BUSY_MS = 5000  # another process (a backup, a second command) may hold the file for this long

# Primary result codes that say "not now" rather than "wrong": https://www.sqlite.org/rescode.html
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOTADB,
    }
)
_UNIQUE = frozenset(
    {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID}
)


def check_version(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> None:
    """Raises StoreError where this Python's SQLite cannot do what the queries need."""
    if version < _OLDEST:
        raise StoreError(
            f"This Python has SQLite {'.'.join(map(str, version))}; Kedge needs 3.35 or newer. "
            "Use a newer Python or system, or PostgreSQL (DATABASE_URL)."
        )


def translate(error: Exception) -> Exception:
    """The driver's error as one of `base`, or itself where it tells of a mistake in the SQL."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    if code in _UNIQUE:
        return _conflict(str(error))
    if code & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return Violation(str(error))
    if code & 0xFF in _UNAVAILABLE:
        return Unavailable(f"SQLite: {error}")
    return error


def _conflict(message: str) -> Conflict:
    """From `UNIQUE constraint failed: apps.name, apps.via` or `… failed: index 'apps_lower'`."""
    columns = re.findall(r"(\w+)\.(\w+)", message)
    if columns:
        return Conflict(columns[0][0], tuple(column for _, column in columns))
    return Conflict(message.partition("failed: ")[2], ())


class _Connection:
    """What a Session needs of a connection: translated SQL, dictionaries, our errors."""

    def __init__(self, raw: aiosqlite.Connection) -> None:
        self.raw = raw

    async def fetch(self, sql: str, params: Mapping[str, object]) -> list[Row]:
        self._check()
        try:
            return list(await self.raw.execute_fetchall(to_sqlite(sql), _bind(params)))  # type: ignore[arg-type]
        except sqlite3.Error as error:
            raise translate(error) from None

    async def execute(self, sql: str, params: Mapping[str, object]) -> int:
        self._check()
        try:
            async with self.raw.execute(to_sqlite(sql), _bind(params)) as cursor:
                return cursor.rowcount
        except sqlite3.Error as error:
            raise translate(error) from None

    def _check(self) -> None:
        # A full disk and the like undo the whole transaction by themselves; what followed would stand alone.
        if not self.raw.in_transaction:
            raise Unavailable("SQLite gave up the transaction; nothing of it was saved. Try again.")


def _bind(params: Mapping[str, object]) -> dict[str, object]:
    return {name: json.dumps(value) if isinstance(value, list | tuple) else value for name, value in params.items()}


def _as_dict(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, values, strict=True)}


async def _connect(path: Path, *, readonly: bool = False) -> aiosqlite.Connection:
    raw = await aiosqlite.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000, cached_statements=256)
    try:
        for pragma in ("foreign_keys = ON", "synchronous = FULL", f"query_only = {readonly:d}"):
            await raw.execute_fetchall(f"PRAGMA {pragma}")
        ((mode,),) = await raw.execute_fetchall("PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise StoreError(f"{path} is on a file system without write-ahead logging; put it on a local disk.")
        raw.row_factory = _as_dict  # type: ignore[assignment]
    except BaseException:
        await raw.close()
        raise
    return raw


@dataclass(slots=True)
class _Write:
    work: Work[Any]
    answer: asyncio.Future[Any]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class SqliteDatabase:
    """A Database in one file; make it with `open_sqlite`.

    `commits` counts the shared durable commits since it was opened.
    """

    def __init__(self, writer: aiosqlite.Connection, readers: list[aiosqlite.Connection]) -> None:
        self.commits = 0
        self._writer = writer
        self._connections = [writer, *readers]
        self._readers: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        for reader in readers:
            self._readers.put_nowait(reader)
        self._reads = Background()
        self._waiting: deque[_Write] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._writing = asyncio.create_task(self._write_all(), name="sqlite writer")

    async def write(self, work: Work[T]) -> T:
        refuse_nested()
        self._refuse_closed()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(work, answer))
        self._wake.set()
        return await outcome(answer)

    async def read(self, work: Work[T]) -> T:
        refuse_nested()
        self._refuse_closed()
        return await self._reads.run(asyncio.create_task(self._read(work)))

    async def close(self) -> None:
        self._closing = True
        self._wake.set()
        try:
            await asyncio.wait({self._writing})
        finally:
            await self._release()  # what the writer did not, if it was cancelled

    async def _release(self) -> None:
        """Close the connections: their threads would keep the process alive."""
        await self._reads.wait()
        while self._connections:
            await self._connections.pop().close()

    def _refuse_closed(self) -> None:
        if self._closing:
            raise Unavailable("The database is closed.")

    async def _read(self, work: Work[T]) -> T:
        raw = await self._readers.get()
        try:
            await raw.execute_fetchall("BEGIN DEFERRED")
            return await perform(Session(_Connection(raw)), work)
        finally:
            if raw.in_transaction:
                await raw.rollback()
            self._readers.put_nowait(raw)

    async def _write_all(self) -> None:
        try:
            while self._waiting or not self._closing:
                if self._waiting:
                    await self._write_batch()
                else:
                    self._wake.clear()
                    await self._wake.wait()
        finally:  # after `close`, or cancelled because the event loop ends without it
            self._closing = True
            for write in self._waiting:
                write.answer.set_exception(Unavailable("The database was closed before this was saved."))
            await self._release()

    async def _write_batch(self) -> None:
        """One transaction for what waits now and what comes while it runs; all are answered after its commit."""
        batch: list[_Write] = []
        results: list[asyncio.Task[Any]] = []
        try:
            await self._writer.execute_fetchall("BEGIN IMMEDIATE")
            while self._waiting and len(batch) < _BATCH:
                batch.append(self._waiting.popleft())
                results.append(await self._write_one(batch[-1]))
            await self._writer.execute_fetchall("COMMIT")
            self.commits += 1
        except BaseException as error:
            await self._undo(batch, error)
            if not isinstance(error, Exception):
                raise
        else:
            for write, result in zip(batch, results, strict=True):
                _answer(write, result)

    async def _write_one(self, write: _Write) -> asyncio.Task[Any]:
        """Run one work inside a savepoint, so that its error undoes it alone."""
        await self._writer.execute_fetchall("SAVEPOINT work")
        session = Session(_Connection(self._writer))
        result = asyncio.create_task(perform(session, write.work), context=write.context)
        await asyncio.wait({result})
        if result.cancelled() or result.exception() is not None:
            await self._writer.execute_fetchall("ROLLBACK TO work")
        await self._writer.execute_fetchall("RELEASE work")
        return result

    async def _undo(self, batch: list[_Write], error: BaseException) -> None:
        """Nobody's write was saved: say so to everybody whose work was in it, or waited for it to begin."""
        if not batch:
            batch.extend(self._waiting)
            self._waiting.clear()
        for write in batch:
            write.answer.set_exception(Unavailable(f"SQLite did not save the transaction: {error}"))
        with suppress(sqlite3.Error, ValueError):
            if self._writer.in_transaction:
                await self._writer.rollback()


def _answer(write: _Write, result: asyncio.Task[Any]) -> None:
    if result.cancelled():
        write.answer.cancel()
    elif error := result.exception():
        write.answer.set_exception(error)
    else:
        write.answer.set_result(result.result())


async def open_sqlite(path: Path) -> SqliteDatabase:
    """Open the file, or make it (readable for its owner alone). Its folder must exist.

    Raises StoreError where SQLite is too old or the file cannot be used.
    """
    check_version()
    connections: list[aiosqlite.Connection] = []
    try:
        path.touch(mode=0o600, exist_ok=True)  # SQLite gives its other files the same mode
        connections.append(await _connect(path))
        for _ in range(_READERS):
            connections.append(await _connect(path, readonly=True))
    except BaseException as error:
        for connection in connections:
            await connection.close()
        if isinstance(error, OSError | sqlite3.Error):
            raise Unavailable(f"Cannot open the database {path}: {error}") from error
        raise
    return SqliteDatabase(connections[0], connections[1:])
