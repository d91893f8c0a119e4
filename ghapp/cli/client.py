"""The HTTP API as the command line calls it. The standard library's client starts quickest, and reads the proxy
settings (HTTPS_PROXY, NO_PROXY) and SSL_CERT_FILE by itself."""

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, HTTPSHandler, OpenerDirector, Request, build_opener

import msgspec

from ghapp.cli.access import LOG_IN, Access
from ghapp.cli.errors import CommandError, Refused, Unreachable
from ghapp.core.values import COMMAND_LINE_AGENT

TIMEOUT_S = 60.0
#: A call that carries an Idempotency-Key is made again after these seconds, where no answer came.
AGAIN_AFTER_S = (0.5, 1.0, 2.0)
_PASSING = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})

T = TypeVar("T")
Values = Mapping[str, str | bool | None]


class _Refusal(msgspec.Struct):
    error: dict[str, Any]


class _Said(msgspec.Struct):
    code: str
    message: str
    hint: str | None = None


class _NoRedirects(HTTPRedirectHandler):
    """Another host must not get the token, and a POST must not become a GET."""

    def redirect_request(self, *_: object) -> None:
        return None


class Client:
    """Calls the API. Every method raises `Refused` where the app says no, `Unreachable` where nothing was answered."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._opener: OpenerDirector = build_opener(_NoRedirects, HTTPSHandler(context=ssl.create_default_context()))

    @property
    def url(self) -> str:
        return self._access.url

    def get(self, path: str, query: Mapping[str, str | None] | None = None) -> bytes:
        """The body of the answer."""
        return self._call("GET", path, query=query)

    def send(self, method: str, path: str, values: Values | None = None, *, once: bool = False) -> bytes:
        """Act; ``values`` go as JSON, None is left out.

        ``once``: asked with an Idempotency-Key, so that it can be asked again where the answer was lost.
        https://httpwg.org/http-extensions/draft-ietf-httpapi-idempotency-key-header.html
        """
        body = json.dumps({name: value for name, value in (values or {}).items() if value is not None}).encode()
        if not once:
            return self._call(method, path, body=body)
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        for pause in AGAIN_AFTER_S:
            try:
                return self._call(method, path, body=body, headers=headers)
            except Unreachable:
                time.sleep(pause)
        return self._call(method, path, body=body, headers=headers)

    def open(self, path: str, headers: Mapping[str, str], timeout_s: float = TIMEOUT_S) -> IO[bytes]:
        """An answer to be read as it comes; the caller closes it."""
        return self._open("GET", path, headers=headers, timeout_s=timeout_s)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        given = {name: value for name, value in (query or {}).items() if value is not None}
        with self._open(method, f"{path}?{urlencode(given)}" if given else path, body, headers) as answer:
            try:
                return answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from error

    def _open(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> IO[bytes]:
        sent = {"User-Agent": COMMAND_LINE_AGENT, "Accept": "application/json", **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        request = Request(self.url + path, data=body, method=method, headers=sent)  # noqa: S310  http(s) by `access`
        if self._access.token:
            request.add_unredirected_header("Authorization", f"Bearer {self._access.token}")
        try:
            answer: IO[bytes] = self._opener.open(request, timeout=timeout_s)
        except HTTPError as error:
            with error:
                raise self._refused(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        return answer

    def _unreachable(self, error: Exception) -> Unreachable:
        why = getattr(error, "reason", error)
        if isinstance(why, ssl.SSLCertVerificationError):
            said = f"its certificate is not trusted ({why.verify_message})"
            return Unreachable(f"{self.url}: {said}.", hint="Set SSL_CERT_FILE to the certificate of your own CA.")
        if isinstance(why, TimeoutError):
            said = "no answer in time"
        else:
            said = (getattr(why, "strerror", None) or str(why) or type(why).__name__).strip().rstrip(".")
        return Unreachable(
            f"Kedge cannot be reached at {self.url}: {said}.", hint="Does it run, and is KEDGE_URL right?"
        )

    def _refused(self, error: HTTPError) -> CommandError:
        if 300 <= error.code < 400:
            to = clean(error.headers.get("Location", "another address"))
            return CommandError(f"{self.url} redirects to {to}.", hint="Use the address it leads to as KEDGE_URL.")
        try:
            facts = decoded(error.read(), _Refusal).error
            said = msgspec.convert(facts, type=_Said)
        except (CommandError, ValueError, OSError, http.client.HTTPException):
            return self._not_kedge(error)
        hint = said.hint
        retry_after_s = _seconds(error.headers.get("Retry-After", ""))
        if error.code == HTTPStatus.UNAUTHORIZED:
            hint = _about_token(self._access)
        elif retry_after_s is not None:
            hint = f"Try again in {retry_after_s:.0f} s."
        return Refused(error.code, said.code, said.message, hint, facts, retry_after_s)

    def _not_kedge(self, error: HTTPError) -> CommandError:
        message = f"{self.url} answered {error.code} {error.reason}, and not as Kedge does."
        hint = "Is KEDGE_URL right, or does a proxy before Kedge fail?"
        return (Unreachable if error.code in _PASSING else CommandError)(message, hint=hint)


def path(*parts: str | int) -> str:
    """A path of the API; the parts are percent-encoded."""
    return "/".join(["/api/0", *(quote(str(part), safe="") for part in parts)])


def decoded(body: bytes, kind: type[T]) -> T:
    """An answer as that type; what is not asked for is left out. Raises `CommandError`."""
    try:
        return msgspec.convert(clean(json.loads(body)), type=kind)
    except (ValueError, RecursionError) as error:  # msgspec.ValidationError is a ValueError
        hint = "Is KEDGE_URL right, and is this `kedge` as new as the app?"
        raise CommandError(f"The answer is not what Kedge's API gives: {error}.", hint=hint) from error


def _seconds(text: str) -> float | None:
    """https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3, of which Kedge uses the seconds"""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else None


def clean(value: object) -> object:
    """Without characters that a terminal would obey: https://en.wikipedia.org/wiki/C0_and_C1_control_codes"""
    if isinstance(value, str):
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value)
    if isinstance(value, list):
        return [clean(item) for item in value]
    return {name: clean(item) for name, item in value.items()} if isinstance(value, dict) else value


def _about_token(access: Access) -> str:
    if not access.token:
        return LOG_IN
    if access.source == "KEDGE_TOKEN":
        return "Set KEDGE_TOKEN to a valid token, or unset it and run `kedge login`."
    return "Run `kedge login` with a valid token."
