"""A repository with its workspaces, by file or behind a server that wants a token."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.workspace.repositories import TOKEN, GitServer, serving
from tests.integration.workspace.tools import Desk, desk


@pytest.fixture
def shop(tmp_path: Path) -> Desk:
    """Fetches from a folder."""
    return desk(tmp_path)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[GitServer]:
    (tmp_path / "repos").mkdir(exist_ok=True)
    async with serving(tmp_path / "repos") as server:
        yield server


@pytest.fixture
def remote_shop(shop: Desk, server: GitServer) -> Desk:
    """Fetches from the server, with a token, on a runner whose environment has what is not for git."""
    shop.url = server.url(shop.repo)
    shop.token = lambda: TOKEN
    return shop
