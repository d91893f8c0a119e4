"""The workers of the inbox: stored deliveries, each with its effects in one transaction. One works on those of the
providers, in order per repository; a service that is none has one of its own, so that it holds up no provider."""

import random
import traceback
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial

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

BATCH = 100
FIRST_RETRY_MS = 1_000
LONGEST_RETRY_MS = 600_000
#: Tracebacks are kept for people, not for archives.
PROBLEM_LIMIT = 8_000

#: What is asked before anything is decided, and the plan that is then carried out; or the sentence that says why the
#: delivery is ignored.
Prepare = Callable[[], Awaitable[hearing.Plan | str]]
#: How one of a service's deliveries is prepared.
Service = Callable[[Context, Delivery], Awaitable[hearing.Plan | str]]


@dataclass(frozen=True, slots=True)
class _Work:
    """A delivery that is to be worked on, after all others that have the same ``key`` and came before."""

    delivery: Delivery
    key: object
    prepare: Prepare


async def work_forever(ctx: Context, services: Collection[str] = ()) -> None:
    """Until cancelled, on what all but these services sent."""
    await workers.forever(ctx, "inbox", partial(work_due, services=services), inbox.next_at)


async def serve_forever(ctx: Context, sender: str, service: Service) -> None:
    """Until cancelled, on what this service sent."""
    await workers.forever(ctx, "inbox", partial(serve_due, sender=sender, service=service), inbox.next_at)


async def work_due(ctx: Context, services: Collection[str] = ()) -> int:
    """Work on what is due: repositories beside each other, each one's deliveries in the order they came in."""
    now = ctx.now()
    lines: dict[object, list[_Work]] = {}
    due = await ctx.stores.main.read(lambda tx: inbox.due(tx, now, BATCH, but=services))
    for delivery in due:
        if work := await _of_provider(ctx, delivery):
            lines.setdefault(work.key, []).append(work)
    await workers.beside(lines.values(), partial(_line, ctx), BATCH)
    return len(due)


async def serve_due(ctx: Context, sender: str, service: Service) -> int:
    """Work on what is due of what this service sent, each delivery by itself: what people do has no order."""
    now = ctx.now()
    due = await ctx.stores.main.read(lambda tx: inbox.due(tx, now, BATCH, sender=sender))
    await workers.beside(([_Work(one, one.id, partial(service, ctx, one))] for one in due), partial(_line, ctx), BATCH)
    return len(due)


async def _of_provider(ctx: Context, delivery: Delivery) -> _Work | None:
    """What is to be done about it; None where it is dealt with already: ignored, or failed for good with the reason."""
    provider = ctx.providers.get(delivery.sender)
    webhooks = provider.webhooks if provider else None
    known = webhooks is not None and delivery.event in webhooks.events
    state, problem = ("done" if known else "ignored"), None
    try:
        event = webhooks.parse(delivery.event, delivery.body or b"") if webhooks and known else None
        if event is not None:
            repository = getattr(event, "repository", None)
            key = (delivery.sender, repository.id if isinstance(repository, Repository) else 0)
            return _Work(delivery, key, partial(_prepare, ctx, delivery.sender, event))
    except ValueError as error:
        state, problem = "failed", str(error)
        log.warning("delivery cannot be used", delivery=delivery.guid, delivered=delivery.event, why=problem)
    await ctx.stores.main.write(lambda tx: inbox.end(tx, delivery.id, state, problem))
    return None


async def _prepare(ctx: Context, provider: str, event: Event) -> hearing.Plan | str:
    return await accounts.foreign(ctx, provider, event) or await hearing.prepare(ctx, provider, event)


async def _line(ctx: Context, line: list[_Work]) -> None:
    for work in line:
        delivery = work.delivery
        ORIGIN.set(Origin(delivery.sender))
        with bound_contextvars(delivery=delivery.guid, delivered=delivery.event):
            try:
                plan = await work.prepare()
                if isinstance(plan, str):
                    await ctx.stores.main.write(lambda tx, d=delivery, p=plan: inbox.end(tx, d.id, "ignored", p))  # type: ignore[misc]
                    continue
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
