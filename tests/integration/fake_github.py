"""As much of GitHub's REST API as a runner uses: checks of a commit, statuses of a deployment. With faults."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

REPO_TOKEN = "ghs_RepoToken0123456789"


@dataclass
class FakeGitHub:
    """``contexts``: name -> state of the commit's statuses. ``shown``: the deployment statuses, oldest first.

    Faults by name (``checks``, ``create``, ``newest``), one per request: a status code, ``lost`` (done, but the
    connection is cut) or ``hang``.
    """

    url: str = ""
    token: str = REPO_TOKEN
    contexts: dict[str, str] = field(default_factory=lambda: {"ci": "success"})
    at: str = "2026-11-23T16:00:00Z"
    shown: list[dict[str, Any]] = field(default_factory=list)
    faults: defaultdict[str, deque[int | str]] = field(default_factory=lambda: defaultdict(deque))
    requests: list[str] = field(default_factory=list)

    @property
    def states(self) -> list[str]:
        return [status["state"] for status in self.shown]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        name = self._name(request)
        self.requests.append(name)
        fault = self.faults[name].popleft() if self.faults[name] else None
        if isinstance(fault, int):
            return web.json_response({"message": "as asked for"}, status=fault)
        if request.headers.get("Authorization") != f"token {self.token}":
            return web.json_response({"message": "Bad credentials"}, status=401)
        if fault == "hang":
            await asyncio.sleep(60)
        answer = await self._answer(name, request)
        if fault == "lost" and request.transport is not None:
            request.transport.abort()
        return answer

    def _name(self, request: web.Request) -> str:
        last = request.path.rpartition("/")[2]
        if last == "statuses":
            return "create" if request.method == "POST" else "newest"
        return {"status": "checks", "check-suites": "suites", "check-runs": "runs"}.get(last, last)

    async def _answer(self, name: str, request: web.Request) -> web.Response:
        if name == "create":
            status = await request.json()
            self.shown.append({**status, "id": len(self.shown) + 1, "created_at": "2026-11-23T17:00:00Z"})
            return web.json_response(self.shown[-1], status=201)
        if name == "newest":
            return web.json_response(self.shown[::-1][:1])
        if name == "checks":
            statuses = [
                {"id": number, "context": context, "state": state, "updated_at": self.at}
                for number, (context, state) in enumerate(self.contexts.items(), 1)
            ]
            return web.json_response({"statuses": statuses, "total_count": len(statuses)})
        lists = {"suites": "check_suites", "runs": "check_runs"}
        return web.json_response({lists[name]: [], "total_count": 0})


@asynccontextmanager
async def serving() -> AsyncIterator[FakeGitHub]:
    fake = FakeGitHub()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.serve)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    try:
        fake.url = str(server.make_url("")).rstrip("/")
        yield fake
    finally:
        await server.close()
