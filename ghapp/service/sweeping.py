"""What time alone brings: leases, locks and checks that run out, the slow net, and forgetting."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from ghapp.core import sentences, states
from ghapp.core.values import BlockerKind, State
from ghapp.service import acting, announcing, asking, lines, locking, tokens
from ghapp.service.context import Context
from ghapp.service.leases import facts_of
from ghapp.store import checks, comments, deploys, events, inbox, locks, messages, outbox, places, waiting
from ghapp.store.base import Tx

log = structlog.get_logger(__name__)

#: Nothing expires before the app has been up this long: nobody could reach it while it was down.
GRACE_MS = 60_000
TICK_S = 1.0
DAY_MS = 86_400_000
#: Bodies of deliveries are kept this long to look into problems; ids longer, to tell repeated ones.
BODIES_MS = 14 * DAY_MS
IDS_MS = 90 * DAY_MS
HOUR_MS = 3_600_000


async def expire_leases(ctx: Context) -> None:
    """Claims that nobody confirmed and leases that nobody renewed: back in line, or lost once it runs."""
    now = ctx.now()
    if now < ctx.started_at + GRACE_MS:
        return
    for deploy in await ctx.stores.main.read(lambda tx: deploys.leases_ended(tx, now)):
        await ctx.decide(lambda tx, one=deploy.id: _expire_lease(tx, ctx, one))  # type: ignore[misc]


async def _expire_lease(tx: Tx, ctx: Context, deploy_id: int) -> None:
    deploy = await acting.held(tx, deploy_id)
    now = ctx.now()
    if deploy.lost_since or deploy.lease_until is None or deploy.lease_until > now:
        return
    event = states.Event.SILENT if deploy.confirmed else states.Event.UNCONFIRMED
    step = states.step(event, facts_of(deploy))
    if step.to is State.QUEUED:
        await deploys.save(tx, deploy.id, state=State.QUEUED, lease_hash=None, lease_until=None, ready_at=now)
        await events.record(tx, now, "lease_expired", who=deploy.runner, deploy=deploy.id)
    elif deploy.state is State.RUNNING:
        await deploys.save(tx, deploy.id, lost_since=now)
        await events.record(tx, now, "lost", who=deploy.runner, deploy=deploy.id)
        await announcing.deploy_changed(tx, ctx, deploy)
    await lines.settle(tx, ctx, deploy.environment_id)


async def expire_locks(ctx: Context) -> None:
    """Locks whose time has come release by themselves."""
    for app_id, environment_id in await ctx.stores.main.read(lambda tx: locks.ended(tx, ctx.now())):

        async def work(tx: Tx, app_id: int | None = app_id, environment_id: int | None = environment_id) -> None:
            await locking.expire(tx, ctx, app_id, environment_id)

        await ctx.decide(work)


async def tell_of_locks(ctx: Context) -> None:
    """Ten minutes before a lock releases by itself its owner is told."""
    soon = ctx.now() + locking.TELL_BEFORE_MS
    if await ctx.stores.main.read(lambda tx: locks.ending(tx, ctx.now(), soon)):
        await ctx.decide(lambda tx: locking.tell_ending(tx, ctx))


async def time_out_checks(ctx: Context) -> None:
    """Deploys for which checks were the only blocker for longer than ``checks_timeout`` are rejected."""
    now = ctx.now()
    if now < ctx.started_at + GRACE_MS:
        return
    for deploy in await ctx.stores.main.read(lambda tx: waiting.checks_timed_out(tx, now)):
        await ctx.decide(lambda tx, one=deploy.id: _time_out_checks(tx, ctx, one))  # type: ignore[misc]


async def _time_out_checks(tx: Tx, ctx: Context, deploy_id: int) -> None:
    deploy = await acting.held(tx, deploy_id)
    now = ctx.now()
    waits = deploy.ready_at is not None and deploy.ready_at > now  # else it is a runner's turn to look again
    over = waits and deploy.checks_until is not None and deploy.checks_until <= now
    if not over or states.step(states.Event.CHECKS_TIMEOUT, facts_of(deploy)).to is None:
        return
    waiting_for = [blocker.message for blocker in deploy.blockers if blocker.kind is BlockerKind.CHECKS]
    reason = sentences.checks_timed_out(deploy.config.checks_timeout_s, waiting_for)
    await asking.end(tx, ctx, deploy, State.REJECTED, reason=reason, blockers=deploy.blockers)


async def cast_slow_net(ctx: Context) -> None:
    """Bring every line up to date: an event may have been lost, a runner may have come or gone."""
    for environment_id in await ctx.stores.main.read(waiting.environments):

        async def work(tx: Tx, environment_id: int = environment_id) -> None:
            await places.hold_environment(tx, environment_id)
            await lines.settle(tx, ctx, environment_id, whole=True)

        await ctx.decide(work)


async def forget(ctx: Context) -> None:
    """Drop what nobody needs any more."""
    now = ctx.now()

    async def work(tx: Tx) -> None:
        await inbox.forget(tx, bodies_before=now - BODIES_MS, ids_before=now - IDS_MS)
        await outbox.forget(tx, now - BODIES_MS)
        await messages.forget(tx, now - BODIES_MS)
        await checks.forget(tx, now - BODIES_MS)
        await deploys.forget_claims(tx, now - DAY_MS)
        await comments.forget(tx, now - IDS_MS)

    await ctx.stores.main.write(work)


async def sweep_forever(ctx: Context) -> None:
    """Run each of them when it is due, until cancelled. A failure is told and tried again."""
    jobs: list[tuple[Callable[[Context], Awaitable[None]], int]] = [
        (expire_leases, 1_000),
        (tell_of_locks, 1_000),
        (expire_locks, 1_000),
        (time_out_checks, 1_000),
        (cast_slow_net, lines.SLOW_NET_MS),
        (tokens.keep_uses, tokens.KEEP_USES_MS),
        (forget, HOUR_MS),
    ]
    due = {job: ctx.now() for job, _ in jobs}
    while True:
        for job, every_ms in jobs:
            if due[job] > ctx.now():
                continue
            due[job] = ctx.now() + every_ms
            try:
                await job(ctx)
            except Exception:
                log.exception("sweep failed", job=job.__name__)
        await asyncio.sleep(TICK_S)
