"""What one does through the API: ask for a deploy, retry, force, cancel, declare dead."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters, shapes
from ghapp.api.common import ACTOR, CONTEXT, json_response
from ghapp.api.observing import door_of
from ghapp.api.params import PRODUCTION, Name, NoParams
from ghapp.api.routing import Route, Sent
from ghapp.core.actors import Actor
from ghapp.service import commanding, requesting, seeing
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.service.seeing import Seen
from ghapp.store.deploys import Deploy

#: https://httpwg.org/http-extensions/draft-ietf-httpapi-idempotency-key-header.html
IDEMPOTENCY_KEY = "Idempotency-Key"

#: Codes with which a wish for a deploy may be refused.
ASKING = ("checks_failed", "conflict", "locked", "provider")

Ref = Annotated[str, Meta(min_length=1, max_length=255)]
Sha = Annotated[str, Meta(pattern="^[0-9a-fA-F]{7,64}$")]


class DeployParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``force`` is ``checks`` (also ``true``), ``lock`` or ``all``; ``wait`` waits for a lock instead of 423."""

    env: Annotated[Name, PRODUCTION] | None = None
    ref: Annotated[Ref, Meta(examples=["main"])] | None = None
    sha: Sha | None = None
    task: Name = "deploy"
    force: str | bool | None = None
    wait: bool = False


class ForceParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    force: str | bool = "checks"


async def ask(request: web.Request, given: DeployParams) -> web.Response:
    """201 with the deploy. The same Idempotency-Key again gets the same deploy."""
    ctx, actor = request.app[CONTEXT], request[ACTOR]
    wish = requesting.Wish(
        environment=given.env,
        ref=given.ref,
        sha=given.sha,
        task=given.task,
        force=as_force(given.force),
        wait=given.wait,
        key=idempotency_key(request),
        door=door_of(request),
    )
    deploy = await requesting.request(ctx, actor, request.match_info["app"], wish)
    return await shown(ctx, deploy, 201)


async def retry(request: web.Request, _: NoParams) -> web.Response:
    """201 with a new deploy of the same sha, environment and task."""
    ctx, actor, app, number = _one(request)
    deploy = await commanding.retry(ctx, actor, app, number, key=idempotency_key(request), door=door_of(request))
    return await shown(ctx, deploy, 201)


async def force(request: web.Request, given: ForceParams) -> web.Response:
    """200 with the deploy, which passes what was forced from the front of the line."""
    what = as_force(given.force)
    if not what:
        raise Problem("invalid", "force must be checks, lock or all.", field="force")
    ctx, actor, app, number = _one(request)
    return await shown(ctx, await commanding.force(ctx, actor, app, number, what))


async def cancel(request: web.Request, _: NoParams) -> web.Response:
    """200 with the deploy, or 202 while its command runs and was asked to end."""
    ctx, actor, app, number = _one(request)
    cancelled = await commanding.cancel(ctx, actor, app, number)
    return await shown(ctx, cancelled, 200 if cancelled.state.terminal else 202)


async def declare_dead(request: web.Request, _: NoParams) -> web.Response:
    """200 with the deploy, which was lost and has ended now."""
    ctx, actor, app, number = _one(request)
    return await shown(ctx, await commanding.declare_dead(ctx, actor, app, number))


ROUTES = (
    Route(
        method="POST",
        path="/api/0/{app}/deploy",
        handler=ask,
        summary="Ask for a deploy.",
        takes=DeployParams,
        sent=Sent.FIELDS,
        answers={201: shapes.Deploy},
        scope="deploy",
        refusals=ASKING,
        headers=(IDEMPOTENCY_KEY,),
    ),
    Route(
        method="POST",
        path="/api/0/{app}/deploys/{number}/retry",
        handler=retry,
        summary="The same sha, environment and task again, as a new deploy.",
        takes=NoParams,
        sent=Sent.FIELDS,
        answers={201: shapes.Deploy},
        scope="deploy",
        refusals=ASKING,
        headers=(IDEMPOTENCY_KEY,),
    ),
    Route(
        method="POST",
        path="/api/0/{app}/deploys/{number}/force",
        handler=force,
        summary="Let it pass checks or locks, from the front of the line.",
        takes=ForceParams,
        sent=Sent.FIELDS,
        answers={200: shapes.Deploy},
        scope="deploy",
        refusals=("conflict", "provider"),
    ),
    Route(
        method="POST",
        path="/api/0/{app}/deploys/{number}/cancel",
        handler=cancel,
        summary="End it: at once, or 202 where its command runs and is asked to end.",
        takes=NoParams,
        sent=Sent.FIELDS,
        answers={200: shapes.Deploy, 202: shapes.Deploy},
        scope="deploy",
        refusals=("too_late", "provider"),
    ),
    Route(
        method="POST",
        path="/api/0/{app}/deploys/{number}/declare-dead",
        handler=declare_dead,
        summary="Give up on a deploy whose runner was lost.",
        takes=NoParams,
        sent=Sent.FIELDS,
        answers={200: shapes.Deploy},
        scope="lock",
        refusals=("conflict", "provider"),
    ),
)


def as_force(given: str | bool | None) -> frozenset[str]:
    """What is to be passed. Raises Problem ``invalid``."""
    return requesting.forced({True: "true", False: None}[given] if isinstance(given, bool) else given)


def idempotency_key(request: web.Request) -> str | None:
    """Raises Problem ``invalid``."""
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not (0 < len(key) <= 255 and key.isprintable()):
        raise Problem("invalid", f"{IDEMPOTENCY_KEY} must have 1 to 255 printable characters.")
    return key


def _one(request: web.Request) -> tuple[Context, Actor, str, int]:
    """Context and actor, and which deploy is meant."""
    return request.app[CONTEXT], request[ACTOR], request.match_info["app"], parameters.number(request)


async def shown(ctx: Context, deploy: Deploy, status: int = 200) -> web.Response:
    """A deploy with its place in line."""
    seen = await ctx.stores.main.read(lambda tx: seeing.deploy(tx, ctx, deploy.app, deploy.number))
    return json_response(shapes.deploy(ctx.url, Seen(seen.deploy, seen.position)), status)
