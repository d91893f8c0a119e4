"""Opening, closing, and what outlives a kill."""

import asyncio
import stat
import sys
import threading
from collections.abc import Coroutine, Generator
from pathlib import Path
from typing import Any

import pytest

from ghapp.store.base import Database, StoreError, Tx, Unavailable
from ghapp.store.sqlite import SqliteDatabase, check_version, open_sqlite
from ghapp.store.stores import Stores, open_stores, sqlite_path
from tests.contract.database.works import Held, add, ask, names


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


CRASHER = """
import asyncio, sys
from pathlib import Path
from ghapp.store.stores import open_stores

async def main():
    stores = await open_stores(sys.argv[1], migrations=Path(sys.argv[2]))
    await stores.main.write(lambda tx: tx.run("INSERT INTO things (name) VALUES ('kept')"))
    begun = asyncio.Event()
    async def endless(tx):
        await tx.all("INSERT INTO things (name) VALUES ('lost') RETURNING id")
        begun.set()
        await asyncio.Event().wait()
    left = [asyncio.create_task(stores.main.write(endless)) for _ in range(2)]
    left += [asyncio.create_task(stores.main.read(lambda tx: asyncio.Event().wait())) for _ in range(5)]
    await begun.wait()
    sys.exit(7)

asyncio.run(main())
"""


async def test_a_process_that_forgets_to_close_still_ends(database_url: str, migrations: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CRASHER, database_url, str(migrations), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        _, errors = await child.communicate()
    assert child.returncode == 7
    assert b"Exception in thread" not in errors
    stores = await open_stores(database_url, migrations=migrations)
    assert await names(stores.main) == ["kept"]
    await stores.close()


class InterruptedAt:
    """Runs a coroutine, and at its n-th wait ends it as the end of the event loop does: every task is cancelled."""

    def __init__(self, work: Coroutine[Any, Any, object], n: int) -> None:
        self._work, self._n = work, n

    def __await__(self) -> Generator[Any, Any, bool]:
        try:
            waits_for = self._work.send(None)
            for _ in range(self._n):
                yield waits_for
                waits_for = self._work.send(None)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            waits_for = self._work.throw(asyncio.CancelledError())
            while True:
                yield waits_for
                waits_for = self._work.send(None)
        except StopIteration:
            return False
        except asyncio.CancelledError:
            return True


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # aiosqlite's, loop is closed
def test_an_interrupted_start_leaves_no_thread(tmp_path: Path, migrations: Path) -> None:
    before = set(threading.enumerate())

    async def interrupted(n: int) -> bool:
        work = open_then_close(f"sqlite:///{tmp_path}/{n}.sqlite", migrations)
        return await InterruptedAt(work, n)

    awaits = 0
    while asyncio.run(interrupted(awaits)):
        awaits += 1
        for thread in set(threading.enumerate()) - before:
            thread.join(20)
            assert not thread.is_alive(), awaits
    assert awaits > 10


async def open_then_close(url: str, migrations: Path) -> None:
    await (await open_stores(url, migrations=migrations)).close()


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
