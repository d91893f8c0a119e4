"""One HTTP request: recorded, subjected to faults, authenticated, answered as GitHub answers."""

import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from . import manifests, rest_app, rest_checks, rest_deployments, rest_pulls, rest_repos, rest_user
from .actors import Actor, authenticate, require
from .faults import Answer, Drop, Fault, Faults, Stale, Wait
from .render import Links
from .replies import Call, Recorded, Refused, Reply, Route
from .state import Json, Repository
from .world import World

# The more special paths first: a ref may contain slashes.
ROUTES: list[Route] = [
    *manifests.ROUTES,
    *rest_app.ROUTES,
    *rest_user.ROUTES,
    *rest_checks.ROUTES,
    *rest_deployments.ROUTES,
    *rest_pulls.ROUTES,
    *rest_repos.ROUTES,
]
ENTERPRISE = "/api/v3"
# https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent-required
NO_USER_AGENT = (
    "Request forbidden by administrative rules. Please make sure your request has a User-Agent header "
    "(https://docs.github.com/en/rest/overview/resources-in-the-rest-api#user-agent-required). "
    "Check https://developer.github.com for other possible causes.\n"
)
VERSIONS = ("2022-11-28", "2026-03-10")


Work = Callable[[web.Request, Fault | None], Awaitable[web.StreamResponse]]


async def guarded(
    request: web.Request, path: str, world: World, faults: Faults, requests: list[Recorded], work: Work
) -> web.StreamResponse:
    """Record a request and let the faults on order befall it, around the work it asks for."""
    position = len(requests)
    body = await _recorded_body(request)
    shown = Recorded(request.method, path, dict(request.query), dict(request.headers), body, world.clock())
    requests.append(shown)
    fault = faults.take(request.method, path)
    effect = fault.effect if fault else None
    if isinstance(effect, Answer):
        requests[position] = replace(shown, status=effect.status)
        return web.json_response(effect.body, status=effect.status, headers=effect.headers)
    if isinstance(effect, Drop) and not effect.after:
        return _broken(request)
    if fault and isinstance(effect, Wait) and not effect.after:
        await fault.wait(effect)
    response = await work(request, fault)
    if fault and isinstance(effect, Wait) and effect.after:
        await fault.wait(effect)
    if isinstance(effect, Drop):
        return _broken(request)
    requests[position] = replace(shown, status=response.status)
    return response


def _broken(request: web.Request) -> web.StreamResponse:
    if request.transport:
        request.transport.abort()
    return web.Response()


async def _recorded_body(request: web.Request) -> Any:
    """JSON where it is JSON; what git sends is not kept."""
    if not request.can_read_body or request.content_type.startswith("application/x-git"):
        return None
    text = await request.text()
    try:
        return json.loads(text)
    except ValueError:
        return text


async def rest(request: web.Request, path: str, world: World, fault: Fault | None) -> web.StreamResponse:
    """Answer one REST request; `path` is below /api/v3."""
    base = ENTERPRISE if request.path.startswith(f"{ENTERPRISE}/") else ""
    links = Links(world.url, world.url + base)
    actor = Actor()
    try:
        if not request.headers.get("User-Agent"):
            return web.Response(status=403, text=NO_USER_AGENT)
        actor = authenticate(world.state, request.headers.get("Authorization"), world.clock())
        if path != "/rate_limit":
            _count(world, actor)
        reply = await _answer(request, path, world, links, actor, fault)
    except Refused as refused:
        reply = Reply(refused.body, refused.status, refused.headers)
    return _response(request, world, actor, reply)


async def _answer(
    request: web.Request, path: str, world: World, links: Links, actor: Actor, fault: Fault | None
) -> Reply:
    version = request.headers.get("X-GitHub-Api-Version")
    if version not in (None, *VERSIONS):
        raise Refused(400, f'"{version}" is not a supported version.')
    found, names = _route(request.method, path)
    repo = _permitted(world, actor, found.needs, names)
    effect = fault.effect if fault else None
    call = Call(
        world=world,
        actor=actor,
        links=links,
        address=links.api + request.rel_url.raw_path.removeprefix(ENTERPRISE if links.api != links.web else ""),
        names=names,
        query=dict(request.query),
        body=await _body(request),
        accept=request.headers.get("Accept", ""),
        stale=effect.changes if isinstance(effect, Stale) else 0,
        _repository=repo,
    )
    return found.handler(call)


