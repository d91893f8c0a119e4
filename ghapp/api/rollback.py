"""Going back to what was live before, and letting automatic deploys go on afterwards."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import shapes
from ghapp.api.acting import ASKING, IDEMPOTENCY_KEY, as_force, idempotency_key, shown
from ghapp.api.common import ACTOR, CONTEXT, json_response
from ghapp.api.observing import door_of
from ghapp.api.params import PRODUCTION, Name
from ghapp.api.routing import Route, Sent
from ghapp.service import rollback, seeing


class RollbackParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``to`` is the number of a deploy that was live there; ``force`` and ``wait`` are as for a deploy."""

    env: Annotated[Name, PRODUCTION] | None = None
    to: Annotated[str, Meta(min_length=1, max_length=100)] | Annotated[int, Meta(ge=1)] | None = None
    force: str | bool | None = None
    wait: bool = False


class ResumeParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    env: Annotated[Name, PRODUCTION] | None = None


async def roll_back(request: web.Request, given: RollbackParams) -> web.Response:
    """201 with the deploy of the older sha. The same Idempotency-Key again gets the same deploy."""
    ctx = request.app[CONTEXT]
    wish = rollback.Wish(
        environment=given.env,
        to=None if given.to is None else str(given.to),
        force=as_force(given.force),
        wait=given.wait,
        key=idempotency_key(request),
        door=door_of(request),
    )
    deploy = await rollback.roll_back(ctx, request[ACTOR], request.match_info["app"], wish)
    return await shown(ctx, deploy, 201)


async def resume(request: web.Request, given: ResumeParams) -> web.Response:
    """200 with the environment, in which automatic deploys go on."""
    ctx, app = request.app[CONTEXT], request.match_info["app"]
    config = await rollback.resume(ctx, request[ACTOR], app, given.env)
    seen = await ctx.stores.main.read(lambda tx: seeing.app(tx, ctx, app))
    environment = next(one for one in seen.environments if one.name == config.name)
    return json_response(shapes.environment(ctx.url, environment))


ROUTES = (
    Route(
        method="POST",
        path="/api/0/{app}/rollback",
        handler=roll_back,
        summary="Go back to what was live before, or to a deploy that was live once.",
        takes=RollbackParams,
        sent=Sent.FIELDS,
        answers={201: shapes.Deploy},
        scope="deploy",
        refusals=ASKING,
        headers=(IDEMPOTENCY_KEY,),
    ),
    Route(
        method="POST",
        path="/api/0/{app}/resume",
        handler=resume,
        summary="Let automatic deploys go on after a rollback.",
        takes=ResumeParams,
        sent=Sent.FIELDS,
        answers={200: shapes.Environment},
        scope="deploy",
        refusals=("conflict", "provider"),
    ),
)
