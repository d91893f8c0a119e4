"""How calls to other people's services fail: code hosts, chats, whoever takes notices. One tree, mapped from HTTP in
one place for each of them."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TypeVar

Otherwise = TypeVar("Otherwise", float, None)

#: Nobody is left alone for longer, whatever they ask for.
LONGEST_S = 86_400.0


class RemoteError(Exception):
    """A call to somebody else's service failed. ``message`` is a sentence for people and holds no secret."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class Unavailable(RemoteError):
    """Nobody is to blame and it may work later: network, timeout, 5xx. Whether it was done is unknown."""


class RateLimited(RemoteError):
    """Try again in ``retry_after_s`` seconds, not earlier: as asked for, but a day at most."""

    def __init__(self, message: str, *, retry_after_s: float, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after_s = min(retry_after_s, LONGEST_S)


class Unauthorized(RemoteError):
    """The credentials were not accepted (401): expired or wrong."""


class Forbidden(RemoteError):
    """The credentials are good but may not do this (403)."""


class NotFound(RemoteError):
    """No such thing, or not visible with these credentials (404, 410)."""


class Refused(RemoteError):
    """The request itself is wrong and will stay wrong (other 4xx)."""


def retry_after_s(value: str | None, now: float, otherwise: Otherwise) -> float | Otherwise:
    """The seconds that a ``Retry-After`` asks for, itself seconds or a date: RFC 9110, section 10.2.3. What is given
    as ``otherwise`` where there is none, or nothing that can be understood. ``now`` is seconds since the epoch."""
    if value is None:
        return otherwise
    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return otherwise
    return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now)
