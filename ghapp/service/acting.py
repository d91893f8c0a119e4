"""What people do to deploys and environments: cancel, force, declare dead, lock, unlock."""

from ghapp.core import sentences, states
from ghapp.core.values import Blocker, BlockerKind, State
from ghapp.service import announcing, asking, lines, locking
from ghapp.service.context import Context
from ghapp.service.leases import checked
from ghapp.service.locking import Reach, lock, unlock
from ghapp.store import deploys, events, locks, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy

__all__ = ["cancel", "declare_dead", "force", "held", "lock", "supersede", "unlock"]


async def held(tx: Tx, deploy_id: int) -> Deploy:
    """The deploy, its environment's row taken first."""
    known = await deploys.get(tx, deploy_id)
    if known is None:
        raise LookupError(f"no deploy with id {deploy_id}")
    await places.hold_environment(tx, known.environment_id)
    return await deploys.get(tx, deploy_id) or known


async def cancel(tx: Tx, ctx: Context, deploy_id: int, who: str) -> Deploy:
    """End it at once before its command was allowed to run; afterwards ask its runner to end the command.

    Raises Problem ``too_late`` if it has ended. Asked again it changes nothing.
    """
    return await _cancel(tx, ctx, await held(tx, deploy_id), who, f"by {who}")


async def supersede(tx: Tx, ctx: Context, deploy_id: int, by: Deploy) -> Deploy:
    """A newer deploy of the same environment makes this one pointless: a cancel with a reason, recorded on both.

    Raises Problem ``too_late`` if it has ended.
    """
    deploy = await held(tx, deploy_id)
    reason = sentences.superseded(by.name)
    page = ctx.page(by.app, by.number)
    blocker = Blocker(BlockerKind.SUPERSEDED, reason, url=page, since=ctx.now(), who=by.user)
    after = await _cancel(tx, ctx, deploy, by.user, reason, blocker)
    await events.record(tx, ctx.now(), "superseded", who=by.user, deploy=deploy.id, by=by.name)
    await events.record(tx, ctx.now(), "supersedes", who=by.user, deploy=by.id, before=deploy.name)
    return after


async def _cancel(tx: Tx, ctx: Context, deploy: Deploy, who: str, reason: str, *blockers: Blocker) -> Deploy:
    now = ctx.now()
    step = checked(states.Event.CANCEL, deploy)
    if step.to is State.CANCELLED:
        return await asking.end(
            tx,
            ctx,
            deploy,
            State.CANCELLED,
            reason=reason,
            who=who,
            blockers=blockers,
            lease_hash=None,
            cancel_requested_by=who,
            cancel_requested_at=now,
        )
    if deploy.cancel_requested_by is None:
        await deploys.save(tx, deploy.id, cancel_requested_by=who, cancel_requested_at=now)
        await events.record(tx, now, "cancel_requested", who=who, deploy=deploy.id)
        await announcing.deploy_changed(tx, ctx, deploy)
    return await deploys.get(tx, deploy.id) or deploy


async def declare_dead(tx: Tx, ctx: Context, deploy_id: int, who: str) -> Deploy:
    """Give up on a deploy whose runner was lost, and free its environment. Raises Problem ``conflict`` for
    any other. Its lease answers 410 from now on."""
    deploy = await held(tx, deploy_id)
    checked(states.Event.DECLARE_DEAD, deploy)
    reason = sentences.declared_dead(who)
    return await asking.end(tx, ctx, deploy, State.ERRORED, reason=reason, who=who, declared_dead_by=who)


async def force(
    tx: Tx, ctx: Context, deploy_id: int, who: str, what: frozenset[str], reach: Reach = Reach.EVERYTHING
) -> Deploy:
    """Pass ``checks``, ``lock`` or ``all``, from the front of the line; locks are taken over with it.

    Raises Problem ``conflict`` once it runs, ``forbidden`` for a lock that may not be taken over.
    """
    deploy = await held(tx, deploy_id)
    checked(states.Event.FORCE, deploy)
    if what & {"lock", "all"}:
        held_by = await locks.on(tx, deploy.environment_id, ctx.now())
        await locking.take_over(tx, ctx, held_by, who, reach)
    now = ctx.now()
    await deploys.save(
        tx,
        deploy.id,
        forced_by=who,
        forced=deploy.forced | what,
        front_at=deploy.front_at or now,
        own_blockers=(),
        ready_at=None,
    )
    await events.record(tx, now, "forced", who=who, deploy=deploy.id, what=sorted(what))
    if deploy.out_of_line and what & {"checks", "all"}:
        await asking.take_place(tx, ctx, deploy, compared_with=None)
    await lines.settle(tx, ctx, deploy.environment_id)
    return await deploys.get(tx, deploy.id) or deploy
