"""Answers that one person sees: https://docs.slack.dev/interactivity/handling-user-interaction#message_responses."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ghapp.channels import slack_errors
from ghapp.core.remote import Refused, Unavailable

TIMEOUT_S = 20
#: Where the addresses lead that Slack hands out for answers.
HOST = "hooks.slack.com"


class SlackReplies:
    """Writes to the addresses that come with what people do; each is good for half an hour. Raises RemoteError."""

    def __init__(self, session: aiohttp.ClientSession, *, api_url: str, proxy: Any = None) -> None:
        self._session = session
        self._own = urlsplit(api_url)
        self._proxy = proxy

    async def reply(self, url: str, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        parts = urlsplit(url)
        theirs = (parts.scheme, parts.netloc) in {("https", HOST), (self._own.scheme, self._own.netloc)}
        if not theirs:
            raise Refused("The address for the answer is not Slack's.")
        said = {"response_type": "ephemeral", "replace_original": False, "text": text, "blocks": list(blocks)}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._session.post(url, json=said, proxy=self._proxy, allow_redirects=False) as response,
            ):
                if response.status != 200:
                    what, body = "the response_url of a command or press", await response.text()
                    raise slack_errors.of_webhook(what, body, response.status, response.headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"Slack cannot be reached: {type(error).__name__}.") from error
