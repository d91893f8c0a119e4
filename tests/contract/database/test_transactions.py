"""What every Database promises about transactions; what SQLite's shared commits promise besides."""

import asyncio
import gc
import sqlite3
from contextvars import ContextVar
from pathlib import Path

import pytest

from ghapp.store import sqlite
from ghapp.store.base import Conflict, Database, Refusal, Tx, Unavailable, Work
from ghapp.store.sqlite import SqliteDatabase
from ghapp.store.stores import Stores, open_stores
from tests.contract.database.works import Held, add, appears, ask, holding, names

REQUEST: ContextVar[str] = ContextVar("request")


async def test_an_error_undoes_its_own_write_only(db: Database) -> None:
    first = Held("held")
    failing = Held("failing", ValueError("mine alone"))
    failing.let_go.set()
    async with holding(db, first):
        works: list[Work[None]] = [add("a"), failing, add("b"), add("a"), add("c")]
        tasks = [asyncio.create_task(db.write(work)) for work in works]
        await asyncio.sleep(0)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[1], ValueError)
    assert sum(isinstance(result, Conflict) for result in results) == 1
    assert await names(db) == ["a", "b", "c", "held"]


async def test_what_waits_together_is_committed_together(file: SqliteDatabase) -> None:
    before = file.commits
    async with holding(file, Held("held")):
        tasks = [asyncio.create_task(file.write(add(f"{n:03}"))) for n in range(120)]
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert len(await names(file)) == 121
    assert file.commits - before == 3  # fifty at most in each


async def test_nobody_is_answered_before_the_commit(file: SqliteDatabase) -> None:
    second = Held("second")
    first = asyncio.create_task(file.write(add("first")))
    async with holding(file, second):
        assert not first.done()
        assert await names(file) == []
    assert first.done()
    assert await names(file) == ["first", "second"]


async def test_a_commit_that_fails_is_told_to_everybody_in_it(file: SqliteDatabase) -> None:
    bad = ask("INSERT INTO parts (thing_id, late_id) SELECT id, 42 FROM things WHERE name = 'held'")
    first = Held("held")
    async with holding(file, first) as held:
        tasks = [asyncio.create_task(file.write(work)) for work in (add("a"), bad, add("b"))]
        await asyncio.sleep(0)
    for task in (held, *tasks):
        with pytest.raises(Unavailable, match="FOREIGN KEY"):
            await task
    assert await names(file) == []
    await file.write(add("next"))
    assert await names(file) == ["next"]


async def test_a_file_that_another_process_holds_is_unavailable(
    tmp_path: Path, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_MS", 20)
    stores = await open_stores(f"sqlite:///{tmp_path}/busy.sqlite", migrations=migrations)
    other = sqlite3.connect(tmp_path / "busy.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = [asyncio.create_task(stores.main.write(add(name))) for name in "acd"]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    other.execute("ROLLBACK")
    other.close()
    for task in waiting:  # all waited as long, so none waits once more
        with pytest.raises(Unavailable, match="locked"):
            await task
    await stores.main.write(add("b"))
    assert await names(stores.main) == ["b"]
    await stores.close()


async def test_a_cancelled_caller_leaves_its_transaction_running(db: Database) -> None:
    held = Held("held")
    async with holding(db, held) as task:
        waiting = asyncio.create_task(db.write(add("waiting")))
        staying = asyncio.create_task(db.write(add("staying")))
        await asyncio.sleep(0)
        for one in (task, waiting):
            one.cancel()
            with pytest.raises(asyncio.CancelledError):
                await one
    await staying
    for name in ("held", "waiting", "staying"):
        await appears(db, name)


async def test_a_cancelled_reader_does_no_harm(db: Database) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def slow(tx: Tx) -> None:
        await tx.all("SELECT 1 AS one")
        begun.set()
        await let_go.wait()

    for _ in range(12):  # more than there are connections
        begun.clear()
        let_go.clear()
        task = asyncio.create_task(db.read(slow))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        let_go.set()
    assert await names(db) == []


@pytest.mark.parametrize(("error", "logged"), [(ValueError("a defect"), 1), (Refusal("not now"), 0)])
async def test_what_nobody_is_left_to_hear_is_logged_unless_it_is_a_refusal(
    db: Database, error: Exception, logged: int
) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about["exception"]))
    held = Held("held", error)
    async with holding(db, held) as task:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await db.write(add("next"))
    await db.close()
    gc.collect()
    assert told == [error] * logged


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
async def test_a_work_that_is_cancelled_from_inside_stops_nothing_else(db: Database, error: BaseException) -> None:
    work = Held("cancelled", error)
    work.let_go.set()
    with pytest.raises((Unavailable, GeneratorExit)):
        await db.write(work)
    with pytest.raises((Unavailable, GeneratorExit)):
        await db.read(lambda tx: raising(error))
    await db.write(add("next"))
    assert await names(db) == ["next"]


