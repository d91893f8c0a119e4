from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.rig import World, world_in


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    """GitHub, app and one runner, all running, on SQLite and on PostgreSQL."""
    async with world_in(tmp_path, database_url) as made:
        await made.start()
        yield made
        made.said_nothing_odd()


@pytest.fixture
async def quiet(tmp_path: Path) -> AsyncIterator[World]:
    """GitHub alone, for tests that start app and runner themselves. On SQLite, as `small`."""
    async with world_in(tmp_path, f"sqlite:///{tmp_path / 'kedge.sqlite'}") as made:
        yield made
        made.said_nothing_odd()


@pytest.fixture
async def small(quiet: World) -> World:
    """As `world`, but on SQLite only: for what does not depend on the database."""
    await quiet.start()
    return quiet
