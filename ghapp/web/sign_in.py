"""Sign-in with a token typed into a form, and sign-out; the page that also leads to a provider's sign-in."""

import re

from aiohttp import web

from ghapp.api.auth import admitted, by_token
from ghapp.api.common import ACTOR, CONTEXT, SETTINGS
from ghapp.api.params import form
from ghapp.api.sessions import SESSION, new_session, sign_in, sign_out
from ghapp.core import sentences
from ghapp.core.actors import NOBODY
from ghapp.service.problems import Problem
from ghapp.web.shell import page

#: A path of this app, as a URL holds it. Browsers take ``//host`` and ``/\host`` for another one. A longer one would
#: not fit into a cookie.
_LOCAL = re.compile(r"/(?!/)[!-\[\]-~]{0,1024}")


def local(path: str) -> str:
    """The path, or ``/`` for whatever could lead elsewhere."""
    return path if _LOCAL.fullmatch(path) else "/"


async def show(request: web.Request) -> web.Response:
    """The form; its browser is given an empty session, so that only it can send this form."""
    after = local(request.query.get("next", "/"))
    return to(after) if request[SESSION].by else entrance(request, after)


async def enter(request: web.Request) -> web.Response:
    fields = await form(request)
    after = local(fields.get("next", "/"))
    try:
        actor = await admitted(request, fields.get("token", "").strip())
    except Problem as problem:
        if problem.code != "unauthorized":
            raise
        return _refused(request, after, f"{problem.message} Check that it was copied whole.")
    if not actor.can("read"):
        return _refused(request, after, sentences.small_token("read"))
    response = to(after)
    sign_in(response, request.app[SETTINGS], new_session(by_token(actor)))
    return response


async def leave(request: web.Request) -> web.Response:
    response = to("/login")
    sign_out(response, request.app[SETTINGS])
    return response


def entrance(
    request: web.Request, after: str, status: int = 200, problem: str | None = None, *, of_token: bool = False
) -> web.Response:
    """Every way to sign in; ``problem`` is why the last one failed (``of_token``: it was a token that was typed in).
    A session that there is goes on."""
    session, settings = request[SESSION], request.app[SETTINGS]
    request[ACTOR] = NOBODY
    sign_ins = {name: one.title for name, one in request.app[CONTEXT].sign_ins.items()}
    response = page(request, "login.html", status, after=after, problem=problem, of_token=of_token, sign_ins=sign_ins)
    if session.by is None:
        sign_in(response, settings, session)
    return response


def to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


def _refused(request: web.Request, after: str, problem: str) -> web.Response:
    response = entrance(request, after, 401, problem, of_token=True)
    response.headers["WWW-Authenticate"] = 'Bearer realm="kedge"'
    return response


ROUTES = (
    web.get("/login", show),
    web.post("/login", enter),
    web.post("/logout", leave),
)
