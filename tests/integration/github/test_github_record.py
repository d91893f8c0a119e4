"""GitHub's own record of what it sent, read back: against the sandbox, and a clock that is not ours."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from email.utils import formatdate
from pathlib import Path

import aiohttp
import pytest

from ghapp.core.remote import NotFound
from ghapp.core.values import Repository
from ghapp.vcs.events import DeploymentEvent
from ghapp.vcs.github_app import GitHubApp
from ghapp.vcs.github_events import EVENTS, parse
from ghapp.vcs.github_record import GitHubRecord, use_of
from ghapp.vcs.github_transport import Authorized, GitHubTransport
from ghapp.vcs.record import DeliveryLog, Sent, Use
from tests.integration.github.stand_in import TOKEN, Reply, StandIn, tokens
from tests.integration.sandbox_rig import REPO, Rig, opened

DAY_MS = 86_400_000
LIST = "GET /app/hook/deliveries?per_page=100"


def now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class World:
    rig: Rig
    record: DeliveryLog
    hello: Repository


@pytest.fixture
async def world(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[World]:
    """An App whose webhooks reach nobody."""
    async with opened(tmp_path) as rig:
        rig.gh.set_webhook(rig.app.id, "http://127.0.0.1:1/")
        app = GitHubApp(session, app_id=rig.app.id, private_key=rig.app.private_key, api_url=rig.gh.api_url)
        assert app.record
        [hello] = await app.find_repository(REPO)
        yield World(rig, app.record, hello)
        await app.close()


async def test_what_reached_nobody_is_read_back_as_it_was_sent(world: World) -> None:
    before = now()
    made = world.rig.gh.create_deployment(REPO, by="ana", environment="staging", payload={"hosts": "a,b"})
    world.rig.gh.set_status(REPO, "main", "ci", "success")
    await world.rig.gh.settled()
    record = await world.record.since(before - 60_000)
    assert record.whole
    status, deployment = record.sent[:2]
    assert (status.event, status.use, status.repository_id) == ("status", Use.CHECKS, world.hello.id)
    assert (deployment.event, deployment.use) == ("deployment", Use.WORK)
    assert abs(deployment.at - before) <= 3_000
    recovered = await world.record.recover(deployment)
    lost = world.rig.gh.hooks.log[-2]
    assert (recovered.guid, json.loads(recovered.body)) == (lost.guid, json.loads(lost.body))
    event = parse(recovered.event, recovered.body)
    assert isinstance(event, DeploymentEvent) and event.deployment_id == made.id


async def test_all_pages_are_read_and_no_more_than_needed(world: World) -> None:
    log = world.rig.gh.hooks.log
    for number in range(230):
        world.rig.gh.hooks.log.append(replace(log[0], id=1000 + number, delivered_at=now() - (230 - number) * 60_000))
    record = await world.record.since(now() - 250 * 60_000)
    assert len(record.sent) == len(log)
    pages = _pages(world)
    assert len((await world.record.since(now() - 10 * 60_000)).sent) == 100
    assert _pages(world) == pages + 1


def _pages(world: World) -> int:
    return len([one for one in world.rig.gh.requests if one.path == "/app/hook/deliveries"])


async def test_what_is_older_than_github_keeps_is_told_to_be_missing(world: World) -> None:
    gh = world.rig.gh
    gh.set_status(REPO, "main", "ci", "success")
    await gh.settled()
    gh.hooks.log[:] = [replace(one, delivered_at=now() - 4 * DAY_MS) for one in gh.hooks.log]
    gone = gh.hooks.log[-1]
    assert (await world.record.since(now() - DAY_MS)).whole, "nothing was sent since"
    record = await world.record.since(now() - 5 * DAY_MS)
    assert (list(record.sent), record.whole) == ([], False)
    gh.set_status(REPO, "main", "ci", "pending")
    await gh.settled()
    [sent] = (await world.record.since(now() - 5 * DAY_MS)).sent
    with pytest.raises(NotFound):
        await world.record.recover(replace(sent, id=gone.id))


async def test_deployments_that_nobody_has_ended(world: World) -> None:
    gh = world.rig.gh
    long_ago = gh.create_deployment(REPO, environment="staging")
    gh.world.state.deployments[long_ago.id] = replace(long_ago, created_at=now() - 2 * DAY_MS)
    made = [gh.create_deployment(REPO, environment="staging", payload={"app": "hello"}) for _ in range(4)]
    gh.add_deployment_status(made[1].id, "inactive")
    gh.add_deployment_status(made[2].id, "queued")
    found = await world.record.deployments(world.hello, now() - DAY_MS)
    events = [parse(one.event, one.body) for one in found]
    ids = [event.deployment_id for event in events if isinstance(event, DeploymentEvent)]
    assert ids == [made[0].id, made[2].id, made[3].id]
    await gh.settled()
    webhooks = [parse(one.event, one.body) for one in gh.hooks.log if one.event == "deployment"]
    as_sent = [one for one in webhooks if isinstance(one, DeploymentEvent) and one.deployment_id == made[0].id]
    assert [replace(one, installation_id=None) for one in as_sent] == [events[0]]


async def test_a_delivery_without_its_payload_is_gone(github: StandIn, session: aiohttp.ClientSession) -> None:
    github.on("GET /app/hook/deliveries/7", Reply({"id": 7, "request": {"headers": None, "payload": None}}))
    api = Authorized(GitHubTransport(session, github.url), tokens(TOKEN))
    record = GitHubRecord(api, lambda _name: api, lambda: 0, now)
    with pytest.raises(NotFound, match="without its payload"):
        await record.recover(Sent(7, "g", now(), "deployment", Use.WORK, 1))


async def test_times_are_by_our_clock(github: StandIn, session: aiohttp.ClientSession) -> None:
    """GitHub's clock is five minutes ahead: what it sent now is not sent in the future."""
    theirs = time.time() + 300
    delivered = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(theirs))
    one = {"id": 7, "guid": "g", "delivered_at": delivered, "event": "deployment", "status_code": None, "new": {}}
    github.on(LIST, Reply([one], headers={"Date": formatdate(theirs, usegmt=True)}))
    transport = GitHubTransport(session, github.url)
    api = Authorized(transport, tokens(TOKEN))
    record = GitHubRecord(api, lambda _name: api, lambda: transport.ahead_ms, now)
    [sent] = (await record.since(0)).sent
    assert abs(sent.at - now()) < 3_000


@pytest.mark.parametrize(
    ("event", "action", "use"),
    [
        ("deployment", "created", Use.WORK),
        ("deployment", None, Use.WORK),
        ("deployment", "deleted", Use.NOTHING),
        ("push", None, Use.WORK),
        ("installation", "created", Use.WORK),
        ("installation_repositories", "added", Use.WORK),
        ("status", None, Use.CHECKS),
        ("check_run", "completed", Use.CHECKS),
        ("check_suite", "requested", Use.CHECKS),
        ("deployment_status", "created", Use.NOTHING),
        ("ping", None, Use.NOTHING),
        ("star", "created", Use.NOTHING),
    ],
)
def test_what_an_event_can_be(event: str, action: str | None, use: Use) -> None:
    assert use_of(event, action) is use


def test_whatever_is_read_can_be_read_back() -> None:
    """But for what never has to be: an event that gets a reader is taken in, whichever way it came."""
    assert {event for event in EVENTS if use_of(event, None) is Use.NOTHING} == {"ping", "deployment_status"}
