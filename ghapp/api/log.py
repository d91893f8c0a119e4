"""A deploy's log: as text from any byte on, or followed live by server-sent events."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import structlog
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters
from ghapp.api.common import CONTEXT, json_response
from ghapp.api.params import params_of
from ghapp.core.logtext import decoded
from ghapp.service import logs, seeing
from ghapp.service.context import Context
from ghapp.store import deploys
from ghapp.store.deploys import Deploy

log = structlog.get_logger(__name__)

#: A comment is sent when nothing else was for this long, so that proxies keep the connection.
COMMENT_EVERY_S = 15.0
#: Whatever wakes a follower only saves time: it looks by itself as often as this.
LOOK_EVERY_S = 5.0
#: … and not more often than this, however much happens elsewhere.
REST_S = 0.05
#: A client that takes nothing for this long is gone; a follower resumes where it was.
STALLED_S = 60.0
#: Most bytes of log in one event.
EVENT_SIZE = 1 << 16
#: Followers end when this topic is called, so that the app can stop.
STOPPING = "stopping"

_FARTHEST = 10**18 - 1


class LogParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    offset: Annotated[int, Meta(ge=0, le=_FARTHEST)] = 0


async def get_log(request: web.Request) -> web.StreamResponse:
    offset = (await params_of(request, LogParams)).offset
    ctx = request.app[CONTEXT]
    app, number = request.match_info["app"], parameters.number(request)
    deploy = (await ctx.stores.main.read(lambda tx: seeing.deploy(tx, ctx, app, number))).deploy
    if "text/event-stream" in request.headers.get("Accept", "") and request.method == "GET":
        return await _follow(request, ctx, deploy, _resumed(request, offset))
    return await _send(request, ctx, deploy, offset)


async def stop_following(app: web.Application) -> None:
    """For ``on_shutdown``: end every follower; they come back to the next app."""
    app[CONTEXT].signals.send(STOPPING)


# As text


async def _send(request: web.Request, ctx: Context, deploy: Deploy, offset: int) -> web.StreamResponse:
    """From ``offset`` to what is there now. A Range counts from the offset."""
    size = await logs.end(ctx, deploy.id) - offset
    if size < 0:
        return _out_of_range(size + offset, f"The log has {size + offset} bytes.")
    wanted = _range(request, size)
    if wanted is None:
        return _out_of_range(size, f"The log has {size} bytes from there on.")
    start, stop, partial = wanted
    response = web.StreamResponse(status=206 if partial else 200, headers=_HEADERS)
    response.content_type, response.charset = "text/plain", "utf-8"
    response.headers["Accept-Ranges"] = "bytes"
    response.content_length = stop - start
    if partial:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    await response.prepare(request)
    if request.method != "HEAD":
        await _pour(request, response, ctx, deploy.id, offset + start, offset + stop)
    return response


async def _pour(
    request: web.Request, response: web.StreamResponse, ctx: Context, deploy_id: int, start: int, stop: int
) -> None:
    try:
        while start < stop:
            data = await logs.piece(ctx, deploy_id, start, stop)
            await _write(response, data)
            start += len(data)
    except Exception as error:
        _broken(request, error)


def _range(request: web.Request, size: int) -> tuple[int, int, bool] | None:
    """First byte, the one after the last, and whether that answers a Range; None where the Range lies outside.

    What is no single range of bytes counts for nothing, and neither does a Range with an If-Range: the log has no
    validator that could hold. https://www.rfc-editor.org/rfc/rfc9110#section-14.2 and #section-13.1.5
    """
    if "Range" not in request.headers or "If-Range" in request.headers:
        return 0, size, False
    try:
        asked = request.http_range
    except ValueError:
        return 0, size, False
    start, stop, _ = asked.indices(size)
    return (start, stop, True) if start < stop else None


_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}


def _out_of_range(size: int, message: str) -> web.Response:
    hint = "Ask from there, or follow it with Accept: text/event-stream."
    response = json_response({"error": {"code": "range_not_satisfiable", "message": message, "hint": hint}}, 416)
    response.headers["Content-Range"] = f"bytes */{size}"
    return response


# Live


def _resumed(request: web.Request, offset: int) -> int:
    """Where an interrupted follower goes on; nonsense counts for nothing."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) <= 18 else offset


