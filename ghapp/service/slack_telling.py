"""What Slack hears: one message for each deploy and room, which follows it, with a thread of what happened; locks.

What is owed has no text: it is made when it is said, one effect at a time: the message is posted, or updated, or its
thread goes on.
"""

import hashlib
import secrets
from contextlib import suppress
from typing import Protocol

import msgspec

from ghapp.channels.slack import Payload, Posted, SlackClient
from ghapp.core import timeline
from ghapp.core.remote import Forbidden, NotFound, Refused
from ghapp.core.values import State
from ghapp.notify import slack as notes
from ghapp.notify.slack import Body, Step
from ghapp.service import slack_thread, told
from ghapp.service.channel import LockChange, Said, under
from ghapp.service.context import Context
from ghapp.service.slack_thread import UPDATE_EVERY_MS, Kept
from ghapp.service.told import Standing
from ghapp.store import history as pages
from ghapp.store import messages
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.messages import Message

NAME = "slack"
#: The same again so soon after it failed goes on in the same message.
AGAIN_MS = 60 * 60_000
#: An end that was written while it was not known what became of an earlier write is written once more then.
REWRITE_MS = 60_000
#: How far Slack's clock may be behind ours where a lost message is looked for.
SKEW_MS = 5 * 60_000


class People(Protocol):
    """Who is who."""

    async def user_id(self, login: str) -> str | None:
        """The Slack user that a login is; None for nobody. Raises RemoteError."""
        ...

    async def login(self, user_id: str) -> str | None:
        """The login that a Slack user is; None for nobody, and for who may do nothing. Raises RemoteError."""
        ...


class SlackTelling:
    """The channel ``slack``. ``buttons``: somebody hears what is pressed."""

    one_service = True
    in_order = True

    def __init__(self, client: SlackClient, people: People | None = None, *, buttons: bool = False) -> None:
        self._client = client
        self.people = people
        self._buttons = buttons

    # Owing

    async def deploy_changed(self, tx: Tx, ctx: Context, deploy: Deploy) -> None:
        known, now = await messages.of_deploy(tx, deploy.id, NAME), ctx.now()
        for one in known:
            at_once = deploy.state.terminal or one.said_at is None
            soon = now if at_once else max(now, (one.said_at or 0) + UPDATE_EVERY_MS)
            await _owe(tx, one.target, one.key, deploy.id, one.body, now, soon)
        if known or deploy.out_of_line:
            return  # what is judged out of the line was not asked for yet
        before = await _tried_before(tx, deploy, now)
        for room in rooms_of(deploy):
            kept = await _taken_up(tx, before, room) if before else Kept()
            await _owe(tx, room, deploy.request, deploy.id, _text(kept), now, now)

    async def lock_changed(self, tx: Tx, ctx: Context, change: LockChange) -> None:
        lock, now = change.lock, ctx.now()
        facts = {"app": lock.app, "environment": lock.environment, "reason": lock.reason, "until": lock.until}
        sentence = timeline.told(change.kind, change.who, {**facts, "owner": change.before or lock.who})
        scope = (lock.app, lock.environment) if self._buttons and lock.app and lock.environment else None
        body = _text(notes.lock(change.kind, sentence, scope))
        for room in _distinct([room for one in under(ctx, lock) for room in one.notify.rooms]):
            await _owe(tx, room, secrets.token_hex(8), None, body, now, now)

    # Saying

    async def say(self, ctx: Context, message: Message) -> Said:
        if message.deploy_id is None:
            room = await self._client.room(message.target)
            await self._posted(message, room, msgspec.json.decode(message.body, type=Body))
            return Said(message.body)
        kept = msgspec.json.decode(message.body, type=Kept)
        room = kept.room or await self._client.room(message.target)
        kept = msgspec.structs.replace(kept, room=room)
        first = await self._is_first(ctx, message, room)
        one = await told.now(ctx, message.deploy_id) if first is not None else None
        if first is None or one is None:
            return Said(message.body)
        if kept.ts:
            try:
                return await self._go_on(message, kept, one, first=first)
            except NotFound:
                if message.said_at is not None:
                    raise
                kept = Kept(room=room)  # it was to be taken up, and is not there any more
        shown = self._shown(kept, one)
        ts, found = await self._posted(message, room, shown)
        kept = msgspec.structs.replace(kept, ts=ts, shows="" if found else _hash(shown))
        return Said(_text(kept), one.now)

    def _shown(self, kept: Kept, one: Standing) -> Body:
        return notes.progress(one.facts, one.now, buttons=self._buttons, after=kept.after)

    async def _go_on(self, message: Message, kept: Kept, one: Standing, *, first: bool) -> Said:
        """The next thing: what the message shows, then its thread."""
        if message.unsure:
            kept = await self._caught_up(kept, one)
        shown = self._shown(kept, one)
        steps = slack_thread.steps(kept, one)
        rewrite = 0 < kept.rewrite_at <= one.now
        if _hash(shown) != kept.shows or rewrite:
            await self._client.update(Posted(kept.room, kept.ts), shown.text, shown.blocks)
            kept = msgspec.structs.replace(kept, shows=_hash(shown), rewrite_at=0 if rewrite else kept.rewrite_at)
            if steps:
                return Said(_text(kept), one.now)
        elif steps:
            user_id = await self._called(one.deploy, steps) if first else None
            kept = slack_thread.told(kept, one)
            body = notes.thread(steps, user_id)
            payload: Payload = {"key": message.key, "through": kept.through, "waits": kept.waits, "called": kept.called}
            await self._client.post(kept.room, body.text, body.blocks, payload, kept.ts)
        return Said(_text(kept), slack_thread.again_at(kept, one))

    async def _posted(self, message: Message, room: str, body: Body) -> tuple[str, bool]:
        """Its ``ts``, and whether it was there already."""
        if message.unsure:
            found = await self._client.find(room, message.key, message.created_at - SKEW_MS)
            if found:
                return found, True
        return await self._client.post(room, body.text, body.blocks, {"key": message.key}), False

    async def _caught_up(self, kept: Kept, one: Standing) -> Kept:
        """An answer was lost: the thread tells how far it is. An update that is still under way would come after the
        end, which is therefore written again."""
        for said in await self._client.replies(Posted(kept.room, kept.ts)):
            if int(said.get("through", 0)) >= kept.through:
                through, waits, called = int(said["through"]), str(said.get("waits", "")), bool(said.get("called"))
                kept = msgspec.structs.replace(kept, through=through, waits=waits, called=called)
        rewrite_at = one.now + REWRITE_MS if one.facts.state.terminal else 0
        return msgspec.structs.replace(kept, rewrite_at=rewrite_at)

    async def _is_first(self, ctx: Context, message: Message, room: str) -> bool | None:
        """Is it the first of the deploy's messages, the one that calls people? None where an earlier one is in the same
        room, which may have been named in two ways."""
        rows = await ctx.stores.main.read(lambda tx: messages.of_deploy(tx, message.deploy_id or 0, NAME))
        earlier = [one for one in rows if one.id < message.id]
        for one in earlier:
            with suppress(NotFound):
                if await self._client.room(one.target) == room:
                    return None
        return all(one.state == "failed" for one in earlier)

    async def _called(self, deploy: Deploy, steps: list[Step]) -> str | None:
        """Who asked, in Slack; of whom a bot tells as the asker it knows who that is there."""
        if not any(step.calls for step in steps):
            return None
        if asked_in_slack(deploy) and deploy.chat and deploy.chat.user:
            return deploy.chat.user
        if self.people is None:
            return None
        try:
            return await self.people.user_id(deploy.user)
        except (NotFound, Forbidden, Refused):
            return None


