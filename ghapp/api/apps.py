"""Apps: what is live, what runs, what waits and why, what is locked."""

from aiohttp import web

from ghapp.api import shapes
from ghapp.api.auth import READER
from ghapp.api.common import CONTEXT, json_response
from ghapp.service import seeing


async def list_apps(request: web.Request) -> web.Response:
    ctx = request.app[CONTEXT]
    found = await ctx.stores.main.read(lambda tx: seeing.apps(tx, ctx, request[READER]))
    problem = ctx.apps.problem
    return json_response(shapes.AppPage([shapes.app(ctx.url, one, problem) for one in found], None, problem))


async def get_app(request: web.Request) -> web.Response:
    ctx = request.app[CONTEXT]
    found = await ctx.stores.main.read(lambda tx: seeing.app(tx, ctx, request.match_info["app"], request[READER]))
    return json_response(shapes.app(ctx.url, found, ctx.apps.problem))


ROUTES = (
    web.get("/api/0/apps", list_apps),
    web.get("/api/0/{app}", get_app),
)
