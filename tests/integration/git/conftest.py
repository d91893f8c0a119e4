from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.git.remotes import KINDS, Remote, remote


@pytest.fixture(params=KINDS)
async def any_remote(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Remote]:
    async with remote(request.param, tmp_path) as made:
        yield made


@pytest.fixture
async def by_path(tmp_path: Path) -> AsyncIterator[Remote]:
    async with remote("path", tmp_path) as made:
        yield made


@pytest.fixture
async def by_http(tmp_path: Path) -> AsyncIterator[Remote]:
    async with remote("http", tmp_path) as made:
        yield made
