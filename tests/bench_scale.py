"""What reads and the claim cost with many deploys, next to few. Not a test: run ``python -m tests.bench_scale``.

Two databases, with 1,000 and with 1,000,000 finished deploys, 100 and 10,000 waiting; 20 wait in each line of both, so
that the answers are of one size. Exit 1 where the median is more than 1.3 times as much, in each of three looks.
``--database`` takes the URL of an empty PostgreSQL database, twice: for few and for many. The overview is measured and
not judged: it lists all that wait.
"""

import argparse
import asyncio
import itertools
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from ghapp.core.values import EndedBy, Repository, State
from ghapp.service import claiming, finishing, leases, measuring, reload, seeing, sweeping
from ghapp.service.context import Context
from ghapp.service.seeing import Filter
from ghapp.store import events, inbox, outbox, waiting
from ghapp.store.base import Tx
from ghapp.store.stores import open_stores
from ghapp.vcs.base import RepositoryClient, RepoToken
from tests.scale_data import NOW, Scale, config_text, fill

LINE = 20
LIMIT = 1.3
LOOKS, ROUNDS = 3, 15
Read = Callable[[Tx, Context], Awaitable[object]]
_ids = itertools.count()


class Provider:
    """As much of a provider as a claim needs."""

    own_checks = ()
    api_url = "https://api.github.test"

    async def owner(self) -> str | None:
        return "acme"

    async def installed(self) -> list[Repository]:
        raise NotImplementedError

    async def login(self) -> str:
        return "kedge[bot]"

    async def find_repository(self, name: str) -> list[Repository]:
        return []

    async def repo_token(self, repository: Repository) -> RepoToken:
        return RepoToken("token", NOW + 3_600_000)

    def repository(self, repository: Repository) -> RepositoryClient:
        raise NotImplementedError

    async def close(self) -> None:
        return None


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
    await measuring.lags(tx, ctx.now())
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
        "queue": lambda tx, ctx: seeing.line(tx, ctx, scale.count, 100),
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
    print(f"{scale.finished:>9,} finished, {scale.waiting:>6,} waiting: made in {time.perf_counter() - began:.0f} s")
    return World(ctx, scale)


async def median_ms(world: World, name: str) -> float:
    ctx, work = world.ctx, reads(world.scale).get(name)
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        if name == "claim to finish":
            await claim_and_finish(ctx)
        elif name == "sweep":
            await sweep(ctx)
        elif name == "overview (not judged)":
            await ctx.stores.main.read(lambda tx: seeing.apps(tx, ctx))
        else:
            assert work
            await ctx.stores.main.read(lambda tx: work(tx, ctx))
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def compare(few: World, many: World) -> bool:
    """Prints one line for each; does everything hold?"""
    holds = True
    print(f"{'':26}{'few':>10}{'many':>10}{'ratio':>8}")
    for name in (*reads(few.scale), "claim to finish", "sweep", "overview (not judged)"):
        looks = [(await median_ms(few, name), await median_ms(many, name)) for _ in range(LOOKS)]
        least = [min(each) for each in zip(*looks, strict=True)]
        ratio = min(least[1] / least[0], *(there / here for here, there in looks))
        judged = ratio > LIMIT and "not judged" not in name
        holds = holds and not judged
        print(f"{name:26}{least[0]:7.2f} ms{least[1]:7.2f} ms{ratio:8.2f}{'  too much' if judged else ''}")
    return holds


async def run(urls: list[str], finished: int, waits: int) -> bool:
    few = await opened(urls[0], Scale(1000, 5, LINE))
    many = await opened(urls[1], Scale(finished, min(waits // LINE, 500), LINE))
    try:
        return await compare(few, many)
    finally:
        await few.ctx.stores.close()
        await many.ctx.stores.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", action="append", default=[])
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=10_000)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        urls = given.database or [f"sqlite:///{Path(folder) / name}.sqlite" for name in ("few", "many")]
        sys.exit(0 if asyncio.run(run(urls, given.finished, given.waiting)) else 1)


if __name__ == "__main__":
    main()
