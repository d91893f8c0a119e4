"""Socket Mode: what people press and ask in Slack, over a connection that Kedge opens itself.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import TraceConfig
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0

_ADDRESS = re.compile(r"wss?://[^\s'\"]+")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Something that somebody did: ``id`` is the same each time it is sent again. ``body`` is JSON."""

    id: str
    kind: str
    body: bytes = field(repr=False)


class SlackSocket:
    """Hears what is sent to the Slack app whose app-level token it has."""

    def __init__(self, *, app_token: str, api_url: str, proxy: str | None = None) -> None:
        self._app_token = app_token
        self._api_url = api_url
        self._proxy = proxy

    async def listen(self, take: Callable[[Envelope], Awaitable[None]]) -> None:
        """Until cancelled. An envelope is acknowledged once ``take`` has it; where that fails Slack sends it again."""

        async def hear(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
            try:
                await take(Envelope(request.envelope_id, request.type, json.dumps(request.payload).encode()))
            except Exception as error:  # the library would end its loop with it
                log.error("not taken in, Slack will send it again", envelope=request.envelope_id, why=str(error))
                return
            await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))

        client = SocketModeClient(self._app_token, web_client=AsyncWebClient(base_url=f"{self._api_url}/"))
        client.proxy = client.web_client.proxy = self._proxy  # of the environment it would know no NO_PROXY
        client.socket_mode_request_listeners.append(hear)
        client.aiohttp_client_session.trace_configs.append(_forgetting(client))
        try:
            await self._connected(client)
            await asyncio.Event().wait()  # it reconnects by itself from now on
        finally:
            await client.close()  # type: ignore[no-untyped-call]
            await client.aiohttp_client_session.close()

    async def _connected(self, client: SocketModeClient) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                await client.connect_to_new_endpoint()
                log.info("listening to Slack")
                return
            except Exception as error:  # of the network, of Slack, of the library
                known = isinstance(error, SlackApiError)
                why = f"Slack answered {error.response.get('error')}" if known else type(error).__name__  # type: ignore[attr-defined]
                log.warning("no connection to Slack, will be tried again", why=why, in_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)


def _forgetting(client: SocketModeClient) -> TraceConfig:
    """An address is good for one try, and the library would try the same one for ever: it asks for another one where it
    has none."""

    async def forget(*_: object) -> None:
        client.wss_uri = None

    trying = TraceConfig()
    trying.on_request_start.append(forget)
    trying.freeze()
    return trying


def _without_addresses(record: logging.LogRecord) -> bool:
    """The library tells at which address it failed: whoever reads it there could listen."""
    record.msg, record.args, record.exc_info = _ADDRESS.sub("Slack", record.getMessage()), (), None
    return True


logging.getLogger(SocketModeClient.__module__).addFilter(_without_addresses)
