"""Somebody else's server on loopback: it notes what it is sent and answers as a test has scripted."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Got:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """``answers`` are given to the next requests, one each: a status, a status with the seconds of ``Retry-After``, or
    ``lost`` (taken, and the connection breaks). ``respond`` answers what is not scripted."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: list[int | str | tuple[int, int | str]] = field(default_factory=list)
    respond: Any = None

    async def handle(self, request: web.Request) -> web.Response:
        got = Got(request.method, request.raw_path, dict(request.headers), await request.read())
        self.got.append(got)
        answer: int | str | tuple[int, int | str] = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, tuple):
            return web.Response(status=answer[0], headers={"Retry-After": str(answer[1])})
        if answer == "lost":
            made = self.respond(got) if self.respond else None
            assert request.transport
            request.transport.close()
            return made or web.Response()
        if answer == 200 and self.respond:
            response: web.Response = self.respond(got)
            return response
        return web.Response(status=int(answer))


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    async with TestServer(app) as server:
        made.url = str(server.make_url("")).rstrip("/")
        yield made
