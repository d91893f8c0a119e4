"""What went wrong at GitHub, as one of the provider errors with a sentence. Pure.

https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

import ssl
from collections.abc import Mapping

import aiohttp
import msgspec

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

#: Seconds to wait where a limit is hit and GitHub does not say how long.
#: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit
UNSAID_WAIT_S = 60.0

_KINDS: dict[int, type[RemoteError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    410: NotFound,
}
_MESSAGE_LIMIT = 500


def failure(status: int, headers: Mapping[str, str], body: bytes, *, call: str, now: float) -> RemoteError:
    """The error for an answer that is no success. ``call`` is method and path, ``now`` seconds since the epoch."""
    said = _said(body)
    sentence = f"GitHub answered {status} to {call}" + (f": {said}" if said else ".")
    if status in (403, 429):
        wait = _wait_s(status, headers, said, now)
        if wait is not None:
            return RateLimited(f"{sentence} Next try in {wait:.0f} s.", retry_after_s=wait, status=status)
    if status >= 500:
        return Unavailable(sentence, status=status)
    return _KINDS.get(status, Refused)(sentence, status=status)


def _said(body: bytes) -> str:
    """GitHub's own message with its errors; empty where the body is not GitHub's (a proxy's page)."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    if not isinstance(answer, dict) or not isinstance(answer.get("message"), str):
        return ""
    errors = answer.get("errors")
    details = [_detail(error) for error in errors] if isinstance(errors, list) else [_detail(errors)]
    said = "; ".join([answer["message"], *(detail for detail in details if detail)])
    return said if len(said) <= _MESSAGE_LIMIT else said[: _MESSAGE_LIMIT - 1] + "…"


def _detail(error: object) -> str:
    if isinstance(error, str):
        return error
    if not isinstance(error, dict):
        return ""
    if isinstance(error.get("message"), str):
        return str(error["message"])
    return " ".join(str(error[key]) for key in ("resource", "field", "code") if error.get(key))


def _wait_s(status: int, headers: Mapping[str, str], said: str, now: float) -> float | None:
    """Seconds to wait, or None where no limit was hit."""
    if (asked := headers.get("Retry-After")) is not None:
        return max(1.0, retry_after_s(asked, now, UNSAID_WAIT_S))
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        return max(1.0, int(reset) - now)
    if status == 429 or "rate limit" in said.lower():
        return UNSAID_WAIT_S
    return None


def network_failure(error: Exception, *, host: str, total_s: float) -> Unavailable:
    """The error for a request that got no whole answer.

    It never shows the library's own text: some of that prints the request with its headers.
    """
    return Unavailable(_network_sentence(error, host, total_s))


def _network_sentence(error: Exception, host: str, total_s: float) -> str:
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"The proxy answered {error.status} instead of connecting to {host}. Check HTTPS_PROXY and NO_PROXY."
        case aiohttp.ClientProxyConnectionError():
            return f"The proxy {error.host}:{error.port} cannot be reached: {_reason(error.os_error)}."
        case aiohttp.ClientConnectorCertificateError():
            return (
                f"The certificate of {host} is not trusted: {_reason(error.certificate_error)}. "
                "If it is signed by a CA of your own, name that CA's file in SSL_CERT_FILE."
            )
        case aiohttp.ClientConnectorError():
            return f"{host} cannot be reached: {_reason(error.os_error)}."
        case TimeoutError():
            return f"{host} did not answer within {total_s:g} s."
        case _:
            return f"The connection to {host} broke before the answer was complete ({type(error).__name__})."


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
