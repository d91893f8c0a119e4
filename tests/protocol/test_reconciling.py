"""What never arrived is read back from the provider's record: each once, oldest first, and nothing from before."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from ghapp.core.remote import NotFound, RateLimited, RemoteError, Unavailable
from ghapp.core.values import Repository
from ghapp.service.homes import Homes
from ghapp.service.measuring import reconciler_lag
from ghapp.service.reconciling import LOOK_BACK_MS, OVERLAP_MS, WIDE_EVERY_MS, Reader, pause_s, reconcile
from ghapp.store import inbox, reconciled
from ghapp.vcs.github_record import use_of
from ghapp.vcs.record import Record, Recovered, Sent
from ghapp.webhooks import work
from tests.protocol.rig import CONFIG, REPOSITORY, SHA, Rig

ELSEWHERE = 8


@dataclass
class MemoryRecord:
    """A provider's record. ``problems``: by delivery id, what comes instead of its payload; ``asked`` in order."""

    clock: list[int]
    sent: list[Sent] = field(default_factory=list)
    bodies: dict[int, dict[str, Any]] = field(default_factory=dict)
    problems: dict[int, RemoteError] = field(default_factory=dict)
    problem: RemoteError | None = None
    asked: list[int] = field(default_factory=list)
    listings: list[int] = field(default_factory=list)
    listed: list[Recovered] = field(default_factory=list)
    since_asked: list[int] = field(default_factory=list)
    whole: bool = True

    def send(
        self,
        event: str = "deployment",
        *,
        at: int | None = None,
        repository: int | None = REPOSITORY.id,
        guid: str | None = None,
        body: dict[str, Any] | None = None,
    ) -> Sent:
        number = len(self.sent) + 1
        when = self.clock[0] if at is None else at
        one = Sent(number, guid or f"guid-{number}", when, event, use_of(event, "created"), repository)
        self.sent.append(one)
        self.bodies[number] = body or deployment(number, when)
        return one

    async def since(self, at: int) -> Record:
        self.since_asked.append(at)
        if self.problem:
            raise self.problem
        return Record([one for one in reversed(self.sent) if one.at >= at], self.whole)

    async def recover(self, sent: Sent) -> Recovered:
        self.asked.append(sent.id)
        if problem := self.problems.get(sent.id):
            raise problem
        return Recovered(sent.guid, sent.event, json.dumps(self.bodies[sent.id]).encode())

    async def deployments(self, repository: Repository, since: int) -> list[Recovered]:
        self.listings.append(since)
        return self.listed


