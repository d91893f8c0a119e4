"""A strict stand-in for GitHub: it answers what a test has scripted and notes everything that was asked."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import RawTestServer
from yarl import URL

from ghapp.core.values import Repository
from ghapp.vcs.github import GitHubRepository
from ghapp.vcs.github_runner import GitHub
from ghapp.vcs.provider import Opening

TOKEN = "ghs_secret0123456789"
SHA = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: ``call`` is method, path and query as they were sent."""

    call: str
    headers: Mapping[str, str]
    body: Any

    @property
    def token(self) -> str:
        return self.headers["Authorization"].partition(" ")[2]


@dataclass(frozen=True, slots=True)
class Reply:
    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


#: The connection breaks before an answer.
DROP = Reply(status=0)


def error(status: int, message: str, *, errors: Any = None, **headers: str) -> Reply:
    """An error in GitHub's form; keyword ``Retry_After`` is the header ``Retry-After``."""
    body = {"message": message, "documentation_url": "https://docs.github.com/rest"}
    if errors is not None:
        body["errors"] = errors
    return Reply(body, status, {name.replace("_", "-"): value for name, value in headers.items()})


class StandIn:
    """``on`` scripts the replies of one call, in order; the last is repeated. Anything else is answered 404."""

    def __init__(self, base: str = "") -> None:
        self.asked: list[Asked] = []
        self.unexpected: list[str] = []
        self._base = base
        self._replies: dict[str, list[Reply]] = {}
        self._url = URL()

    @property
    def url(self) -> str:
        """Base URL as it stands in the settings."""
        return str(self._url).rstrip("/") + self._base

    def on(self, call: str, *replies: Any) -> None:
        """``call`` is like ``GET /repos/o/r?page=2``; a reply is a `Reply` or the body of a 200."""
        made = [reply if isinstance(reply, Reply) else Reply(reply) for reply in replies]
        self._replies[call] = made

    def calls(self) -> list[str]:
        return [asked.call for asked in self.asked]

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["StandIn"]:
        server = RawTestServer(self._handle)
        await server.start_server(ssl=tls)
        self._url = server.make_url("")
        try:
            yield self
        finally:
            await server.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        sent = await request.read()
        path = request.raw_path.removeprefix(self._base)
        call = f"{request.method} {path}"
        self.asked.append(Asked(call, request.headers.copy(), json.loads(sent) if sent else None))
        problem = self._wrong_with(request, sent)
        if problem:
            self.unexpected.append(problem)
            return web.json_response({"message": problem}, status=400)
        replies = self._replies.get(call)
        if replies is None:
            self.unexpected.append(call)
            return web.json_response({"message": "Not Found"}, status=404)
        return self._send(request, replies.pop(0) if len(replies) > 1 else replies[0])

    def _wrong_with(self, request: web.BaseRequest, sent: bytes) -> str | None:
        """GitHub insists on the first; the rest is what Kedge promises."""
        if "kedge" not in request.headers.get("User-Agent", ""):
            return "Request forbidden by administrative rules: no User-Agent"
        if not request.raw_path.startswith(self._base):
            return f"{request.raw_path} is not under {self._base}"
        if request.headers.get("X-GitHub-Api-Version") != "2022-11-28":
            return "no API version"
        if not request.headers.get("Accept", "").startswith("application/vnd.github."):
            return "no media type"
        if (request.method == "GET") == bool(sent):
            return f"{request.method} with body {sent!r}"
        return None

    def _send(self, request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
        if reply is DROP:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        headers = {name: value.replace("{url}", self.url) for name, value in reply.headers.items()}
        if "ETag" in headers and request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers=headers)
        if isinstance(reply.body, bytes):
            return web.Response(body=reply.body, status=reply.status, headers=headers, content_type="application/json")
        return web.json_response(reply.body, status=reply.status, headers=headers)


def run(name: str, id: int = 1, app_id: int = 7, **changed: object) -> dict[str, object]:
    """A check run as GitHub lists it."""
    return {
        "id": id,
        "name": name,
        "head_sha": SHA,
        "status": "completed",
        "conclusion": "success",
        "started_at": "2024-05-01T10:00:00Z",
        "completed_at": "2024-05-01T10:01:00Z",
        "html_url": f"https://github.com/o/r/runs/{id}",
        "app": {"id": app_id, "name": "CI", "slug": "ci"},
        **changed,
    }


def status(context: str, state: str = "success", id: int = 1) -> dict[str, object]:
    """A commit status as GitHub lists it."""
    return {
        "id": id,
        "context": context,
        "state": state,
        "description": None,
        "target_url": None,
        "created_at": "2024-05-01T10:00:00Z",
        "updated_at": "2024-05-01T10:00:05Z",
    }


def suite(id: int, **changed: object) -> dict[str, object]:
    """A check suite as GitHub lists it."""
    return {
        "id": id,
        "head_sha": SHA,
        "status": "in_progress",
        "conclusion": None,
        "latest_check_runs_count": 1,
        "created_at": "2024-05-01T10:00:00Z",
        "updated_at": "2024-05-01T10:00:09Z",
        "app": {"id": 7, "name": "CI", "slug": "ci"},
        **changed,
    }


def tokens(*values: str) -> Callable[[], Awaitable[str]]:
    """A source that gives the values in turn, then the last one again."""
    left = list(values)

    async def give() -> str:
        return left.pop(0) if len(left) > 1 else left[0]

    return give


def repository_at(
    session: aiohttp.ClientSession, url: str, full_name: str, token: Callable[[], Awaitable[str]]
) -> GitHubRepository:
    """A repository as a runner sees it."""
    opening = Opening(session=session, folder=Path("/nowhere"), environ={}, api_url=url, token=token)
    return GitHub(opening).code(Repository(1, full_name, f"{url}/{full_name}.git"))