async def _follow(request: web.Request, ctx: Context, deploy: Deploy, offset: int) -> web.StreamResponse:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html"""
    headers = {**_HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        await _write(response, b": following\n\n")
        await _Follower(ctx, response, deploy.id, offset).run()
    except Exception as error:
        _broken(request, error)
    return response


class _Follower:
    """One client that follows one log. It holds one piece of it at a time, and waits for the client to take it."""

    def __init__(self, ctx: Context, response: web.StreamResponse, deploy_id: int, offset: int) -> None:
        self._ctx = ctx
        self._response = response
        self._deploy_id = deploy_id
        self._offset = offset
        self._topic = f"log:{deploy_id}"
        self._written_at = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Until the log has ended and was sent, or the app stops."""
        stopping = self._ctx.signals.watch(STOPPING)
        while not stopping.is_set():
            # Taken before looking, so that nothing falls in between.
            calls = [self._ctx.signals.watch(self._topic), self._ctx.signals.watch("changes"), stopping]
            if await self._catch_up():
                self._ctx.signals.send(self._topic)  # nobody else will: the others who follow it are done as well
                return
            await self._wait(calls)

    async def _catch_up(self) -> bool:
        """Send all that is there; was that all there will ever be?"""
        deploy = await self._ctx.stores.main.read(lambda tx: deploys.get(tx, self._deploy_id))
        if deploy is None:
            return True
        end = await logs.end(self._ctx, self._deploy_id)
        over = logs.complete(deploy, end)
        held = b""  # a character that a chunk's edge has cut
        while (at := self._offset + len(held)) < end:
            held += await logs.piece(self._ctx, self._deploy_id, at, end, EVENT_SIZE)
            text, taken = decoded(held, last=over and self._offset + len(held) == end)
            held = held[taken:]
            self._offset += taken
            if taken:
                await self._say(_event(text, self._offset))
        if over:
            await self._say(f"event: end\ndata: {deploy.state.value}\n\n".encode())
        return over

    async def _wait(self, calls: Sequence[asyncio.Event]) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        await _first_of(calls, min(LOOK_EVERY_S, max(COMMENT_EVERY_S - (began - self._written_at), 0)))
        if clock() - self._written_at >= COMMENT_EVERY_S:
            await self._say(b": still there\n\n")
        await asyncio.sleep(max(REST_S - (clock() - began), 0))

    async def _say(self, data: bytes) -> None:
        await _write(self._response, data)
        self._written_at = asyncio.get_running_loop().time()


def _event(text: str, offset: int) -> bytes:
    """``text`` has only LF as line break; each of its lines is a field of its own."""
    lines = "".join(f"data: {line}\n" for line in text.split("\n"))
    return f"id: {offset}\n{lines}\n".encode()


async def _first_of(calls: Sequence[asyncio.Event], seconds: float) -> None:
    waiting = [asyncio.ensure_future(call.wait()) for call in calls]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


# Both


async def _write(response: web.StreamResponse, data: bytes) -> None:
    """Returns when the client has taken most of it. Raises TimeoutError, ConnectionError."""
    async with asyncio.timeout(STALLED_S):
        await response.write(data)


def _broken(request: web.Request, error: Exception) -> None:
    """The answer has begun, so the only way to say that it is not whole is to break the connection."""
    if not isinstance(error, ConnectionError | TimeoutError):
        log.error("log cannot be read", path=request.path, exc_info=error)
    if request.transport is not None:
        request.transport.abort()


ROUTES = (web.get("/api/0/{app}/deploys/{number}/log", get_log),)
