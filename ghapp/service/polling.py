"""Pushes to hosts that tell nothing by themselves: their branches are looked at, and what has moved is a push.

Nothing is lost while Kedge is away: where a branch was is remembered, in the transaction that acts on where it is.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from ghapp.core.config import AppConfig
from ghapp.core.remote import RateLimited, RemoteError, Unavailable
from ghapp.core.values import Repository
from ghapp.service import hearing, permits
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.service.reconciling import pause_s
from ghapp.store import places, polled
from ghapp.store.base import Tx
from ghapp.store.events import ORIGIN, Origin
from ghapp.vcs.events import PushEvent
from ghapp.vcs.provider import Branches

log = structlog.get_logger(__name__)

#: Between two looks, a quarter more or less, so that many repositories do not ask one host at the same moment; after
#: one that failed, never less.
EVERY_S = 15.0
#: The config may have changed.
TICK_S = 1.0
#: Looks through one provider; the others have room of their own.
AT_ONCE = 4
#: One look may take so long; to fetch a large repository for the first time takes minutes.
LIMIT_S = 900.0


@dataclass(slots=True)
class _Watch:
    """A repository that is looked at: when next (ms), how often that failed in a row, and which one it was."""

    due_at: int = 0
    failures: int = 0
    repository_id: int | None = None


@dataclass(slots=True)
class Poller:
    """What one process remembers, by provider and repository as the config names them."""

    watched: dict[str, _Watch] = field(default_factory=dict)
    _configs: Mapping[str, AppConfig] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)
    _gates: defaultdict[str, asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
    )

    async def poll_due(self, ctx: Context) -> int:
        """Look at the repositories whose time has come, and wait until that is done; how many those were."""
        async with asyncio.TaskGroup() as group:
            return await self.begin(ctx, group)

    async def begin(self, ctx: Context, group: asyncio.TaskGroup) -> int:
        """Begin to look at the repositories whose time has come, each in a task of ``group``: none waits for the
        slowest. How many those are."""
        apps = _named(ctx)
        self.watched = {key: self.watched.get(key) or _Watch() for key in apps}
        # What is looked at still would be kept again.
        if ctx.apps.configs is not self._configs and self._under_way <= apps.keys():
            ids = [one.repository_id for one in self.watched.values() if one.repository_id is not None]
            await ctx.stores.main.write(lambda tx: polled.keep_only(tx, list(apps), ids))
            self._configs = ctx.apps.configs
        due = [key for key, watch in self.watched.items() if watch.due_at <= ctx.now() and key not in self._under_way]
        for key in due:
            self._under_way.add(key)
            group.create_task(self._poll(ctx, key, apps[key], self.watched[key]))
        return len(due)

    async def _poll(self, ctx: Context, key: str, app: AppConfig, watch: _Watch) -> None:
        try:
            async with self._gates[app.via]:
                watch.repository_id = await _look_in_time(ctx, app)
            watch.failures = 0
            wait_s = EVERY_S * random.uniform(0.75, 1.25)  # noqa: S311
        except Exception as error:
            watch.failures += 1
            wait_s = pause_s(2 * EVERY_S, watch.failures, error) * random.uniform(1, 1.25)  # noqa: S311
            if watch.failures == 1:  # how long it lasts is to be seen in the lag
                unexpected = not isinstance(error, RemoteError | Problem)
                log.warning("branches cannot be looked at", app=app.name, why=str(error), exc_info=unexpected)
        finally:
            self._under_way.remove(key)
        watch.due_at = ctx.now() + int(wait_s * 1000)


async def poll_forever(ctx: Context) -> None:
    """Until cancelled."""
    poller = Poller()
    async with asyncio.TaskGroup() as group:
        while True:
            try:
                await poller.begin(ctx, group)
            except Exception:
                log.exception("polling failed")
            await asyncio.sleep(TICK_S)


async def _look_in_time(ctx: Context, app: AppConfig) -> int | None:
    """Raises an Exception whatever ends the look, unless that is the cancelling of its task."""
    try:
        async with asyncio.timeout(LIMIT_S):
            return await look(ctx, app)
    except TimeoutError:
        raise Unavailable(f"Looking at its branches took longer than {LIMIT_S:.0f} s.") from None
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
        raise RuntimeError("The provider cancelled what it was asked for.") from error


async def look(ctx: Context, app: AppConfig) -> int | None:
    """Look at the branches of an app's repository once; which one that is, None where it needs no looks. A branch that
    cannot be told holds up no other; then the first error is raised at the end. Raises RemoteError, Problem."""
    repository = await permits.repository_of(ctx, app)
    branches = ctx.providers[app.via].branches(repository)
    if branches is None:
        return None
    began, heads = ctx.now(), await branches.heads()
    ORIGIN.set(Origin(app.via))
    repository_id, known = await ctx.stores.main.write(lambda tx: _known(tx, app, repository, heads, began))
    failed: Exception | None = None
    for name in sorted(known.keys() | heads.keys()):
        if known.get(name) == heads.get(name):
            continue
        try:
            await _moved(ctx, app.via, branches, repository_id, name, known.get(name), heads.get(name))
        except RateLimited:
            raise
        except Exception as error:
            failed = failed or error
    if failed:
        raise failed
    await ctx.stores.main.write(lambda tx: polled.looked(tx, repository_id, _source(app), began))
    return repository_id


async def _known(
    tx: Tx, app: AppConfig, repository: Repository, heads: Mapping[str, str], now: int
) -> tuple[int, Mapping[str, str]]:
    """Where branches were; at the first look nothing has moved."""
    repository_id = await places.keep_repository(tx, app.via, repository)
    known = await polled.branches(tx, repository_id)
    if known is None:
        await polled.begin(tx, repository_id, _source(app), heads, now)
        return repository_id, heads
    return repository_id, known


async def _moved(
    ctx: Context,
    provider: str,
    branches: Branches,
    repository_id: int,
    name: str,
    before: str | None,
    after: str | None,
) -> None:
    event: PushEvent = await branches.moved(name, before, after)
    plan = await hearing.prepare(ctx, provider, event)

    async def work(tx: Tx) -> None:
        if await polled.move(tx, repository_id, name, before, after):
            await plan(tx)

    await ctx.decide(work)


def _named(ctx: Context) -> dict[str, AppConfig]:
    """One app for each repository of which a branch is deployed by itself."""
    automatic = [app for app in ctx.apps.configs.values() if any(one.auto for one in app.environments)]
    polled_there = [app for app in automatic if app.via in ctx.providers and ctx.providers[app.via].webhooks is None]
    return {_source(app): app for app in polled_there}


def _source(app: AppConfig) -> str:
    return f"{app.via} {app.repository or app.name}"
