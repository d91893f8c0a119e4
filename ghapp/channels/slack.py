"""Slack's Web API, as much of it as Kedge speaks with: https://docs.slack.dev/apis/web-api."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import aiohttp
from cachetools import TTLCache
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from ghapp.channels import slack_errors
from ghapp.core.remote import Forbidden, NotFound, Refused, Unavailable

#: Names what Kedge attaches to its messages: https://docs.slack.dev/messaging/message-metadata
EVENT_TYPE = "kedge_message"
TIMEOUT_S = 20
#: https://docs.slack.dev/reference/methods/conversations.history takes up to 999; the list of channels may be asked for
#: 20 times a minute, and has to be read to its end.
PAGE = 200
PAGE_OF_ROOMS = 999
#: Messages of a room, or replies, that are looked through for a lost one.
LOOKED_THROUGH = 1_000
#: How long the name of a room is taken for its id. Names change seldom, and a wrong one is answered.
ROOM_KNOWN_S = 3600
#: How long a room that was not found is not looked for again: all rooms are listed for it.
ROOM_MISSED_S = 60

_READ = frozenset(
    {"conversations.list", "conversations.history", "conversations.replies", "users.info", "users.lookupByEmail"}
)
_ROOM_ID = re.compile(r"[CG][A-Z0-9]{8,}")

Payload = Mapping[str, str | int | bool]


@dataclass(frozen=True, slots=True)
class Posted:
    """A message: ``ts`` tells it from all others of its room."""

    room: str
    ts: str


@dataclass(frozen=True, slots=True)
class User:
    """Somebody in Slack. ``stranger``: a bot, gone, a guest, or of another workspace, who may do nothing. ``email`` is
    None where it is not known or not confirmed."""

    id: str
    email: str | None
    stranger: bool


class SlackClient:
    """Speaks as the Slack app whose bot token it has. Raises RemoteError.

    Nothing is tried again here, what slack_sdk does by itself included: a message whose answer was lost would be posted
    twice.
    """

    def __init__(self, session: aiohttp.ClientSession, *, token: str, api_url: str, proxy: str | None = None) -> None:
        self._web = AsyncWebClient(token, base_url=api_url, session=session, retry_handlers=[])
        self._web.proxy = proxy  # it would take the one of the environment, and not know NO_PROXY
        self._rooms: TTLCache[str, str] = TTLCache(10_000, ROOM_KNOWN_S)
        self._missed: TTLCache[str, bool] = TTLCache(10_000, ROOM_MISSED_S)
        self._own_bot: str | None = None
        self._own_team: str | None = None

    async def user(self, user_id: str) -> User:
        """https://docs.slack.dev/reference/objects/user-object"""
        if self._own_team is None:
            self._own_team = str((await self._call("auth.test", {})).get("team_id"))
        found = (await self._call("users.info", {"user": user_id}))["user"]
        unfit = ("is_bot", "deleted", "is_restricted", "is_ultra_restricted", "is_stranger", "is_workflow_bot")
        stranger = any(found.get(name) for name in unfit) or found.get("team_id") != self._own_team
        confirmed = found.get("is_email_confirmed", False)
        return User(user_id, (found.get("profile") or {}).get("email") if confirmed else None, stranger)

    async def user_by_email(self, email: str) -> str:
        """The id of a user of the workspace. Raises NotFound."""
        return str((await self._call("users.lookupByEmail", {"email": email}))["user"]["id"])

    async def room(self, name: str) -> str:
        """The id of a channel, by its name or id."""
        if _ROOM_ID.fullmatch(name):
            return name
        wanted = name.removeprefix("#").casefold()
        if wanted not in self._rooms and wanted not in self._missed:
            kinds = {"types": "public_channel,private_channel", "exclude_archived": True, "limit": PAGE_OF_ROOMS}
            async for one in self._pages("conversations.list", "channels", kinds):
                self._rooms[str(one.get("name", "")).casefold()] = str(one["id"])
                if wanted in self._rooms:
                    break
            else:
                self._missed[wanted] = True
        if wanted not in self._rooms:
            raise NotFound(slack_errors.no_room(name))
        return self._rooms[wanted]

    async def post(
        self, room: str, text: str, blocks: Sequence[Mapping[str, Any]], payload: Payload, thread: str | None = None
    ) -> str:
        """Write a message, in a thread or not; its ``ts``. ``payload`` is attached to it. A public channel is joined
        where that is needed."""
        said = {
            "channel": room,
            "text": text,
            "blocks": list(blocks),
            "metadata": {"event_type": EVENT_TYPE, "event_payload": dict(payload)},
            "unfurl_links": False,
            "unfurl_media": False,
            **({"thread_ts": thread} if thread else {}),
        }
        return str((await self._in_room("chat.postMessage", room, said))["ts"])

    async def update(self, posted: Posted, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        """Write it anew; what is attached to it stays. ``parse``: its default is another one than when posting."""
        said = {"channel": posted.room, "ts": posted.ts, "text": text, "blocks": list(blocks), "parse": "none"}
        await self._call("chat.update", said)

    async def find(self, room: str, key: str, since: int) -> str | None:
        """The message of Kedge's own whose payload has this ``key``, written since then (ms)."""
        asked = {"channel": room, "oldest": f"{since / 1000:.6f}", "include_all_metadata": True}
        async for ts, payload in self._own("conversations.history", asked):
            if payload.get("key") == key:
                return ts
        return None

    async def replies(self, posted: Posted) -> list[Payload]:
        """What is attached to the replies of Kedge's own, oldest first."""
        asked = {"channel": posted.room, "ts": posted.ts, "include_all_metadata": True}
        return [payload async for ts, payload in self._own("conversations.replies", asked) if ts != posted.ts]

    async def _own(self, method: str, asked: dict[str, Any]) -> AsyncIterator[tuple[str, Payload]]:
        """Messages of Kedge's own, and what is attached to them: anybody could attach the same."""
        if self._own_bot is None:
            self._own_bot = str((await self._call("auth.test", {})).get("bot_id"))
        async for one in self._pages(method, "messages", asked):
            attached = one.get("metadata") or {}
            if one.get("bot_id") == self._own_bot and attached.get("event_type") == EVENT_TYPE:
                yield str(one["ts"]), attached.get("event_payload") or {}

    async def _pages(self, method: str, items: str, asked: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """https://docs.slack.dev/apis/web-api/pagination. Of a room no more than is reasonable."""
        cursor, seen = "", 0
        while seen < LOOKED_THROUGH or items == "channels":
            page = {"limit": PAGE, **asked, **({"cursor": cursor} if cursor else {})}
            answer = await (
                self._in_room(method, asked["channel"], page) if "channel" in asked else self._call(method, page)
            )
            for one in answer.get(items) or ():
                seen += 1
                yield one
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    async def _in_room(self, method: str, room: str, asked: dict[str, Any]) -> Mapping[str, Any]:
        """A call that takes membership."""
        try:
            return await self._call(method, asked)
        except slack_errors.NotInRoom:
            await self._join(room)
            return await self._call(method, asked)

    async def _join(self, room: str) -> None:
        try:
            await self._call("conversations.join", {"channel": room})
        except (Forbidden, NotFound, Refused) as error:
            raise Forbidden(slack_errors.not_invited(), status=error.status) from error

    async def _call(self, method: str, asked: dict[str, Any]) -> Mapping[str, Any]:
        """What is read is asked for in the URL, for those methods take no JSON."""
        read = method in _READ
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if read:
                    answer = await self._web.api_call(method, http_verb="GET", params=asked)
                else:
                    answer = await self._web.api_call(method, json=asked)
        except SlackApiError as error:
            _failed(error)
        except (aiohttp.ClientError, TimeoutError, OSError, SlackClientError, AttributeError) as error:
            raise Unavailable(f"Slack cannot be reached: {type(error).__name__}.") from error
        return answer.data if isinstance(answer.data, dict) else {}


def _failed(error: SlackApiError) -> NoReturn:
    response = error.response
    data = getattr(response, "data", None)
    status = getattr(response, "status_code", None)
    headers = getattr(response, "headers", None) or {}
    raise slack_errors.of(data if isinstance(data, dict) else {}, status, headers) from error
