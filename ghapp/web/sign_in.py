"""Sign-in: a token typed into a form becomes a signed cookie."""

import re

from aiohttp import web

from ghapp.api.auth import SESSION, Session, admitted, new_session, sign_in, sign_out
from ghapp.api.common import ACTOR, SETTINGS
from ghapp.api.params import form
from ghapp.core import sentences
from ghapp.core.actors import NOBODY
from ghapp.service.problems import Problem
from ghapp.web.shell import page

#: A path of this app, as a URL holds it. Browsers take ``//host`` and ``/\host`` for another one.
_LOCAL = re.compile(r"/(?!/)[!-\[\]-~]*")


def local(path: str) -> str:
    """The path, or ``/`` for whatever could lead elsewhere."""
    return path if _LOCAL.fullmatch(path) else "/"


async def show(request: web.Request) -> web.Response:
    """The form; its browser is given an empty session, so that only it can send this form."""
    return _form(request, request.query.get("next", "/"))


async def enter(request: web.Request) -> web.Response:
    fields = await form(request)
    after = fields.get("next", "/")
    try:
        actor = await admitted(request, fields.get("token", "").strip())
    except Problem as problem:
        if problem.code != "unauthorized":
            raise
        return _form(request, after, f"{problem.message} Check that it was copied whole.")
    if not actor.can("read"):
        return _form(request, after, sentences.small_token("read"))
    response = _to(local(after))
    sign_in(response, request.app[SETTINGS], new_session(actor))
    return response


async def leave(request: web.Request) -> web.Response:
    response = _to("/login")
    sign_out(response, request.app[SETTINGS])
    return response


def _form(request: web.Request, after: str, problem: str | None = None) -> web.Response:
    session = request[SESSION]
    if problem is None and session.user:
        return _to(local(after))
    request[ACTOR], request[SESSION] = NOBODY, Session(session.id)
    response = page(request, "login.html", 401 if problem else 200, after=local(after), problem=problem)
    if problem:
        response.headers["WWW-Authenticate"] = 'Bearer realm="kedge"'
    sign_in(response, request.app[SETTINGS], request[SESSION])
    return response


def _to(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


ROUTES = (
    web.get("/login", show),
    web.post("/login", enter),
    web.post("/logout", leave),
)
