"""What every Database promises, on each kind; the schema is this test's own."""

import asyncio
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest

from ghapp.store import sqlite
from ghapp.store.base import Conflict, Database, Row, StoreError, Tx, Unavailable, Violation, Work
from ghapp.store.sqlite import SqliteDatabase, check_version, open_sqlite
from ghapp.store.stores import Stores, open_stores, sqlite_path

MAIN = """
CREATE TABLE things (
  id {id},
  name TEXT NOT NULL,
  n BIGINT NOT NULL DEFAULT 0 CHECK (n >= 0),
  body {blob},
  UNIQUE (name, n)
);
CREATE TABLE parts (
  id {id},
  thing_id BIGINT NOT NULL REFERENCES things (id),
  late_id BIGINT REFERENCES things (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX one_part ON parts (thing_id) WHERE late_id IS NULL;
"""

REQUEST: ContextVar[str] = ContextVar("request")


@pytest.fixture(scope="module")
def migrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("migrations")
    for name, sql in (("main", MAIN), ("logs", "CREATE TABLE chunks (id {id});")):
        (folder / name).mkdir()
        (folder / name / "0001_first.sql").write_text(sql)
    return folder


@pytest.fixture
def db(stores: Stores) -> Database:
    return stores.main


@pytest.fixture
async def file(tmp_path: Path, migrations: Path) -> AsyncIterator[SqliteDatabase]:
    """For what SQLite alone promises."""
    opened = await open_stores(f"sqlite:///{tmp_path}/only.sqlite", migrations=migrations)
    assert isinstance(opened.main, SqliteDatabase)
    yield opened.main
    await opened.close()


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


# What a statement is


async def test_values_come_back_as_they_went_in(db: Database) -> None:
    async def work(tx: Tx) -> Row | None:
        return await tx.one(
            "INSERT INTO things (name, n, body) VALUES (:name, :n, :body) RETURNING name, n, body, id",
            name="ünï'; DROP TABLE things; --",
            n=2**53,
            body=b"\x00\xff",
        )

    row = await db.write(work)
    assert row == {"name": "ünï'; DROP TABLE things; --", "n": 2**53, "body": b"\x00\xff", "id": 1}
    assert isinstance(row, dict)


async def test_a_boolean_is_stored_as_a_number(db: Database) -> None:
    await db.write(add("yes", True))
    assert await db.read(ask("SELECT n FROM things WHERE n = :n", n=True)) == [{"n": 1}]


async def test_one_is_the_first_row_or_none_and_run_counts(db: Database) -> None:
    async def work(tx: Tx) -> None:
        for name in ("a", "b", "c"):
            assert await tx.run("INSERT INTO things (name) VALUES (:name)", name=name) == 1
        assert await tx.one("SELECT name FROM things ORDER BY name DESC") == {"name": "c"}
        assert await tx.one("SELECT name FROM things WHERE name = 'z'") is None
        assert await tx.run("UPDATE things SET n = 7 WHERE name <> :name", name="a") == 2
        assert await tx.run("DELETE FROM things WHERE n = 9") == 0
        assert await tx.run("CREATE TABLE more (id BIGINT)") <= 0

    await db.write(work)


async def test_parameters_are_found_where_they_are_and_nowhere_else(db: Database) -> None:
    sql = """
        SELECT ':not_a' || :a::text AS "b:b", -- :not_b, isn't one
          :n :: bigint + :n AS sum, 'it''s :not_c' AS quoted /* :not_d */, :_x1::text AS last
        FROM (SELECT 1) AS one WHERE :a::text IS NOT NULL AND :unset::bigint IS NULL
    """
    rows = await db.read(ask(sql, a="!", n=2**40, _x1="x", unset=None))
    assert rows == [{"b:b": ":not_a!", "sum": 2**41, "quoted": "it's :not_c", "last": "x"}]


async def test_a_parameter_that_is_missing_is_an_error(db: Database) -> None:
    with pytest.raises((KeyError, sqlite3.ProgrammingError)):
        await db.read(ask("SELECT :a::text AS a"))


