from collections.abc import AsyncIterator

import pytest

from ghapp.store.stores import Stores
from tests.protocol.rig import Rig, rig_on


@pytest.fixture
async def rig(stores: Stores) -> AsyncIterator[Rig]:
    """The app on SQLite and on PostgreSQL."""
    async with rig_on(stores) as made:
        yield made
