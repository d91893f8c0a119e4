"""Apps: what is live, what runs, what waits and why, what is locked."""

from aiohttp import web

from ghapp.api import shapes
from ghapp.api.common import CONTEXT, READER, json_response
from ghapp.api.params import NoParams
from ghapp.api.routing import Route
from ghapp.service import seeing
from ghapp.service.seeing import SeenApp
from ghapp.store.base import Tx
from ghapp.store.own_configs import OwnConfig


async def list_apps(request: web.Request, _: NoParams) -> web.Response:
    ctx = request.app[CONTEXT]
    reader = request[READER]

    async def work(tx: Tx) -> tuple[list[SeenApp], list[OwnConfig]]:
        return await seeing.apps(tx, ctx, reader), await seeing.troubled(tx, reader)

    found, troubled = await ctx.stores.main.read(work)
    problem = seeing.config_problem(ctx, reader)
    items = [shapes.app(ctx.url, one, problem) for one in found]
    return json_response(shapes.AppPage(items, None, problem, [shapes.config_problem(one) for one in troubled]))


async def get_app(request: web.Request, _: NoParams) -> web.Response:
    ctx = request.app[CONTEXT]
    reader, name = request[READER], request.match_info["app"]
    found = await ctx.stores.main.read(lambda tx: seeing.app(tx, ctx, name, reader))
    return json_response(shapes.app(ctx.url, found, seeing.config_problem(ctx, reader)))


ROUTES = (
    Route(
        method="GET",
        path="/api/0/apps",
        handler=list_apps,
        summary="Every app, with what is live, what runs, what waits and why, what is locked.",
        takes=NoParams,
        answers={200: shapes.AppPage},
        narrowed=True,
    ),
    Route(
        method="GET",
        path="/api/0/{app}",
        handler=get_app,
        summary="One app.",
        takes=NoParams,
        answers={200: shapes.App},
        narrowed=True,
    ),
)