@pytest.mark.parametrize("chosen", [["a"], ["a", "c", "?'\""], [], ("b",)])
async def test_a_list_is_one_parameter(db: Database, chosen: Sequence[str]) -> None:
    for n, name in enumerate("abc"):
        await db.write(add(name, n))
    inside = await db.read(ask("SELECT name FROM things WHERE name = ANY(:chosen)", chosen=chosen))
    outside = await db.read(ask("SELECT name FROM things WHERE name <> ALL ( :chosen )", chosen=chosen))
    assert {row["name"] for row in inside} == set(chosen) & set("abc")
    assert {row["name"] for row in outside} == set("abc") - set(chosen)
    numbers = await db.read(ask("SELECT n FROM things WHERE n = ANY(:numbers) ORDER BY n", numbers=[2, 0, 9]))
    assert numbers == [{"n": 0}, {"n": 2}]


@pytest.mark.parametrize("lock", ["FOR UPDATE", "FOR UPDATE SKIP LOCKED", "for update of things", "FOR NO KEY UPDATE"])
async def test_row_locks_are_written_once(db: Database, lock: str) -> None:
    await db.write(add("for update"))
    sql = f"SELECT name FROM things WHERE name = 'for update' {lock}"
    assert await db.write(ask(sql)) == [{"name": "for update"}]


async def test_insert_or_leave(db: Database) -> None:
    await db.write(add("a"))
    again = ask("INSERT INTO things (name) VALUES ('a') ON CONFLICT (name, n) DO NOTHING RETURNING id")
    assert await db.write(again) == []


# Errors


async def test_a_unique_constraint_names_its_columns_not_the_values(db: Database) -> None:
    await db.write(add("s3cret"))
    with pytest.raises(Conflict) as caught:
        await db.write(add("s3cret"))
    assert (caught.value.table, caught.value.columns) == ("things", ("name", "n"))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_partial_unique_index_and_a_key_are_conflicts_too(db: Database) -> None:
    await db.write(add("a"))
    await db.write(ask("INSERT INTO parts (thing_id) VALUES (1)"))
    with pytest.raises(Conflict) as caught:
        await db.write(ask("INSERT INTO parts (thing_id) VALUES (1)"))
    assert (caught.value.table, caught.value.columns) == ("parts", ("thing_id",))
    with pytest.raises(Conflict) as caught:
        await db.write(ask("INSERT INTO things (id, name) VALUES (1, 'b')"))
    assert caught.value.columns == ("id",)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO parts (thing_id) VALUES (42)",
        "INSERT INTO things (name) VALUES (NULL)",
        "INSERT INTO things (name, n) VALUES ('a', -1)",
    ],
)
async def test_other_constraints_are_violations(db: Database, sql: str) -> None:
    with pytest.raises(Violation) as caught:
        await db.write(ask(sql))
    assert not isinstance(caught.value, Conflict)


async def test_wrong_sql_is_the_drivers_own_error(db: Database) -> None:
    with pytest.raises(Exception, match="nothing_of_that_name") as caught:
        await db.read(ask("SELECT * FROM nothing_of_that_name"))
    assert not isinstance(caught.value, StoreError)


async def test_an_error_that_the_work_hides_undoes_it_all_the_same(db: Database) -> None:
    async def hides(tx: Tx) -> str:
        await add("before")(tx)
        try:
            await tx.run("INSERT INTO parts (thing_id) VALUES (42)")
        except Violation:
            return "saved, or so it says"
        raise AssertionError

    with pytest.raises(Violation):
        await db.write(hides)
    assert await names(db) == []


async def test_no_statement_follows_a_failed_one(db: Database) -> None:
    async def goes_on(tx: Tx) -> None:
        try:
            await tx.run("INSERT INTO parts (thing_id) VALUES (42)")
        except Violation:
            await add("after")(tx)

    with pytest.raises(RuntimeError, match="has failed"):
        await db.write(goes_on)
    assert await names(db) == []


async def test_a_transaction_ends_with_its_work(db: Database) -> None:
    kept: list[Tx] = []

    async def keeps(tx: Tx) -> None:
        kept.append(tx)

    await db.write(keeps)
    with pytest.raises(RuntimeError, match="has ended"):
        await add("late")(kept[0])


async def test_a_work_has_no_second_way_to_the_database(stores: Stores) -> None:
    async def nested(tx: Tx) -> None:
        await stores.logs.write(ask("SELECT 1"))

    async def nested_read(tx: Tx) -> None:
        await names(stores.main)

    for work in (nested, nested_read):
        with pytest.raises(RuntimeError, match="its own Tx"):
            await stores.main.write(work)
        with pytest.raises(RuntimeError, match="its own Tx"):
            await stores.main.read(work)


