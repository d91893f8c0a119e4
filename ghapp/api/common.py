"""What all handlers of the API share: the context, JSON in and out, the one error shape, the wire version."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
import structlog
from aiohttp import web
from structlog.contextvars import get_contextvars

from ghapp import wire
from ghapp.config import Settings
from ghapp.core.actors import Actor, Grant
from ghapp.core.times import rfc3339
from ghapp.service.context import Context
from ghapp.service.problems import CODES, Problem
from ghapp.store.base import Unavailable

log = structlog.get_logger(__name__)

CONTEXT: web.AppKey[Context] = web.AppKey("context", Context)
SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)

ACTOR: web.RequestKey[Actor] = web.RequestKey("actor", Actor)
#: Who reads: the actor, or everybody where everybody may.
READER: web.RequestKey[Actor] = web.RequestKey("reader", Actor)
#: Of a claim: the id of the runner's token, None for KEDGE_RUNNER_TOKEN, and what it grants.
CLAIMANT: web.RequestKey[tuple[int | None, Grant]] = web.RequestKey("claimant", tuple)
#: Set on a request that is asked over and over and whose answer says nothing new: it is not worth a line in the log.
QUIET: web.RequestKey[bool] = web.RequestKey("quiet", bool)

#: Most bytes of a request body that is not a log chunk or a delivery.
BODY_LIMIT = 1 << 20

_MOMENT = Annotated[datetime, msgspec.Meta(tz=True)]

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def milliseconds(text: str, *, field: str | None = None) -> int:
    """RFC 3339 to milliseconds since the epoch. Raises Problem ``invalid``, which names the field."""
    try:
        return round(msgspec.convert(text, _MOMENT).timestamp() * 1000)
    except msgspec.ValidationError as error:
        said = f"{field or 'That'} is no time in RFC 3339, such as 2026-11-23T14:02:00Z."
        raise Problem("invalid", said, field=field) from error


def json_response(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def error_response(problem: Problem) -> web.Response:
    """``{"error": {"code", "message", "hint", …}}``"""
    facts = {key: rfc3339(value) if key == "when" else value for key, value in problem.facts.items()}  # type: ignore[call-overload]
    body = {"code": problem.code, "message": problem.message, "hint": problem.hint, **facts}
    sayable = {key: _sayable(value) if isinstance(value, str) else value for key, value in body.items()}
    response = json_response({"error": sayable}, CODES[problem.code])
    response.headers.update(headers_of(problem))
    return response


def _sayable(text: str) -> str:
    """What a header held need not be UTF-8, and an answer may repeat it."""
    return text.encode(errors="replace").decode()


def headers_of(problem: Problem) -> dict[str, str]:
    """What an answer with this refusal carries, besides its status: RFC 9110 sections 11.6.1 and 10.2.3."""
    if problem.code == "unauthorized":
        return {"WWW-Authenticate": 'Bearer realm="kedge"'}
    if problem.code == "rate_limited":
        return {"Retry-After": str(problem.facts["retry_after_s"])}
    return {}


async def body_of(request: web.Request, kind: type[T]) -> T:
    """The JSON body as that type. Raises Problem ``bad_request``, ``invalid`` or ``too_large``."""
    body = await read(request)
    try:
        found = msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Problem("invalid", f"The body does not fit: {error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem("bad_request", f"The body is not JSON: {error}.") from error
    _check_storable(msgspec.to_builtins(found))
    return found


async def read(request: web.Request) -> bytes:
    """The body. Raises Problem ``too_large``, or ``bad_request`` where it is not what its headers say."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise Problem("too_large", "The body is too large.") from error
    except web.RequestPayloadError as error:
        raise Problem("bad_request", "The body is not what its headers say.") from error


def _check_storable(value: object) -> None:
    """What both databases can keep: text without NUL, numbers of 64 bits."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for one in value:
            _check_storable(one)
    elif (isinstance(value, str) and "\0" in value) or (isinstance(value, int) and abs(value) >= 1 << 63):
        raise Problem("invalid", "The body does not fit: text has no NUL character, and numbers have 64 bits.")


def bearer(request: web.Request) -> str:
    """The token of ``Authorization: Bearer TOKEN`` (RFC 6750). Raises Problem ``unauthorized``."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem("unauthorized", "A token is needed: Authorization: Bearer TOKEN.")
    return token.strip()


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal of ``/api`` in the one error shape, unexpected ones too, without their text."""
    try:
        return await handler(request)
    except Problem as problem:
        return error_response(problem)
    except Unavailable:
        log.exception("database unavailable", path=request.path)
        return error_response(Problem("unavailable", "The database cannot be reached now; try again."))
    except web.HTTPException as error:
        if error.status < 400 or not request.path.startswith("/api/"):
            raise
        return _plain_error(error)
    except Exception:
        log.exception("request failed", method=request.method, path=request.path)
        hint = f"There it is request {get_contextvars().get('request', 'unknown')}."
        body = {"code": "internal", "message": "Kedge failed to answer; its log says why.", "hint": hint}
        return json_response({"error": body}, 500)


def _plain_error(error: web.HTTPException) -> web.Response:
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
    message = {404: "There is no such path.", 405: "This path does not take that method."}.get(
        error.status, error.reason
    )
    response = json_response(
        {"error": {"code": codes.get(error.status, "bad_request"), "message": message, "hint": None}}, error.status
    )
    if allow := error.headers.get("Allow"):
        response.headers["Allow"] = allow
    return response


@web.middleware
async def wire_version(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The runner's calls carry the version of what they say; another major one gets a sentence."""
    if not request.path.startswith("/api/0/runner/"):
        return await handler(request)
    version = request.headers.get(wire.WIRE_HEADER, str(wire.WIRE_VERSION))
    if version != str(wire.WIRE_VERSION):
        said = f"This app speaks wire version {wire.WIRE_VERSION}, not {version}."
        problem = Problem("wire_version", said, hint="Upgrade the older of the two.")
        response: web.StreamResponse = error_response(problem)
    else:
        response = await handler(request)
    response.headers[wire.WIRE_HEADER] = str(wire.WIRE_VERSION)
    return response
