"""Fixtures of the GitHub provider's tests."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from ghapp.vcs.github import GitHubRepository
from tests.integration.github.stand_in import TOKEN, StandIn, repository_at, tokens


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def github() -> AsyncIterator[StandIn]:
    async with StandIn().running() as stand_in:
        yield stand_in
        assert stand_in.unexpected == []


@pytest.fixture
async def session(no_proxy: None) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain one: loading the CAs takes a tenth of a second, and the stand-in speaks HTTP."""
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def repository(github: StandIn, session: aiohttp.ClientSession) -> GitHubRepository:
    return repository_at(session, github.url, "o/r", tokens(TOKEN))
