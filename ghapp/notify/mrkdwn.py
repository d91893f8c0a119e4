"""Texts of others in Slack's mrkdwn: shown as they are, and never a mention, a link or a command. Pure.

https://docs.slack.dev/messaging/formatting-message-text: whatever means anything stands in angle brackets, so that it
is enough to escape those and ``&``. What Slack would find in plain text besides (``@here``, ``#room``, addresses) it
leaves alone where a text object is ``verbatim``.
"""

import re

#: Longest text of somebody else's on one line; an escaped character takes five at most.
LONGEST = 400
#: As it is written; a link is one part of a text, which has at most 3,000 characters:
#: https://docs.slack.dev/reference/block-kit/composition-objects/text-object
LONGEST_URL = 800

_NO_URL = re.compile(r"[\x00-\x20\x7f<>|\\]")
_USER = re.compile(r"[UW][A-Z0-9]{2,20}")


def text(value: str, most: int = LONGEST) -> str:
    """Prose of somebody else's, on one line."""
    line = " ".join(value.split())
    line = line if len(line) <= most else line[: most - 1].rstrip() + "…"
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: str, most: int = 100) -> str:
    """Something to be read letter by letter. A back quote would end it."""
    shown = text(value, most).replace("`", "ˋ")
    return f"`{shown}`" if shown else ""


def bold(value: str) -> str:
    """``value`` is somebody else's text; an asterisk in it would end it."""
    return f"*{text(value, 100).replace('*', '∗')}*"


def link(shown: str, url: str | None) -> str:
    """``shown`` is mrkdwn already, without a link in it. Without a usable URL it is no link."""
    if url is None or not url.lower().startswith(("https://", "http://")):
        return shown
    written = _NO_URL.sub(lambda match: f"%{ord(match[0]):02X}", url).replace("&", "&amp;")
    return f"<{written}|{shown}>" if len(written) <= LONGEST_URL else shown


def mention(user_id: str | None) -> str:
    """Calls somebody; nothing for who is no user of Slack."""
    return f"<@{user_id}>" if user_id and _USER.fullmatch(user_id) else ""


def time(at: int, otherwise: str) -> str:
    """A time (ms) of day as whoever reads it has it; ``otherwise`` where it cannot be shown so.

    https://docs.slack.dev/messaging/formatting-message-text#date-formatting
    """
    return f"<!date^{at // 1000}^{{time}}|{text(otherwise)}>"
