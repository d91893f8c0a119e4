"""Heroku's Platform API, as far as a deploy needs it: https://devcenter.heroku.com/articles/platform-api-reference"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, cast

import aiohttp
from yarl import URL

from ghapp.core.remote import retry_after_s
from ghapp.vcs.session import proxy_for

API_URL = "https://api.heroku.com"
ACCEPT = "application/vnd.heroku+json; version=3"
PATIENCE_S = 30.0
TRIES = 5
"""Of a request that changes nothing, over `TRY_AGAIN_S` each: the network, 5xx."""
TRY_AGAIN_S = 2.0
LIMITED_S = 30.0
"""The limit fills by about one request a second; tried again `TRIES` times, where no Retry-After tells when:
https://devcenter.heroku.com/articles/platform-api-reference#rate-limits"""
LIMITED_MOST_S = 300.0
"""No Retry-After is waited for any longer."""
CANCEL = f"{ACCEPT}.cancel-build"
"""What `DELETE` of a build asks for, as the `builds:cancel` of Heroku's own command line does:
https://github.com/heroku/heroku-builds"""
SILENT_S = 900.0
"""A stream that says nothing for so long is opened again."""


class HerokuError(Exception):
    """It did not work; the message is for the deploy's log, with what to do next."""


class Unreachable(HerokuError):
    """The network, 5xx, or the rate limit, also after trying again: later it may work."""


class Heroku:
    """One app on Heroku, seen with one key. The session is one of `ghapp.vcs.session.open_session`."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str, key: str, app: str, try_again_s: float = 1) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._headers = {"Accept": ACCEPT, "Authorization": f"Bearer {key}"}
        self._app = app
        self._pace = try_again_s

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What ``/apps/APP`` answers below ``path``. Raises HerokuError."""
        return (await self._ask(method, f"/apps/{self._app}{path}", body, {}))[0]

    async def cancel(self, build: str) -> None:
        """End a build that is under way. Raises HerokuError."""
        await self._ask("DELETE", f"/apps/{self._app}/builds/{build}", None, {"Accept": CANCEL})

    async def listed(self, path: str) -> AsyncIterator[Any]:
        """Every item of a list: https://devcenter.heroku.com/articles/platform-api-reference#ranges"""
        headers: dict[str, str] = {}
        while True:
            items, following = await self._ask("GET", f"/apps/{self._app}{path}", None, headers)
            for item in items:
                yield item
            if following is None:
                return
            headers = {"Range": following}

    async def upload(self, url: str, archive: Path) -> None:
        """Put a source where Heroku said; the address itself is the permission, and no message shows it.

        Raises HerokuError.
        """
        headers = {"Content-Type": "", "Content-Length": str(archive.stat().st_size)}
        timeout = aiohttp.ClientTimeout(total=SILENT_S)
        try:
            with archive.open("rb") as file:
                async with self._session.put(
                    url, data=file, headers=headers, timeout=timeout, **proxy_for(url)
                ) as answer:
                    status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise HerokuError(
                f"The source could not be uploaded to {URL(url).host} ({type(error).__name__}); deploy again."
            ) from None
        if status >= 300:
            raise HerokuError(f"Heroku did not take the upload of the source (HTTP {status}).")

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        """What a build or a release phase writes, to its end; taken up again where it broke."""
        at, tries = 0, 0
        while tries < TRIES:
            try:
                async for piece in self._pieces(url, at):
                    at += len(piece)
                    tries = 0
                    yield piece
                return
            except (aiohttp.ClientError, TimeoutError, OSError):
                tries += 1
                await asyncio.sleep(TRY_AGAIN_S * self._pace)

    async def _pieces(self, url: str, at: int) -> AsyncIterator[bytes]:
        """From ``at`` on, also where Range is not heeded (RFC 9110, 14.2)."""
        headers = {"Accept": "text/plain", "Accept-Encoding": "identity", "Range": f"bytes={at}-"}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENT_S)
        async with self._session.get(url, headers=headers, timeout=timeout, **proxy_for(url)) as answer:
            if answer.status in {404, 416}:  # nothing was written, or nothing more
                return
            answer.raise_for_status()
            known = 0 if answer.status == 206 else at
            async for piece in answer.content.iter_any():
                if piece[known:]:
                    yield piece[known:]
                known = max(0, known - len(piece))

    async def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[Any, str | None]:
        for attempt in range(1, TRIES + 1):
            try:
                async with self._session.request(
                    method,
                    self._url + path,
                    json=body,
                    headers={**self._headers, **headers},
                    timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
                    **proxy_for(self._url),
                ) as answer:
                    said = await _json(answer)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if method == "GET" and attempt < TRIES:
                    await asyncio.sleep(TRY_AGAIN_S * self._pace)
                    continue
                raise Unreachable(
                    f"Heroku could not be reached ({str(error) or type(error).__name__}). Whether it was done is not "
                    "known: look at the app's activity, then deploy again."
                ) from None
            if answer.status < 300:
                return said, answer.headers.get("Next-Range") if answer.status == 206 else None
            again_s = _again_s(answer)
            if again_s is None:
                raise HerokuError(_sentence(answer.status, said, self._app))
            if attempt == TRIES or (method != "GET" and answer.status != 429):
                raise Unreachable(_sentence(answer.status, said, self._app))
            await asyncio.sleep(again_s * self._pace)
        raise AssertionError("the last try returns or raises")


def _again_s(answer: aiohttp.ClientResponse) -> float | None:
    """After how long it may work; None where that changes nothing."""
    if answer.status == 429:
        return min(retry_after_s(answer.headers.get("Retry-After"), time.time(), LIMITED_S), LIMITED_MOST_S)
    return TRY_AGAIN_S if answer.status >= 500 else None


async def _json(answer: aiohttp.ClientResponse) -> Any:
    try:
        return await answer.json(content_type=None)
    except ValueError:
        return {}


def _sentence(status: int, said: Any, app: str) -> str:
    body = cast(dict[str, Any], said) if isinstance(said, dict) else {}
    told = re.sub(r"\s+", " ", str(body.get("message", "")))[:300]
    words = {
        401: "Heroku does not accept the key: set HEROKU_API_KEY on the runner to what `heroku authorizations:create` "
        "prints.",
        402: "Heroku wants the account to be paid or verified first.",
        403: f"The key may not do this with the Heroku app {app}: give its owner the permission `deploy` there.",
        404: f"There is no Heroku app {app} that this key may see: check `heroku: {{app: …}}` in the config.",
        429: "Heroku's rate limit is used up, also after waiting: deploy again later.",
    }.get(status, f"Heroku answered with HTTP {status}.")
    return f"{words} Heroku says: {told}" if told else words
