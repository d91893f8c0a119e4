"""Who is asking: a token, or the session of somebody who signed in. Everything not open needs one."""

import hmac
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from aiohttp import web

from ghapp.api.common import ACTOR, CLAIMANT, CONTEXT, READER, SETTINGS, Handler, bearer
from ghapp.api.params import form
from ghapp.api.routing import RUNNER_PATH, Route, route_of
from ghapp.api.sessions import (
    SESSION,
    ByOperator,
    ByProvider,
    ByToken,
    Session,
    csrf_fits,
    new_session,
    session_of,
)
from ghapp.config import Settings
from ghapp.core import sentences
from ghapp.core.actors import ADMIN, ANYTHING, EVERYBODY, NOBODY, Actor, Grant
from ghapp.service import people, tokens
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store.tokens import Token
from ghapp.vcs.base import Person

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What is no row of the table and open: signed deliveries, what everybody may see, set-up, which asks for a code of its
#: own, and paths that are none, where a runner shall not take it for a refusal.
_OPEN = ("/webhooks/", "/static", "/setup", RUNNER_PATH)
#: Pages for everybody, that also say who is signed in.
_OPEN_PAGES = frozenset({"/login", "/docs"})
#: Pages that themselves leave out, or refuse, what a narrowed token does not cover. Every other is closed to one.
_NARROWED = frozenset({"/", "/{app}", "/{app}/deploys/{number}"})

_RUNNER_HINT = "A runner's KEDGE_RUNNER_TOKEN is the app's own, or a token with the scope runner."


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in whom a token, a session or KEDGE_ANONYMOUS_READ lets in, no more often than the limits allow, to what the
    row of the table says that the token must be good for. A page is a read, and sends others to sign in.

    A change that a browser's cookie would allow needs the CSRF token of the same session besides: in the header
    X-CSRF-Token, or in a form's field.
    """
    route = route_of(request)
    if route is None and _canonical(request).startswith(_OPEN):
        return await handler(request)
    if route is not None and route.scope in {None, "runner", "lease"}:
        if route.scope == "runner":
            request[CLAIMANT] = await _admitted_runner(request)
        if route.scope == "lease":
            bearer(request)  # whether it is the deploy's is decided with the deploy
        return await handler(request)
    if elsewhere := await _admit_person(request, route):
        return elsewhere
    return await handler(request)


async def _admit_person(request: web.Request, route: Route[Any] | None) -> web.Response | None:
    """None, or where somebody who looks for a page has to sign in. Raises Problem."""
    settings = request.app[SETTINGS]
    session = session_of(request, settings) or new_session()
    request[SESSION] = session
    try:
        actor = await _actor(request, session)
    except Problem as problem:
        for_programs = route is not None or request.path.startswith("/api/") or "Authorization" in request.headers
        if problem.code != "unauthorized" or for_programs:
            raise
        return _to_sign_in(request)
    if not actor.signed_in:
        request[SESSION] = session = Session(session.id)  # whatever it was begun with is over
    request[ACTOR], request[READER] = actor, EVERYBODY if settings.anonymous_read else actor
    if actor.signed_in:
        _count(request.app[CONTEXT], actor)
    if not _is_open(request):
        _check_token(request, route)
    if request.method not in _SAFE_METHODS and "Authorization" not in request.headers:
        await _check_origin(request, settings, session)
    return None


def _count(ctx: Context, actor: Actor) -> None:
    """One more call. Raises Problem ``rate_limited``."""
    if actor.provider:
        ctx.limits.asked(actor.provider, actor.name, ctx.now())
    else:
        ctx.limits.called(actor.token, ctx.now())


async def readmitted(request: web.Request) -> bool:
    """May whoever is still being answered still be? Tokens end meanwhile, and people lose what they could read."""
    try:
        return await _admit_person(request, route_of(request)) is None
    except Problem:
        return False


async def admitted(request: web.Request, token: str) -> Actor:
    """Whose token it is: KEDGE_ADMIN_TOKEN (compared in constant time) or one that was created.

    Raises Problem ``unauthorized`` saying why not, or ``rate_limited`` for who tries many.
    """
    if hmac.compare_digest(_bytes(token), _bytes(request.app[SETTINGS].admin_token)):
        return ADMIN
    return tokens.actor_of(await _presented(request, token))


def by_token(actor: Actor) -> ByOperator | ByToken:
    """How a session begins that this actor's token was typed in for."""
    return ByOperator() if actor.token is None else ByToken(actor.token)