# Transactions


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
    with pytest.raises(Unavailable, match="locked"):
        await stores.main.write(add("a"))
    other.execute("ROLLBACK")
    other.close()
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


# Life and death


async def test_closing_finishes_what_was_handed_in(stores: Stores, database_url: str, migrations: Path) -> None:
    held = Held("held")
    writes = [asyncio.create_task(stores.main.write(work)) for work in (held, add("a"), add("b"))]
    await held.begun.wait()
    closing = asyncio.create_task(stores.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="closed"):
        await stores.main.write(add("late"))
    with pytest.raises(Unavailable, match="closed"):
        await names(stores.main)
    held.let_go.set()
    await closing
    assert all(write.done() for write in writes)
    again = await open_stores(database_url, migrations=migrations)
    assert await names(again.main) == ["a", "b", "held"]
    await again.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from ghapp.store.stores import open_stores

async def main():
    stores = await open_stores(sys.argv[1], migrations=Path(sys.argv[2]))
    for n in range(10**6):
        await stores.main.write(lambda tx: tx.run("INSERT INTO things (name, n) VALUES ('kept', :n)", n=n))
        print("committed", flush=True)

asyncio.run(main())
"""


async def test_what_was_committed_outlives_a_kill(database_url: str, migrations: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, database_url, str(migrations), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    for _ in range(25):
        assert await child.stdout.readline() == b"committed\n"
    child.kill()
    told = 25 + (await child.stdout.read()).count(b"committed\n")
    await child.wait()
    stores = await open_stores(database_url, migrations=migrations)
    rows = await stores.main.read(ask("SELECT n FROM things ORDER BY n"))
    assert [row["n"] for row in rows][:told] == list(range(told))
    await stores.close()


async def test_a_commit_on_sqlite_waits_for_the_disk(file: SqliteDatabase) -> None:
    assert await file.write(ask("PRAGMA synchronous")) == [{"synchronous": 2}]  # FULL
    assert await file.write(ask("PRAGMA journal_mode")) == [{"journal_mode": "wal"}]


async def test_a_lost_connection_is_unavailable_and_the_next_one_works(db: Database) -> None:
    if isinstance(db, SqliteDatabase):
        return  # has none

    async def work(tx: Tx) -> None:
        await add("lost")(tx)
        await tx.all("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(Unavailable):
        await db.write(work)
    await db.write(add("next"))
    assert await names(db) == ["next"]


# Opening


async def test_a_server_that_is_not_there_is_unavailable_and_its_password_stays_out() -> None:
    with pytest.raises(Unavailable) as caught:
        await open_stores("postgres://kedge:s3cret@127.0.0.1:1/kedge?sslmode=disable")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgres://kedge:s3/cret@127.0.0.1/kedge", "mysql://kedge:s3/cret@127.0.0.1/kedge"])
async def test_a_wrong_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(StoreError, match="DATABASE_URL") as caught:
        await open_stores(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_sqlite_urls() -> None:
    assert sqlite_path("sqlite:////var/lib/kedge.sqlite") == Path("/var/lib/kedge.sqlite")
    assert sqlite_path("sqlite:///a b/100%.sqlite") == Path("a b/100%.sqlite")


@pytest.mark.parametrize("url", ["sqlite://kedge.sqlite", "sqlite:///", "sqlite:///:memory:", "sqlite:///a?mode=ro"])
def test_wrong_sqlite_urls(url: str) -> None:
    with pytest.raises(StoreError, match="sqlite:////absolute/path or sqlite:///relative"):
        sqlite_path(url)


async def test_the_files_are_their_owners_alone(tmp_path: Path, migrations: Path) -> None:
    stores = await open_stores(f"sqlite:///{tmp_path}/kedge.sqlite", migrations=migrations)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("kedge*")}
    await stores.close()
    assert {"kedge.sqlite", "kedge.sqlite-wal", "kedge-logs.sqlite"} <= files.keys()
    assert set(files.values()) == {0o600}


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nowhere"):
        await open_sqlite(tmp_path / "nowhere" / "kedge.sqlite")


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, " * 100)
    with pytest.raises(Unavailable, match=r"notes\.txt.*not a database"):
        await open_sqlite(tmp_path / "notes.txt")


def test_an_old_sqlite_is_refused_with_a_way_on() -> None:
    with pytest.raises(StoreError, match=r"3\.34\.1.*3\.35 or newer.*PostgreSQL"):
        check_version((3, 34, 1))
    check_version((3, 35, 0))
