"""A schema of these tests' own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ghapp.store.base import Database
from ghapp.store.sqlite import SqliteDatabase
from ghapp.store.stores import Stores, open_stores

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


@pytest.fixture(scope="session")
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
