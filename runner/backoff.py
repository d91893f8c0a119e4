"""How long to wait before trying again."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """The runner's rhythm, in seconds; tests make it faster."""

    first_s: float = 1.0
    most_s: float = 30.0
    beat_most_s: float = 5.0
    poll_s: float = 0.05
    small_chunks_s: float = 0.1
    beat_apart_s: float = 1.0
    sweep_again_s: float = 10.0
    claim_wait_s: float = 25.0


class Backoff:
    """Doubles from ``first_s`` to ``most_s``; each wait is somewhere between half of that and all of it, so that
    runners which lost the app together do not come back together."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._tries = 0

    def next(self) -> float:
        """Seconds to wait now."""
        full = min(self._most_s, self._first_s * (1 << min(self._tries, 16)))
        self._tries += 1
        return full * random.uniform(0.5, 1)  # noqa: S311  spreads load, guards nothing

    def reset(self) -> None:
        """It worked: begin at the shortest wait again."""
        self._tries = 0
