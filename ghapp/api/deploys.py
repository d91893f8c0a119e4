"""Deploys: the history of an app, one deploy with its blockers and events, and what can be done to it."""

from aiohttp import web

from ghapp.api import parameters, shapes
from ghapp.api.common import CONTEXT, json_response
from ghapp.service import seeing
from ghapp.service.seeing import Seen
from ghapp.store.base import Tx
from ghapp.store.events import Recorded


async def list_deploys(request: web.Request) -> web.Response:
    parameters.only(request, ("env", "state", "user", "limit", "cursor"))
    ctx = request.app[CONTEXT]
    wanted = seeing.Filter(
        environment=request.query.get("env"),
        state=parameters.state(request),
        user=parameters.text(request, "user"),
        before=parameters.cursor(request),
        limit=parameters.count(request, "limit", 50, 1, 200),
    )
    page = await ctx.stores.main.read(lambda tx: seeing.history(tx, ctx, request.match_info["app"], wanted))
    items = [shapes.deploy(ctx.url, one) for one in page.items]
    return json_response(shapes.DeployPage(items, parameters.as_cursor(page.next)))


async def get_deploy(request: web.Request) -> web.Response:
    ctx = request.app[CONTEXT]
    app, number = request.match_info["app"], parameters.number(request)

    async def work(tx: Tx) -> tuple[Seen, list[Recorded]]:
        seen = await seeing.deploy(tx, ctx, app, number)
        return seen, await seeing.timeline(tx, seen.deploy)

    seen, events = await ctx.stores.main.read(work)
    return json_response(shapes.deploy_with_events(ctx.url, seen, events))


ROUTES = (
    web.get("/api/0/{app}/deploys", list_deploys),
    web.get("/api/0/{app}/deploys/{number}", get_deploy),
)
