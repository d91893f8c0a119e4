"""The runner's side of the wire: one request, one answer or one of three errors. Who retries, and when, is above."""

import http
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import msgspec
import zstandard

from ghapp import wire
from ghapp.vcs.session import proxy_for

Answer = TypeVar("Answer", bound=msgspec.Struct)

PATIENCE_S = 10.0
"""How long to wait for an answer, beyond the time for which the app was asked to hold it back."""

LOG_PATIENCE = 6
"""A chunk of log may be a mebibyte on a slow line: it gets so many times the patience."""

WORTH_IT = 256
"""Below so many bytes zstd saves nothing that counts."""


class Unanswered(Exception):
    """No answer that may be believed: silence, a proxy's page, 401, 403, 404, 5xx. It says nothing about the lease."""


class Refused(Unanswered):
    """The app itself said no, with a code that ends no lease; see `code`."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.status = status


class ClaimOver(Exception):
    """The claim_id was used up (protocol rule 5): take a new one."""


class LeaseOver(Exception):
    """The lease has ended (protocol rule 8); `dead` where a person declared the deploy dead (rule 10)."""

    def __init__(self, message: str, *, dead: bool) -> None:
        super().__init__(message)
        self.dead = dead


@dataclass(frozen=True, slots=True)
class Bearer:
    """Names a deploy and proves the right to it."""

    deploy: int
    lease: str = field(repr=False)


class AppClient:
    """Speaks to one app. ``url`` is its base URL, ``token`` the runners' token, which only `claim` shows it.

    The session is one of `ghapp.vcs.session.open_session`.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, patience_s: float = PATIENCE_S) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self.token = token
        self._patience_s = patience_s
        self._proxy = proxy_for(self._url)

    async def hello(self) -> wire.Hello:
        """What the app says of itself and of the runner's token. Raises Unanswered, Refused."""
        _, body = await self._ask("GET", wire.HELLO_PATH, self.token, None, timeout_s=self._patience_s)
        return _decode(body, wire.Hello)

    async def claim(self, claim: wire.Claim) -> wire.Job | None:
        """The job that the app has for this claim, None where it has none.

        Raises ClaimOver, Unanswered.
        """
        timeout_s = claim.wait_s + self._patience_s
        try:
            status, body = await self._post(
                wire.CLAIM_PATH, self.token, msgspec.json.encode(claim), timeout_s=timeout_s
            )
        except Refused as error:
            if (error.status, error.code) == (409, "claim_over"):
                raise ClaimOver(str(error)) from None
            raise
        return None if status == http.HTTPStatus.NO_CONTENT else _decode(body, wire.Job)

    async def call(
        self, bearer: Bearer, name: str, body: msgspec.Struct, kind: type[Answer], *, wait_s: float = 0
    ) -> Answer:
        """One call with a lease; the answer may be held back for ``wait_s``. Raises LeaseOver, Unanswered, Refused."""
        timeout_s = wait_s + self._patience_s
        path = wire.DEPLOY_PATH.format(id=bearer.deploy, call=name)
        return _decode(await self._with_lease(path, bearer, msgspec.json.encode(body), timeout_s=timeout_s), kind)

    def log(self, bearer: Bearer, offset: int, data: bytes) -> Coroutine[Any, Any, int]:
        """Hand over a piece of the log; returns the contiguous end of what the app has stored.

        It is packed at once: what is under way then holds no more than what is sent. Raises LeaseOver, Unanswered,
        Refused.
        """
        codec, packed = pack(data)
        path = wire.DEPLOY_PATH.format(id=bearer.deploy, call="log")
        return self._packed_log(f"{path}?offset={offset}&codec={codec}", bearer, packed)

    async def _packed_log(self, path: str, bearer: Bearer, packed: bytes) -> int:
        timeout_s = LOG_PATIENCE * self._patience_s
        raw = await self._with_lease(path, bearer, packed, content_type="application/octet-stream", timeout_s=timeout_s)
        return _decode(raw, wire.LogAnswer).end

    async def _with_lease(
        self, path: str, bearer: Bearer, body: bytes, *, timeout_s: float, content_type: str = "application/json"
    ) -> bytes:
        """Two answers, and no others, end a lease."""
        try:
            _, raw = await self._post(path, bearer.lease, body, timeout_s=timeout_s, content_type=content_type)
        except Refused as error:
            if (error.status, error.code) in ((409, "lease_over"), (410, "declared_dead")):
                raise LeaseOver(str(error), dead=error.status == 410) from None
            raise
        return raw

    async def _post(
        self, path: str, bearer: str, body: bytes, *, timeout_s: float, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        return await self._ask("POST", path, bearer, body, timeout_s=timeout_s, content_type=content_type)

    async def _ask(
        self,
        method: str,
        path: str,
        bearer: str,
        body: bytes | None,
        *,
        timeout_s: float,
        content_type: str = "application/json",
    ) -> tuple[int, bytes]:
        headers = {
            "Authorization": f"Bearer {bearer}",
            "Content-Type": content_type,
            wire.WIRE_HEADER: str(wire.WIRE_VERSION),
        }
        try:
            async with self._session.request(
                method,
                self._url + path,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
                **self._proxy,
            ) as response:
                raw = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unanswered(f"The app at {self._url} does not answer: {str(error) or type(error).__name__}.") from None
        if response.status in (200, 201, 204):
            _same_version(response.headers.get(wire.WIRE_HEADER))
            return response.status, raw
        raise _failure(response.status, raw)


def pack(data: bytes) -> tuple[str, bytes]:
    """The codec and the bytes to send; level 1 is as small on logs as the higher ones, and the fastest."""
    if len(data) >= WORTH_IT:
        packed = zstandard.ZstdCompressor(level=1).compress(data)
        if len(packed) < len(data):
            return "zstd", packed
    return "identity", data


def _decode(raw: bytes, kind: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unanswered(f"What answered is not Kedge, or another version of it: {error}.") from None


def _same_version(version: str | None) -> None:
    if version is not None and version != str(wire.WIRE_VERSION):
        raise Unanswered(
            f"The app speaks version {version[:20]} of the wire, this runner version {wire.WIRE_VERSION}; "
            "bring both to the same release."
        )


def _failure(status: int, raw: bytes) -> Unanswered:
    """What an answer other than a good one means. Only Kedge's own error shape can be a refusal."""
    try:
        error = msgspec.json.decode(raw, type=wire.ErrorBody).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unanswered(f"Answered with HTTP {status}, and not by Kedge.")
    return Refused(error.code, " ".join(filter(None, (error.message, error.hint))), status)
