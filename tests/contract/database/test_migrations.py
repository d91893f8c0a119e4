"""Migrations: applied once and in order, or a sentence that says what to do."""

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ghapp.store.base import Unavailable
from ghapp.store.migrate import MigrationError, load
from ghapp.store.sql import statements
from ghapp.store.stores import MIGRATIONS, open_stores
from tests.contract.database.works import add, ask, names

RECORD = "SELECT number, name FROM migrations ORDER BY number"

Upgrade = Callable[[], Awaitable[None]]


@pytest.fixture
def folder(migrations: Path, tmp_path: Path) -> Path:
    """A copy of the migrations, to be changed; its `main` has one, which the database has too."""
    return Path(shutil.copytree(migrations, tmp_path / "migrations"))


@pytest.fixture
async def upgrade(database_url: str, migrations: Path, folder: Path) -> Upgrade:
    """Start with what now is in `folder`, on a database that has been in use."""
    stores = await open_stores(database_url, migrations=migrations)
    await stores.main.write(add("old"))
    await stores.close()

    async def start() -> None:
        await (await open_stores(database_url, migrations=folder)).close()

    return start


async def look(url: str, folder: Path, sql: str) -> object:
    stores = await open_stores(url, migrations=folder)
    try:
        return await stores.main.read(ask(sql))
    finally:
        await stores.close()


async def test_new_ones_are_applied_once_in_order(upgrade: Upgrade, database_url: str, folder: Path) -> None:
    (folder / "main" / "0002_words.sql").write_text(
        """-- It's about words; and what they say.
        CREATE TABLE words (id {id}, word TEXT NOT NULL DEFAULT ';--', body {blob}); /* one; two */
        INSERT INTO words (word) VALUES ('it''s {}; :done')"""
    )
    (folder / "main" / "0003_more.sql").write_text("INSERT INTO words (word) SELECT name FROM things;")
    await upgrade()
    await upgrade()
    words = await look(database_url, folder, "SELECT id, word FROM words ORDER BY id")
    assert words == [{"id": 1, "word": "it's {}; :done"}, {"id": 2, "word": "old"}]
    record = await look(database_url, folder, RECORD)
    assert record == [
        {"number": 1, "name": "first"},
        {"number": 2, "name": "words"},
        {"number": 3, "name": "more"},
    ]


async def test_one_that_fails_leaves_nothing_and_keeps_those_before(
    upgrade: Upgrade, database_url: str, folder: Path
) -> None:
    (folder / "main" / "0002_good.sql").write_text("CREATE TABLE good (id {id});")
    bad = folder / "main" / "0003_bad.sql"
    bad.write_text(
        "CREATE TABLE half (id {id}); INSERT INTO things (name) VALUES ('half'); INSERT INTO nowhere VALUES (1);"
    )
    with pytest.raises(MigrationError, match=r"0003_bad failed.*nowhere"):
        await upgrade()
    bad.write_text("CREATE TABLE half (id {id});")
    await upgrade()
    stores = await open_stores(database_url, migrations=folder)
    assert await names(stores.main) == ["old"]
    await stores.close()


async def test_a_changed_one_stops_the_start(upgrade: Upgrade, folder: Path) -> None:
    path = folder / "main" / "0001_first.sql"
    path.write_text(path.read_text() + "\n-- changed my mind\n")
    with pytest.raises(MigrationError, match=r"0001_first\.sql was changed.*Put the file back.*new migration"):
        await upgrade()


async def test_a_newer_database_stops_the_start(upgrade: Upgrade, folder: Path) -> None:
    newer = folder / "main" / "0002_newer.sql"
    newer.write_text("CREATE TABLE newer (id {id});")
    await upgrade()
    newer.unlink()
    with pytest.raises(MigrationError, match=r"newer Kedge.*0002_newer.*ends at 0001.*Start the newer version"):
        await upgrade()


async def test_a_gap_in_the_record_stops_the_start(upgrade: Upgrade, database_url: str, folder: Path) -> None:
    for number in (2, 3):
        (folder / "main" / f"000{number}_more.sql").write_text(f"CREATE TABLE more{number} (id {{id}});")
    await upgrade()
    stores = await open_stores(database_url, migrations=folder)
    await stores.main.write(ask("DELETE FROM migrations WHERE number = 2"))
    await stores.close()
    with pytest.raises(MigrationError, match=r"0003_more but not 0002_more.*backup"):
        await upgrade()


async def test_starting_at_once_applies_each_once(upgrade: Upgrade, database_url: str, folder: Path) -> None:
    for number in range(2, 6):
        (folder / "main" / f"000{number}_more.sql").write_text(
            f"CREATE TABLE more{number} (id {{id}}); INSERT INTO things (name) VALUES ('more{number}');"
        )
    await asyncio.gather(*(upgrade() for _ in range(5)))
    found = await look(database_url, folder, "SELECT name FROM things ORDER BY name")
    assert found == [{"name": name} for name in ("more2", "more3", "more4", "more5", "old")]


OPENER = """
import asyncio, sys
from pathlib import Path
from ghapp.store.stores import open_stores

async def main():
    await (await open_stores(sys.argv[1], migrations=Path(sys.argv[2]))).close()

asyncio.run(main())
"""


async def test_processes_that_make_one_file_at_once(tmp_path: Path, migrations: Path) -> None:
    command = [sys.executable, "-c", OPENER, f"sqlite:///{tmp_path}/new.sqlite", str(migrations)]
    children = [await asyncio.create_subprocess_exec(*command) for _ in range(4)]
    assert [await child.wait() for child in children] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    "files",
    [
        ["0001_a.sql", "0003_b.sql"],
        ["0002_a.sql"],
        ["0001_a.sql", "0001_b.sql"],
        ["1_a.sql"],
        ["0001-a.sql"],
        [],
    ],
)
def test_files_are_numbered_without_a_gap(tmp_path: Path, files: list[str]) -> None:
    for file in files:
        (tmp_path / file).write_text("")
    with pytest.raises(MigrationError, match=r"NNNN_name\.sql|has no migrations"):
        load(tmp_path)


async def test_the_real_ones_apply_from_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/kedge.sqlite"
    rows = await look(url, MIGRATIONS, "SELECT count(*) AS n FROM migrations")
    assert rows == [{"n": len(load(MIGRATIONS / "main"))}]


async def test_a_full_disk_is_not_blamed_on_the_migration(tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "0001_first.sql").write_text("SELECT 1")
    (tmp_path / "main" / "0001_first.sql").write_text(
        "PRAGMA max_page_count = 1; CREATE TABLE big (body {blob}); INSERT INTO big VALUES (zeroblob(100000));"
    )
    with pytest.raises(Unavailable, match="full"):
        await open_stores(f"sqlite:///{tmp_path}/full.sqlite", migrations=tmp_path)


def test_a_script_is_split_where_its_statements_end() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; DELETE FROM c WHERE x = ';'; END;"
    script = (
        f"CREATE TABLE a (x TEXT DEFAULT ';');\n{trigger}\n-- one; two\nSELECT 'it''s'; /* three; */\n-- the end;\n"
    )
    assert list(statements(script)) == ["CREATE TABLE a (x TEXT DEFAULT ';');", trigger, "-- one; two\nSELECT 'it''s';"]
