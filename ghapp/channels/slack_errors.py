"""How Slack's refusals read: an HTTP status, or ``ok: false`` with a word, as RemoteError."""

import time
from collections.abc import Mapping
from typing import Any

from ghapp.core.remote import (
    Forbidden,
    NotFound,
    RateLimited,
    Refused,
    RemoteError,
    Unauthorized,
    Unavailable,
    retry_after_s,
)

# https://docs.slack.dev/reference/methods/chat.postMessage#errors and those of the other methods
_UNAVAILABLE = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"}
)
_UNAUTHORIZED = frozenset({"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"})
_NOT_FOUND = {
    "message_not_found": "The message was deleted in Slack.",
    "thread_not_found": "The message was deleted in Slack.",
    "is_archived": "The channel is archived.",
    "user_not_found": "There is no such user in Slack.",
    "users_not_found": "Nobody in Slack has this e-mail address.",
}
#: The least that is waited where Slack does not say: it always does.
_WAIT_S = 30.0


class NotInRoom(Forbidden):
    """The bot is no member of the channel."""


def of(answer: Mapping[str, Any], status: int | None, headers: Mapping[str, str]) -> RemoteError:
    """The failure that an answer tells of."""
    code = str(answer.get("error") or "")
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        return RateLimited("Slack's rate limit is reached.", retry_after_s=_wait_s(headers), status=status)
    if not code or code in _UNAVAILABLE or (status or 0) >= 500:
        said = f"Slack answered {code or status}."
        return Unavailable(said, status=status)
    if code in _UNAUTHORIZED:
        return Unauthorized(f"Slack does not accept SLACK_BOT_TOKEN ({code}).", status=status)
    if code == "not_in_channel":
        return NotInRoom(not_invited(), status=status)
    if code == "channel_not_found":
        return NotFound(no_room(), status=status)
    if code in _NOT_FOUND:
        return NotFound(_NOT_FOUND[code], status=status)
    if code == "missing_scope":
        return Forbidden(f"The Slack app lacks the scope {answer.get('needed')}; install it anew.", status=status)
    return Refused(f"Slack refused it: {code}{_details(answer)}.", status=status)


def of_webhook(what: str, body: str, status: int, headers: Mapping[str, str]) -> RemoteError:
    """Of an address that takes messages, which answers with a word alone; ``what`` it is:
    https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors"""
    word = body.strip() if body.strip().replace("_", "").isalnum() and len(body) < 60 else ""
    if status == 429 or status >= 500:
        return of({}, status, headers)
    if status in {403, 404, 410}:
        return NotFound(f"Slack does not take {what} any more ({word or status}).", status=status)
    return Refused(f"Slack refused what was sent to {what}: {word or status}.", status=status)


def no_room(name: str | None = None) -> str:
    called = f" {name}" if name else ""
    return f"There is no channel{called} that Kedge can see; if it is private, invite Kedge to it."


def not_invited() -> str:
    return "Kedge is no member of the channel and may not join it; invite it."


def _details(answer: Mapping[str, Any]) -> str:
    """Which part of the request was wrong, where Slack tells."""
    found = (answer.get("response_metadata") or {}).get("messages") or ()
    return f" ({'; '.join(map(str, found))[:300]})" if found else ""


def _wait_s(headers: Mapping[str, str]) -> float:
    """https://docs.slack.dev/apis/web-api/rate-limits: ``Retry-After`` is seconds."""
    asked = {name.casefold(): value for name, value in headers.items()}.get("retry-after")
    return retry_after_s(asked, time.time(), _WAIT_S)
