"""Slack in memory, at the seam of its client: what rooms show, and answers that are lost, refused or late."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ghapp.channels.slack import Payload, Posted
from ghapp.core.remote import NotFound, RemoteError


@dataclass
class Shown:
    """A message as it stands. ``versions`` are the texts it has had."""

    ts: str
    versions: list[str]
    blocks: list[Mapping[str, Any]]
    payload: Payload
    thread: str | None

    @property
    def text(self) -> str:
        return self.versions[-1]

    @property
    def buttons(self) -> list[str]:
        rows = [block["elements"] for block in self.blocks if block["type"] == "actions"]
        return [one["action_id"].removeprefix("kedge:") for row in rows for one in row]


@dataclass
class MemorySlack:
    """``refusals`` are raised by the next writes, one each, and nothing is written; ``lost`` after it was."""

    rooms: dict[str, str] = field(default_factory=lambda: {"#deploys": "C0DEPLOYS", "#ops": "C00000OPS"})
    shown: dict[str, list[Shown]] = field(default_factory=dict)
    refusals: list[RemoteError] = field(default_factory=list)
    lost: list[RemoteError] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    people: dict[str, str] = field(default_factory=lambda: {"ana": "U0000ANA"})
    _serial: "itertools.count[int]" = field(default_factory=itertools.count)

    async def user_id(self, login: str) -> str | None:
        return self.people.get(login)

    async def login(self, user_id: str) -> str | None:
        return next((login for login, known in self.people.items() if known == user_id), None)

    async def room(self, name: str) -> str:
        found = name if name in self.rooms.values() else self.rooms.get(name)
        if found is None:
            raise NotFound(f"There is no channel {name}.")
        return found

    async def post(
        self, room: str, text: str, blocks: Sequence[Mapping[str, Any]], payload: Payload, thread: str | None = None
    ) -> str:
        self._begin("reply" if thread else "post")
        there = self.shown.setdefault(room, [])
        ts = f"{next(self._serial)}.000001"
        there.append(Shown(ts, [text], list(blocks), payload, thread))
        self._end()
        return ts

    async def update(self, posted: Posted, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        self._begin("update")
        found = self._found(posted)
        found.versions.append(text)
        found.blocks = list(blocks)
        self._end()

    async def find(self, room: str, key: str, since: int) -> str | None:
        self.calls.append("find")
        own = (one.ts for one in self.shown.get(room, ()) if not one.thread and one.payload["key"] == key)
        return next(own, None)

    async def replies(self, posted: Posted) -> list[Payload]:
        self.calls.append("replies")
        self._found(posted)
        return [one.payload for one in self.shown[posted.room] if one.thread == posted.ts]

    def _found(self, posted: Posted) -> Shown:
        found = next((one for one in self.shown.get(posted.room, ()) if one.ts == posted.ts), None)
        if found is None:
            raise NotFound("The message was deleted in Slack.")
        return found

    def _begin(self, call: str) -> None:
        self.calls.append(call)
        if self.refusals:
            raise self.refusals.pop(0)

    def _end(self) -> None:
        if self.lost:
            raise self.lost.pop(0)

    def messages(self, room: str = "C0DEPLOYS") -> list[Shown]:
        return [one for one in self.shown.get(room, ()) if not one.thread]

    def thread(self, room: str = "C0DEPLOYS", ts: str | None = None) -> list[str]:
        """Every step, in order; of the room's first message, unless another one is meant."""
        ts = ts or self.messages(room)[0].ts
        replies = [one for one in self.shown.get(room, ()) if one.thread == ts]
        return [line for one in replies for line in one.blocks[0]["text"]["text"].splitlines()]
