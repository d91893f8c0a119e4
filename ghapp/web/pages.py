"""The pages: everything, one app, one deploy with its log, the runners."""

from dataclasses import dataclass

from aiohttp import web

from ghapp.api import parameters
from ghapp.api.common import ACTOR, CONTEXT, READER
from ghapp.api.shapes import shown_blockers
from ghapp.service import commanding, logs, runners, seeing
from ghapp.service.context import Context
from ghapp.service.problems import CODES, Problem
from ghapp.service.seeing import Filter, Seen, SeenApp
from ghapp.store.base import Tx
from ghapp.store.events import Recorded
from ghapp.store.own_configs import OwnConfig
from ghapp.web.shell import link, page

#: Bytes of log that a page shows at first; the rest is in the raw log.
TAIL = 256 * 1024
RECENT = 30


async def overview(request: web.Request) -> web.Response:
    ctx, reader = request.app[CONTEXT], request[READER]

    async def work(tx: Tx) -> tuple[list[SeenApp], list[OwnConfig]]:
        return await seeing.apps(tx, ctx, reader), await seeing.troubled(tx, reader)

    apps, troubled = await ctx.stores.main.read(work)
    return page(request, "overview.html", apps=apps, troubled=troubled, reader=reader, blockers=shown_blockers)


async def app(request: web.Request) -> web.Response:
    ctx, name = request.app[CONTEXT], request.match_info["app"]
    wanted = Filter(before=parameters.below(request.query.get("cursor")), limit=RECENT)

    async def work(tx: Tx) -> tuple[SeenApp, seeing.Page]:
        reader = request[READER]
        return await seeing.app(tx, ctx, name, reader), await seeing.history(tx, ctx, name, wanted, reader)

    seen, history = await ctx.stores.main.read(work)
    older = parameters.as_cursor(history.next)
    return page(request, "app.html", app=seen, history=history.items, older=older, blockers=shown_blockers)


async def list_runners(request: web.Request) -> web.Response:
    return page(request, "runners.html", runners=await runners.seen(request.app[CONTEXT], request[READER]))


async def deploy(request: web.Request) -> web.Response:
    return await _deploy(request)


async def cancel(request: web.Request) -> web.Response:
    """Back to the deploy; where it was too late, the deploy with the sentence that says so."""
    name, number = request.match_info["app"], parameters.number(request)
    try:
        await commanding.cancel(request.app[CONTEXT], request[ACTOR], name, number)
    except Problem as problem:
        if problem.code != "too_late":
            raise
        return await _deploy(request, CODES[problem.code], problem.message)
    return web.Response(status=303, headers={"Location": link(name, "deploys", number)})


@dataclass(frozen=True, slots=True)
class _Log:
    """The part of the log that a page shows: ``text`` is bytes ``start`` to ``stop``. ``whole``: no more comes."""

    text: str
    start: int
    stop: int
    whole: bool


async def _log(ctx: Context, seen: Seen) -> _Log:
    text, start, stop = await logs.tail(ctx, seen.deploy, TAIL)
    return _Log(text, start, stop, logs.complete(seen.deploy, stop))


async def _deploy(request: web.Request, status: int = 200, notice: str | None = None) -> web.Response:
    ctx = request.app[CONTEXT]
    name, number = request.match_info["app"], parameters.number(request)

    async def work(tx: Tx) -> tuple[Seen, list[Recorded]]:
        seen = await seeing.deploy(tx, ctx, name, number, request[READER])
        return seen, await seeing.timeline(tx, seen.deploy)

    seen, events = await ctx.stores.main.read(work)
    shown = await _log(ctx, seen)
    may_act = not seen.deploy.state.terminal and await commanding.may_act(ctx, request[ACTOR], seen.deploy)
    return page(
        request,
        "deploy.html",
        status,
        deploy=seen.deploy,
        position=seen.position,
        blockers=shown_blockers,
        events=events,
        log=shown,
        log_path=link("api", "0", name, "deploys", number, "log"),
        notice=notice,
        may_act=may_act,
    )


ROUTES = (
    web.get("/", overview),
    web.get("/runners", list_runners),
    web.get("/{app}", app),
    web.get("/{app}/deploys/{number}", deploy),
    web.post("/{app}/deploys/{number}/cancel", cancel),
)
