"""What every channel is promised: it hears of each change in the transaction that makes it; what it owes is said."""

import asyncio
import json
from dataclasses import dataclass, field

import pytest

from ghapp.core.remote import NotFound, RateLimited, RemoteError, Unauthorized, Unavailable
from ghapp.core.values import Lock
from ghapp.service import acting, locking, measuring, messaging, sweeping
from ghapp.service.channel import LockChange, Said
from ghapp.service.context import Context
from ghapp.store import events, messages
from ghapp.store.base import StoreError, Tx
from ghapp.store.deploys import Deploy
from ghapp.store.messages import Message
from tests.protocol.rig import Rig

WITHIN_S = 30


@dataclass
class Room:
    """A channel in memory with one message a deploy. It says the state that the deploy is in when it says it; errors in
    ``before`` are raised instead, those in ``after`` when it was said. #a hangs until ``gate`` is set."""

    one_service: bool = True
    in_order: bool = False
    targets: tuple[str, ...] = ("#a",)
    said: list[tuple[str, str]] = field(default_factory=list)
    before: list[Exception] = field(default_factory=list)
    after: list[RemoteError] = field(default_factory=list)
    again_in_ms: int | None = None
    looked: int = 0
    gate: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    spoke: asyncio.Event = field(default_factory=asyncio.Event)
    entries: int = 0

    async def deploy_changed(self, tx: Tx, ctx: Context, deploy: Deploy) -> None:
        for target in self.targets:
            await self._owe(tx, ctx, target, deploy.request, deploy.id, "")

    async def lock_changed(self, tx: Tx, ctx: Context, change: LockChange) -> None:
        text = f"{change.kind} {change.lock.who} {change.who} {change.before}"
        await self._owe(tx, ctx, "#a", f"{text}{ctx.now()}", None, text)

    async def _owe(self, tx: Tx, ctx: Context, target: str, key: str, deploy_id: int | None, text: str) -> None:
        now = ctx.now()
        await messages.put(
            tx,
            channel="room",
            target=target,
            key=key,
            deploy_id=deploy_id,
            body=json.dumps(text),
            now=now,
            next_at=now,
        )

    async def say(self, ctx: Context, message: Message) -> Said:
        self.looked += message.unsure
        if self.before:
            raise self.before.pop(0)
        text = json.loads(message.body)
        if message.deploy_id:
            rows = await ctx.stores.main.read(
                lambda tx: tx.all("SELECT state FROM deploys WHERE id = :id", id=message.deploy_id)
            )
            text = rows[0]["state"]
        self.entered.set()
        self.entries += 1
        if self.gate and message.target == "#a":
            await self.gate.wait()
        self.said.append((message.target, text))
        self.spoke.set()
        if self.after:
            raise self.after.pop(0)
        return Said(message.body, ctx.now() + self.again_in_ms if self.again_in_ms else None)

    async def has_said(self, target: str, count: int) -> None:
        """Wait until it has said so much there."""
        async with asyncio.timeout(WITHIN_S):
            while [where for where, _ in self.said].count(target) < count:
                self.spoke.clear()
                await self.spoke.wait()


@pytest.fixture
def room(rig: Rig) -> Room:
    made = Room()
    rig.ctx.channels = {"room": made}
    return made


async def say_all(rig: Rig) -> None:
    while await messaging.say_due(rig.ctx, "room"):
        pass


async def test_what_is_said_is_true_when_it_is_said(rig: Rig, room: Room) -> None:
    _, job = await rig.started()
    await rig.finish(job, exit_code=1)
    await say_all(rig)
    assert room.said == [("#a", "failed")], "many changes are one message, and none tells of an earlier state"


async def test_each_change_is_told(rig: Rig, room: Room) -> None:
    deploy = await rig.deployment()
    await say_all(rig)
    job = await rig.claimed()
    await say_all(rig)
    await rig.start(job)
    await say_all(rig)
    await rig.pass_s(61)
    await say_all(rig)
    await rig.beat(job)
    await say_all(rig)
    await rig.finish(job)
    await say_all(rig)
    states = [state for _, state in room.said]
    assert states == ["queued", "claimed", "running", "running", "running", "succeeded"], "lost and healed are changes"
    assert await rig.ctx.stores.main.read(lambda tx: messages.of_deploy(tx, deploy.id, "room"))


