"""Socket Mode of the stand-in: what people press and ask, sent over the connection that the app opened.

As https://docs.slack.dev/apis/events-api/using-socket-mode has it: an envelope that is not acknowledged within 3 s is
sent again, and is a violation here; the address of a connection is good for one try.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from tests.slack.block_kit import flaws

Json = dict[str, Any]
APP_TOKEN = "xapp-app-token-of-the-tests"
ACK_WITHIN_S = 3.0
TEAM = "T0"


@dataclass
class Sent:
    """An envelope. ``replies`` are what was written to its response_url."""

    id: str
    kind: str
    payload: Json
    acknowledged: asyncio.Event = field(default_factory=asyncio.Event)
    replies: list[Json] = field(default_factory=list)

    @property
    def said(self) -> list[str]:
        """What the answers show, line by line, of the newest."""
        blocks = self.replies[-1]["blocks"] if self.replies else []
        return [line for block in blocks for line in block["text"]["text"].splitlines()]


@dataclass
class SocketMode:
    """The part of the stand-in that speaks first. ``users``: what users.info tells of them."""

    violations: list[str]
    url: str = ""
    users: dict[str, Json] = field(default_factory=dict)
    sent: dict[str, Sent] = field(default_factory=dict)
    opened: int = 0
    refuse: int = 0
    refuse_links: int = 0
    tickets: set[str] = field(default_factory=set)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    _serial: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def add_user(self, user_id: str, email: str | None = None, **facts: object) -> str:
        """A member of the workspace, unless ``facts`` say otherwise. An ``email`` is confirmed."""
        profile = {"email": email} if email else {}
        confirmed = {"is_email_confirmed": True} if email else {}
        self.users[user_id] = {"id": user_id, "team_id": TEAM, "profile": profile, **confirmed, **facts}
        return user_id

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/api/apps.connections.open", self._open),
            web.get("/link", self._link),
            web.post("/respond/{id}", self._respond),
        ]

    async def _open(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {APP_TOKEN}":
            self.violations.append("apps.connections.open takes the app-level token, in the header")
        if self.refuse:
            self.refuse -= 1
            return web.json_response({"ok": False, "error": "internal_error"})
        self.opened += 1
        self.tickets.add(ticket := f"ticket-{self.opened}")
        return web.json_response({"ok": True, "url": f"{self.url.replace('http', 'ws', 1)}/link?ticket={ticket}"})

    async def _link(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query["ticket"]
        if ticket not in self.tickets:
            return web.Response(status=404)
        self.tickets.remove(ticket)
        if self.refuse_links:
            self.refuse_links -= 1
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"type": "hello", "num_connections": 1, "connection_info": {"app_id": "A0"}})
        self.sockets.append(socket)
        self.connected.set()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledged(message.data)
        finally:
            self.sockets.remove(socket)
            if not self.sockets:
                self.connected.clear()
        return socket

    def _acknowledged(self, data: str) -> None:
        answer = json.loads(data)
        sent = self.sent.get(answer.get("envelope_id", ""))
        if sent is None:
            self.violations.append(f"an unknown envelope was acknowledged: {data[:100]}")
        else:
            sent.acknowledged.set()

    async def _respond(self, request: web.Request) -> web.Response:
        sent = self.sent[request.match_info["id"]]
        said = await request.json()
        self.violations += [f"response_url: {flaw}" for flaw in flaws(said)]
        if unknown := said.keys() - {"response_type", "replace_original", "text", "blocks"}:
            self.violations.append(f"response_url takes no {sorted(unknown)}")
        sent.replies.append(said)
        return web.Response(text="ok")

    # What people do

    async def send(
        self, kind: str, payload: Mapping[str, Any], *, again: Sent | None = None, waits: bool = True
    ) -> Sent:
        """To one of the connections, as Slack does; back when it is acknowledged."""
        await asyncio.wait_for(self.connected.wait(), 20)
        sent = again or Sent(f"envelope-{next(self._serial)}", kind, dict(payload))
        if not again:
            sent.payload["response_url"] = f"{self.url}/respond/{sent.id}"
            self.sent[sent.id] = sent
        sent.acknowledged.clear()
        envelope = {"envelope_id": sent.id, "type": kind, "payload": sent.payload, "accepts_response_payload": True}
        began = time.monotonic()
        await self.sockets[-1].send_json(envelope)
        if waits:
            await asyncio.wait_for(sent.acknowledged.wait(), 20)
            if time.monotonic() - began > ACK_WITHIN_S:
                self.violations.append(f"{sent.id} was acknowledged after more than {ACK_WITHIN_S:g} s")
        return sent

    async def command(self, user_id: str, text: str, room: str = "C00000003") -> Sent:
        payload = {
            "command": "/kedge",
            "text": text,
            "user_id": user_id,
            "user_name": "anybody",
            "channel_id": room,
            "team_id": TEAM,
            "trigger_id": "t",
        }
        return await self.send("slash_commands", payload)

    async def press(self, user_id: str, action_id: str, value: str, room: str = "C00000003") -> Sent:
        payload = {
            "type": "block_actions",
            "user": {"id": user_id, "name": "anybody", "team_id": TEAM},
            "channel": {"id": room, "name": "deploys"},
            "actions": [{"type": "button", "action_id": action_id, "value": value, "block_id": "b"}],
            "trigger_id": "t",
        }
        return await self.send("interactive", payload)

    async def disconnect(self) -> None:
        """As Slack does every few hours: https://docs.slack.dev/apis/events-api/using-socket-mode#disconnect"""
        for socket in list(self.sockets):
            await socket.send_json({"type": "disconnect", "reason": "refresh_requested"})