def _route(method: str, path: str) -> tuple[Route, dict[str, str]]:
    for known in ROUTES:
        match = known.pattern.fullmatch(path)
        if match and known.method == method:
            return known, match.groupdict()
    raise Refused(404, "Not Found")


def _permitted(world: World, actor: Actor, needs: str, names: Mapping[str, str]) -> Repository | None:
    """The repository a path names, when the actor may do there what the route needs. Raises Refused."""
    if needs == "jwt" and (actor.app is None or actor.installation):
        raise Refused(401, "A JSON web token could not be decoded")
    if needs == "token" and actor.token is None:
        raise Refused(401, "Requires authentication")
    if needs == "installation" and actor.installation is None:
        message = "You must authenticate with an installation access token in order to list repositories."
        raise Refused(403 if actor.app or actor.account else 401, message)
    if ":" not in needs:
        return None
    repo = _named_repository(world, names)
    if repo is None:
        raise Refused(404, "Not Found")
    permission, level = needs.split(":")
    require(world.state, actor, repo, permission, level)
    return repo


def _named_repository(world: World, names: Mapping[str, str]) -> Repository | None:
    if "repository_id" in names:
        wanted = names["repository_id"]
        return next((r for r in world.state.repositories.values() if str(r.id) == wanted), None)
    return world.state.repository(f"{names['owner']}/{names['repo']}")


async def _body(request: web.Request) -> Json:
    """The body as an object; GitHub reads JSON whatever the content type says."""
    text = await request.text()
    if not text:
        return {}
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused(400, "Problems parsing JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "Body should be a JSON object")
    return body


def _count(world: World, actor: Actor) -> None:
    """One more request of this hour. Raises Refused(403) when there were too many."""
    now_s = world.clock() // 1000
    used, reset = world.used.get(actor.name, (0, 0))
    if reset <= now_s:
        used, reset = 0, now_s + 3600
    if used >= world.rate_limit:
        raise Refused(403, f"API rate limit exceeded for {actor.name}.", headers=_limits(world, actor))
    world.used[actor.name] = (used + 1, reset)


def _limits(world: World, actor: Actor) -> dict[str, str]:
    used, reset = world.used.get(actor.name, (0, world.clock() // 1000 + 3600))
    return {
        "X-RateLimit-Limit": str(world.rate_limit),
        "X-RateLimit-Remaining": str(world.rate_limit - used),
        "X-RateLimit-Used": str(used),
        "X-RateLimit-Reset": str(reset),
        "X-RateLimit-Resource": "core",
    }


def _uncount(world: World, actor: Actor) -> None:
    used, reset = world.used.get(actor.name, (0, 0))
    if used:
        world.used[actor.name] = (used - 1, reset)


def _response(request: web.Request, world: World, actor: Actor, reply: Reply) -> web.StreamResponse:
    """A reply with GitHub's headers; 304 where the client has it already, which costs nothing
    (https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api)."""
    headers = {
        "X-GitHub-Request-Id": secrets.token_hex(12).upper(),
        "X-GitHub-Media-Type": "github.v3; format=json",
        "X-GitHub-Api-Version-Selected": request.headers.get("X-GitHub-Api-Version", VERSIONS[0]),
    }
    data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
    if reply.body is None:
        data = b""
    else:
        headers["Content-Type"] = "application/json; charset=utf-8"
    headers |= reply.headers
    status = reply.status
    if request.method == "GET" and status == 200:
        digest = hashlib.sha256(data + headers.get("Link", "").encode()).hexdigest()
        headers |= {"ETag": f'W/"{digest}"', "Cache-Control": "private, max-age=60, s-maxage=60"}
        headers["Vary"] = "Accept, Authorization, Cookie, X-GitHub-OTP"
        if f'"{digest}"' in request.headers.get("If-None-Match", ""):
            status, data = 304, b""
            _uncount(world, actor)
    return web.Response(body=data, status=status, headers={**_limits(world, actor), **headers})
