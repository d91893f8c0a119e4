"""What every service function needs: the stores, the clock, the providers, the apps in force, and wake-up calls."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeVar

import structlog
from cachetools import LRUCache

from ghapp.core.config import AppConfig
from ghapp.service.ancestry import Ancestry
from ghapp.service.channel import Channel
from ghapp.service.limits import Limits
from ghapp.service.permissions import Permissions
from ghapp.store.base import Tx, Work
from ghapp.store.events import Noted, noting
from ghapp.store.session import Background
from ghapp.store.stores import Stores
from ghapp.vcs.base import Comparison, SignIn
from ghapp.vcs.provider import Provider

log = structlog.get_logger(__name__)

T = TypeVar("T")


def system_clock() -> int:
    return time.time_ns() // 1_000_000


class Signals:
    """Wake-up calls within this process. They only save time: whoever waits also looks again by itself."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}

    def send(self, topic: str) -> None:
        """Wake all who wait for the topic now."""
        if event := self._waiting.pop(topic, None):
            event.set()

    def watch(self, topic: str) -> asyncio.Event:
        """Set at the next `send`. Take it *before* looking, so that nothing falls in between."""
        return self._waiting.setdefault(topic, asyncio.Event())

    @staticmethod
    async def wait(event: asyncio.Event, seconds: float) -> bool:
        """Wait for the call or the time, whichever is first; was it the call?"""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await event.wait()
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Apps:
    """The apps in force: the operator's, and those that repositories define themselves. ``problem`` says why a changed
    config of the operator was not taken."""

    configs: Mapping[str, AppConfig] = field(default_factory=dict)
    problem: str | None = None


@dataclass(slots=True)
class Context:
    """One per process. ``apps`` is replaced whole when the config changes; everything else stays. ``providers`` that a
    config names and that are not there are opened with ``open_provider`` before it is in force, and then stay.

    ``sign_ins``: where people can sign in, by provider. ``channels``: where Kedge speaks beside the providers, by name.
    ``lease_key`` derives leases, so that none is stored.
    ``started_at``: nothing expires before the app has been up for a while, because nobody could reach it.
    ``handed_out``: deploy id -> end (ms) of the newest repository token that its runner was given by this process;
    ``told_cancel``: deploys whose runner was told of a cancel by it. ``quiet_until``: (provider, account), or (channel,
    target; none where all are one service), -> when (ms) it wants to be asked again, where it said so. ``token_uses``:
    token id -> its last use (ms) that is not saved yet. ``looked``: deploy id -> when (ms) it may be judged again as
    often as ever (`core.automatic.LOOKS`). ``names``: deploy id -> ``app#number``, of those last spoken of.
    ``compared``: (repository row, base, head) -> what lies between two shas, which never changes. ``accounts``: whose
    events count, and whose repositories may configure themselves; empty: those of the account that the provider's own
    standing belongs to. Whoever replaces ``apps`` holds ``configuring``. ``stopping``: long polls end at once.

    ``also`` is done in every transaction that decides, with what came of it: in a copy of the context for somebody
    whose asking is to be remembered together with what it did.
    """

    stores: Stores
    providers: dict[str, Provider]
    url: str
    lease_key: bytes = field(repr=False)
    open_provider: Callable[[str], Provider] | None = None
    sign_ins: Mapping[str, SignIn] = field(default_factory=dict)
    channels: Mapping[str, Channel] = field(default_factory=dict)
    now: Callable[[], int] = system_clock
    apps: Apps = field(default_factory=Apps)
    signals: Signals = field(default_factory=Signals)
    permissions: Permissions = field(default_factory=Permissions)
    ancestry: Ancestry = field(default_factory=Ancestry)
    started_at: int = 0
    handed_out: dict[int, int] = field(default_factory=dict)
    told_cancel: set[int] = field(default_factory=set)
    quiet_until: dict[tuple[str, str], int] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    also: Callable[[Tx, object], Awaitable[None]] | None = None
    token_uses: dict[int, int] = field(default_factory=dict)
    accounts: tuple[str, ...] = ()
    configuring: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    looked: LRUCache[int, float] = field(default_factory=lambda: LRUCache(10_000), repr=False)
    names: LRUCache[int, str] = field(default_factory=lambda: LRUCache(10_000), repr=False)
    compared: LRUCache[tuple[int, str, str], Comparison] = field(default_factory=lambda: LRUCache(1_000), repr=False)
    stopping: bool = False
    _deciding: Background = field(default_factory=Background, repr=False)

    def __post_init__(self) -> None:
        self.started_at = self.started_at or self.now()

    @property
    def own_checks(self) -> tuple[str, ...]:
        """Key prefixes of the checks that Kedge itself writes."""
        return tuple(prefix for client in self.providers.values() for prefix in client.own_checks)

    async def decide(self, work: Work[T]) -> T:
        """One durable transaction that decides or changes what is decided on; wakes whoever acts on it, also where
        the caller has hung up meanwhile."""
        return await self._deciding.run(asyncio.create_task(self._decide(work)))

    async def _decide(self, work: Work[T]) -> T:
        noted: list[Noted] = []
        result = await self.stores.main.write(noting(self._with_also(work), noted))
        for one in noted:
            log.info("event", **{name: value for name, value in asdict(one).items() if value is not None})
        for topic in ("claims", "outbox", "messages", "judging", "changes"):
            self.signals.send(topic)
        return result

    def _with_also(self, work: Work[T]) -> Work[T]:
        also = self.also
        if also is None:
            return work

        async def both(tx: Tx) -> T:
            result = await work(tx)
            await also(tx, result)
            return result

        return both

    def stop(self) -> None:
        """Answer the long polls: the process is about to end, whoever asks again finds the next one."""
        self.stopping = True
        for topic in ("claims", "changes"):
            self.signals.send(topic)

    def page(self, app: str, number: int) -> str:
        """The absolute URL of a deploy's page, which is the log URL written to providers."""
        return f"{self.url.rstrip('/')}/{app}/deploys/{number}"

    def lease(self, deploy_id: int, claims: int, claim_id: str, token: int | None = None) -> str:
        """The lease of one claim of one deploy with one runner's token (None: KEDGE_RUNNER_TOKEN): never the same
        twice, the same again for a repeated claim."""
        text = f"{deploy_id}:{claims}:{token or ''}:{claim_id}".encode()
        return hmac.new(self.lease_key, text, hashlib.sha256).hexdigest()


def lease_hash(lease: str) -> str:
    return hashlib.sha256(lease.encode(errors="surrogateescape")).hexdigest()
