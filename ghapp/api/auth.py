"""Who is asking: a token, or a signed cookie that a token was once typed in for. Everything not open needs one."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

from aiohttp import web
from itsdangerous import BadData, URLSafeTimedSerializer

from ghapp.api.common import SETTINGS, Handler, bearer
from ghapp.config import Settings
from ghapp.core.actors import ADMIN, NOBODY, Actor
from ghapp.service.problems import Problem

SESSION_S = 30 * 86_400
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: What its own handlers let in (signed deliveries, the runner's tokens), or everybody may see.
_OPEN = frozenset({"/healthz", "/readyz", "/static", "/api/0/openapi.json"})
_OPEN_BELOW = ("/webhooks/", "/api/0/runner/")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """What the cookie says. Without a ``user`` it only binds the sign-in form to one browser."""

    id: str
    user: str | None = None


ACTOR: web.RequestKey[Actor] = web.RequestKey("actor", Actor)
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)


@web.middleware
async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let in whom a token, a session or KEDGE_ANONYMOUS_READ lets in. A page sends others to sign in.

    A change that a browser's cookie would allow needs the CSRF token of the same session besides: in the header
    X-CSRF-Token, or in a form's field.
    """
    if _open(request):
        return await handler(request)
    settings = request.app[SETTINGS]
    session = _session(request, settings) or Session(secrets.token_urlsafe(18))
    request[SESSION] = session
    try:
        request[ACTOR] = _actor(request, settings, session)
    except Problem:
        if request.path.startswith("/api/") or "Authorization" in request.headers:
            raise
        return _to_sign_in(request)
    if request.method not in _SAFE_METHODS and "Authorization" not in request.headers:
        await _check_origin(request, settings, session)
    return await handler(request)


def admits(settings: Settings, token: str) -> Actor | None:
    """Whose token it is. Compared in constant time."""
    return ADMIN if hmac.compare_digest(_bytes(token), _bytes(settings.admin_token)) else None


def sign_in(response: web.Response, settings: Settings, session: Session) -> None:
    """Set the session's cookie: https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Set-Cookie"""
    value = _serializer(settings, "session").dumps([session.id, session.user])
    response.set_cookie(
        cookie_name(settings),
        value if isinstance(value, str) else value.decode(),
        max_age=SESSION_S,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=_secure(settings),
    )


def sign_out(response: web.Response, settings: Settings) -> None:
    response.del_cookie(cookie_name(settings), path="/", httponly=True, samesite="Lax", secure=_secure(settings))


def csrf_token(settings: Settings, session: Session) -> str:
    """What a form of this session carries."""
    value = _serializer(settings, "csrf").dumps(session.id)
    return value if isinstance(value, str) else value.decode()


def cookie_name(settings: Settings) -> str:
    """Over https no other host of the domain can set it (``__Host-``)."""
    return "__Host-kedge" if _secure(settings) else "kedge"


def new_session(user: str | None = None) -> Session:
    return Session(secrets.token_urlsafe(18), user)


def _open(request: web.Request) -> bool:
    """By the route that was found, not by the path alone: `/api/0/{app}/…` also matches `/api/0/runner/…`."""
    resource = request.match_info.route.resource
    path = resource.canonical if resource else request.path
    return path in _OPEN or path.startswith(_OPEN_BELOW)


def _actor(request: web.Request, settings: Settings, session: Session) -> Actor:
    if "Authorization" in request.headers:
        actor = admits(settings, bearer(request))
        if actor is None:
            raise Problem("unauthorized", "This token is not known.")
        return actor
    if session.user == ADMIN.name:
        return ADMIN
    if request.path == "/login":
        return NOBODY
    if settings.anonymous_read and request.method in _SAFE_METHODS:
        return NOBODY
    raise Problem("unauthorized", "A token is needed: Authorization: Bearer TOKEN.")


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
    if site not in {"same-origin", "none"} or _loads(settings, "csrf", token) != session.id:
        hint = f"Load the page again. Without a page, send a token in Authorization, or {CSRF_HEADER}."
        raise Problem("forbidden", "This form is not of this session, so nothing was changed.", hint=hint)


async def form(request: web.Request) -> dict[str, str]:
    """The text fields of a form that was sent; empty where the body is none. Raises Problem ``bad_request``."""
    if request.content_type != "application/x-www-form-urlencoded":
        return {}
    try:
        fields = await request.post()
    except (ValueError, LookupError) as error:
        raise Problem("bad_request", "The form cannot be read; it must be UTF-8.") from error
    return {name: value for name, value in fields.items() if isinstance(value, str)}


def _session(request: web.Request, settings: Settings) -> Session | None:
    match _loads(settings, "session", request.cookies.get(cookie_name(settings), "")):
        case [str() as identity, (str() | None) as user]:
            return Session(identity, user)
        case _:
            return None


def _loads(settings: Settings, purpose: str, value: str) -> object:
    try:
        return _serializer(settings, purpose).loads(value, max_age=SESSION_S)
    except (BadData, UnicodeError):
        return None


def _serializer(settings: Settings, purpose: str) -> URLSafeTimedSerializer:
    """The first secret key signs, all verify. Another admin token ends all sessions that came from the old one."""
    token = hashlib.sha256(_bytes(settings.admin_token)).hexdigest()
    return URLSafeTimedSerializer(
        list(
            reversed(settings.secret_keys)
        ),  # the last one signs: https://itsdangerous.palletsprojects.com/en/stable/concepts/#key-rotation
        salt=f"kedge {purpose} {token}",
        signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
    )


def _secure(settings: Settings) -> bool:
    return settings.url.startswith("https:")


def _bytes(text: str) -> bytes:
    """Header values may hold bytes that are no UTF-8."""
    return text.encode(errors="surrogateescape")
