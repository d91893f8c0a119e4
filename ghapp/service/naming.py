"""Ids as people say them, for the log."""

from ghapp.service.context import Context
from ghapp.store import deploys


async def name_of(ctx: Context, deploy_id: int) -> str | None:
    """``app#number``; None for an id that no deploy has. It never changes, so it is looked up once."""
    if deploy_id not in ctx.names:
        found = await ctx.stores.main.read(lambda tx: deploys.get(tx, deploy_id))
        if found is None:
            return None
        ctx.names[deploy_id] = found.name
    return ctx.names[deploy_id]
