"""HTTP to GitHub: gidgethub's request building and paging over aiohttp, with revalidation and typed errors.

The runner imports this: nothing here knows the App's key.
"""

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple, TypeVar
from urllib.parse import urljoin

import aiohttp
import gidgethub
import gidgethub.abc
import msgspec
from cachetools import LRUCache
from gidgethub import sansio
from yarl import URL

from ghapp.core.remote import NotFound, Refused, Unauthorized, Unavailable
from ghapp.vcs.github_errors import failure, network_failure
from ghapp.vcs.session import proxy_for

#: https://docs.github.com/en/rest/about-the-rest-api/api-versions
API_VERSION = "2022-11-28"
#: Seconds. A granted status must be written within 20 s, request time-out included (protocol rule 16).
TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)

_CACHE_BYTES = 8 << 20
_CACHED_ANSWER_BYTES = 1 << 20
_REDIRECTS = 4
#: Of so many credentials the rate limits are remembered; each installation has its own.
_LIMITS = 1000
#: GitHub answers them for a renamed repository; RFC 9110 lets only 307 and 308 repeat a POST as it was.
_MOVED_GET = frozenset({301, 302, 307, 308})
_MOVED_ANY = frozenset({307, 308})

T = TypeVar("T")
Token = Callable[[], Awaitable[str]]


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class GitHubTransport(gidgethub.abc.GitHubAPI):
    """gidgethub over an aiohttp session. ``api_url`` is ``https://api.github.com`` or ``https://HOST/api/v3``.

    Every GET is revalidated by its ETag and no answer is ever believed unasked: a 304 costs nothing of the rate
    limit (https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api). What is kept
    is bound to the credentials that fetched it. The session must not trust the environment (see `open_session`).
    """

    def __init__(
        self, session: aiohttp.ClientSession, api_url: str, *, timeout: aiohttp.ClientTimeout = TIMEOUT
    ) -> None:
        super().__init__("kedge", base_url=api_url.rstrip("/"))
        self._session = session
        self._timeout = timeout
        self._origin = URL(api_url).origin()
        self._proxy = proxy_for(api_url)
        self._kept: LRUCache[tuple[bytes, str], Answer] = LRUCache(_CACHE_BYTES, getsizeof=_size)
        self._limits: LRUCache[bytes, sansio.RateLimit] = LRUCache(_LIMITS)
        self.ahead_ms = 0
        """How far GitHub's clock is ahead of ours, by its newest answer; to the second."""

    @property
    def calls_left(self) -> int | None:
        """The least of what any credentials have left until it fills again; None where nothing is known."""
        now = datetime.now(UTC)
        return min((limit.remaining for limit in self._limits.values() if limit.reset_datetime > now), default=None)

    async def sleep(self, seconds: float) -> None:
        """gidgethub would wait here; Kedge's callers do, so that nothing is held meanwhile."""
        raise NotImplementedError

    async def page(
        self, url: str, variables: Mapping[str, str], credentials: Mapping[str, str]
    ) -> tuple[object, str | None]:
        """One page of a list as it came, and the URL of the next."""
        data, following, _ = await self._make_request(
            "GET", url, variables, b"", sansio.accept_format(), credentials.get("jwt"), credentials.get("oauth_token")
        )
        return data, following

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {**headers, "x-github-api-version": API_VERSION}
        call = f"{method} {URL(url, encoded=True).path}"
        self._check_path(url, call)
        moved = _MOVED_GET if method == "GET" else _MOVED_ANY
        for _ in range(_REDIRECTS):
            self._check_host(url, call)
            answer = await self._revalidate(url, headers) if method == "GET" else None
            answer = answer or await self._exchange(method, url, headers, body)
            if answer.status not in moved or "Location" not in answer.headers:
                return self._successful(answer, headers, call)
            url = urljoin(url, answer.headers["Location"])
        raise Unavailable(f"GitHub answered {call} with one redirection after another.")

    def _successful(self, answer: Answer, headers: Mapping[str, str], call: str) -> Answer:
        if answer.status < 300:
            return answer
        error = failure(*answer, call=call, now=time.time())
        secret = headers.get("authorization", "").rpartition(" ")[2]
        if secret and secret in error.message:
            error.message = error.message.replace(secret, "[secret]")
            error.args = (error.message,)
        raise error

    def _check_path(self, url: str, call: str) -> None:
        """A name that is a dot segment would make the path mean something else."""
        if not {".", ".."}.isdisjoint(URL(url, encoded=True).raw_path.split("/")):
            raise NotFound(f"There is nothing at GitHub by that name ({call}).")

    def _check_host(self, url: str, call: str) -> None:
        """Credentials go to the configured host only, wherever a link or a redirection points."""
        origin = URL(url, encoded=True).origin()
        if origin != self._origin:
            raise Refused(
                f"{self._origin} pointed to {origin} while answering {call}; Kedge does not follow to another "
                "host. If that is GitHub's own address, set GITHUB_API_URL to it."
            )

    async def _revalidate(self, url: str, headers: Mapping[str, str]) -> Answer:
        key = (_whose(headers), url)
        kept = self._kept.get(key)
        if kept is not None:
            headers = {**headers, "if-none-match": kept.headers["ETag"]}
        answer = await self._exchange("GET", url, headers, b"")
        if answer.status == 304 and kept is not None:
            return kept
        if answer.status == 200 and "ETag" in answer.headers and len(answer.body) <= _CACHED_ANSWER_BYTES:
            self._kept[key] = answer
        return answer

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            async with self._session.request(
                method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                timeout=self._timeout,
                **self._proxy,
            ) as response:
                self._note_limit(headers, response.headers)
                self._note_time(response.headers)
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, OSError) as error:
            problem = network_failure(error, host=str(self._origin.host), total_s=self._timeout.total or 0)
        raise problem  # outside of the handler: the library's error holds the request's headers

    def _note_limit(self, asked: Mapping[str, str], answered: Mapping[str, str]) -> None:
        with suppress(ValueError, OverflowError):  # nonsense counts for nothing here
            limit = sansio.RateLimit.from_http(answered)
            if limit is not None:
                self._limits[_whose(asked)] = limit

    def _note_time(self, answered: Mapping[str, str]) -> None:
        """RFC 9110, section 6.6.1: an answer says when it was made."""
        with suppress(ValueError, OverflowError):
            self.ahead_ms = round((parsedate_to_datetime(answered.get("Date", "")).timestamp() - time.time()) * 1000)


