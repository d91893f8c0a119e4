"""The clients of Slack against answers as Slack gives them: what each failure means, and that nothing is sent twice."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ghapp.channels.slack import EVENT_TYPE, Posted, SlackClient
from ghapp.channels.slack_replies import SlackReplies
from ghapp.channels.slack_webhook import SlackWebhook
from ghapp.core.remote import Forbidden, NotFound, RateLimited, Refused, RemoteError, Unauthorized, Unavailable
from ghapp.vcs.session import open_session

TOKEN = "xoxb-secret"
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "x"}}]
Answer = dict[str, Any] | web.Response


@dataclass
class Scripted:
    """Answers each method with what is scripted for it, the last again and again; ``heard`` are (method, arguments)."""

    answers: dict[str, list[Answer]] = field(default_factory=dict)
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    hang_up: bool = False
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        said = await request.json() if request.method == "POST" else dict(request.query)
        self.heard.append((method, said))
        assert request.headers["Authorization"] == f"Bearer {TOKEN}" and TOKEN not in str(request.url)
        if self.hang_up:
            assert request.transport
            request.transport.close()
        left = self.answers[method]
        answer = left.pop(0) if len(left) > 1 else left[0]
        return answer if isinstance(answer, web.Response) else web.json_response(answer)

    def methods(self) -> list[str]:
        return [method for method, _ in self.heard]


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    made = Scripted({"chat.postMessage": [{"ok": True, "ts": "1.2"}], "auth.test": [{"ok": True, "bot_id": "B1"}]})
    app = web.Application()
    app.router.add_route("*", "/api/{method}", made.handle)
    async with TestServer(app) as running:
        made.url = str(running.make_url("/api"))
        yield made


@pytest.fixture
async def slack(server: Scripted) -> AsyncIterator[SlackClient]:
    async with open_session() as session:
        yield SlackClient(session, token=TOKEN, api_url=server.url)


async def test_post_and_update(slack: SlackClient, server: Scripted) -> None:
    server.answers["chat.update"] = [{"ok": True}]
    assert await slack.post("C1", "text", BLOCKS, {"key": "k", "through": 3}, "1.1") == "1.2"
    await slack.update(Posted("C1", "1.2"), "new", BLOCKS)
    (_, posted), (_, updated) = server.heard
    assert posted["metadata"] == {"event_type": EVENT_TYPE, "event_payload": {"key": "k", "through": 3}}
    assert (posted["thread_ts"], posted["unfurl_links"]) == ("1.1", False)
    assert updated == {"channel": "C1", "ts": "1.2", "text": "new", "blocks": BLOCKS, "parse": "none"}


def refusal(error: str, **more: Any) -> Answer:
    return {"ok": False, "error": error, **more}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (refusal("invalid_auth"), Unauthorized, "does not accept SLACK_BOT_TOKEN"),
        (refusal("channel_not_found"), NotFound, "no channel that Kedge can see"),
        (refusal("is_archived"), NotFound, "archived"),
        (refusal("missing_scope", needed="chat:write"), Forbidden, "lacks the scope chat:write"),
        (refusal("internal_error"), Unavailable, "internal_error"),
        (
            refusal("invalid_blocks", response_metadata={"messages": ["[ERROR] must be less than 3001"]}),
            Refused,
            "invalid_blocks ([ERROR] must be less than 3001)",
        ),
        (web.Response(status=503, text="<html>"), Unavailable, "503"),
        (web.Response(status=200, text="<html>", content_type="text/html"), Unavailable, "200"),
        (web.Response(status=200, text="a proxy's own"), Unavailable, "cannot be reached"),
        (web.Response(status=200, text="{", content_type="application/json"), Unavailable, ""),
    ],
)
async def test_refusals(
    slack: SlackClient, server: Scripted, answer: Answer, kind: type[RemoteError], said: str
) -> None:
    server.answers["chat.postMessage"] = [answer]
    with pytest.raises(kind) as raised:
        await slack.post("C1", "text", BLOCKS, {})
    assert said in raised.value.message and TOKEN not in raised.value.message
    assert server.methods() == ["chat.postMessage"], "nothing is tried again by itself"


async def test_a_rate_limit_says_for_how_long(slack: SlackClient, server: Scripted) -> None:
    limited = web.json_response(refusal("ratelimited"), status=429, headers={"Retry-After": "7"})
    server.answers["chat.postMessage"] = [limited]
    with pytest.raises(RateLimited) as raised:
        await slack.post("C1", "text", BLOCKS, {})
    assert raised.value.retry_after_s == 7


async def test_a_connection_that_breaks_posts_nothing_a_second_time(slack: SlackClient, server: Scripted) -> None:
    """slack_sdk would try again by itself: https://docs.slack.dev/tools/python-slack-sdk/web#retryhandler."""
    server.hang_up = True
    with pytest.raises(Unavailable):
        await slack.post("C1", "text", BLOCKS, {})
    assert len(server.heard) == 1


