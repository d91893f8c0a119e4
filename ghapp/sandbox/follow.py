"""Tells what happens to deploys, one readable line a step, from what the app's own API says."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

POLL_S = 0.1
LIVE = {"queued", "claimed", "running"}

#: Event of the timeline -> the state it brings, where that is another word.
LABELS = {"asked": "queued", "held": "queued", "started": "running"}


@dataclass
class Seen:
    """How much of a deploy has been told."""

    events: int = 0
    log: int = 0
    tail: str = ""
    ended: bool = False


@dataclass
class Follower:
    """Polls the app and calls ``say`` for each step. ``ended`` is set when the first deploy has ended."""

    session: aiohttp.ClientSession
    url: str
    app: str
    say: Callable[[str], None]
    seen: dict[int, Seen] = field(default_factory=dict)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            listed = await self._json(f"/api/0/{quote(self.app)}/deploys?limit=20")
            for deploy in sorted(listed["items"], key=lambda one: one["number"]):
                seen = self.seen.setdefault(deploy["number"], Seen())
                if not seen.ended:
                    await self._tell(deploy["number"], seen)
            await asyncio.sleep(POLL_S)

    async def _json(self, path: str) -> Any:
        async with self.session.get(self.url + path, raise_for_status=True) as response:
            return await response.json()

    async def _tell(self, number: int, seen: Seen) -> None:
        deploy = await self._json(f"/api/0/{quote(self.app)}/deploys/{number}")
        steps = deploy["events"][seen.events :]
        seen.events += len(steps)
        ended = deploy["state"] not in LIVE
        for step in steps:
            if step["kind"] == "started":
                self._say(deploy, "checks green")
            if step["kind"] == deploy["state"] and ended:
                await self._tell_log(deploy, seen)
            self._say(deploy, f"{LABELS.get(step['kind'], step['kind']):<10}{step['message']}")
        await self._tell_log(deploy, seen)
        if ended:
            seen.ended = True
            self.ended.set()

    async def _tell_log(self, deploy: dict[str, Any], seen: Seen) -> None:
        async with self.session.get(f"{deploy['log_url']}?offset={seen.log}", raise_for_status=True) as response:
            data = await response.read()
        seen.log += len(data)
        *lines, seen.tail = (seen.tail + data.decode(errors="replace")).split("\n")
        for line in lines:
            self._say(deploy, f"  | {line}")

    def _say(self, deploy: dict[str, Any], text: str) -> None:
        self.say(f"{deploy['app']}#{deploy['number']}  {text}")
