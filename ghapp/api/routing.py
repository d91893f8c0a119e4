"""A row of the API's route table: what is served, who may, what is checked and what is documented are one."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Literal, TypeVar

import msgspec
from aiohttp import web
from structlog.contextvars import bind_contextvars

from ghapp.api import parameters
from ghapp.api.common import CONTEXT, body_of
from ghapp.api.params import params_of, query_of
from ghapp.service.naming import name_of
from ghapp.service.problems import Problem

RUNNER_PATH = "/api/0/runner/"
#: Longest name in a path.
NAME_LIMIT = 255

T = TypeVar("T", bound=msgspec.Struct)


class Sent(Enum):
    """How a request says what it wants."""

    QUERY = "in the query"
    FIELDS = "in the query, a form or a JSON object"
    JSON = "as a JSON object"
    BYTES = "in the query, beside a body of bytes"


@dataclass(frozen=True, slots=True)
class Text:
    """An answer that is no JSON."""

    media: tuple[str, ...] = ("text/plain",)


@dataclass(frozen=True, slots=True)
class Document:
    """An answer that is JSON of which no type says more."""


#: What a body is: JSON of a type, or else; None: there is none.
Answer = type[msgspec.Struct] | Text | Document | None
#: status -> body
Answers = Mapping[int, Answer]

#: What a token must be good for. ``token``: any will do; ``lease``: the lease of the deploy stands in its place.
Scope = Literal["read", "deploy", "lock", "admin", "runner", "token", "lease"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[T]):
    """``takes`` is the type of what is asked with, ``sent`` where that stands. ``scope`` None: open to everybody.
    ``narrowed``: a read that itself leaves out, or refuses, what a narrowed token does not cover.
    ``refusals``: codes of `CODES` that it may answer with, beside those that come with its scope, its path and what
    it takes; ``headers``: those it reads."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Callable[[web.Request, T], Awaitable[web.StreamResponse]]
    summary: str
    takes: type[T]
    answers: Answers
    scope: Scope | None = "read"
    narrowed: bool = False
    sent: Sent = Sent.QUERY
    refusals: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()

    def definition(self) -> web.RouteDef:
        """As aiohttp takes it; HEAD beside GET. A variable of the path is anything but a slash."""
        if self.method == "GET":
            return web.get(self.path, self.serve)
        return web.route(self.method, self.path, self.serve)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer a request that was let in: check what is given, then call the handler. Raises Problem."""
        _check_path(request)
        await _bind_deploy(request)
        return await self.handler(request, await self._given(request))

    async def _given(self, request: web.Request) -> T:
        if self.sent is Sent.JSON:
            return await body_of(request, self.takes)
        if self.sent is Sent.FIELDS:
            return await params_of(request, self.takes)
        return query_of(request, self.takes)


def route_of(request: web.Request) -> Route[Any] | None:
    """The row that serves the request; None for what is not in the table."""
    found = getattr(request.match_info.handler, "__self__", None)
    return found if isinstance(found, Route) else None


async def _bind_deploy(request: web.Request) -> None:
    """Log lines carry the deploy that the path names."""
    match = request.match_info
    if "number" in match:
        bind_contextvars(deploy=f"{match['app']}#{match['number']}")
    elif "id" in match and request.path.startswith(RUNNER_PATH):
        bind_contextvars(deploy=await name_of(request.app[CONTEXT], parameters.deploy_id(request)))


def _check_path(request: web.Request) -> None:
    """Whatever no name can be is none of a known one."""
    for name, value in request.match_info.items():
        if len(value) > NAME_LIMIT or not value.isprintable():
            what = {"env": "environment", "number": "deploy", "sha": "commit"}.get(name, name)
            said = f"There is no {what} with that name: names are printable, of at most {NAME_LIMIT} characters."
            raise Problem("not_found", said)
