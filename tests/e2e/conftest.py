import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import PostgresServer
from tests.e2e.rig import HOSTS, World, world_in


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    """GitHub, app and one runner, all running, on SQLite and on PostgreSQL."""
    async with world_in(tmp_path, database_url) as made:
        await made.start()
        yield made
        made.said_nothing_odd()


@pytest.fixture
async def one_database(request: pytest.FixtureRequest, tmp_path: Path, migrations: Path) -> AsyncIterator[str]:
    """For what does not depend on the database: SQLite, or with KEDGE_TEST_DATABASE=postgres PostgreSQL, so that the
    whole suite can be run on it."""
    if os.environ.get("KEDGE_TEST_DATABASE") != "postgres":
        yield f"sqlite:///{tmp_path / 'kedge.sqlite'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    async with server.database(migrations) as url:
        yield url


@pytest.fixture
async def quiet(tmp_path: Path, one_database: str) -> AsyncIterator[World]:
    """GitHub alone, for tests that start app and runner themselves."""
    async with world_in(tmp_path, one_database) as made:
        yield made
        made.said_nothing_odd()


@pytest.fixture
async def small(quiet: World) -> World:
    """As `world`, but on one database only: for what does not depend on it."""
    await quiet.start()
    return quiet


# What is the same at every provider


@pytest.fixture(params=HOSTS)
async def any_world(request: pytest.FixtureRequest, tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    """As `world`, at every provider."""
    async with world_in(tmp_path, database_url, via=request.param) as made:
        await made.start()
        yield made
        made.said_nothing_odd()


@pytest.fixture(params=HOSTS)
async def any_quiet(request: pytest.FixtureRequest, tmp_path: Path, one_database: str) -> AsyncIterator[World]:
    """As `quiet`, at every provider."""
    async with world_in(tmp_path, one_database, via=request.param) as made:
        yield made
        made.said_nothing_odd()


@pytest.fixture
async def any_small(any_quiet: World) -> World:
    """As `small`, at every provider."""
    await any_quiet.start()
    return any_quiet
