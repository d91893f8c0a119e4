"""Is the process alive, and can it work? Open to everybody, so nothing here names anything."""

import asyncio

import msgspec
import structlog
from aiohttp import web

from ghapp.api.common import CONTEXT, QUIET, json_response
from ghapp.api.params import AnyParams
from ghapp.api.routing import Route, Text
from ghapp.service import measuring
from ghapp.service.context import Context
from ghapp.store import logs
from ghapp.store.base import StoreError, Tx

log = structlog.get_logger(__name__)

#: A database that takes longer to answer is as good as none for whoever asks.
PATIENCE_S = 5.0


class Readiness(msgspec.Struct, frozen=True):
    """``database``: it answers. Lags are seconds since what is oldest became due, the reconciler's since when something
    may be missing that was sent; null where nobody can know."""

    database: bool
    inbox_lag_s: float | None = None
    outbox_lag_s: float | None = None
    messages_lag_s: float | None = None
    reconciler_lag_s: float | None = None


async def alive(request: web.Request, _: AnyParams) -> web.Response:
    request[QUIET] = True
    return web.Response(text="ok")


async def ready(request: web.Request, _: AnyParams) -> web.Response:
    request[QUIET] = True
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await _readiness(request.app[CONTEXT])
    except (StoreError, TimeoutError):
        log.warning("not ready: the database does not answer", exc_info=True)
        return json_response(Readiness(database=False), 503)
    return json_response(found)


async def _readiness(ctx: Context) -> Readiness:
    now = ctx.now()

    async def work(tx: Tx) -> Readiness:
        return Readiness(True, *await measuring.lags(tx, ctx, now), await measuring.reconciler_lag(tx, ctx, now))

    readiness = await ctx.stores.main.read(work)
    await ctx.stores.logs.read(lambda tx: logs.end(tx, 0))
    return readiness


ROUTES = (
    Route(
        method="GET",
        path="/healthz",
        handler=alive,
        summary="The process is alive.",
        takes=AnyParams,
        answers={200: Text()},
        scope=None,
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=ready,
        summary="The database can be reached; how far inbox, outbox, messages and reconciler are behind.",
        takes=AnyParams,
        answers={200: Readiness, 503: Readiness},
        scope=None,
    ),
)
