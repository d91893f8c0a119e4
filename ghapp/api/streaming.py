"""Answers that are written bit by bit, and server-sent events among them: one loop for whatever is followed live.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from aiohttp import web

from ghapp.api.auth import readmitted
from ghapp.api.common import CONTEXT

log = structlog.get_logger(__name__)

#: A comment is sent when nothing else was for this long, so that proxies keep the connection.
COMMENT_EVERY_S = 15.0
#: Whatever wakes a follower only saves time: it looks by itself as often as this.
LOOK_EVERY_S = 5.0
#: … and not more often than this, however much happens elsewhere.
REST_S = 0.05
#: A client that takes nothing for this long is gone; a follower resumes where it was.
STALLED_S = 60.0
#: Whoever was let in when it began is looked at again this often.
READMIT_EVERY_S = 30.0
#: Followers end when this topic is called, so that the app can stop.
STOPPING = "stopping"

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store"}


async def write(response: web.StreamResponse, data: bytes) -> None:
    """Returns when the client has taken most of it. Raises TimeoutError, ConnectionError."""
    async with asyncio.timeout(STALLED_S):
        await response.write(data)


def broken(request: web.Request, error: Exception) -> None:
    """The answer has begun, so the only way to say that it is not whole is to break the connection."""
    if not isinstance(error, ConnectionError | TimeoutError):
        log.error("the answer broke off", exc_info=error)
    if request.transport is not None:
        request.transport.abort()


class Stream:
    """One client that takes events. What it has not taken is not held for it: `say` waits."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._written_at = asyncio.get_running_loop().time()

    async def event(self, text: str, *, id: int | None = None, name: str | None = None) -> None:
        """``text`` has only LF as line break; each of its lines is a field of its own."""
        named = f"event: {name}\n" if name else ""
        numbered = "" if id is None else f"id: {id}\n"
        lines = "".join(f"data: {line}\n" for line in text.split("\n"))
        await self.say(f"{named}{numbered}{lines}\n".encode())

    async def say(self, data: bytes) -> None:
        await write(self._response, data)
        self._written_at = asyncio.get_running_loop().time()

    async def wait(self, calls: Sequence[asyncio.Event]) -> None:
        """For one of the calls, or until it is time to look again; comments where nothing was said for long."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await _first_of(calls, min(LOOK_EVERY_S, max(COMMENT_EVERY_S - (began - self._written_at), 0)))
        if clock() - self._written_at >= COMMENT_EVERY_S:
            await self.say(b": still there\n\n")
        await asyncio.sleep(max(REST_S - (clock() - began), 0))


#: Sends what is new since it was called last; was that all there will ever be?
Look = Callable[[Stream], Awaitable[bool]]


async def follow(request: web.Request, topics: Sequence[str], look: Look) -> web.StreamResponse:
    """Answer with events until ``look`` says that all was sent, the client is gone or may not see it any more, or the
    app stops. It looks at each call of one of the topics, and by itself."""
    headers = {**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        stream = Stream(response)
        await stream.say(b": following\n\n")
        await _until_all_is_sent(request, topics, look, stream)
    except Exception as error:
        broken(request, error)
    return response


async def _until_all_is_sent(request: web.Request, topics: Sequence[str], look: Look, stream: Stream) -> None:
    signals = request.app[CONTEXT].signals
    stopping = signals.watch(STOPPING)
    clock = asyncio.get_running_loop().time
    let_in_at = clock()
    while not stopping.is_set():
        # Taken before looking, so that nothing falls in between.
        calls = [*map(signals.watch, topics), stopping]
        if clock() - let_in_at >= READMIT_EVERY_S:
            if not await readmitted(request):
                return
            let_in_at = clock()
        if await look(stream):
            return
        await stream.wait(calls)


async def stop_following(app: web.Application) -> None:
    """For ``on_shutdown``: end every follower; they come back to the next app."""
    app[CONTEXT].signals.send(STOPPING)


def resumed(request: web.Request, start: int) -> int:
    """Where an interrupted follower goes on; nonsense counts for nothing."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) <= 18 else start


async def _first_of(calls: Sequence[asyncio.Event], seconds: float) -> None:
    waiting = [asyncio.ensure_future(call.wait()) for call in calls]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
