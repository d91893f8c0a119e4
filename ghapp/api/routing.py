"""One row of the API's route table: what is served, documented and tested comes from the same values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from aiohttp import web

from ghapp.api.common import Handler


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON."""

    media: tuple[str, ...] = ("text/plain",)


#: status -> type of the JSON body; None: no body.
Answers = Mapping[int, type[msgspec.Struct] | Text | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """``scope`` is what a token needs, None: open to everybody. ``params`` are taken from the query; ``body`` from
    the query, a form or a JSON object. ``refusals`` are statuses of the error shape beside those of its scope."""

    method: str
    path: str
    handler: Handler
    summary: str
    answers: Answers
    scope: str | None = "read"
    params: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | None = None
    refusals: tuple[int, ...] = ()
    headers: tuple[str, ...] = field(default=())

    def definition(self) -> web.RouteDef:
        """As aiohttp takes it. A path variable is anything but a slash."""
        return web.route(self.method, self.path, self.handler)
