"""A deploy's log: as text from any byte on, or followed live by server-sent events."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import parameters, streaming
from ghapp.api.common import CONTEXT, READER, error_response
from ghapp.api.routing import Route, Text
from ghapp.api.streaming import Stream
from ghapp.core.logtext import decoded
from ghapp.service import logs, seeing
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import deploys
from ghapp.store.deploys import Deploy

#: Most bytes of log in one event.
EVENT_SIZE = 1 << 16


class LogParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    offset: Annotated[int, Meta(ge=0, le=parameters.MOST)] = 0


async def get_log(request: web.Request, given: LogParams) -> web.StreamResponse:
    ctx, offset = request.app[CONTEXT], given.offset
    app, number = request.match_info["app"], parameters.number(request)
    reader = request[READER]
    deploy = (await ctx.stores.main.read(lambda tx: seeing.deploy(tx, ctx, app, number, reader))).deploy
    if "text/event-stream" in request.headers.get("Accept", "") and request.method == "GET":
        follower = _Follower(ctx, deploy.id, streaming.resumed(request, offset))
        return await streaming.follow(request, (follower.topic, "changes"), follower.look)
    return await _send(request, ctx, deploy, offset)


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
    response = web.StreamResponse(status=206 if partial else 200, headers=streaming.HEADERS)
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
            await streaming.write(response, data)
            start += len(data)
    except Exception as error:
        streaming.broken(request, error)


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


def _out_of_range(size: int, message: str) -> web.Response:
    hint = "Ask from there, or follow it with Accept: text/event-stream."
    response = error_response(Problem("range_not_satisfiable", message, hint=hint))
    response.headers["Content-Range"] = f"bytes */{size}"
    return response


# Live


class _Follower:
    """Follows one log, one piece of it at a time."""

    def __init__(self, ctx: Context, deploy_id: int, offset: int) -> None:
        self._ctx = ctx
        self._deploy_id = deploy_id
        self._offset = offset
        self.topic = f"log:{deploy_id}"

    async def look(self, stream: Stream) -> bool:
        """Send all that is there; was that all there will ever be?"""
        deploy = await self._ctx.stores.main.read(lambda tx: deploys.get(tx, self._deploy_id))
        if deploy is None:
            return True
        end = await logs.end(self._ctx, self._deploy_id)
        over = logs.complete(deploy, end)
        await self._send_until(stream, end, over)
        if over:
            await stream.event(deploy.state.value, name="end")
            self._ctx.signals.send(self.topic)  # nobody else will: the others who follow it are done as well
        return over

    async def _send_until(self, stream: Stream, end: int, over: bool) -> None:
        held = b""  # a character that a chunk's edge has cut
        while (at := self._offset + len(held)) < end:
            held += await logs.piece(self._ctx, self._deploy_id, at, end, EVENT_SIZE)
            text, taken = decoded(held, last=over and self._offset + len(held) == end)
            held = held[taken:]
            self._offset += taken
            if taken:
                await stream.event(text, id=self._offset)


ROUTES = (
    Route(
        method="GET",
        path="/api/0/{app}/deploys/{number}/log",
        handler=get_log,
        summary="The log from a byte on, a Range of it, or with Accept: text/event-stream as it grows.",
        takes=LogParams,
        answers={200: Text(("text/plain", "text/event-stream")), 206: Text()},
        narrowed=True,
        refusals=("range_not_satisfiable",),
        headers=("Range", "Last-Event-ID"),
    ),
)
