"""Sign-in at a provider: there and back. Only the browser that went there can come back, and only once.

RFC 6749 with the state of section 10.12 and PKCE (RFC 7636): https://www.rfc-editor.org/rfc/rfc9700
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import NoReturn

import msgspec
import structlog
from aiohttp import web

from ghapp.api.common import CONTEXT, SETTINGS
from ghapp.api.sessions import ByProvider, drop_cookie, new_session, read_cookie, set_cookie, sign_in
from ghapp.core.remote import Refused, RemoteError
from ghapp.service import people
from ghapp.service.problems import CODES, Problem
from ghapp.vcs.base import Person, SignIn
from ghapp.web.sign_in import entrance, local, to

log = structlog.get_logger(__name__)

#: How long one may stay there; GitHub's codes live as long.
AWAY_S = 600
_COOKIE = "sign-in"


class _Away(msgspec.Struct, frozen=True):
    """What the browser keeps meanwhile. ``verifier`` proves to the provider that the code comes from who asked."""

    provider: str
    state: str
    verifier: str
    after: str


class _Failed(Exception):
    """It came to nothing. ``sentence`` says why, and what to do."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


async def go(request: web.Request) -> web.Response:
    """To the provider's page, with a state and a challenge that were never used before."""
    sign_in_there = _sign_in(request)
    away = _Away(
        provider=request.match_info["provider"],
        state=secrets.token_urlsafe(32),
        verifier=secrets.token_urlsafe(48),
        after=local(request.query.get("next", "/")),
    )
    page = sign_in_there.page(callback=_callback(request), state=away.state, challenge=_challenge(away.verifier))
    response = to(page)
    set_cookie(response, request.app[SETTINGS], _COOKIE, away, within_s=AWAY_S)
    return response


async def come_back(request: web.Request) -> web.Response:
    """A session of the person that the provider names; else the page to sign in, and why it failed."""
    provider, there, settings = request.match_info["provider"], _sign_in(request), request.app[SETTINGS]
    away = read_cookie(request, settings, _COOKIE, _Away, within_s=AWAY_S)
    try:
        person = await _person(request, provider, there, away)
    except _Failed as failed:
        log.warning("sign-in failed", provider=provider, reason=failed.sentence)
        response = entrance(request, away.after if away else "/", failed.status, failed.sentence)
    else:
        log.info("signed in", provider=provider, who=person.login, account=person.id)
        response = to(away.after if away else "/")
        sign_in(response, settings, new_session(ByProvider(provider, person.login, person.id)))
    drop_cookie(response, settings, _COOKIE)
    response.headers["Referrer-Policy"] = "no-referrer"  # this address holds a code
    return response


async def _person(request: web.Request, provider: str, there: SignIn, away: _Away | None) -> Person:
    """Raises _Failed; Problem ``rate_limited`` for who fails too often."""
    query = request.query
    given = query.get("state", "").encode(errors="replace")
    if away is None or away.provider != provider or not hmac.compare_digest(given, away.state.encode()):
        url = request.app[SETTINGS].url
        raise _Failed(
            f"This sign-in was not begun in this browser at {url} within the last ten minutes. Begin it again here."
        )
    if "error" in query or not query.get("code"):
        raise _Failed(_told(there.title, query.get("error", "")), 403)
    try:
        person = await there.person(callback=_callback(request), code=query["code"], verifier=away.verifier)
        people.check_name(person)
    except RemoteError as error:
        _refuse(request, error)
    except Problem as problem:
        raise _Failed(f"{problem.message} {problem.hint or ''}".strip(), CODES[problem.code]) from None
    return person


def _refuse(request: web.Request, error: RemoteError) -> NoReturn:
    ctx = request.app[CONTEXT]
    if isinstance(error, Refused):  # by what the browser brought
        ctx.limits.refused(request.remote, ctx.now())
        raise _Failed(f"{error.message} Sign in again.")
    raise _Failed(f"{error.message} Try again in a moment, or sign in with a token.", CODES["provider"])


def _told(title: str, error: str) -> str:
    """https://docs.github.com/en/apps/oauth-apps/maintaining-oauth-apps/troubleshooting-authorization-request-errors"""
    match error:
        case "access_denied":
            return f"You did not let Kedge know who you are at {title}, so nobody was signed in."
        case "redirect_uri_mismatch":
            return f"{title} has another callback URL for Kedge's App; whoever runs Kedge has to add this one there."
        case "application_suspended":
            return f"Kedge's App is suspended at {title}; its owner has to ask there why."
    named = f" ({error})" if re.fullmatch(r"[a-z_]{1,64}", error) else ""
    return f"{title} sent you back without saying who you are{named}. Sign in again."


def _sign_in(request: web.Request) -> SignIn:
    """Raises HTTPNotFound where nobody can sign in there."""
    found = request.app[CONTEXT].sign_ins.get(request.match_info["provider"])
    if found is None:
        raise web.HTTPNotFound
    return found


def _callback(request: web.Request) -> str:
    return f"{request.app[SETTINGS].url}/auth/{request.match_info['provider']}/callback"


def _challenge(verifier: str) -> str:
    """https://www.rfc-editor.org/rfc/rfc7636#section-4.2, method S256"""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


ROUTES = (
    web.get("/auth/{provider}", go, allow_head=False),
    web.get("/auth/{provider}/callback", come_back, allow_head=False),
)
