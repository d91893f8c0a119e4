"""Takes in what never arrived: a provider's own record of what it sent is read back, oldest first.

The saved position moves only when everything older is stored, so that death at any moment costs a second reading.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from cachetools import LRUCache

from ghapp.core.remote import NotFound, RateLimited, Refused, RemoteError, Unavailable
from ghapp.core.values import Repository
from ghapp.service import hearing
from ghapp.service.context import Context
from ghapp.service.homes import Homes
from ghapp.store import deploys, inbox, places, reconciled
from ghapp.store.base import StoreError, Tx, Work
from ghapp.store.reconciled import Position
from ghapp.vcs.events import CheckEvent
from ghapp.vcs.record import DeliveryLog, Recovered, Sent, Use

log = structlog.get_logger(__name__)

#: Seconds between two readings: beside webhooks, and as the only source.
BESIDE_S = 60.0
ALONE_S = 3.0
LONGEST_PAUSE_S = 300.0
#: An entry may show up late, among older ones: so much is read again each minute, and at each reading in between.
OVERLAP_MS = 600_000
SHORT_OVERLAP_MS = 30_000
WIDE_EVERY_MS = 60_000
#: Times that two clocks tell to the second may differ by so much.
BLUR_MS = 2_000
#: Deployments that were asked for longer ago are not begun any more.
LOOK_BACK_MS = 7 * 86_400_000
#: So many that cannot be read in one reading, and it is the provider that does not work; in so many readings, and it
#: is the delivery.
PATIENCE = 3
_BATCH = 500


@dataclass(slots=True)
class Reader:
    """What one process remembers of reading one provider's record. ``settled``: what was acted on, although it is not
    in the inbox. ``unread``: by guid, how often it could not be read. ``wide_at``: when the longer overlap was last
    read (ms)."""

    provider: str
    record: DeliveryLog
    homes: Homes
    settled: LRUCache[str, bool] = field(default_factory=lambda: LRUCache(10_000), repr=False)
    unread: Counter[str] = field(default_factory=Counter, repr=False)
    wide_at: int = 0


def readers(ctx: Context) -> list[Reader]:
    """One for each provider that keeps a record."""
    return [
        Reader(name, client.record, Homes(name)) for name, client in ctx.providers.items() if client.record is not None
    ]


async def reconcile_forever(ctx: Context, every_s: float) -> None:
    """At once, and then every so often, until cancelled."""
    await asyncio.gather(*(_forever(ctx, reader, every_s) for reader in readers(ctx)))


async def _forever(ctx: Context, reader: Reader, every_s: float) -> None:
    failures = 0
    while True:
        wait_s = every_s
        try:
            await reconcile(ctx, reader)
            if failures:
                log.info("reconciled again", provider=reader.provider, failures=failures)
            failures = 0
        except Exception as error:
            failures += 1
            wait_s = pause_s(every_s, failures, error)
            if failures == 1:  # how long it lasts is to be seen in the lag
                unexpected = not isinstance(error, RemoteError | StoreError)
                about = {"provider": reader.provider, "why": str(error), "in_s": wait_s}
                log.warning("cannot reconcile, will be tried again", **about, exc_info=unexpected)
        await asyncio.sleep(wait_s)


def pause_s(every_s: float, failures: int, error: Exception) -> float:
    """Seconds until the next reading after so many failed ones in a row: ever longer, and as long as the provider
    wishes, which may be behind a Problem. Pure."""
    limit = error if isinstance(error, RateLimited) else error.__cause__
    wished_s = limit.retry_after_s if isinstance(limit, RateLimited) else 0.0
    return max(wished_s, min(LONGEST_PAUSE_S, every_s * 2.0 ** min(failures - 1, 10)))


async def reconcile(ctx: Context, reader: Reader) -> None:
    """Read the record once and take in what is missing. Raises RemoteError, StoreError: then it is to be read
    again from where it was."""
    now = ctx.now()
    position = await _position(ctx, reader.provider)
    wide = now >= reader.wide_at + WIDE_EVERY_MS
    since = min(position.heard_until, now) - (OVERLAP_MS if wide else SHORT_OVERLAP_MS)
    record = await reader.record.since(since)
    missing = await _missing(ctx, reader, position, record.sent)
    news = [one for one in missing if one.use is Use.CHECKS]
    await _wake(ctx, reader, {one.repository_id for one in news if one.repository_id})
    reader.settled.update({one.guid: True for one in news})
    gone, failed = await _take_in(ctx, reader, [one for one in missing if one.use is Use.WORK])
    gaps = [one.at for one in gone] + ([] if record.whole else [since])
    if gaps:
        await _close_gap(ctx, reader, max(min(gaps), now - LOOK_BACK_MS))
    reader.settled.update({one.guid: True for one in gone})
    if failed:
        raise failed
    await ctx.stores.main.write(lambda tx: reconciled.move(tx, reader.provider, now))
    if wide:
        reader.wide_at = now


async def _position(ctx: Context, provider: str) -> Position:
    """Where reading goes on; at the first start ever it begins then."""
    known = await ctx.stores.main.read(lambda tx: reconciled.position(tx, provider))
    if known is None:
        known = await ctx.stores.main.write(lambda tx: reconciled.begin(tx, provider, ctx.started_at))
    return known


async def _missing(ctx: Context, reader: Reader, position: Position, sent: Sequence[Sent]) -> list[Sent]:
    """What can be something to Kedge, counts, and was not taken in: oldest first, each once."""
    useful = [one for one in sent if one.use is not Use.NOTHING]
    homes = await reader.homes.look(ctx, {one.repository_id for one in useful if one.repository_id}, position.begun_at)

    def counts(one: Sent) -> bool:
        if one.repository_id is None:
            return one.at >= position.begun_at - BLUR_MS
        return one.repository_id in homes and one.at >= homes[one.repository_id].since - BLUR_MS

    first: dict[str, Sent] = {}
    for one in sorted(useful, key=lambda one: (one.at, one.id)):
        if counts(one) and one.guid not in reader.settled:
            first.setdefault(one.guid, one)
    known = await _known(ctx, reader.provider, list(first))
    return [one for guid, one in first.items() if guid not in known]


async def _known(ctx: Context, provider: str, guids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(guids), _BATCH):
        batch = guids[start : start + _BATCH]
        known |= await ctx.stores.main.read(lambda tx, batch=batch: inbox.known(tx, provider, batch))  # type: ignore[misc]
    return known


async def _take_in(ctx: Context, reader: Reader, missing: Sequence[Sent]) -> tuple[list[Sent], RemoteError | None]:
    """Store each as if it had arrived. Returns those that the provider does not have any more, and why others cannot
    be read now: these keep nothing else waiting, and come last once
    it was tried often."""
    gone: list[Sent] = []
    failed: list[RemoteError] = []
    for one in sorted(missing, key=lambda one: reader.unread[one.guid] >= PATIENCE):
        try:
            await _store(ctx, reader.provider, await reader.record.recover(one))
            reader.unread.pop(one.guid, None)
        except (NotFound, Refused) as error:
            log.warning("a delivery cannot be read back", delivery=one.guid, delivered=one.event, why=str(error))
            gone.append(one)
        except Unavailable as error:
            failed.append(error)
            reader.unread[one.guid] += 1
            if len(failed) >= PATIENCE:
                break
    if missing:
        log.info("taken in what never arrived", provider=reader.provider, deliveries=len(missing), failed=len(failed))
    return gone, failed[0] if failed else None


async def _store(ctx: Context, provider: str, one: Recovered) -> None:
    now = ctx.now()
    await ctx.stores.main.write(lambda tx: inbox.store(tx, provider, one.guid, one.event, one.body, now))
    ctx.signals.send("inbox")


async def _close_gap(ctx: Context, reader: Reader, since: int) -> None:
    """The record does not reach back far enough: ask each repository with an app for its deployments."""
    log.warning("the record of deliveries has a gap: deployments are listed", provider=reader.provider, since=since)
    for home in reader.homes.known.values():
        try:
            listed = await reader.record.deployments(home.repository, max(since, home.since - BLUR_MS))
        except (RateLimited, Unavailable):
            raise
        except RemoteError as error:
            log.warning("deployments cannot be listed", repository=home.repository.full_name, why=str(error))
            continue
        for one in listed:
            await _store(ctx, reader.provider, one)


async def _wake(ctx: Context, reader: Reader, repository_ids: set[int]) -> None:
    """Whatever waits in a repository of which checks have changed is looked at again: as after an event for its sha
    that does not say what has changed."""
    for repository_id in repository_ids:
        home = reader.homes.known[repository_id].repository
        for sha in await ctx.stores.main.read(_waiting(reader.provider, home)):
            await ctx.decide(await hearing.prepare(ctx, reader.provider, CheckEvent(home, sha, None)))


def _waiting(provider: str, repository: Repository) -> Work[list[str]]:
    async def work(tx: Tx) -> list[str]:
        repository_id = await places.repository_by_provider_id(tx, provider, repository.id)
        return await deploys.live_shas(tx, repository_id or 0)

    return work
