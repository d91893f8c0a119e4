"""Deploys: the history of an app, one deploy with its blockers and events, and what can be done to it."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters, shapes
from ghapp.api.auth import READER
from ghapp.api.common import CONTEXT, json_response
from ghapp.api.params import Name, params_of
from ghapp.core.values import State
from ghapp.service import seeing
from ghapp.service.seeing import Seen
from ghapp.store.base import Tx
from ghapp.store.events import Recorded


class ListParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Filters; ``cursor`` is the ``next`` of the page before."""

    env: Name | None = None
    state: State | None = None
    user: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=100)] | None = None


async def list_deploys(request: web.Request) -> web.Response:
    given = await params_of(request, ListParams)
    ctx = request.app[CONTEXT]
    wanted = seeing.Filter(
        environment=given.env,
        state=given.state,
        user=given.user,
        before=parameters.below(given.cursor),
        limit=given.limit,
    )
    app, reader = request.match_info["app"], request[READER]
    page = await ctx.stores.main.read(lambda tx: seeing.history(tx, ctx, app, wanted, reader))
    items = [shapes.deploy(ctx.url, one) for one in page.items]
    return json_response(shapes.DeployPage(items, parameters.as_cursor(page.next)))


async def get_deploy(request: web.Request) -> web.Response:
    ctx = request.app[CONTEXT]
    app, number = request.match_info["app"], parameters.number(request)

    async def work(tx: Tx) -> tuple[Seen, list[Recorded]]:
        seen = await seeing.deploy(tx, ctx, app, number, request[READER])
        return seen, await seeing.timeline(tx, seen.deploy)

    seen, events = await ctx.stores.main.read(work)
    return json_response(shapes.deploy_with_events(ctx.url, seen, events))


ROUTES = (
    web.get("/api/0/{app}/deploys", list_deploys),
    web.get("/api/0/{app}/deploys/{number}", get_deploy),
)
