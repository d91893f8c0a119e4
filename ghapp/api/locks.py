"""Locks: hold an environment, an app or everything; release it; who holds what, since when, why."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import shapes
from ghapp.api.auth import ACTOR
from ghapp.api.common import CONTEXT, json_response, milliseconds
from ghapp.api.params import NoParams, params_of
from ghapp.service import holding


class LockParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``until`` is a time (RFC 3339), ``for`` how long (``30m``, ``2h``, ``1d``); without either it holds until it
    is released."""

    reason: Annotated[str, Meta(min_length=1, max_length=holding.REASON_LIMIT)]
    until: Annotated[str, Meta(max_length=64)] | None = None
    for_: Annotated[str, Meta(max_length=16)] | None = msgspec.field(default=None, name="for")


class HeldLock(shapes.Lock, frozen=True, kw_only=True):
    """``running`` goes on: a lock holds what has not begun."""

    running: list[shapes.Deploy]


class LockPage(msgspec.Struct, frozen=True):
    items: list[shapes.Lock]
    next: str | None


async def put_lock(request: web.Request) -> web.Response:
    """201 with a new lock, 200 with a changed one."""
    ctx = request.app[CONTEXT]
    given = await params_of(request, LockParams)
    at = milliseconds(given.until, field="until") if given.until is not None else None
    until = holding.until_of(ctx, at, given.for_)
    held = await holding.lock(ctx, request[ACTOR], *_scope(request), given.reason, until)
    running = [shapes.deploy(ctx.url, one) for one in held.running]
    answer = HeldLock(**msgspec.structs.asdict(shapes.lock(held.lock)), running=running)
    return json_response(answer, 201 if held.new else 200)


async def delete_lock(request: web.Request) -> web.Response:
    """204; 404 where there is none of exactly that scope."""
    await params_of(request, NoParams)
    await holding.unlock(request.app[CONTEXT], request[ACTOR], *_scope(request))
    return web.Response(status=204)


async def list_locks(request: web.Request) -> web.Response:
    """Those that hold an environment, anything of an app, or anything; wider ones too."""
    await params_of(request, NoParams)
    ctx = request.app[CONTEXT]
    found = await ctx.stores.main.read(lambda tx: holding.listed(tx, ctx, *_scope(request)))
    return json_response(LockPage([shapes.lock(one) for one in found], None))


def _scope(request: web.Request) -> tuple[str | None, str | None]:
    return request.match_info.get("app"), request.match_info.get("env")


ROUTES = tuple(
    web.route(method, path, handler)
    for path in ("/api/0/locks", "/api/0/{app}/locks", "/api/0/{app}/locks/{env}")
    for method, handler in (("GET", list_locks), ("PUT", put_lock), ("DELETE", delete_lock))
)
