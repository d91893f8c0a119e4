"""Locks: set, changed, taken over, released by a person or by their time; each of it recorded and told."""

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum

from ghapp.core import sentences
from ghapp.core.actors import Actor
from ghapp.core.config import AppConfig
from ghapp.core.values import Lock
from ghapp.service import announcing, lines, permits
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import locks, places
from ghapp.store.base import Tx

#: So long before a lock ends by itself its owner is told.
TELL_BEFORE_MS = 10 * 60_000


class Reach(IntEnum):
    """How wide a lock of somebody else may be that one may change, release or take over."""

    NONE = 0
    ENVIRONMENT = 1
    APP = 2
    EVERYTHING = 3


def width(lock: Lock) -> Reach:
    """How wide a lock is."""
    return Reach.ENVIRONMENT if lock.environment else Reach.APP if lock.app else Reach.EVERYTHING


async def reach_of(ctx: Context, actor: Actor, app: AppConfig | None, environment: str | None = None) -> Reach:
    """What the actor may do with locks of others. Raises Problem ``provider`` where it cannot be asked."""
    if await permits.is_admin(ctx, actor, None):
        return Reach.EVERYTHING
    if app and await permits.is_admin(ctx, actor, app):
        return Reach.APP
    if app and environment and await permits.is_admin(ctx, actor, app, environment):
        return Reach.ENVIRONMENT
    return Reach.NONE


async def lock(
    tx: Tx,
    ctx: Context,
    app_id: int | None,
    environment_id: int | None,
    lock: Lock,
    reach: Reach = Reach.EVERYTHING,
) -> Lock | None:
    """Hold an environment, an app (no environment) or everything (neither); the lock that this replaced. What runs
    goes on. Changed by its owner it is still the same lock: it holds since it was set.

    Raises Problem ``forbidden`` for somebody else's lock beyond ``reach``.
    """
    covered = await places.hold_covered(tx, app_id, environment_id)
    await _release_ended(tx, ctx, app_id, environment_id)
    before = await locks.of_scope(tx, app_id, environment_id)
    _allow(before, lock.who, reach)
    since = before.since if before and before.who == lock.who else lock.since
    await _put(tx, ctx, app_id, environment_id, replace(lock, since=since))
    now_held = await locks.of_scope(tx, app_id, environment_id) or lock
    kind = "locked" if before is None else "lock_changed" if before.who == lock.who else "lock_taken_over"
    await announcing.lock_changed(tx, ctx, kind, now_held, who=lock.who, before=before.who if before else None)
    for one in covered:
        await lines.settle(tx, ctx, one, whole=True)
    return before


async def unlock(
    tx: Tx,
    ctx: Context,
    app_id: int | None,
    environment_id: int | None,
    who: str,
    reach: Reach = Reach.EVERYTHING,
) -> bool:
    """Release a lock; what waited for it is ready. False if there was none. Raises Problem ``forbidden`` for
    somebody else's lock beyond ``reach``."""
    covered = await places.hold_covered(tx, app_id, environment_id)
    await _release_ended(tx, ctx, app_id, environment_id)
    lock = await locks.of_scope(tx, app_id, environment_id)
    _allow(lock, who, reach)
    if lock:
        await locks.drop(tx, app_id, environment_id)
        await announcing.lock_changed(tx, ctx, "unlocked", lock, who=who)
    for one in covered:
        await lines.settle(tx, ctx, one, whole=True)
    return lock is not None


async def take_over(tx: Tx, ctx: Context, held_by: Sequence[Lock], who: str, reach: Reach) -> None:
    """Make the locks ``who``'s own, so that they do not hold what ``who`` forces. Their owners are told.

    Raises Problem ``forbidden`` for somebody else's lock without the right to it.
    """
    for lock in held_by:
        _allow(lock, who, reach)
        if lock.who == who:
            continue
        app_id, environment_id = await locks.scope_of(tx, lock)
        taken = replace(lock, who=who)
        await _put(tx, ctx, app_id, environment_id, taken)
        await announcing.lock_changed(tx, ctx, "lock_taken_over", taken, who=who, before=lock.who)


async def expire(tx: Tx, ctx: Context, app_id: int | None, environment_id: int | None) -> None:
    """A lock whose time has come releases by itself, and says so."""
    covered = await places.hold_covered(tx, app_id, environment_id)
    if await _release_ended(tx, ctx, app_id, environment_id):
        for one in covered:
            await lines.settle(tx, ctx, one, whole=True)


async def tell_ending(tx: Tx, ctx: Context) -> None:
    """The owners of locks that end soon are told, once."""
    now = ctx.now()
    for lock in await locks.ending(tx, now, now + TELL_BEFORE_MS):
        if await locks.tell(tx, *await locks.scope_of(tx, lock)):
            await announcing.lock_changed(tx, ctx, "lock_expiring", lock)


def may_change(lock: Lock, who: str, reach: Reach) -> bool:
    """One's own, or somebody else's within ``reach``."""
    return lock.who == who or width(lock) <= reach


def _allow(lock: Lock | None, who: str, reach: Reach) -> None:
    if lock and not may_change(lock, who, reach):
        raise Problem("forbidden", sentences.not_your_lock(lock), who=lock.who)


async def _put(tx: Tx, ctx: Context, app_id: int | None, environment_id: int | None, lock: Lock) -> None:
    """Who sets a lock for less than ten minutes knows when it ends."""
    soon = lock.until is not None and lock.until <= ctx.now() + TELL_BEFORE_MS
    await locks.put(tx, app_id, environment_id, lock, told=soon)


async def _release_ended(tx: Tx, ctx: Context, app_id: int | None, environment_id: int | None) -> bool:
    lock = await locks.of_scope(tx, app_id, environment_id)
    if lock is None or lock.until is None or lock.until > ctx.now():
        return False
    await locks.drop(tx, app_id, environment_id)
    await announcing.lock_changed(tx, ctx, "lock_expired", lock)
    return True
