"""Server-sent events as a browser reads them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from tests.integration.kedge_world import BEARER, World

LOG = "/api/0/shop/deploys/1/log"


@dataclass
class Event:
    """As a browser makes it from the fields: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

    name: str = "message"
    data: str = ""
    id: str = ""


@dataclass
class Stream:
    """A browser's reading of an event stream, lines ended by CR LF, LF or CR."""

    answer: aiohttp.ClientResponse
    comments: int = 0
    last_id: str = ""
    _rest: str = ""
    _events: list[Event] = field(default_factory=list)
    _fields: list[tuple[str, str]] = field(default_factory=list)

    async def next(self) -> Event:
        async with asyncio.timeout(20):
            while not self._events:
                data = await self.answer.content.readany()
                assert data, "the stream ended"
                *lines, self._rest = re.split(r"\r\n|\n|\r(?=.)", self._rest + data.decode())
                self._events += [event for event in map(self._line, lines) if event]
        return self._events.pop(0)

    def _line(self, line: str) -> Event | None:
        if line:
            name, _, value = line.partition(":")
            if not name:
                self.comments += 1
            self._fields.append((name, value.removeprefix(" ")))
            return None
        fields, self._fields = self._fields, []
        data = [value for name, value in fields if name == "data"]
        self.last_id = dict(fields).get("id", self.last_id)
        return Event(dict(fields).get("event", "message"), "\n".join(data), self.last_id) if data else None

    async def to_end(self) -> tuple[str, list[Event]]:
        events = []
        while (event := await self.next()).name != "end":
            events.append(event)
        assert not await self.answer.content.read()
        return "".join(one.data for one in events), [*events, event]


@asynccontextmanager
async def follow(kedge: World, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    given = {**BEARER, "Accept": "text/event-stream", **headers}
    async with kedge.client.get(LOG + query, headers=given) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield Stream(answer)
