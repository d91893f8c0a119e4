"""The inbox worker: stored deliveries, in order per repository, each with its effects in one transaction."""

import asyncio
import random
import traceback
from collections.abc import Callable

import structlog
from structlog.contextvars import bound_contextvars

from ghapp.core.remote import RateLimited
from ghapp.core.values import Repository
from ghapp.service import accounts, discovering, hearing, workers
from ghapp.service.context import Context
from ghapp.store import inbox
from ghapp.store.base import Tx
from ghapp.store.events import ORIGIN, Origin
from ghapp.store.inbox import Delivery
from ghapp.vcs.events import Event

log = structlog.get_logger(__name__)

PROVIDER = "github"
BATCH = 100
FIRST_RETRY_MS = 1_000
LONGEST_RETRY_MS = 600_000
#: Tracebacks are kept for people, not for archives.
PROBLEM_LIMIT = 8_000

#: event name, raw body -> what it says; None: nothing that is work. Raises ValueError for a body it cannot use.
Parse = Callable[[str, bytes], Event | None]

#: What Kedge works on; the rest is stored as ignored.
EVENTS = frozenset(
    {
        "deployment",
        "deployment_status",
        "status",
        "check_run",
        "check_suite",
        "push",
        "issue_comment",
        "pull_request",
        "installation",
        "installation_repositories",
        "ping",
    }
)


async def work_forever(ctx: Context, parse: Parse) -> None:
    """Until cancelled."""
    await workers.forever(ctx, "inbox", lambda ctx: work_due(ctx, parse), inbox.next_at)


async def work_due(ctx: Context, parse: Parse) -> int:
    """Work on what is due: repositories beside each other, each one's deliveries in the order they came in."""
    now = ctx.now()
    lines: dict[int, list[tuple[Delivery, Event]]] = {}
    due = await ctx.stores.main.read(lambda tx: inbox.due(tx, now, BATCH))
    for delivery in due:
        event = await _parsed(ctx, parse, delivery)
        if event is not None:
            repository = getattr(event, "repository", None)
            key = repository.id if isinstance(repository, Repository) else 0
            lines.setdefault(key, []).append((delivery, event))
    await asyncio.gather(*(_line(ctx, line) for line in lines.values()))
    return len(due)


async def _parsed(ctx: Context, parse: Parse, delivery: Delivery) -> Event | None:
    """What a delivery says; None where it is dealt with already: ignored, or failed for good with the reason."""
    state, problem = "ignored", None
    try:
        event = parse(delivery.event, delivery.body or b"") if delivery.event in EVENTS else None
        if event is not None:
            return event
        state = "done" if delivery.event in EVENTS else "ignored"
    except ValueError as error:
        state, problem = "failed", str(error)
        log.warning("delivery cannot be used", delivery=delivery.guid, delivered=delivery.event, why=problem)
    await ctx.stores.main.write(lambda tx: inbox.end(tx, delivery.id, state, problem))
    return None


async def _line(ctx: Context, line: list[tuple[Delivery, Event]]) -> None:
    ORIGIN.set(Origin(PROVIDER))
    for delivery, event in line:
        with bound_contextvars(delivery=delivery.guid, delivered=delivery.event):
            try:
                if foreign := await accounts.foreign(ctx, PROVIDER, event):
                    await ctx.stores.main.write(lambda tx, d=delivery, f=foreign: inbox.end(tx, d.id, "ignored", f))  # type: ignore[misc]
                    continue
                plan = await hearing.prepare(ctx, PROVIDER, event)
                await ctx.decide(lambda tx, d=delivery, p=plan: _carry_out(tx, d, p))  # type: ignore[misc]
                ctx.signals.send(discovering.HEARD)
            except Exception as error:
                await _postpone(ctx, delivery, error)


async def _carry_out(tx: Tx, delivery: Delivery, plan: hearing.Plan) -> None:
    worked = await plan(tx)
    await inbox.end(tx, delivery.id, "done" if worked else "ignored")


async def _postpone(ctx: Context, delivery: Delivery, error: Exception) -> None:
    """Keep what went wrong and try again later, while later deliveries go on."""
    wait_ms = min(LONGEST_RETRY_MS, FIRST_RETRY_MS << min(delivery.attempts, 20)) * random.uniform(0.75, 1.25)  # noqa: S311
    if isinstance(error, RateLimited):
        wait_ms = max(wait_ms, error.retry_after_s * 1000)
    problem = "".join(traceback.format_exception(error))[-PROBLEM_LIMIT:]
    log.warning("delivery failed, will be tried again", why=str(error), in_s=wait_ms // 1000)
    await ctx.stores.main.write(lambda tx: inbox.postpone(tx, delivery.id, ctx.now() + int(wait_ms), problem))
