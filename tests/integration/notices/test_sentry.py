"""Sentry hears of what went live, once, and in order; what it refuses is told in words."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest

from ghapp.channels.sentry import SentryClient
from ghapp.core.remote import RateLimited, RemoteError, Unavailable
from ghapp.service import messaging, reload
from ghapp.service.sentry_telling import NAME, SentryTelling
from ghapp.store import events
from ghapp.store.deploys import Deploy
from ghapp.store.stores import Stores
from tests.integration.commit_graph import Commits, sha
from tests.integration.kedge_world import World, world
from tests.integration.notices.receiver import Receiver, receiver
from tests.integration.notices.sentry import TOKEN, Sentry

CONFIG = """
shop:
  repository: acme/shop
  deploy: ./deploy
  tasks: {migrate: ./migrate}
  notify: {sentry: {organization: acme, projects: [web]}}
  environments: {staging: {}, production: {notify: {sentry: {organization: acme, projects: [web], environment: prod}}}}
"""


@dataclass
class Watched:
    kedge: World
    sentry: Sentry
    there: Receiver
    github: Commits

    async def goes_live(self, letter: str, environment: str = "staging", exit_code: int = 0, **asked: object) -> Deploy:
        deploy = await self.kedge.running(environment=environment, sha=sha(letter), **asked)
        return await self.kedge.finish(deploy, exit_code)

    async def told(self, after_s: float = 0) -> None:
        self.kedge.now[0] += int(after_s * 1000)
        while await messaging.say_due(self.kedge.ctx, NAME):
            pass

    async def refused(self, deploy: Deploy) -> list[object]:
        recorded = await self.kedge.ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy.id))
        return [one.data["why"] for one in recorded if one.kind == "message_refused"]


@pytest.fixture
async def it(stores: Stores) -> AsyncIterator[Watched]:
    sentry, github = Sentry(), Commits()
    github.grow("abc")
    async with world(stores) as kedge, receiver() as there, aiohttp.ClientSession() as session:
        there.respond = sentry.respond
        kedge.ctx.providers = {"github": github}
        kedge.ctx.channels = {NAME: SentryTelling(SentryClient(session, token=TOKEN, url=there.url))}
        await reload.put_in_force(kedge.ctx, CONFIG)
        assert kedge.ctx.apps.problem is None
        yield Watched(kedge, sentry, there, github)
    assert sentry.violations == []


async def test_a_release_with_its_commits_and_the_deploy(it: Watched) -> None:
    await it.goes_live("a")
    await it.told()
    assert it.sentry.releases[sha("a")]["commits"] == []
    last = await it.goes_live("c")
    await it.told()
    assert [one["id"] for one in it.sentry.releases[sha("c")]["commits"]] == [sha("c"), sha("b")]
    (marked,) = it.sentry.deploys[sha("c")]
    assert (marked["environment"], marked["name"]) == ("staging", last.name)
    assert marked["url"].endswith(f"/shop/deploys/{last.number}")
    assert marked["dateStarted"] < marked["dateFinished"]
    await it.goes_live("c", "production")
    await it.told()
    assert [one["environment"] for one in it.sentry.deploys[sha("c")]] == ["staging", "prod"]


async def test_a_commit_whose_time_is_not_known_is_told_without_one(it: Watched) -> None:
    await it.goes_live("a")
    it.github.committed_at = 0
    await it.goes_live("b")
    await it.told()
    (told,) = it.sentry.releases[sha("b")]["commits"]
    assert told["id"] == sha("b") and "timestamp" not in told


@pytest.mark.parametrize("away", [RateLimited("Too many requests.", retry_after_s=3600), Unavailable("It is away.")])
async def test_a_code_host_that_cannot_tell_the_commits_holds_up_nothing(it: Watched, away: RemoteError) -> None:
    await it.goes_live("a")
    await it.told()
    await it.goes_live("c")
    it.github.away = away
    await it.told()
    assert it.sentry.releases[sha("c")]["commits"] == []
    assert len(it.sentry.deploys[sha("c")]) == 1


async def test_only_what_went_live_is_told(it: Watched) -> None:
    await it.goes_live("a", exit_code=1)
    await it.goes_live("b", task="migrate")
    await it.told()
    assert it.there.got == []


@pytest.mark.parametrize("lost", [[200, "lost"], ["lost"], [500], [409], [408], [(429, 90)]])
async def test_it_is_marked_once_whatever_is_lost(it: Watched, lost: list[int | str | tuple[int, int]]) -> None:
    it.there.answers = list(lost)
    await it.goes_live("a")
    for _ in range(4):
        await it.told(60)
    assert len(it.sentry.deploys[sha("a")]) == 1


async def test_it_is_marked_once_beside_many_others(it: Watched) -> None:
    it.sentry.deploys[sha("a")] = [{"name": f"other#{number}", "url": "x" * 5000} for number in range(100)]
    it.there.answers = [200, 500, 200, 200, "lost"]
    deploy = await it.goes_live("a")
    for _ in range(4):
        await it.told(60)
    assert [one["name"] for one in it.sentry.deploys[sha("a")]].count(deploy.name) == 1


async def test_of_a_long_name_the_number_stays(it: Watched) -> None:
    app = "a" * 63
    await reload.put_in_force(it.kedge.ctx, CONFIG.replace("shop:", f"{app}:", 1))
    it.there.answers = [200, "lost"]
    for environment in ("staging", "production"):
        await it.goes_live("a", environment, app=app)
        for _ in range(3):
            await it.told(60)
    assert [one["name"] for one in it.sentry.deploys[sha("a")]] == ["a" * 62 + "#1", "a" * 62 + "#2"]


@pytest.mark.parametrize(
    ("organization", "projects", "said"),
    [
        ("nowhere", "web", "Sentry knows no such organization"),
        ("forbidden", "web", "lacks the scope project:releases"),
        ("acme", "nope", "Sentry refused it (400): "),
    ],
)
async def test_what_it_refuses_stands_at_the_deploy(it: Watched, organization: str, projects: str, said: str) -> None:
    text = CONFIG.replace("organization: acme", f"organization: {organization}").replace("[web]", f"[{projects}]")
    await reload.put_in_force(it.kedge.ctx, text)
    deploy = await it.goes_live("a")
    await it.told()
    (why,) = await it.refused(deploy)
    assert said in str(why) and TOKEN not in str(why)


async def test_a_bad_token_is_tried_again_and_stands_nowhere(it: Watched, capsys: pytest.CaptureFixture[str]) -> None:
    async with aiohttp.ClientSession() as session:
        bad = SentryClient(session, token="sntrys_wrong", url=it.there.url)
        it.kedge.ctx.channels = {NAME: SentryTelling(bad)}
        await it.goes_live("a")
        await it.told()
    said = capsys.readouterr().out
    assert "Sentry does not accept SENTRY_AUTH_TOKEN." in said and "sntrys_wrong" not in said
    assert it.there.got and all("sntrys" not in one.path for one in it.there.got)