async def raising(error: BaseException) -> None:
    raise error


async def test_a_work_sees_its_callers_context(db: Database) -> None:
    async def work(tx: Tx) -> str:
        return REQUEST.get()

    async def caller(name: str) -> tuple[str, str]:
        REQUEST.set(name)
        return await db.write(work), await db.read(work)

    assert await caller("a") == ("a", "a")
    async with holding(db, Held("held")):
        tasks = [asyncio.create_task(caller(name)) for name in ("b", "c")]
        await asyncio.sleep(0)
    assert [await task for task in tasks] == [("b", "b"), ("c", "c")]


async def test_a_read_is_a_snapshot(db: Database) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    async def twice(tx: Tx) -> tuple[int, int]:
        first = await tx.all("SELECT * FROM things")
        begun.set()
        await let_go.wait()
        return len(first), len(await tx.all("SELECT * FROM things"))

    await db.write(add("old"))
    reading = asyncio.create_task(db.read(twice))
    await begun.wait()
    await db.write(add("new"))
    let_go.set()
    assert await reading == (1, 1)
    assert await names(db) == ["new", "old"]


async def test_a_read_sees_nothing_uncommitted(db: Database) -> None:
    async with holding(db, Held("held")):
        assert await names(db) == []
    assert await names(db) == ["held"]


async def test_a_read_writes_nothing(db: Database) -> None:
    with pytest.raises(Exception, match=r"read-?only"):
        await db.read(add("a"))
    assert await names(db) == []


async def test_a_locked_row_makes_writers_take_turns(db: Database) -> None:
    async def increment(tx: Tx) -> None:
        row = await tx.one("SELECT n FROM things WHERE name = 'counter' FOR UPDATE")
        assert row is not None
        await asyncio.sleep(0)
        await tx.run("UPDATE things SET n = :n WHERE name = 'counter'", n=row["n"] + 1)

    await db.write(add("counter"))
    await asyncio.gather(*(db.write(increment) for _ in range(30)))
    assert await db.read(ask("SELECT n FROM things")) == [{"n": 30}]


async def test_a_deadlock_is_tried_again(db: Database) -> None:
    """Two transactions that take two rows in opposite order; on SQLite they never meet."""
    both = asyncio.Event()
    begun: list[str] = []

    def taking(first: str, second: str) -> Work[None]:
        async def work(tx: Tx) -> None:
            await tx.run("UPDATE things SET n = n + 1 WHERE name = :name", name=first)
            begun.append(first)
            if len(begun) == 2:
                both.set()
            if isinstance(db, SqliteDatabase):
                both.set()
            await both.wait()
            await tx.run("UPDATE things SET n = n + 1 WHERE name = :name", name=second)

        return work

    await db.write(add("a"))
    await db.write(add("b"))
    await asyncio.gather(db.write(taking("a", "b")), db.write(taking("b", "a")))
    assert await db.read(ask("SELECT n FROM things")) == [{"n": 2}, {"n": 2}]
    assert len(begun) == (2 if isinstance(db, SqliteDatabase) else 3)


async def test_logs_do_not_wait_for_the_rest(stores: Stores) -> None:
    async with holding(stores.main, Held("held")):
        assert await stores.logs.write(ask("INSERT INTO chunks DEFAULT VALUES RETURNING id")) == [{"id": 1}]