async def test_what_changes_while_it_is_said_is_said_next(rig: Rig, room: Room) -> None:
    room.gate = asyncio.Event()
    deploy = await rig.deployment()
    saying = asyncio.create_task(messaging.say_due(rig.ctx, "room"))
    await room.entered.wait()
    await rig.cancel(deploy)
    room.gate.set()
    await saying
    await say_all(rig)
    assert room.said[-1] == ("#a", "cancelled")


async def test_a_lost_answer_is_looked_for_and_a_known_one_is_not(rig: Rig, room: Room) -> None:
    room.after = [Unavailable("no answer")]
    room.before = [Unauthorized("bad token")]
    await rig.deployment()
    await say_all(rig)
    assert (room.said, room.looked) == ([], 0)
    await rig.pass_s(2)
    await say_all(rig)
    assert (len(room.said), room.looked) == (1, 0), "refused with 401, nothing can have been said"
    await rig.pass_s(10)
    await say_all(rig)
    assert room.looked == 1


async def test_who_died_before_the_answer_was_saved_looks_too(rig: Rig, room: Room) -> None:
    await rig.deployment()
    await rig.ctx.stores.main.write(lambda tx: tx.run("UPDATE messages SET unsure = 1"))
    await say_all(rig)
    assert room.looked == 1


async def test_a_rate_limit_makes_the_channel_quiet_for_as_long_as_it_asks(rig: Rig, room: Room) -> None:
    room.targets = ("#a", "#b")
    room.before = [RateLimited("slow down", retry_after_s=30), RateLimited("slow down", retry_after_s=30)]
    await rig.deployment()
    await say_all(rig)
    await rig.deployment("production")
    assert await messaging.say_due(rig.ctx, "room") == 0
    await rig.pass_s(31)
    await say_all(rig)
    assert len(room.said) == 4


async def test_how_far_a_channel_is_behind_grows_while_it_is_away(rig: Rig, room: Room) -> None:
    async def lag() -> float:
        return (await rig.ctx.stores.main.read(lambda tx: measuring.lags(tx, rig.ctx, rig.clock[0])))[2]

    room.before = [Unavailable("away"), RateLimited("slow down", retry_after_s=600), Unavailable("away")]
    room.again_in_ms = 60_000
    deploy = await rig.deployment()
    for away_s in (0, 2, 602):
        await rig.pass_s(away_s)
        await say_all(rig)
    assert (room.before, await lag()) == ([], 604)
    await rig.pass_s(10)
    await say_all(rig)
    assert (len(room.said), await lag()) == (1, 0), "more is to be said later"
    await rig.pass_s(70)
    room.before = [Unavailable("away")]
    await say_all(rig)
    assert await lag() == 10
    await rig.cancel(deploy)
    assert await lag() == 10, "what it is owed for besides makes it no younger"


async def test_what_is_refused_is_told_on_the_page_and_not_tried_again(rig: Rig, room: Room) -> None:
    room.before = [NotFound("There is no room #a.")]
    deploy = await rig.deployment()
    await say_all(rig)
    await rig.cancel(deploy)
    await say_all(rig)
    assert room.said == []
    recorded = await rig.ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy.id))
    (refused,) = [one for one in recorded if one.kind == "message_refused"]
    assert refused.data == {"channel": "room", "target": "#a", "why": "There is no room #a."}


async def test_a_channel_that_breaks_delays_only_itself(rig: Rig, room: Room) -> None:
    """Another channel and the provider hear all the same."""
    other = Room()
    rig.ctx.channels = {"other": other, "room": room}
    room.before = [ValueError("a bug")]
    room.gate = asyncio.Event()
    deploy = await rig.deployment()
    await messaging.say_due(rig.ctx, "room")
    await rig.pass_s(2)
    hanging = asyncio.create_task(messaging.say_due(rig.ctx, "room"))
    await rig.deliver()
    assert rig.shown(deploy) == ["queued"]
    await rig.cancel(deploy)
    await rig.deliver()
    assert rig.shown(deploy)[-1] == "error"
    hanging.cancel()


