from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.rig import World, world_in


@pytest.fixture
async def world(tmp_path: Path, database_url: str) -> AsyncIterator[World]:
    """GitHub, app and one runner, all running, on SQLite and on PostgreSQL."""
    async with world_in(tmp_path, database_url) as made:
        await made.start_app()
        await made.start_runner()
        yield made
