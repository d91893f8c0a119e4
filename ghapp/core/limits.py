"""How often something may be done: a token bucket, kept as one number."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second in the long run, so many at once."""

    per_s: float
    burst: int


def take(rate: Rate, full_at: float, now: int) -> tuple[float, int]:
    """Take one from the bucket that will be full again at ``full_at`` (ms; 0 for one never used).

    Returns the new ``full_at``, and 0 or the whole seconds after which there is one to take; then none was taken.
    This is the virtual scheduling form of the bucket (ITU-T I.371), which needs no timer to fill it:
    https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
    """
    one_ms = 1000 / rate.per_s
    capacity_ms = rate.burst * one_ms
    # A clock that was set back must not close the bucket for as long as it was set back.
    taken = min(max(full_at, now), now + capacity_ms) + one_ms
    excess_ms = round(taken - now - capacity_ms, 6)  # what is less is the error of the arithmetic
    if excess_ms > 0:
        return full_at, max(1, math.ceil(excess_ms / 1000))
    return taken, 0