async def test_a_target_that_hangs_holds_up_no_other_and_hears_one_thing_at_a_time(rig: Rig, room: Room) -> None:
    room.targets, room.gate = ("#a", "#b"), asyncio.Event()
    ctx = rig.ctx
    for minute in range(25):
        lock = Lock("ana", f"db {minute}", ctx.now(), None, None, None)
        await ctx.decide(lambda tx, lock=lock: room.lock_changed(tx, ctx, LockChange("locked", lock)))  # type: ignore[misc]
        await rig.pass_s(60)
    await rig.deployment()
    speaking = asyncio.create_task(messaging.say_forever(ctx, "room"))
    await room.has_said("#b", 1)
    await rig.deployment("production")
    await room.has_said("#b", 2)
    assert room.entries == 3, "that in #a is under way"
    room.gate.set()
    await room.has_said("#a", 27)
    assert room.entries == 29
    speaking.cancel()
    await asyncio.wait([speaking])


async def test_a_round_is_over_when_all_is_said_whatever_fails(
    rig: Rig, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.targets, room.gate = ("#b", "#a"), asyncio.Event()
    doubt, failures = messages.doubt, [StoreError("the disk is full")]

    async def fails_once(tx: Tx, message_id: int) -> None:
        if failures:
            raise failures.pop()
        await doubt(tx, message_id)

    monkeypatch.setattr(messages, "doubt", fails_once)
    await rig.deployment()
    saying = asyncio.create_task(messaging.say_due(rig.ctx, "room"))
    await room.entered.wait()
    assert not saying.done()
    room.gate.set()
    assert await saying == 2
    assert len(room.said) == 1  # of whichever came to the store second
    await say_all(rig)
    assert sorted(room.said) == [("#a", "queued"), ("#b", "queued")]


async def test_what_cannot_be_saved_delays_only_itself(rig: Rig, room: Room) -> None:
    room.again_in_ms = 10**30
    await rig.deployment()
    await say_all(rig)
    room.again_in_ms = None
    await rig.deployment("production")
    await say_all(rig)
    assert len(room.said) == 2
    await rig.pass_s(2)
    await say_all(rig)
    assert (len(room.said), room.looked) == (3, 1)


async def test_there_is_more_to_say_later(rig: Rig, room: Room) -> None:
    room.again_in_ms = 5_000
    await rig.deployment()
    await say_all(rig)
    await rig.pass_s(4)
    await say_all(rig)
    assert len(room.said) == 1
    await rig.pass_s(1)
    await say_all(rig)
    assert len(room.said) == 2


async def test_what_happens_to_locks_is_told(rig: Rig, room: Room) -> None:
    deploy = await rig.deployment()
    await rig.ctx.stores.main.write(lambda tx: tx.run("DELETE FROM messages"))
    ctx, scope = rig.ctx, (deploy.app_id, deploy.environment_id)

    def lock(who: str, minutes: int) -> Lock:
        return Lock(who, "db", ctx.now(), ctx.now() + minutes * 60_000, deploy.app, deploy.environment)

    await ctx.decide(lambda tx: locking.lock(tx, ctx, *scope, lock("ana", 60)))
    await say_all(rig)
    await ctx.decide(lambda tx: locking.lock(tx, ctx, *scope, lock("bob", 20)))
    await say_all(rig)
    await rig.pass_s(11 * 60)
    await sweeping.tell_of_locks(ctx)
    await say_all(rig)
    await rig.pass_s(10 * 60)
    await say_all(rig)
    await ctx.decide(lambda tx: locking.lock(tx, ctx, *scope, lock("ana", 60)))
    await ctx.decide(lambda tx: acting.unlock(tx, ctx, *scope, "cy"))
    await say_all(rig)
    assert [text for _, text in room.said if text.startswith(("lock", "unlock"))] == [
        "locked ana ana None",
        "lock_taken_over bob bob ana",
        "lock_expiring bob None None",
        "lock_expired bob None None",
        "locked ana ana None",
        "unlocked ana cy None",
    ]


async def test_what_was_said_is_forgotten_when_its_deploy_is_over(rig: Rig, room: Room) -> None:
    waiting = await rig.deployment()
    over = await rig.deployment("production")
    await rig.cancel(over)
    await say_all(rig)
    await rig.pass_s(15 * 86_400)
    await sweeping.forget(rig.ctx)
    read = rig.ctx.stores.main.read
    assert await read(lambda tx: messages.of_deploy(tx, waiting.id, "room"))
    assert not await read(lambda tx: messages.of_deploy(tx, over.id, "room"))
