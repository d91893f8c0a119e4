"""Git over smart HTTP: who may, and then `git http-backend` (git-http-backend(1)) as CGI (RFC 3875)."""

import asyncio
import contextlib
import re
from asyncio.subprocess import PIPE, Process

from aiohttp import web

from . import code
from .actors import Actor, actor_of_token, granted, may_see, password_of
from .git import environment
from .replies import Refused
from .state import ROLES, Repository, allows
from .world import World

PATH = re.compile(r"/([^/]+)/([^/]+)\.git/(HEAD|info/refs|git-upload-pack|git-receive-pack|objects/.+)")
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="GitHub"'}
_CHUNK = 64 * 1024


async def serve(request: web.Request, world: World) -> web.StreamResponse:
    """Answer git; the request's path matches PATH."""
    match = PATH.fullmatch(request.path)
    if match is None:
        return web.Response(status=404, text="Not Found")
    repo = world.state.repository(f"{match[1]}/{match[2]}")
    pushes = "git-receive-pack" in (match[3], request.query.get("service"))
    try:
        actor = _actor(request, world)
        allowed = _permitted(world, actor, repo, pushes=pushes)
    except Refused as refused:
        headers = _CHALLENGE if refused.status == 401 else {}
        return web.Response(status=refused.status, text=f"{refused}\n", headers=headers)
    if match[3] != "git-receive-pack":
        return await _run(request, world, allowed, match[3], actor)
    before = world.git.refs(allowed.full_name)
    response = await _run(request, world, allowed, match[3], actor)
    if actor.account:
        code.announce(world, allowed, before, actor.account)
    return response


def _actor(request: web.Request, world: World) -> Actor:
    """Raises Refused(401). A password is no longer one: only tokens are
    (https://docs.github.com/en/get-started/git-basics/about-remote-repositories)."""
    user, password = password_of(request.headers.get("Authorization"))
    if not password:
        return Actor()
    try:
        actor = actor_of_token(world.state, password, world.clock())
    except Refused:
        raise Refused(401, "Invalid username or token.") from None
    if actor.installation and user != "x-access-token":
        raise Refused(401, "Invalid username or token.")
    return actor


def _permitted(world: World, actor: Actor, repo: Repository | None, *, pushes: bool) -> Repository:
    """Raises Refused: 401 for nobody, so that nobody learns what exists; 404 or 403 for somebody."""
    if repo is None or not may_see(world.state, actor, repo):
        raise Refused(404 if actor.account else 401, "Repository not found.")
    if not actor.account and pushes:
        raise Refused(401, "Authentication failed.")
    if actor.installation and not allows(granted(actor, "contents"), "write" if pushes else "read"):
        raise Refused(403, "Write access to repository not granted.")
    person = actor.account if pushes and not actor.installation else None
    if person and not allows(world.state.role(repo, person), "write", ROLES):
        raise Refused(403, f"Permission to {repo.full_name}.git denied to {person.login}.")
    return repo


def _cgi(request: web.Request, world: World, repo: Repository, rest: str, actor: Actor) -> dict[str, str]:
    """aiohttp has unpacked the body already, so neither its length nor its encoding is handed on."""
    variables = environment(world.git.root) | {
        "GIT_PROJECT_ROOT": str(world.git.root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{repo.full_name}.git/{rest}",
        "QUERY_STRING": request.query_string,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
    }
    return variables | ({"REMOTE_USER": actor.account.login} if actor.account else {})


async def _run(request: web.Request, world: World, repo: Repository, rest: str, actor: Actor) -> web.StreamResponse:
    env = _cgi(request, world, repo, rest, actor)
    process = await asyncio.create_subprocess_exec("git", "http-backend", stdin=PIPE, stdout=PIPE, env=env)
    feeding = asyncio.create_task(_feed(request, process))
    try:
        return await _relay(request, process)
    finally:
        feeding.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _feed(request: web.Request, process: Process) -> None:
    if process.stdin is None:
        return
    # git stops reading when it has refused; that is said in its answer.
    with contextlib.suppress(ConnectionError):
        async for chunk in request.content.iter_chunked(_CHUNK):
            process.stdin.write(chunk)
            await process.stdin.drain()
    process.stdin.close()


async def _relay(request: web.Request, process: Process) -> web.StreamResponse:
    if process.stdout is None:
        raise RuntimeError("git http-backend was started without a pipe")
    response = web.StreamResponse()
    while line := (await process.stdout.readline()).decode().strip():
        name, _, value = line.partition(": ")
        if name == "Status":
            response.set_status(int(value.split()[0]))
        else:
            response.headers[name] = value
    await response.prepare(request)
    while chunk := await process.stdout.read(_CHUNK):
        await response.write(chunk)
    await response.write_eof()
    await process.wait()
    return response
