"""Around every request: where it comes from, an id for its log lines, and one line that says how it ended."""

import secrets
from ipaddress import ip_address
from time import perf_counter

import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars, clear_contextvars

from ghapp.api.common import QUIET, Handler
from ghapp.api.routing import RUNNER_PATH
from ghapp.core.values import COMMAND_LINE_AGENT, Door
from ghapp.store.events import ORIGIN, Origin

log = structlog.get_logger(__name__)

#: The door of what runners report.
_RUNNER = "runner"


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bind what the log lines and events of this request carry, and log it once it is answered."""
    clear_contextvars()  # one connection serves one request after another
    bind_contextvars(request=secrets.token_hex(6))
    door = _RUNNER if request.path.startswith(RUNNER_PATH) else door_of(request).value
    ORIGIN.set(Origin(door, address_of(request)))
    began = perf_counter()
    response: web.StreamResponse | None = None
    try:
        response = await handler(request)
        return response
    finally:
        if not request.get(QUIET, False) or response is None or response.status >= 500:
            _log(request, response, perf_counter() - began)


def door_of(request: web.Request) -> Door:
    """The door that a person's request comes in by. The command line calls the API as any program does and is told
    from others by the product that it names (RFC 9110 section 10.1.5). Anybody may name it, which does no harm: both
    doors let the same token do the same, and who acts is the token's owner.
    """
    if not request.path.startswith("/api/"):
        return Door.PAGE
    product = request.headers.get("User-Agent", "").partition("/")[0]
    return Door.COMMAND_LINE if product == COMMAND_LINE_AGENT else Door.API


def address_of(request: web.Request) -> str | None:
    """The client's address. What a proxy on this machine adds to X-Forwarded-For counts, and no other header does:
    whoever sends a request can write one.

    https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/X-Forwarded-For#selecting_an_ip_address
    """
    peer = request.remote
    said = request.headers.getall("X-Forwarded-For", [])
    if not (peer and said and _is_loopback(peer)):
        return peer
    last = said[-1].rpartition(",")[2].strip()
    return last if _is_address(last) else peer


def _is_loopback(text: str) -> bool:
    return _is_address(text) and ip_address(text).is_loopback


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _log(request: web.Request, response: web.StreamResponse | None, took_s: float) -> None:
    resource = request.match_info.route.resource
    log.info(
        "request",
        method=request.method,
        route=resource.canonical if resource else None,
        status=response.status if response is not None else None,  # None: the client hung up
        took_ms=round(took_s * 1000),
    )
