"""Sentry's Web API, as much of it as marking a deploy takes: https://docs.sentry.io/api/releases/."""

import asyncio
import json
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import aiohttp

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

TIMEOUT_S = 20
_WAIT_S = 30.0
_BODY_LIMIT = 1 << 20


class SentryClient:
    """Raises RemoteError. The token goes into a header alone. ``proxy``: keyword arguments of a request."""

    def __init__(
        self, session: aiohttp.ClientSession, *, token: str, url: str, proxy: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        self._session = session
        self._token = token
        self._url = url
        self._proxy = proxy

    async def create_release(self, organization: str, release: Mapping[str, Any]) -> None:
        """Repeated it changes nothing: https://docs.sentry.io/api/releases/create-a-new-release-for-an-organization/."""
        await self._call("POST", f"organizations/{quote(organization, safe='')}/releases/", release)

    async def deploys(self, organization: str, version: str) -> list[str]:
        """Names of the newest deploys of a release: https://docs.sentry.io/api/releases/list-a-releases-deploys/."""
        listed = await self._call("GET", self._deploys(organization, version))
        return [str(one.get("name")) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []

    async def create_deploy(self, organization: str, version: str, deploy: Mapping[str, Any]) -> None:
        """https://docs.sentry.io/api/releases/create-a-deploy/"""
        await self._call("POST", self._deploys(organization, version), deploy)

    def _deploys(self, organization: str, version: str) -> str:
        return f"organizations/{quote(organization, safe='')}/releases/{quote(version, safe='')}/deploys/"

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        url, headers = f"{self._url}/api/0/{path}", {"Authorization": f"Bearer {self._token}"}
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self._session.request(
                    method, url, json=body, headers=headers, allow_redirects=False, **self._proxy
                ) as response,
            ):
                answer = await _body(response)
                if not 200 <= response.status < 300:
                    raise _failure(response, answer)
                return json.loads(answer) if method == "GET" else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(f"Sentry cannot be reached: {type(error).__name__}.") from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """Of one that is too long the beginning. ``content.read`` would give what has come so far."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _BODY_LIMIT:
            break
    return bytes(body)


def _failure(response: aiohttp.ClientResponse, answer: bytes) -> RemoteError:
    status, said = response.status, answer[:300].decode(errors="replace")
    if status == 401:
        return Unauthorized("Sentry does not accept SENTRY_AUTH_TOKEN.", status=status)
    if status == 403:
        said = "SENTRY_AUTH_TOKEN lacks the scope project:releases, or access to the organization."
        return Forbidden(said, status=status)
    if status == 404:
        return NotFound("Sentry knows no such organization or release; look at notify.sentry.", status=status)
    if status == 429:
        wait_s = retry_after_s(response.headers.get("Retry-After"), time.time(), _WAIT_S)
        return RateLimited("Sentry's rate limit is reached.", retry_after_s=wait_s, status=status)
    if status in {408, 409} or status >= 500:  # 409: it works on the release's commits still
        return Unavailable(f"Sentry answered {status}.", status=status)
    return Refused(f"Sentry refused it ({status}): {said}", status=status)
