"""What is counted, and what is measured at the moment: the facts behind ``/metrics``."""

from collections.abc import Mapping
from dataclasses import dataclass

from ghapp.core.actors import Actor
from ghapp.service.context import Context
from ghapp.store import inbox, messages, outbox, places, polled, reconciled, standing, totals
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.places import Runner
from ghapp.store.standing import Standing
from ghapp.store.totals import Total

OUTCOME = "outcome"
CLAIM_LATENCY = "claim_latency"
DURATION = "duration"

#: Upper bounds of the histograms' buckets, in seconds.
BOUNDS_S: Mapping[str, tuple[float, ...]] = {
    CLAIM_LATENCY: (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
    DURATION: (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200),
}
#: A runner that was not seen for so long is no longer told of: names come and go with their machines.
RUNNER_GONE_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Measured:
    """Lags are seconds since what is oldest became due. ``rate_limits``: calls left, by provider."""

    now: int
    totals: list[Total]
    standings: list[Standing]
    runners: list[Runner]
    inbox_lag_s: float
    outbox_lag_s: float
    messages_lag_s: float
    reconciler_lag_s: float | None
    rate_limits: Mapping[str, int]


async def claimed(tx: Tx, deploy: Deploy, now: int) -> None:
    """A runner took it, so long after it could have been taken. ``deploy`` is as it was before."""
    since = deploy.asked_at if deploy.ready_at is None else deploy.ready_at
    await totals.observe(tx, deploy.environment_id, CLAIM_LATENCY, BOUNDS_S[CLAIM_LATENCY], max(now - since, 0))


async def ended(tx: Tx, deploy: Deploy) -> None:
    """It ended; if its command ran, that took so long."""
    await totals.add(tx, deploy.environment_id, OUTCOME, deploy.state.value)
    if deploy.started_at is not None and deploy.ended_at is not None:
        took_ms = max(deploy.ended_at - deploy.started_at, 0)
        await totals.observe(tx, deploy.environment_id, DURATION, BOUNDS_S[DURATION], took_ms)


async def lags(tx: Tx, ctx: Context, now: int) -> tuple[float, float, float]:
    """Inbox, outbox and messages: seconds since what is oldest there became due; 0 where nothing is."""
    unsaid_at = await messages.oldest_due(tx, list(ctx.channels), now)
    since = await inbox.oldest_due(tx, now), await outbox.oldest_due(tx, now), unsaid_at
    waiting, owed, unsaid = ((now - at) / 1000 if at is not None else 0.0 for at in since)
    return waiting, owed, unsaid


async def reconciler_lag(tx: Tx, ctx: Context, now: int) -> float | None:
    """Seconds: what happened at a provider since then may be missing. None where no provider keeps a record of it that
    was read, and no branches are looked at."""
    recording = [name for name, client in ctx.providers.items() if client.record is not None]
    positions = [await reconciled.position(tx, name) for name in recording]
    known_until = [one.heard_until for one in positions if one]
    looked_at = await polled.oldest(tx)
    known_until += [looked_at] if looked_at is not None else []
    return max((max(now - at, 0) / 1000 for at in known_until), default=None)


async def measure(ctx: Context, reader: Actor) -> Measured:
    """Everything at one moment, of the apps and environments that the reader sees."""
    now = ctx.now()

    async def work(tx: Tx) -> Measured:
        inbox_lag_s, outbox_lag_s, messages_lag_s = await lags(tx, ctx, now)
        return Measured(
            now,
            [one for one in await totals.every(tx) if reader.sees(one.app, one.environment)],
            [one for one in await standing.every(tx) if reader.sees(one.app, one.environment)],
            [one for one in await places.runners(tx) if one.seen_at >= now - RUNNER_GONE_MS],
            inbox_lag_s,
            outbox_lag_s,
            messages_lag_s,
            await reconciler_lag(tx, ctx, now),
            _rate_limits(ctx),
        )

    return await ctx.stores.main.read(work)


def _rate_limits(ctx: Context) -> dict[str, int]:
    left = {name: client.calls_left for name, client in ctx.providers.items()}
    return {name: calls for name, calls in left.items() if calls is not None}