def _listed(page: object, shape: type[T], within: str | None) -> list[T]:
    """A page's list. An answer without one is an error: an empty list would read as "no checks"."""
    if within is not None:
        page = page.get(within) if isinstance(page, dict) else None
    items: list[T] = msgspec.convert(page, list[shape])  # type: ignore[valid-type]
    return items


def _whose(headers: Mapping[str, str]) -> bytes:
    """Tells credentials apart without keeping them."""
    return hashlib.sha256(headers.get("authorization", "").encode()).digest()


def _size(answer: Answer) -> int:
    return len(answer.body) + 2048


def _forget_nothing(_token: str) -> None:
    """For credentials that somebody else renews."""


def _never(_found: Sequence[object]) -> bool:
    """For lists that are read to their end."""
    return False


class Authorized:
    """Calls with credentials that may be renewed meanwhile, and answers of a known shape.

    ``token`` gives the newest; after a 401 ``rejected`` is told which one was not accepted, and where ``token``
    then gives another, the call is made once more (GitHub has done nothing on a 401).
    """

    def __init__(
        self,
        api: GitHubTransport,
        token: Token,
        *,
        kind: Literal["oauth_token", "jwt"] = "oauth_token",
        rejected: Callable[[str], None] = _forget_nothing,
    ) -> None:
        self._api = api
        self._token = token
        self._kind = kind
        self._rejected = rejected

    async def item(self, path: str, shape: type[T], **variables: str) -> T:
        """GET one thing."""

        async def get(credentials: dict[str, Any]) -> T:
            return msgspec.convert(await self._api.getitem(path, variables, **credentials), shape)

        return await self._call(path, get)

    async def items(
        self,
        path: str,
        shape: type[T],
        enough: Callable[[list[T]], bool] = _never,
        /,
        *,
        within: str | None = None,
        **variables: str,
    ) -> list[T]:
        """GET a list, all pages or until what was found is ``enough``; ``within`` names the list where GitHub wraps
        it in an object."""

        async def get(credentials: dict[str, Any]) -> list[T]:
            found: list[T] = []
            url: str | None = path
            while url is not None and not enough(found):
                page, url = await self._api.page(url, variables, credentials)
                found += _listed(page, shape, within)
            return found

        return await self._call(path, get)

    async def post(self, path: str, data: Mapping[str, object], shape: type[T], **variables: str) -> T:
        """POST an object."""

        async def post(credentials: dict[str, Any]) -> T:
            return msgspec.convert(await self._api.post(path, variables, data=data, **credentials), shape)

        return await self._call(path, post)

    async def patch(self, path: str, data: Mapping[str, object], shape: type[T], **variables: str) -> T:
        """PATCH an object."""

        async def patch(credentials: dict[str, Any]) -> T:
            return msgspec.convert(await self._api.patch(path, variables, data=data, **credentials), shape)

        return await self._call(path, patch)

    async def _call(self, path: str, call: Callable[[dict[str, Any]], Awaitable[T]]) -> T:
        token = await self._token()
        try:
            return await self._read(path, call, token)
        except Unauthorized:
            self._rejected(token)
            renewed = await self._token()
            if renewed == token:
                raise
        return await self._read(path, call, renewed)

    async def _read(self, path: str, call: Callable[[dict[str, Any]], Awaitable[T]], token: str) -> T:
        try:
            return await call({self._kind: token})
        except (msgspec.ValidationError, gidgethub.GitHubException) as error:
            reason = str(error)
        except (ValueError, LookupError, RecursionError) as error:
            reason = f"no proper JSON ({type(error).__name__})"
        raise Unavailable(f"GitHub's answer about {path} cannot be understood: {reason}.")
