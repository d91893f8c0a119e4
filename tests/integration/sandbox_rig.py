"""A sandbox with one private repository, an installed App, and a receiver for its webhooks."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

import aiohttp
import jwt
from aiohttp import web

from ghapp.sandbox.accounts import AppKeys
from ghapp.sandbox.server import Sandbox

REPO = "acme/hello"
PERMISSIONS = {
    "contents": "read",
    "checks": "write",
    "statuses": "write",
    "deployments": "write",
    "issues": "write",
    "pull_requests": "write",
    "members": "read",
}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Received:
    event: str
    guid: str
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed


@dataclass(slots=True)
class Receiver:
    """Where the App's webhooks arrive. `answers` are statuses to give before 202 is the rule."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    gate: asyncio.Event | None = None

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        if self.gate:
            await self.gate.wait()
        event, guid = request.headers["X-GitHub-Event"], request.headers["X-GitHub-Delivery"]
        self.received.append(Received(event, guid, dict(request.headers), raw))
        return web.Response(status=self.answers.pop(0) if self.answers else 202, text="thanks")

    def of(self, event: str) -> list[Received]:
        return [one for one in self.received if one.event == event]


@dataclass(slots=True)
class Rig:
    gh: Sandbox
    app: AppKeys
    installation_id: int
    receiver: Receiver
    http: aiohttp.ClientSession

    def jwt(self, *, key: str | None = None, algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time())
        whole = {"iss": str(self.app.id), "iat": now - 60, "exp": now + 500, **claims}
        return jwt.encode(whole, key or self.app.private_key, algorithm=algorithm)

    async def call(
        self,
        method: str,
        path: str,
        auth: str = "",
        *,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Call the API. `path` may be a whole address, as in a Link header."""
        address = path if path.startswith("http") else self.gh.api_url + path
        sent = {"User-Agent": "tests", **({"Authorization": f"Bearer {auth}"} if auth else {}), **(headers or {})}
        async with self.http.request(method, address, headers=sent, json=json, data=data) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            body = loads(text) if is_json and text else text
            return Answer(answer.status, body, {k.lower(): v for k, v in answer.headers.items()})

    async def token(self, **narrowed: Any) -> str:
        path = f"/app/installations/{self.installation_id}/access_tokens"
        answer = await self.call("POST", path, self.jwt(), json=narrowed)
        assert answer.status == 201, answer.body
        token: str = answer.body["token"]
        return token


def loads(text: str) -> Any:
    return json.loads(text)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Rig]:
    """A rig; `ana` may push, `bob` may only read."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    async with Sandbox(folder) as gh, aiohttp.ClientSession() as http:
        gh.add_repository(REPO, private=True)
        gh.set_permission(REPO, "ana", "write")
        gh.set_permission(REPO, "bob", "read")
        keys = gh.add_app(webhook_url=receiver.url, permissions=PERMISSIONS)
        installation = gh.install(keys.id, [REPO])
        yield Rig(gh, keys, installation.id, receiver, http)
    await runner.cleanup()
