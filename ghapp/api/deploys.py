"""Deploys: the history of an app, one deploy with its blockers and events, and what can be done to it."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters, shapes
from ghapp.api.common import CONTEXT, READER, json_response
from ghapp.api.params import Name, NoParams
from ghapp.api.routing import Route
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


async def list_deploys(request: web.Request, given: ListParams) -> web.Response:
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


async def get_deploy(request: web.Request, _: NoParams) -> web.Response:
    ctx = request.app[CONTEXT]
    app, number = request.match_info["app"], parameters.number(request)

    async def work(tx: Tx) -> tuple[Seen, list[Recorded]]:
        seen = await seeing.deploy(tx, ctx, app, number, request[READER])
        return seen, await seeing.timeline(tx, seen.deploy)

    seen, events = await ctx.stores.main.read(work)
    return json_response(shapes.deploy_with_events(ctx.url, seen, events))


ROUTES = (
    Route(
        method="GET",
        path="/api/0/{app}/deploys",
        handler=list_deploys,
        summary="The history of an app, newest first.",
        takes=ListParams,
        answers={200: shapes.DeployPage},
        narrowed=True,
    ),
    Route(
        method="GET",
        path="/api/0/{app}/deploys/{number}",
        handler=get_deploy,
        summary="One deploy, with its blockers and events.",
        takes=NoParams,
        answers={200: shapes.DeployWithEvents},
        narrowed=True,
    ),
)