def rooms_of(deploy: Deploy) -> tuple[str, ...]:
    """Where a deploy is told of: the room that asked, and those of its config. What was asked for in private is
    between two, and Kedge is neither."""
    room = deploy.chat.room if deploy.chat and asked_in_slack(deploy) else None
    asked = [room] if room and not room.startswith("D") else []
    return tuple(_distinct([*asked, *deploy.config.notify.rooms]))


def asked_in_slack(deploy: Deploy) -> bool:
    """Hubot's adapters are packages: ``slack``, ``@hubot-friends/hubot-slack``."""
    return deploy.chat is not None and "slack" in (deploy.chat.adapter or "").casefold()


def _distinct(rooms: list[str]) -> list[str]:
    return list({room.removeprefix("#").casefold(): room for room in reversed(rooms)}.values())[::-1]


async def _tried_before(tx: Tx, deploy: Deploy, now: int) -> Deploy | None:
    """The deploy just before it there, if that did not succeed and this is the same again."""
    for before in await pages.page(tx, [deploy.environment_id], before=deploy.id, limit=1):
        over = before.state.terminal and before.state is not State.SUCCEEDED
        if over and (before.sha, before.task) == (deploy.sha, deploy.task) and (before.ended_at or 0) > now - AGAIN_MS:
            return before
    return None


async def _taken_up(tx: Tx, before: Deploy, room: str) -> Kept:
    """What is to be kept of a message that goes on with the one about ``before``, if that is said to its end."""
    for one in await messages.of_deploy(tx, before.id, NAME):
        kept = msgspec.json.decode(one.body, type=Kept)
        if (one.target, one.state) == (room, "done") and kept.ts:
            await messages.end(tx, one.id, "handed_on")
            return Kept(room=kept.room, ts=kept.ts, through=kept.through, after=before.name)
    return Kept()


async def _owe(tx: Tx, room: str, key: str, deploy_id: int | None, body: str, now: int, next_at: int) -> None:
    await messages.put(tx, channel=NAME, target=room, key=key, deploy_id=deploy_id, body=body, now=now, next_at=next_at)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _hash(body: Body) -> str:
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()[:16]
