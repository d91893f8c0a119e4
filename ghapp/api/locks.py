"""Locks: hold an environment, an app or everything; release it; who holds what, since when, why."""

from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import shapes
from ghapp.api.common import ACTOR, CONTEXT, READER, json_response, milliseconds
from ghapp.api.params import NoParams
from ghapp.api.routing import Route, Sent
from ghapp.service import holding


class LockParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``until`` is a time (RFC 3339), ``for`` how long (``30m``, ``2h``, ``1d``); without either it holds until it
    is released."""

    reason: Annotated[str, Meta(min_length=1, max_length=holding.REASON_LIMIT, examples=["The database moves."])]
    until: Annotated[str, Meta(max_length=64)] | None = None
    for_: Annotated[str, Meta(max_length=16, examples=["30m"])] | None = msgspec.field(default=None, name="for")


class HeldLock(shapes.Lock, frozen=True, kw_only=True):
    """``running`` goes on: a lock holds what has not begun."""

    running: list[shapes.Deploy]


class LockPage(msgspec.Struct, frozen=True):
    items: list[shapes.Lock]
    next: str | None


async def put_lock(request: web.Request, given: LockParams) -> web.Response:
    """201 with a new lock, 200 with a changed one."""
    ctx = request.app[CONTEXT]
    at = milliseconds(given.until, field="until") if given.until is not None else None
    until = holding.until_of(ctx, at, given.for_)
    held = await holding.lock(ctx, request[ACTOR], *_scope(request), given.reason, until)
    running = [shapes.deploy(ctx.url, one) for one in held.running]
    answer = HeldLock(**msgspec.structs.asdict(shapes.lock(held.lock)), running=running)
    return json_response(answer, 201 if held.new else 200)


async def delete_lock(request: web.Request, _: NoParams) -> web.Response:
    """204; 404 where there is none of exactly that scope."""
    await holding.unlock(request.app[CONTEXT], request[ACTOR], *_scope(request))
    return web.Response(status=204)


async def list_locks(request: web.Request, _: NoParams) -> web.Response:
    """Those that hold an environment, anything of an app, or anything; wider ones too."""
    ctx = request.app[CONTEXT]
    found = await ctx.stores.main.read(lambda tx: holding.listed(tx, ctx, *_scope(request), request[READER]))
    return json_response(LockPage([shapes.lock(one) for one in found], None))


def _scope(request: web.Request) -> tuple[str | None, str | None]:
    return request.match_info.get("app"), request.match_info.get("env")


def _routes(path: str, what: str) -> tuple[Route[Any], ...]:
    asks = ("not_found", "provider")
    return (
        Route(
            method="GET",
            path=path,
            handler=list_locks,
            summary=f"The locks that hold {what}, wider ones too.",
            takes=NoParams,
            answers={200: LockPage},
            narrowed=True,
        ),
        Route(
            method="PUT",
            path=path,
            handler=put_lock,
            summary=f"Lock {what}: 201 with a new lock, 200 with a changed one.",
            takes=LockParams,
            sent=Sent.FIELDS,
            answers={201: HeldLock, 200: HeldLock},
            scope="lock",
            refusals=asks,
        ),
        Route(
            method="DELETE",
            path=path,
            handler=delete_lock,
            summary=f"Release the lock on {what}.",
            takes=NoParams,
            answers={204: None},
            scope="lock",
            refusals=asks,
        ),
    )


ROUTES = (
    *_routes("/api/0/locks", "everything"),
    *_routes("/api/0/{app}/locks", "all of an app"),
    *_routes("/api/0/{app}/locks/{env}", "an environment"),
)
