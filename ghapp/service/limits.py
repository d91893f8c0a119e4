"""How often somebody may ask. Kept in memory: after a restart every bucket is full."""

from dataclasses import dataclass, field

from cachetools import LRUCache

from ghapp.core.limits import Rate, take
from ghapp.service.problems import Problem

#: Most buckets that are remembered; the one unused for longest is forgotten, as if it had filled.
MOST = 10_000

TOKEN = Rate(20, 100)
OPERATOR = Rate(200, 1000)
FAILED = Rate(10 / 60, 20)


@dataclass(slots=True)
class Limits:
    """``token``: calls with one token, or of one person who signed in elsewhere. ``operator``: those with
    KEDGE_ADMIN_TOKEN, which is how one gets in when something has run away. ``failed``: tokens that are not known and
    sign-ins that failed, from one address."""

    token: Rate = TOKEN
    operator: Rate = OPERATOR
    failed: Rate = FAILED
    _full_at: LRUCache[tuple[str, object], float] = field(default_factory=lambda: LRUCache(MOST))

    def called(self, token: int | None, now: int) -> None:
        """One more call with the token of this id, None for the operator's. Raises Problem ``rate_limited``."""
        rate = self.operator if token is None else self.token
        self._take(rate, ("token", token), now, f"This token may be used {rate.per_s:g} times a second.")

    def asked(self, provider: str, name: str, now: int) -> None:
        """One more call of a person who signed in at a provider. Raises Problem ``rate_limited``."""
        self._take(self.token, (provider, name), now, f"You may ask {self.token.per_s:g} times a second.")

    def refused(self, address: str | None, now: int) -> None:
        """One more token from there that is not known, or sign-in that failed. Raises Problem ``rate_limited``."""
        self._take(self.failed, ("failed", address), now, "Too many tokens or sign-ins from your address failed.")

    def _take(self, rate: Rate, key: tuple[str, object], now: int, message: str) -> None:
        self._full_at[key], wait_s = take(rate, self._full_at.get(key, 0), now)
        if wait_s:
            raise Problem("rate_limited", message, hint=f"Try again in {wait_s} s.", retry_after_s=wait_s)