async def test_a_public_channel_is_joined_where_that_is_needed(slack: SlackClient, server: Scripted) -> None:
    server.answers["chat.postMessage"] = [refusal("not_in_channel"), {"ok": True, "ts": "1.2"}]
    server.answers["conversations.join"] = [{"ok": True}]
    assert await slack.post("C1", "text", BLOCKS, {}) == "1.2"
    assert server.methods() == ["chat.postMessage", "conversations.join", "chat.postMessage"]


@pytest.mark.parametrize("why", ["method_not_supported_for_channel_type", "channel_not_found", "missing_scope"])
async def test_a_private_channel_takes_an_invitation(slack: SlackClient, server: Scripted, why: str) -> None:
    server.answers["chat.postMessage"] = [refusal("not_in_channel")]
    server.answers["conversations.join"] = [refusal(why)]
    with pytest.raises(Forbidden, match="invite it"):
        await slack.post("C1", "text", BLOCKS, {})


async def test_rooms_are_known_by_name_or_id(slack: SlackClient, server: Scripted) -> None:
    server.answers["conversations.list"] = [
        {"ok": True, "channels": [{"id": "C1", "name": "general"}], "response_metadata": {"next_cursor": "n"}},
        {"ok": True, "channels": [{"id": "C2", "name": "deploys"}], "response_metadata": {"next_cursor": ""}},
    ]
    assert await slack.room("C024BE91L") == "C024BE91L"
    assert server.heard == []
    assert [await slack.room(name) for name in ("#deploys", "Deploys", "general")] == ["C2", "C2", "C1"]
    assert [said.get("cursor") for _, said in server.heard] == [None, "n"]
    server.heard.clear()
    server.answers["conversations.list"] = [{"ok": True, "channels": []}]
    for _ in range(2):
        with pytest.raises(NotFound, match="no channel #nowhere that Kedge can see"):
            await slack.room("#nowhere")
    assert server.methods() == ["conversations.list"], "all rooms are not listed again at once"


async def test_a_lost_message_is_found_among_kedges_own(slack: SlackClient, server: Scripted) -> None:
    def message(ts: str, key: str, bot: str = "B1", kind: str = EVENT_TYPE) -> dict[str, Any]:
        return {"ts": ts, "bot_id": bot, "metadata": {"event_type": kind, "event_payload": {"key": key}}}

    others = [message("9", "k", bot="B2"), message("8", "k", kind="other"), {"ts": "7", "user": "U1", "text": "k"}]
    server.answers["conversations.history"] = [
        {"ok": True, "messages": others, "response_metadata": {"next_cursor": "n"}},
        {"ok": True, "messages": [message("6", "other"), message("5", "k")]},
    ]
    assert await slack.find("C1", "k", 1_800_000_000_000) == "5"
    assert server.heard[1][1] == {
        "channel": "C1",
        "oldest": "1800000000.000000",
        "include_all_metadata": "1",
        "limit": "200",
    }
    server.answers["conversations.replies"] = [{"ok": True, "messages": [message("5", "k"), message("5.1", "r")]}]
    assert await slack.replies(Posted("C1", "5")) == [{"key": "r"}]


# Incoming webhooks


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (web.Response(status=404, text="no_service"), NotFound, "take SLACK_WEBHOOK_URL any more (no_service)"),
        (web.Response(status=410, text="channel_is_archived"), NotFound, "channel_is_archived"),
        (web.Response(status=400, text="invalid_payload"), Refused, "invalid_payload"),
        (web.Response(status=400, text="<html> secret"), Refused, "SLACK_WEBHOOK_URL: 400"),
        (web.Response(status=429, headers={"Retry-After": "3"}), RateLimited, "rate limit"),
        (web.Response(status=500), Unavailable, "500"),
    ],
)
async def test_webhook_refusals(answer: web.Response, kind: type[RemoteError], said: str) -> None:
    async def handle(_: web.Request) -> web.Response:
        return answer

    async with _hook(handle) as hook:
        with pytest.raises(kind) as raised:
            await hook.send("text", BLOCKS)
    assert said in raised.value.message and "services" not in raised.value.message


async def test_webhook_sends_once() -> None:
    heard: list[dict[str, Any]] = []

    async def handle(request: web.Request) -> web.Response:
        heard.append(await request.json())
        if len(heard) == 2:
            assert request.transport
            request.transport.close()
        return web.Response(text="ok")

    async with _hook(handle) as hook:
        await hook.send("text", BLOCKS)
        with pytest.raises(Unavailable):
            await hook.send("text", BLOCKS)
    assert [one["text"] for one in heard] == ["text"] * 2


async def test_an_address_for_answers_that_is_not_good_any_more_is_called_what_it_is() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(status=404, text="expired_url")

    app = web.Application()
    app.router.add_post("/respond", handle)
    async with TestServer(app) as running, open_session() as session:
        url = str(running.make_url("/respond"))
        with pytest.raises(NotFound, match=r"the response_url of a command or press any more \(expired_url\)"):
            await SlackReplies(session, api_url=url).reply(url, "text", BLOCKS)


@asynccontextmanager
async def _hook(handle: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[SlackWebhook]:
    app = web.Application()
    app.router.add_post("/services/T1/B1/secret", handle)
    async with TestServer(app) as running, open_session() as session:
        yield SlackWebhook(session, str(running.make_url("/services/T1/B1/secret")))
