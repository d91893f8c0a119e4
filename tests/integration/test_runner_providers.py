"""What a runner opens to ask a code host it closes, however the deploy ends."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ghapp import wire
from ghapp.core.values import Repository
from ghapp.vcs.github_runner import GitHub
from ghapp.vcs.provider import Opening
from tests.integration.runner_world import World, until
from tests.integration.runner_world import world as make_world


@dataclass
class Share:
    """Where the host keeps its files, and whether it answers; ``opened`` and ``closed`` are what looks there."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0
    opened: list["Shared"] = field(default_factory=list)
    closed: list["Shared"] = field(default_factory=list)

    async def export(self, sha: str, folder: Path) -> None:
        self.asked += 1
        await self.answers.wait()


class Shared(GitHub):
    share: Share

    def __init__(self, opening: Opening) -> None:
        super().__init__(opening)
        self.share.opened.append(self)

    def tree(self, repository: Repository) -> Share:
        return self.share

    async def close(self) -> None:
        self.share.closed.append(self)
        raise OSError("it resists")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with make_world(tmp_path) as made:
        yield made


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch) -> Share:
    share = Share()
    monkeypatch.setattr(Shared, "share", share, raising=False)
    return share


def of_the_share(world: World) -> wire.WireRepository:
    return wire.WireRepository(
        id=1,
        full_name="getsentry/sentry",
        clone_url="",
        provider="tests.integration.test_runner_providers:Shared",
        api_url=world.github.url,
    )


async def test_a_provider_is_closed_at_the_end_of_its_deploy(world: World, share: Share) -> None:
    share.answers.set()
    deploy = world.ask(world.tally(), repository=of_the_share(world))
    async with world.running():
        await world.ended(deploy)
        await until(lambda: share.closed, "it is closed")
    assert (deploy.state, world.times("runs")) == ("succeeded", 1)
    assert share.closed == share.opened and len(share.opened) == 1


async def test_a_provider_is_closed_when_the_runner_stops_and_when_it_goes_on(world: World, share: Share) -> None:
    deploy = world.ask(world.tally(), repository=of_the_share(world))
    async with world.running():
        await until(lambda: share.asked, "files are asked for")
    assert share.closed == share.opened and len(share.opened) == 1
    share.answers.set()
    async with world.running():
        await world.ended(deploy)
    assert (deploy.state, world.times("runs")) == ("succeeded", 1)
    assert set(share.closed) == set(share.opened) and len(share.closed) == len(share.opened) > 1
