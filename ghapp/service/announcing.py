"""Where deploys and locks change, everybody who speaks of them hears of it, in the same transaction."""

from ghapp.core.values import Lock
from ghapp.service import telling
from ghapp.service.channel import LockChange
from ghapp.service.context import Context
from ghapp.store import deploys, events
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy


async def deploy_changed(tx: Tx, ctx: Context, deploy: Deploy) -> None:
    """A deploy stands otherwise than before. The caller holds its environment."""
    await telling.changed(tx, ctx, deploy.id, deploy.state)
    current = await deploys.get(tx, deploy.id) if ctx.channels else None
    for channel in ctx.channels.values():
        await channel.deploy_changed(tx, ctx, current or deploy)


async def lock_changed(
    tx: Tx, ctx: Context, kind: str, lock: Lock, *, who: str | None = None, before: str | None = None
) -> None:
    """Something happened to a lock (see `LockChange`): recorded and told. ``owner`` of the event is whose it is, or was
    until now."""
    await events.record(
        tx,
        ctx.now(),
        kind,
        who=who,
        app=lock.app,
        environment=lock.environment,
        owner=before or lock.who,
        reason=lock.reason,
        since=lock.since,
        until=lock.until,
    )
    for channel in ctx.channels.values():
        await channel.lock_changed(tx, ctx, LockChange(kind, lock, who, before))
