import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import PostgresServer
from tests.e2e.rig import World, world_in


@pytest.fixture
def via(request: pytest.FixtureRequest) -> str:
    """The provider of a test's world: GitHub, or where a test is the same at several, each of `HOSTS`."""
    return getattr(request, "param", "github")


@pytest.fixture
async def world(tmp_path: Path, database_url: str, via: str) -> AsyncIterator[World]:
    """The provider, app and one runner, all running, on SQLite and on PostgreSQL."""
    async with world_in(tmp_path, database_url, via=via) as made:
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
async def quiet(tmp_path: Path, one_database: str, via: str) -> AsyncIterator[World]:
    """The provider alone, for tests that start app and runner themselves."""
    async with world_in(tmp_path, one_database, via=via) as made:
        yield made
        made.said_nothing_odd()


@pytest.fixture
async def small(quiet: World) -> World:
    """As `world`, but on one database only: for what does not depend on it."""
    await quiet.start()
    return quiet
