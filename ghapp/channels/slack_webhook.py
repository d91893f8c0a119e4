"""An incoming webhook of Slack: it takes messages, and neither shows nor changes them."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
from slack_sdk.errors import SlackClientError
from slack_sdk.webhook.async_client import AsyncWebhookClient

from ghapp.channels import slack_errors
from ghapp.channels.slack import TIMEOUT_S
from ghapp.core.remote import Unavailable


class SlackWebhook:
    """Raises RemoteError. The URL is a secret and stands in no message. Nothing is tried again here."""

    def __init__(self, session: aiohttp.ClientSession, url: str, proxy: str | None = None) -> None:
        self._hook = AsyncWebhookClient(url, session=session, retry_handlers=[])
        self._hook.proxy = proxy  # it would take the one of the environment, and not know NO_PROXY

    async def send(self, text: str, blocks: Sequence[Mapping[str, Any]]) -> None:
        said = {"text": text, "blocks": list(blocks), "unfurl_links": False, "unfurl_media": False}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._hook.send_dict(said)
        except (aiohttp.ClientError, TimeoutError, OSError, SlackClientError) as error:
            raise Unavailable(f"Slack's webhook cannot be reached: {type(error).__name__}.") from error
        if answer.status_code != 200:
            raise slack_errors.of_webhook("SLACK_WEBHOOK_URL", answer.body, answer.status_code, answer.headers)