def deployment(number: int, at: int, environment: str = "staging") -> dict[str, Any]:
    about = {"id": REPOSITORY.id, "full_name": REPOSITORY.full_name, "clone_url": REPOSITORY.clone_url}
    made = {"id": number, "sha": SHA, "ref": "main", "environment": environment, "created_at": at // 1000}
    return {"repository": about, "deployment": {**made, "creator": {"login": "ana", "type": "User"}}}


@dataclass
class World:
    rig: Rig
    record: MemoryRecord
    reader: Reader

    async def read(self) -> None:
        await reconcile(self.rig.ctx, self.reader)

    async def read_later(self, seconds: float = 3) -> None:
        self.rig.clock[0] += int(seconds * 1000)
        await self.read()

    def restart(self) -> None:
        """Another process takes over: what this one remembered is gone."""
        self.rig.restart()
        self.reader = Reader("github", self.record, Homes("github"))

    async def taken(self) -> list[str]:
        """What is in the inbox, in its order."""
        rows = await self.rig.ctx.stores.main.read(lambda tx: tx.all("SELECT guid FROM deliveries ORDER BY id"))
        return [row["guid"].removeprefix("github ") for row in rows]

    async def deployed(self) -> list[int]:
        """Let the inbox be worked off; the deployments that are deploys now, in the order of their numbers."""
        await work.work_due(self.rig.ctx)
        query = "SELECT deployment_id FROM deploys ORDER BY number"
        return [row["deployment_id"] for row in await self.rig.ctx.stores.main.read(lambda tx: tx.all(query))]

    async def position(self) -> int | None:
        position = await self.rig.ctx.stores.main.read(lambda tx: reconciled.position(tx, "github"))
        return position.heard_until if position else None


@pytest.fixture
async def world(rig: Rig) -> AsyncIterator[World]:
    """The record was read once, when it was empty."""
    rig.restart()
    record = MemoryRecord(rig.clock)
    made = World(rig, record, Reader("github", record, Homes("github")))
    await made.read()
    yield made


async def test_oldest_first_each_once_and_only_what_is_work(world: World) -> None:
    sent = [world.record.send() for _ in range(3)]
    world.record.send("push")
    for event in ("deployment_status", "star", "ping", "status", "check_run"):
        world.record.send(event)
    world.record.send(repository=ELSEWHERE)
    world.record.send("installation", repository=None, body={"action": "created", "installation": {"id": 5}})
    world.record.send(guid=sent[0].guid)  # sent again
    await world.read_later()
    assert await world.taken() == ["guid-1", "guid-2", "guid-3", "guid-4", "guid-11"]
    assert world.record.asked == [1, 2, 3, 4, 11]
    assert await world.deployed() == [1, 2, 3]
    for seconds in (3, 3, 61):
        await world.read_later(seconds)
    assert world.record.asked == [1, 2, 3, 4, 11], "nothing is asked for twice"


async def test_what_arrived_by_itself_is_not_read_back(world: World) -> None:
    one = world.record.send()
    body = json.dumps(world.record.bodies[one.id]).encode()
    now = world.rig.clock[0]
    await world.rig.ctx.stores.main.write(lambda tx: inbox.store(tx, "github", one.guid, one.event, body, now))
    await world.read_later()
    assert (world.record.asked, await world.deployed()) == ([], [1])


async def test_the_first_start_ever_begins_at_that_moment(rig: Rig) -> None:
    rig.restart()
    record = MemoryRecord(rig.clock)
    record.send(at=rig.clock[0] - 200_000)
    record.send("installation", repository=None, at=rig.clock[0] - 200_000)
    record.send(at=rig.clock[0] + 100)
    world = World(rig, record, Reader("github", record, Homes("github")))
    await world.read_later(5)
    assert record.asked == [3]


async def test_what_was_sent_while_the_app_was_down_is_taken_in_at_start(world: World) -> None:
    for _ in range(5):
        world.rig.clock[0] += 60_000
        world.record.send()
    world.restart()
    await world.read()
    assert await world.deployed() == [1, 2, 3, 4, 5]


async def test_an_entry_that_shows_up_late_is_found(world: World) -> None:
    long_ago = world.rig.clock[0] + 1_000
    await world.read_later(WIDE_EVERY_MS / 1000 + 1)
    await world.read_later(120)
    world.record.send(at=long_ago)
    await world.read_later(WIDE_EVERY_MS / 1000 + 1)
    assert await world.deployed() == [1]
    assert max(world.record.since_asked) - min(world.record.since_asked[1:]) >= 120_000
    assert all(at >= world.rig.clock[0] - OVERLAP_MS - 400_000 for at in world.record.since_asked)


async def test_the_position_moves_only_when_everything_older_is_stored(world: World) -> None:
    before = await world.position()
    world.record.send()
    world.record.send()
    world.record.problems[2] = Unavailable("GitHub answered 502.")
    with pytest.raises(Unavailable):
        await world.read_later()
    assert (await world.taken(), await world.position()) == (["guid-1"], before)
    world.record.send()
    with pytest.raises(Unavailable):
        await world.read_later(200)
    assert await world.taken() == ["guid-1", "guid-3"], "one that cannot be read keeps no other waiting"
    world.restart()
    world.record.problems.clear()
    await world.read_later(2000)
    assert await world.taken() == ["guid-1", "guid-3", "guid-2"]
    assert await world.position() == world.rig.clock[0]


async def test_a_clock_that_was_ahead_for_a_while_hides_nothing(world: World) -> None:
    world.rig.clock[0] += 86_400_000
    await world.read()
    world.rig.clock[0] -= 86_400_000
    world.record.send()
    await world.read_later()
    assert world.record.asked == [1]


@pytest.mark.parametrize("problem", [RateLimited("Slow down.", retry_after_s=60), Unavailable("GitHub is down.")])
async def test_a_record_that_cannot_be_read_is_a_growing_lag(world: World, problem: RemoteError) -> None:
    async def lag() -> float | None:
        position = await world.position()
        return None if position is None else (world.rig.clock[0] - position) / 1000

    world.record.problem = problem
    for _ in range(2):
        with pytest.raises(type(problem)):
            await world.read_later(30)
    assert await lag() == 60
    world.record.problem = None
    await world.read()
    assert await lag() == 0
    ctx = world.rig.ctx
    assert await ctx.stores.main.read(lambda tx: reconciler_lag(tx, ctx, ctx.now())) is None, "no provider keeps one"


async def test_a_provider_that_limits_is_left_alone_at_once(world: World) -> None:
    for _ in range(3):
        world.record.send()
    world.record.problems[1] = RateLimited("Slow down.", retry_after_s=60)
    with pytest.raises(RateLimited):
        await world.read_later()
    assert world.record.asked == [1]


async def test_a_repository_newly_added_begins_then(world: World) -> None:
    more = CONFIG.replace("hello:", "other:").replace("acme/hello", "acme/other")
    world.rig.provider.repositories.append(Repository(ELSEWHERE, "acme/other", "https://github.test/acme/other.git"))
    world.record.send(repository=ELSEWHERE)
    world.rig.clock[0] += 10_000
    await world.rig.config(CONFIG + more)
    world.rig.clock[0] += 1_000
    world.record.send(repository=ELSEWHERE)
    world.record.send()
    await world.read_later()
    assert world.record.asked == [2, 3]


async def test_an_app_that_was_taken_out_and_comes_back_begins_anew(world: World) -> None:
    await world.rig.config(CONFIG.replace("hello:", "other:").replace("acme/hello", "acme/other"))
    world.record.send()
    world.rig.clock[0] += 10_000
    await world.rig.config(CONFIG)
    await world.read_later()
    assert world.record.asked == []


async def test_a_repository_installed_later_is_found_when_it_is_heard_of(world: World) -> None:
    more = CONFIG.replace("hello:", "other:").replace("acme/hello", "acme/other")
    await world.rig.config(CONFIG + more)
    await world.read_later()
    world.rig.provider.repositories.append(Repository(ELSEWHERE, "acme/other", "https://github.test/acme/other.git"))
    world.record.send(repository=ELSEWHERE)
    await world.read_later()
    assert world.record.asked == [1]


async def test_a_gap_longer_than_the_record_is_closed_by_listing_deployments(world: World) -> None:
    begun = await world.position() or 0
    one = deployment(41, world.rig.clock[0] + 1_000)
    world.record.listed = [Recovered("deployment-7-41", "deployment", json.dumps(one).encode())]
    world.rig.clock[0] += 5 * 86_400_000
    world.record.send(body=deployment(42, world.rig.clock[0]))
    world.record.whole = False
    world.restart()
    await world.read()
    assert world.record.listings == [max(begun - OVERLAP_MS, begun - 120_000 - 2_000)]
    assert sorted(await world.deployed()) == [41, 42]
    again = deployment(41, world.rig.clock[0])
    world.record.send(body=again)  # the same deployment, by another way
    world.record.whole = True
    await world.read_later()
    assert sorted(await world.deployed()) == [41, 42]


async def test_what_was_asked_for_long_ago_is_not_begun_any_more(world: World) -> None:
    world.rig.clock[0] += 3 * LOOK_BACK_MS
    world.record.whole = False
    await world.read()
    assert world.record.listings == [world.rig.clock[0] - LOOK_BACK_MS]


async def test_a_payload_that_is_gone_is_made_up_for_by_a_listing(world: World) -> None:
    one = world.record.send()
    world.record.problems[1] = NotFound("There is no such delivery.")
    body = json.dumps(deployment(1, one.at)).encode()
    world.record.listed = [Recovered("deployment-7-1", "deployment", body)]
    await world.read_later()
    assert (world.record.listings, await world.deployed()) == ([one.at], [1])
    await world.read_later()
    assert (len(world.record.listings), world.record.asked) == (1, [1]), "once"


async def test_check_events_wake_what_waits_and_cost_no_call(world: World) -> None:
    deploy = await world.rig.deployment("production")
    job = await world.rig.claimed()
    await world.rig.hold(job)
    assert not await world.rig.ready(deploy)
    world.record.send("status", repository=ELSEWHERE)
    await world.read_later()
    assert not await world.rig.ready(deploy)
    world.record.send("status")
    await world.read_later()
    assert await world.rig.ready(deploy)
    job = await world.rig.claimed()
    await world.rig.hold(job)
    await world.read_later()
    assert not await world.rig.ready(deploy), "each wakes once"
    assert world.record.asked == []


async def test_a_check_event_during_the_gate_makes_a_held_deploy_ready_at_once(world: World) -> None:
    deploy = await world.rig.deployment("production")
    job = await world.rig.claimed()
    world.record.send("check_suite")
    await world.read_later()
    await world.rig.hold(job)
    assert await world.rig.ready(deploy)


async def test_what_cannot_be_read_keeps_neither_news_of_checks_nor_a_gap_waiting(world: World) -> None:
    deploy = await world.rig.deployment("production")
    await world.rig.hold(await world.rig.claimed())
    world.record.send()
    world.record.problems[1] = Unavailable("GitHub answered 502.")
    world.record.send("status")
    world.record.whole = False
    with pytest.raises(Unavailable):
        await world.read_later()
    assert await world.rig.ready(deploy)
    assert len(world.record.listings) == 1


async def test_however_many_cannot_be_read_the_others_have_their_turn(world: World) -> None:
    for number in range(1, 5):
        world.record.send()
        world.record.problems[number] = Unavailable("GitHub answered 502.")
    world.record.send()
    for _ in range(4):
        with pytest.raises(Unavailable):
            await world.read_later(1)
    assert await world.taken() == ["guid-5"]


async def test_many_apps_are_looked_for_beside_each_other(world: World) -> None:
    """One after the other they would hold up reading for as long as all of them take, each minute."""
    apps = "".join(CONFIG.replace("hello:", f"app{n}:").replace("acme/hello", f"acme/app{n}") for n in range(30))
    await world.rig.config(CONFIG + apps)
    under_way: list[str] = []
    most = 0

    async def find(name: str) -> list[Repository]:
        nonlocal most
        under_way.append(name)
        most = max(most, len(under_way))
        for _ in range(10):
            await asyncio.sleep(0)
        under_way.remove(name)
        return [REPOSITORY] if name == REPOSITORY.full_name else []

    world.rig.provider.find_repository = find  # type: ignore[method-assign]
    world.record.send()
    await world.read_later()
    assert await world.taken() == ["guid-1"]
    assert 1 < most <= 10


async def test_deliveries_read_back_and_webhooks_may_race(world: World) -> None:
    """The webhook comes while its entry is being read: whoever is second finds it known."""
    sent: Sequence[Sent] = [world.record.send() for _ in range(2)]
    recover = world.record.recover

    async def slow(one: Sent) -> Recovered:
        found = await recover(one)
        now = world.rig.clock[0]
        await world.rig.ctx.stores.main.write(
            lambda tx: inbox.store(tx, "github", found.guid, found.event, found.body, now)
        )
        return found

    world.record.recover = slow  # type: ignore[method-assign, assignment]
    await world.read_later()
    assert await world.taken() == [one.guid for one in sent]
    assert await world.deployed() == [1, 2]


@pytest.mark.parametrize(
    ("failures", "error", "wait_s"),
    [
        (1, Unavailable("Down."), 3),
        (2, Unavailable("Down."), 6),
        (5, Unavailable("Down."), 48),
        (1000, Unavailable("Down."), 300),
        (1, RateLimited("Slow down.", retry_after_s=900), 900),
        (4, RateLimited("Slow down.", retry_after_s=1), 24),
        (3, ValueError("a defect"), 12),
    ],
)
def test_after_failures_it_is_asked_ever_less_often(failures: int, error: Exception, wait_s: float) -> None:
    assert pause_s(3, failures, error) == wait_s
