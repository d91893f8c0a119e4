"""A strict stand-in for slack.com: its Web API and an incoming webhook, as much of them as Kedge speaks with.

What is done wrong is answered as Slack answers it, and stands in `violations`. `faults` makes it answer otherwise.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.slack.block_kit import flaws
from tests.slack.socket_mode import SocketMode

Json = dict[str, Any]
TOKEN = "xoxb-bot-token-of-the-tests"
BOT, BOT_USER = "B0KEDGE", "U0KEDGE"
HOOK = "/services/T0/B0/secret"

#: Method -> how it is called, the arguments it takes, those that it cannot do without.
METHODS: dict[str, tuple[str, set[str], set[str]]] = {
    "auth.test": ("POST", set(), set()),
    "conversations.list": ("GET", {"types", "exclude_archived", "limit", "cursor"}, set()),
    "conversations.join": ("POST", {"channel"}, {"channel"}),
    "conversations.history": (
        "GET",
        {"channel", "oldest", "latest", "inclusive", "limit", "cursor", "include_all_metadata"},
        {"channel"},
    ),
    "conversations.replies": ("GET", {"channel", "ts", "limit", "cursor", "include_all_metadata"}, {"channel", "ts"}),
    "chat.postMessage": (
        "POST",
        {"channel", "text", "blocks", "metadata", "thread_ts", "unfurl_links", "unfurl_media"},
        {"channel", "text", "blocks"},
    ),
    "users.info": ("GET", {"user"}, {"user"}),
    "users.lookupByEmail": ("GET", {"email"}, {"email"}),
    "chat.update": ("POST", {"channel", "ts", "text", "blocks", "parse"}, {"channel", "ts", "text", "blocks"}),
}


class Refusal(Exception):
    """``ok: false`` with this word."""


@dataclass
class Message:
    """A message as it stands; ``versions`` are the texts of its notification that it has had."""

    ts: str
    versions: list[str]
    blocks: list[Json]
    metadata: Json | None
    thread_ts: str | None
    deleted: bool = False

    @property
    def text(self) -> str:
        return self.versions[-1]

    @property
    def lines(self) -> list[str]:
        """What it shows."""
        texts = [block["text"]["text"] for block in self.blocks if block["type"] == "section"]
        return "\n".join(texts).splitlines()

    @property
    def buttons(self) -> list[str]:
        rows = [block["elements"] for block in self.blocks if block["type"] == "actions"]
        return [one["action_id"] for row in rows for one in row]

    def shown(self) -> Json:
        thread = {"thread_ts": self.thread_ts} if self.thread_ts else {}
        said = {"type": "message", "ts": self.ts, "text": self.text, "blocks": self.blocks, **thread}
        return {**said, "user": BOT_USER, "bot_id": BOT, "metadata": self.metadata or {}}


@dataclass
class Room:
    id: str
    name: str
    private: bool = False
    joined: bool = True
    archived: bool = False
    messages: list[Message] = field(default_factory=list)


@dataclass
class Fault:
    """Something goes wrong with the next ``times`` calls of a method (None: of any).

    ``down``: 500. ``lost``: it is done, and the connection breaks. ``limited``: 429 for ``seconds``. ``hang``: no
    answer until ``gate`` is set.
    """

    kind: str
    method: str | None = None
    times: int = 1
    skip: int = 0
    seconds: int = 30
    gate: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Slack:
    """``clock`` gives ms."""

    clock: Callable[[], int]
    rooms: dict[str, Room] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    hooked: list[Json] = field(default_factory=list)
    url: str = ""
    socket: SocketMode = field(init=False)
    _quiet_until: dict[str, int] = field(default_factory=dict)
    _serial: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.socket = SocketMode(self.violations)

    @property
    def api_url(self) -> str:
        return f"{self.url}/api"

    @property
    def hook_url(self) -> str:
        return f"{self.url}{HOOK}"

    def add_room(self, name: str, *, private: bool = False, joined: bool = True) -> Room:
        room = Room(f"C{len(self.rooms) + 1:08}", name, private, joined)
        self.rooms[room.id] = room
        return room

    def fault(self, kind: str, method: str | None = None, **facts: Any) -> Fault:
        fault = Fault(kind, method, **facts)
        self.faults.append(fault)
        return fault

    def said(self, room: Room) -> list[Message]:
        """The messages of a room outside threads."""
        return [one for one in room.messages if not one.thread_ts and not one.deleted]

    def thread(self, room: Room, of: Message) -> list[str]:
        """What was replied, line by line."""
        replies = [one for one in room.messages if one.thread_ts == of.ts]
        return [line for one in replies for line in one.lines]

    # HTTP

    async def handle(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.calls.append(method)
        asked = await self._arguments(request, method)
        fault = self._fault(method)
        if self.clock() < self._quiet_until.get(method, 0):
            self._violated(f"{method} was called before the time that Retry-After said")
        if fault and fault.kind == "hang":
            await fault.gate.wait()
        if fault and fault.kind == "down":
            return web.Response(status=500, text="<html>")
        if fault and fault.kind == "limited":
            self._quiet_until[method] = self.clock() + fault.seconds * 1000
            headers = {"Retry-After": str(fault.seconds)}
            return web.json_response({"ok": False, "error": "ratelimited"}, status=429, headers=headers)
        try:
            answer = {"ok": True, **getattr(self, method.replace(".", "_"))(asked)}
        except Refusal as refusal:
            answer = {"ok": False, "error": str(refusal)}
        if fault and fault.kind == "lost" and request.transport:
            request.transport.close()
        return web.json_response(answer)

    async def hook(self, request: web.Request) -> web.Response:
        self.calls.append("webhook")
        said = json.loads(await request.text())
        for flaw in flaws(said):
            self._violated(f"webhook: {flaw}")
        fault = self._fault("webhook")
        if fault and fault.kind == "down":
            return web.Response(status=500)
        self.hooked.append(said)
        if fault and fault.kind == "lost" and request.transport:
            request.transport.close()
        return web.Response(text="ok")

    def _fault(self, method: str) -> Fault | None:
        for fault in self.faults:
            if fault.method in {None, method} and fault.times:
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    async def _arguments(self, request: web.Request, method: str) -> Json:
        if method not in METHODS:
            self._violated(f"there is no method {method}")
            return {}
        verb, takes, needs = METHODS[method]
        if request.method != verb:
            self._violated(f"{method} is called by {verb}, not {request.method}")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}" or "token" in request.query:
            self._violated(f"{method}: the token belongs into the header")
        asked: Json = dict(request.query) if request.method == "GET" else await request.json()
        if unknown := asked.keys() - takes:
            self._violated(f"{method} takes no {sorted(unknown)}")
        if missing := needs - asked.keys():
            self._violated(f"{method} needs {sorted(missing)}")
        return asked

    def _violated(self, what: str) -> None:
        self.violations.append(what)

    # Methods

    def auth_test(self, asked: Json) -> Json:
        return {"user_id": BOT_USER, "bot_id": BOT, "team_id": "T0"}

    def users_info(self, asked: Json) -> Json:
        if asked["user"] not in self.socket.users:
            raise Refusal("user_not_found")
        return {"user": self.socket.users[asked["user"]]}

    def users_lookupByEmail(self, asked: Json) -> Json:
        for user in self.socket.users.values():
            if user["profile"].get("email") == asked["email"]:
                return {"user": user}
        raise Refusal("users_not_found")

    def conversations_list(self, asked: Json) -> Json:
        seen = [one for one in self.rooms.values() if one.joined or not one.private]
        seen = [one for one in seen if not (one.archived and asked.get("exclude_archived") == "1")]
        start = int(asked.get("cursor") or 0)
        page = seen[start : start + min(int(asked.get("limit", 100)), 2)]
        more = str(start + len(page)) if start + len(page) < len(seen) else ""
        channels = [{"id": one.id, "name": one.name, "is_member": one.joined} for one in page]
        return {"channels": channels, "response_metadata": {"next_cursor": more}}

    def conversations_join(self, asked: Json) -> Json:
        room = self.rooms.get(asked["channel"])
        if room is None or room.private:
            raise Refusal("channel_not_found" if room is None else "method_not_supported_for_channel_type")
        room.joined = True
        return {"channel": {"id": room.id}}

    def chat_postMessage(self, asked: Json) -> Json:
        room = self._room(asked)
        self._judge("chat.postMessage", asked)
        metadata = asked.get("metadata")
        if metadata is not None and not (
            metadata.get("event_type") and isinstance(metadata.get("event_payload"), dict)
        ):
            raise Refusal("invalid_metadata_format")
        thread_ts = asked.get("thread_ts")
        if thread_ts and self._message(room, thread_ts).thread_ts:
            self._violated("a reply to a reply")
        ts = f"{self.clock() // 1000}.{next(self._serial):06}"
        room.messages.append(Message(ts, [asked["text"]], asked["blocks"], metadata, thread_ts))
        return {"channel": room.id, "ts": ts}

    def chat_update(self, asked: Json) -> Json:
        room = self._room(asked)
        self._judge("chat.update", asked)
        message = self._message(room, asked["ts"])
        message.versions.append(asked["text"])
        message.blocks = asked["blocks"]
        return {"channel": room.id, "ts": message.ts}

    def conversations_history(self, asked: Json) -> Json:
        room = self._room(asked)
        oldest = float(asked.get("oldest", 0))
        found = [one for one in self.said(room) if float(one.ts) > oldest]
        return {"messages": [self._shown(one, asked) for one in reversed(found)]}

    def conversations_replies(self, asked: Json) -> Json:
        room = self._room(asked)
        parent = self._message(room, asked["ts"])
        found = [parent, *(one for one in room.messages if one.thread_ts == parent.ts)]
        return {"messages": [self._shown(one, asked) for one in found]}

    def _shown(self, message: Message, asked: Json) -> Json:
        """Metadata is told only to who asks for it."""
        shown = message.shown()
        return shown if asked.get("include_all_metadata") == "1" else {**shown, "metadata": {}}

    def _room(self, asked: Json) -> Room:
        room = self.rooms.get(asked["channel"])
        if room is None or (room.private and not room.joined):
            raise Refusal("channel_not_found")
        if not room.joined:
            raise Refusal("not_in_channel")
        if room.archived:
            raise Refusal("is_archived")
        return room

    def _message(self, room: Room, ts: str) -> Message:
        found = next((one for one in room.messages if one.ts == ts and not one.deleted), None)
        if found is None:
            raise Refusal("message_not_found")
        return found

    def _judge(self, method: str, asked: Json) -> None:
        found = list(flaws(asked))
        for flaw in found:
            self._violated(f"{method}: {flaw}")
        if found:
            raise Refusal("invalid_blocks")


@asynccontextmanager
async def slack(clock: Callable[[], int]) -> AsyncIterator[Slack]:
    """Running on loopback."""
    made = Slack(clock)
    app = web.Application()
    app.router.add_routes(made.socket.routes())
    app.router.add_route("*", "/api/{method}", made.handle)
    app.router.add_post(HOOK, made.hook)
    async with TestServer(app) as server:
        made.url = made.socket.url = str(server.make_url("")).rstrip("/")
        yield made
        for fault in made.faults:
            fault.gate.set()
