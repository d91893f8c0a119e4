"""What one does through the API: ask for a deploy, retry, force, cancel, declare dead."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters, shapes
from ghapp.api.auth import ACTOR
from ghapp.api.common import CONTEXT, json_response
from ghapp.api.params import Name, NoParams, params_of
from ghapp.core.actors import Actor
from ghapp.core.values import Door
from ghapp.service import commanding, requesting, seeing
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.service.seeing import Seen
from ghapp.store.deploys import Deploy

#: https://httpwg.org/http-extensions/draft-ietf-httpapi-idempotency-key-header.html
IDEMPOTENCY_KEY = "Idempotency-Key"

Ref = Annotated[str, Meta(min_length=1, max_length=255)]
Sha = Annotated[str, Meta(pattern="^[0-9a-fA-F]{7,64}$")]


class DeployParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``force`` is ``checks`` (also ``true``), ``lock`` or ``all``; ``wait`` waits for a lock instead of 423."""

    env: Name | None = None
    ref: Ref | None = None
    sha: Sha | None = None
    task: Name = "deploy"
    force: str | bool | None = None
    wait: bool = False


class ForceParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    force: str | bool = "checks"


async def ask(request: web.Request) -> web.Response:
    """201 with the deploy. The same Idempotency-Key again gets the same deploy."""
    ctx, actor = request.app[CONTEXT], request[ACTOR]
    given = await params_of(request, DeployParams)
    wish = requesting.Wish(
        environment=given.env,
        ref=given.ref,
        sha=given.sha,
        task=given.task,
        force=_force(given.force),
        wait=given.wait,
        key=_key(request),
    )
    deploy = await requesting.request(ctx, actor, request.match_info["app"], wish)
    return await shown(ctx, deploy, 201)


async def retry(request: web.Request) -> web.Response:
    """201 with a new deploy of the same sha, environment and task."""
    ctx, actor, app, number = await _one(request, NoParams)
    deploy = await commanding.retry(ctx, actor, app, number, key=_key(request), door=Door.API)
    return await shown(ctx, deploy, 201)


async def force(request: web.Request) -> web.Response:
    """200 with the deploy, which passes what was forced from the front of the line."""
    what = _force((await params_of(request, ForceParams)).force)
    if not what:
        raise Problem("invalid", "force must be checks, lock or all.", field="force")
    ctx, actor, app, number = await _one(request, ForceParams)
    return await shown(ctx, await commanding.force(ctx, actor, app, number, what))


async def cancel(request: web.Request) -> web.Response:
    """200 with the deploy, or 202 while its command runs and was asked to end."""
    ctx, actor, app, number = await _one(request, NoParams)
    cancelled = await commanding.cancel(ctx, actor, app, number)
    return await shown(ctx, cancelled, 200 if cancelled.state.terminal else 202)


async def declare_dead(request: web.Request) -> web.Response:
    """200 with the deploy, which was lost and has ended now."""
    ctx, actor, app, number = await _one(request, NoParams)
    return await shown(ctx, await commanding.declare_dead(ctx, actor, app, number))


ROUTES = (
    web.post("/api/0/{app}/deploy", ask),
    web.post("/api/0/{app}/deploys/{number}/retry", retry),
    web.post("/api/0/{app}/deploys/{number}/force", force),
    web.post("/api/0/{app}/deploys/{number}/cancel", cancel),
    web.post("/api/0/{app}/deploys/{number}/declare-dead", declare_dead),
)


def _force(given: str | bool | None) -> frozenset[str]:
    return requesting.forced({True: "true", False: None}[given] if isinstance(given, bool) else given)


def _key(request: web.Request) -> str | None:
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not 0 < len(key) <= 255:
        raise Problem("invalid", f"{IDEMPOTENCY_KEY} must have 1 to 255 characters.")
    return key


async def _one(request: web.Request, kind: type[msgspec.Struct]) -> tuple[Context, Actor, str, int]:
    """Context and actor, and which deploy is meant."""
    await params_of(request, kind)
    return request.app[CONTEXT], request[ACTOR], request.match_info["app"], parameters.number(request)


async def shown(ctx: Context, deploy: Deploy, status: int = 200) -> web.Response:
    """A deploy with its place in line."""
    seen = await ctx.stores.main.read(lambda tx: seeing.deploy(tx, ctx, deploy.app, deploy.number))
    return json_response(shapes.deploy(ctx.url, Seen(seen.deploy, seen.position)), status)
