"""Locks: who holds an environment, an app or everything, taken over and released."""

from collections.abc import Sequence
from dataclasses import replace

from ghapp.core import sentences
from ghapp.core.values import Lock
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import events, places
from ghapp.store.base import Tx


async def take_over(tx: Tx, ctx: Context, locks: Sequence[Lock], who: str, *, may_take_over: bool) -> None:
    """Make the locks ``who``'s own, so that they do not hold what ``who`` forces. Its owner is told.

    Raises Problem ``forbidden`` for somebody else's lock without the right to it.
    """
    for lock in locks:
        if lock.who == who:
            continue
        if not may_take_over:
            raise Problem("forbidden", sentences.not_your_lock(lock), who=lock.who)
        app_id, environment_id = await places.scope_of(tx, lock)
        await places.put_lock(tx, app_id, environment_id, replace(lock, who=who))
        await events.record(
            tx,
            ctx.now(),
            "lock_taken_over",
            who=who,
            app=lock.app,
            environment=lock.environment,
            before=lock.who,
        )
