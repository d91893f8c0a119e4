"""Sessions: an encrypted cookie that says how somebody signed in, and the token that binds a form to it."""

import hmac
import secrets
from typing import TypeVar

import msgspec
from aiohttp import web

from ghapp.api.sealed import seal, unseal
from ghapp.config import Settings

SESSION_S = 30 * 86_400

T = TypeVar("T")


class ByOperator(msgspec.Struct, frozen=True, tag="operator"):
    """With KEDGE_ADMIN_TOKEN."""


class ByToken(msgspec.Struct, frozen=True, tag="token"):
    """With a token that was created, of that id: the session ends with it."""

    token: int


class ByProvider(msgspec.Struct, frozen=True, tag="provider"):
    """At a provider, as that person: what they may is asked there at every request, by both login and id."""

    provider: str
    login: str
    account: int


class Session(msgspec.Struct, frozen=True):
    """What the cookie says. Without ``by`` it only binds the sign-in form to one browser."""

    id: str
    by: ByOperator | ByToken | ByProvider | None = None


SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)


def new_session(by: ByOperator | ByToken | ByProvider | None = None) -> Session:
    """One of its own id: nobody can know it who knew the one before."""
    return Session(secrets.token_urlsafe(18), by)


def session_of(request: web.Request, settings: Settings) -> Session | None:
    """What the browser's cookie says, where it is one of ours and not over."""
    return read_cookie(request, settings, "session", Session, within_s=SESSION_S)


def sign_in(response: web.Response, settings: Settings, session: Session) -> None:
    """Set the session's cookie."""
    set_cookie(response, settings, "session", session, within_s=SESSION_S)


def sign_out(response: web.Response, settings: Settings) -> None:
    drop_cookie(response, settings, "session")


def csrf_token(settings: Settings, session: Session) -> str:
    """What a form of this session carries."""
    return seal(settings, "csrf", session.id)


def csrf_fits(settings: Settings, session: Session, token: str) -> bool:
    found = unseal(settings, "csrf", token, str, within_s=SESSION_S)
    return found is not None and hmac.compare_digest(found, session.id)


# Cookies


def cookie_name(settings: Settings, purpose: str = "session") -> str:
    """Over https no other host of the domain can set it (``__Host-``)."""
    name = "kedge" if purpose == "session" else f"kedge-{purpose}"
    return f"__Host-{name}" if _secure(settings) else name


def read_cookie(request: web.Request, settings: Settings, purpose: str, kind: type[T], *, within_s: int) -> T | None:
    return unseal(settings, purpose, request.cookies.get(cookie_name(settings, purpose), ""), kind, within_s=within_s)


def set_cookie(response: web.Response, settings: Settings, purpose: str, value: object, *, within_s: int) -> None:
    """https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie"""
    response.set_cookie(
        cookie_name(settings, purpose),
        seal(settings, purpose, value),
        max_age=within_s,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=_secure(settings),
    )


def drop_cookie(response: web.Response, settings: Settings, purpose: str) -> None:
    response.del_cookie(
        cookie_name(settings, purpose), path="/", httponly=True, samesite="Lax", secure=_secure(settings)
    )


def _secure(settings: Settings) -> bool:
    return settings.url.startswith("https:")
