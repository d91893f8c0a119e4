"""Posts to addresses of others."""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
from yarl import URL

from ghapp.core.addresses import is_public
from ghapp.core.remote import RateLimited, Refused, Unavailable, retry_after_s

TIMEOUT_S = 15
_LEAST_WAIT_S = 30.0


class WebhookClient:
    """Raises RemoteError. Redirections are not followed: the address is what was configured. ``proxy_for`` gives
    keyword arguments of a request to an address."""

    def __init__(self, session: aiohttp.ClientSession, proxy_for: Callable[[str], Mapping[str, Any]]) -> None:
        self._session = session
        self._proxy_for = proxy_for

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, public: bool) -> None:
        """``public``: only to an address that everybody can reach, whatever its name leads to: who names it is not the
        operator."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if public:
                    async with aiohttp.ClientSession(connector=await _pinned(URL(url))) as session:
                        await self._post(session, url, body, headers)
                else:
                    await self._post(self._session, url, body, headers)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"{URL(url).host} cannot be reached: {type(error).__name__}.") from error

    async def _post(self, session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        proxy = self._proxy_for(url) if session is self._session else {}
        async with session.post(url, data=body, headers=headers, allow_redirects=False, **proxy) as response:
            _judge(response)


def _judge(response: aiohttp.ClientResponse) -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#deliverability-and-reliability:
    whatever is no 2xx is tried again, but for 410."""
    status = response.status
    if 200 <= status < 300:
        return
    if status == 410:
        raise Refused("The receiver wants nothing any more (410).", status=status)
    asked = response.headers.get("Retry-After")
    if status == 429 or (status == 503 and asked):
        wait_s = retry_after_s(asked, time.time(), _LEAST_WAIT_S)
        raise RateLimited(f"The receiver wants to be left alone ({status}).", retry_after_s=wait_s, status=status)
    raise Unavailable(f"The receiver answered {status}.", status=status)


async def _pinned(url: URL) -> aiohttp.TCPConnector:
    """Connects to what the name leads to now, and that is looked at: a name could lead elsewhere a moment later."""
    loop, host, port = asyncio.get_running_loop(), url.host or "", url.port or 443
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(is_public(one) for one in addresses):
        raise Refused(f"{host} is not an address that everybody can reach; only the operator's config may name it.")
    return aiohttp.TCPConnector(resolver=_To(found), ssl=True)


class _To(aiohttp.abc.AbstractResolver):
    """A resolver that knows one answer."""

    def __init__(self, found: Sequence[Any]) -> None:
        self._found = found

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        return [
            aiohttp.abc.ResolveResult(
                hostname=host,
                host=str(entry[4][0]),
                port=port,
                family=int(entry[0]),
                proto=0,
                flags=int(socket.AI_NUMERICHOST),
            )
            for entry in self._found
        ]

    async def close(self) -> None:
        """Nothing is open."""
