"""The workers of the channels, one each: a channel that hangs holds up neither another one nor a provider, and a target
that hangs no other one."""

import asyncio

import structlog
from structlog.contextvars import bound_contextvars

from ghapp.core.remote import RemoteError
from ghapp.service import acting, workers
from ghapp.service.attempts import Attempt, Fate, judge, retry_ms
from ghapp.service.channel import Said
from ghapp.service.context import Context
from ghapp.service.naming import name_of
from ghapp.store import events, messages
from ghapp.store.base import Tx
from ghapp.store.messages import Message

log = structlog.get_logger(__name__)

#: Wakes the workers.
TOPIC = "messages"
#: Messages of one target that are read at once.
BATCH = 20
#: Targets of one channel that are written to at once.
AT_ONCE = 4


async def say_forever(ctx: Context, channel: str) -> None:
    """Until cancelled."""

    async def next_at(tx: Tx, now: int) -> int | None:
        quiet = [until for (name, _), until in ctx.quiet_until.items() if name == channel and until > now]
        due_at = await messages.next_at(tx, channel, now)
        return min([*quiet, *([due_at] if due_at is not None else [])], default=None)

    async with asyncio.TaskGroup() as group:
        lines = _Lines(ctx, channel, group)
        await workers.forever(ctx, TOPIC, lambda _: lines.begin(), next_at)


async def say_due(ctx: Context, channel: str) -> int:
    """Say what is due on a channel, and wait until all of it was tried; how many targets there were."""
    async with asyncio.TaskGroup() as group:
        return await _Lines(ctx, channel, group).begin()


class _Lines:
    """The targets of a channel that are written to, beside each other, each one's messages in order. Each is a task of
    ``group``: another one that is owed something need not wait for the slowest of them."""

    def __init__(self, ctx: Context, channel: str, group: asyncio.TaskGroup) -> None:
        self._ctx = ctx
        self._channel = channel
        self._group = group
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[str] = set()

    async def begin(self) -> int:
        """Begin with the targets that something is due to; how many."""
        now = self._ctx.now()
        in_order = self._ctx.channels[self._channel].in_order
        due = await self._ctx.stores.main.read(
            lambda tx: messages.due(tx, self._channel, now, BATCH, in_order=in_order)
        )
        targets: dict[str, list[Message]] = {}
        for message in due:
            if message.target not in self._under_way and not _is_quiet(self._ctx, message):
                targets.setdefault(message.target, []).append(message)
        for target, owed in targets.items():
            self._under_way.add(target)
            self._group.create_task(self._line(target, owed))
        return len(targets)

    async def _line(self, target: str, owed: list[Message]) -> None:
        """Up to the first that is not said. What is left is begun with anew: at once, or, where not even that can be
        saved, when the worker looks by itself."""
        try:
            for message in owed:
                async with self._gate:
                    if _is_quiet(self._ctx, message) or not await _say(self._ctx, message):
                        break
            self._ctx.signals.send(TOPIC)
        except Exception:
            log.exception("messages failed", channel=self._channel, target=target)
        finally:
            self._under_way.remove(target)


def _is_quiet(ctx: Context, message: Message) -> bool:
    return ctx.quiet_until.get(_limited(ctx, message), 0) > ctx.now()


def _limited(ctx: Context, message: Message) -> tuple[str, str]:
    """Whom a rate limit is one of: the channel, or the target."""
    return message.channel, "" if ctx.channels[message.channel].one_service else message.target


async def _say(ctx: Context, message: Message) -> bool:
    """False where it is to be said still, or cannot be."""
    name = await name_of(ctx, message.deploy_id) if message.deploy_id is not None else None
    with bound_contextvars(channel=message.channel, target=message.target, deploy=name):
        taken = await ctx.stores.main.write(lambda tx: _take(tx, ctx, message))
        if taken is None:
            return True
        said: Said | None = None
        try:
            said = await ctx.channels[taken.channel].say(ctx, taken)
            attempt = Attempt(Fate.SHOWN)
        except RemoteError as error:
            attempt = judge(error)
        except Exception as error:
            log.exception("a channel failed")
            attempt = Attempt(Fate.UNSURE, str(error))
        try:
            await ctx.stores.main.write(lambda tx: _settle(tx, ctx, taken, attempt, said))
        except Exception:
            log.exception("what came of a message is not saved")
            attempt = Attempt(Fate.UNSURE, "What came of it could not be saved.")
            await ctx.stores.main.write(lambda tx: _settle(tx, ctx, taken, attempt, None))
        if attempt.wait_ms is not None:
            ctx.quiet_until[_limited(ctx, taken)] = ctx.now() + attempt.wait_ms
        if attempt.fate is not Fate.SHOWN:
            log.warning("not said", fate=attempt.fate.value, why=attempt.problem)
        return attempt.fate is Fate.SHOWN


async def _take(tx: Tx, ctx: Context, message: Message) -> Message | None:
    """As it is before it is said; saved first, that it may have been."""
    current = await messages.waiting(tx, message.id)
    if current is None or current.next_at > ctx.now():
        return None
    await messages.doubt(tx, current.id)
    return current


async def _settle(tx: Tx, ctx: Context, message: Message, attempt: Attempt, said: Said | None) -> None:
    """Save what came of it. What it was owed for meanwhile is said in its time; who changes a deploy holds its
    environment."""
    if message.deploy_id is not None:
        await acting.held(tx, message.deploy_id)
    current = await messages.waiting(tx, message.id)
    if current is None:
        return
    now = ctx.now()
    if said:
        owed_at = current.next_at if current.version != message.version else None
        again_at = min((at for at in (owed_at, said.again_at) if at is not None), default=None)
        await messages.said(tx, current.id, said.body, now)
        if again_at is None:
            await messages.end(tx, current.id, "done")
        else:
            await messages.wait(tx, current.id, again_at)
    elif attempt.fate is Fate.REFUSED:
        await messages.end(tx, current.id, "failed", attempt.problem)
        if message.deploy_id is not None:
            where = {"channel": message.channel, "target": message.target}
            await events.record(tx, now, "message_refused", deploy=message.deploy_id, why=attempt.problem, **where)
    else:
        wait_ms = attempt.wait_ms if attempt.wait_ms is not None else retry_ms(message.attempts)
        unsure = attempt.fate is Fate.UNSURE or message.unsure
        await messages.postpone(tx, current.id, now + wait_ms, unsure=unsure, problem=attempt.problem)