async def _admitted_runner(request: web.Request) -> tuple[int | None, Grant]:
    """The id of the runner's token and what it grants; None and anything for KEDGE_RUNNER_TOKEN.

    Raises Problem ``unauthorized``, ``forbidden`` for a token without the scope runner, ``rate_limited``.
    """
    given, ctx = bearer(request), request.app[CONTEXT]
    if hmac.compare_digest(_bytes(given), _bytes(request.app[SETTINGS].runner_token)):
        return None, ANYTHING
    try:
        token = await _presented(request, given)
    except Problem as problem:
        problem.hint = problem.hint or _RUNNER_HINT
        raise
    ctx.limits.called(token.id, ctx.now())
    if "runner" not in token.scopes:
        raise Problem("forbidden", sentences.small_token("runner"))
    return token.id, Grant(token.labels, token.apps, token.environments)


async def _presented(request: web.Request, secret: str) -> Token:
    """Only what fails counts against the address: behind a proxy all share one, and nobody shall lock out others."""
    ctx = request.app[CONTEXT]
    try:
        return await tokens.presented(ctx, secret)
    except Problem:
        ctx.limits.refused(request.remote, ctx.now())
        raise


def _canonical(request: web.Request) -> str:
    """The route that was found, not the path alone: `/api/0/{app}/…` also matches `/api/0/runner/…`."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else request.path


def _is_open(request: web.Request) -> bool:
    """Is it a page for everybody, such as those by which one signs in?"""
    return request.path in _OPEN_PAGES or _canonical(request).startswith("/auth/")


async def _actor(request: web.Request, session: Session) -> Actor:
    if "Authorization" in request.headers:
        return await admitted(request, bearer(request))
    if actor := await _begun_by(request, session):
        return actor
    if _is_open(request):
        return NOBODY
    if request.app[SETTINGS].anonymous_read and request.method in _SAFE_METHODS:
        return NOBODY
    raise Problem("unauthorized", "A token is needed: Authorization: Bearer TOKEN.")


async def _begun_by(request: web.Request, session: Session) -> Actor | None:
    """Who began the session, as what they may now; None where it is over."""
    ctx = request.app[CONTEXT]
    match session.by:
        case ByOperator():
            return ADMIN
        case ByToken(token):
            with suppress(Problem):  # then the session has ended with its token
                return tokens.actor_of(await tokens.remembered(ctx, token))
        case ByProvider(provider, login, account) if provider in ctx.sign_ins:
            return await people.actor_of(ctx, provider, Person(login, account), _asked_about(request))
    return None


def _asked_about(request: web.Request) -> Iterable[str]:
    """The apps that an answer can be about: one that is in the path, else all, to read of them."""
    if app := request.match_info.get("app"):
        return (app,)
    reads = request.method in _SAFE_METHODS and not _is_open(request)
    return request.app[CONTEXT].apps.configs if reads else ()


def _check_token(request: web.Request, route: Route[Any] | None) -> None:
    """Is the token for what is asked, as far as the table and the path tell? Raises Problem ``forbidden``."""
    reads = request.method in _SAFE_METHODS
    scope = route.scope if route else "read" if reads else "token"
    actor = request[READER if scope == "read" else ACTOR]
    if not actor.signed_in and scope != "read":
        raise Problem("unauthorized", "A token is needed: Authorization: Bearer TOKEN.")
    if scope is not None and scope != "token" and not actor.can(scope):
        raise Problem("forbidden", sentences.small_token(scope))
    app = request.match_info.get("app")
    covered = app is None or actor.apps is None or app in actor.apps
    if reads and actor.narrowed and request.match_info.http_exception is None:
        within = route.narrowed if route else _canonical(request) in _NARROWED
        covered = covered and (within or (app is not None and actor.environments is None))
    if not covered and app is not None and actor.unasked:
        raise Problem("provider", sentences.unasked(app), hint="Try again in a minute.")
    if not covered:
        raise Problem("forbidden", sentences.not_covered(actor, app))


def _to_sign_in(request: web.Request) -> web.Response:
    after = request.path_qs if request.method in {"GET", "HEAD"} else "/"
    query = "" if after == "/" else f"?next={quote(after, safe='/')}"
    return web.Response(status=303, headers={"Location": f"/login{query}"})


async def _check_origin(request: web.Request, settings: Settings, session: Session) -> None:
    """Refuse what another site made the browser send.

    https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    token = request.headers.get(CSRF_HEADER) or (await form(request)).get(CSRF_FIELD, "")
    if site not in {"same-origin", "none"} or not csrf_fits(settings, session, token):
        hint = f"Load the page again. Without a page, send a token in Authorization, or {CSRF_HEADER}."
        raise Problem("forbidden", "This form is not of this session, so nothing was changed.", hint=hint)


def _bytes(text: str) -> bytes:
    """Header values may hold bytes that are no UTF-8."""
    return text.encode(errors="surrogateescape")
