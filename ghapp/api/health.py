"""Is the process alive, and can it work? Open to everybody, so nothing here names anything."""

import asyncio

import msgspec
import structlog
from aiohttp import web

from ghapp.api.common import CONTEXT, json_response
from ghapp.service.context import Context
from ghapp.store import inbox, logs, outbox
from ghapp.store.base import StoreError, Tx

log = structlog.get_logger(__name__)

#: A database that takes longer to answer is as good as none for whoever asks.
PATIENCE_S = 5.0


class Readiness(msgspec.Struct, frozen=True):
    """``database``: it answers. Lags are seconds since what is oldest became due; null where nobody can know."""

    database: bool
    inbox_lag_s: float | None = None
    outbox_lag_s: float | None = None


async def alive(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def ready(request: web.Request) -> web.Response:
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await _readiness(request.app[CONTEXT])
    except (StoreError, TimeoutError):
        log.warning("not ready: the database does not answer", exc_info=True)
        return json_response(Readiness(database=False), 503)
    return json_response(found)


async def _readiness(ctx: Context) -> Readiness:
    now = ctx.now()

    async def lags(tx: Tx) -> tuple[float, float]:
        since = await inbox.oldest_due(tx, now), await outbox.oldest_due(tx, now)
        waiting, owed = ((now - at) / 1000 if at is not None else 0.0 for at in since)
        return waiting, owed

    inbox_lag_s, outbox_lag_s = await ctx.stores.main.read(lags)
    await ctx.stores.logs.read(lambda tx: logs.end(tx, 0))
    return Readiness(True, inbox_lag_s, outbox_lag_s)


ROUTES = (
    web.get("/healthz", alive),
    web.get("/readyz", ready),
)
