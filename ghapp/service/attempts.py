"""What came of one call to a provider, and what it means for the notice that it was made for. Pure, but for jitter."""

import random
from dataclasses import dataclass
from enum import Enum

from ghapp.core.remote import Forbidden, NotFound, RateLimited, Refused, RemoteError, Unavailable

FIRST_RETRY_MS = 1_000
LONGEST_RETRY_MS = 300_000


class Fate(Enum):
    """What came of one attempt."""

    SHOWN = "shown"
    LATER = "later"
    UNSURE = "unsure"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Attempt:
    """``in_flight``: no answer came, so the request may still arrive there. ``gone``: what it was about is not
    there any more."""

    fate: Fate
    problem: str | None = None
    wait_ms: int | None = None
    in_flight: bool = False
    gone: bool = False


def judge(error: RemoteError) -> Attempt:
    """What a failed call means for its notice."""
    match error:
        case RateLimited():
            return Attempt(Fate.LATER, error.message, int(error.retry_after_s * 1000))
        case Unavailable():
            return Attempt(Fate.UNSURE, error.message, in_flight=error.status is None)
        case NotFound():
            return Attempt(Fate.REFUSED, error.message, gone=True)
        case Forbidden() | Refused():
            return Attempt(Fate.REFUSED, error.message)
        case _:
            return Attempt(Fate.LATER, error.message)


def retry_ms(attempts: int) -> int:
    """Exponential back-off with jitter: 1 s, 2 s, 4 s … 5 min."""
    longest = min(LONGEST_RETRY_MS, FIRST_RETRY_MS << min(attempts, 20))
    return int(longest * random.uniform(0.75, 1.25))  # noqa: S311
