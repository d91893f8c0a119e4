"""How a deploy stands, as it is told elsewhere: what it brings, what it waits for, what can be done."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ghapp.core import answers, estimates, sentences
from ghapp.core.remote import RateLimited, RemoteError
from ghapp.core.values import BlockerKind, Lock, Repository, State
from ghapp.notify.facts import COMMITS, Progress, Shipped
from ghapp.service import seeing
from ghapp.service.context import Context
from ghapp.store import deploys, durations, events, locks, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.events import Recorded
from ghapp.vcs.base import Comparison


@dataclass(frozen=True, slots=True)
class _Around:
    """What a deploy is told with besides itself."""

    deploy: Deploy
    position: int | None
    locks: list[Lock]
    usual_ms: int | None


#: A provider that takes longer to tell the commits does not hold up a channel.
PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A deploy as it is to be told at the moment ``now``, and what has happened to it."""

    now: int
    deploy: Deploy
    facts: Progress
    recorded: Sequence[Recorded]


async def now(ctx: Context, deploy_id: int) -> Standing | None:
    """For the channels beside the providers, which wait for no provider. What has happened is read first, so that it
    is never ahead of how the deploy stands."""
    deploy = await ctx.stores.main.read(lambda tx: deploys.get(tx, deploy_id))
    if deploy is None:
        return None
    recorded = await ctx.stores.main.read(lambda tx: events.of_deploy(tx, deploy_id))
    try:
        async with asyncio.timeout(PATIENCE_S):
            brought = await shipped(ctx, deploy)
    except (RateLimited, TimeoutError):
        brought = Shipped()
    current, facts = await progress(ctx, deploy, brought)
    return Standing(ctx.now(), current, facts, recorded)


async def progress(ctx: Context, deploy: Deploy, shipped: Shipped) -> tuple[Deploy, Progress]:
    """How it stands at this moment, and the deploy as it is then."""
    around = await ctx.stores.main.read(lambda tx: _around(tx, ctx, deploy))
    deploy = around.deploy
    waiting = deploy.state is State.QUEUED
    blockers = deploy.blockers if waiting or deploy.state is State.REJECTED else ()
    ending = bool(deploy.cancel_requested_by) and not deploy.state.terminal
    own_lock = bool(around.locks) and all(one.environment for one in around.locks)
    facts = Progress(
        request=deploy.request,
        name=deploy.name,
        environment=deploy.environment,
        sha=deploy.sha,
        ref=deploy.ref,
        task=deploy.task,
        user=_who(deploy),
        state=deploy.state,
        sentence=sentence(deploy),
        blockers=blockers,
        ways=answers.ways_of(
            await say_app(ctx, deploy), deploy.environment, deploy.number, deploy.sha, deploy.state, blockers
        ),
        actions=() if ending else answers.actions_of(deploy.state, deploy.blockers, own_lock=own_lock),
        position=around.position,
        started_at=None if deploy.lost_since else deploy.started_at,
        usual_ms=around.usual_ms,
        page=ctx.page(deploy.app, deploy.number),
        environment_url=deploy.config.url if deploy.state is State.SUCCEEDED else None,
        shipped=shipped,
    )
    return deploy, facts


async def _around(tx: Tx, ctx: Context, deploy: Deploy) -> _Around:
    """With the blockers as they were saved: what is written says since when, and not for how long."""
    current = await deploys.get(tx, deploy.id) or deploy
    seen = await seeing.deploy(tx, ctx, deploy.app, deploy.number)
    held_by = await locks.on(tx, deploy.environment_id, ctx.now()) if _holds(current) else []
    took = await durations.newest(tx, deploy.environment_id, deploy.task, estimates.SAMPLE)
    return _Around(current, seen.position, held_by, estimates.typical_ms(took))


def _who(deploy: Deploy) -> str:
    other = deploy.on_behalf_of if deploy.on_behalf_of != deploy.user else None
    return f"{deploy.user} for {other}" if other else deploy.user


def _holds(deploy: Deploy) -> bool:
    return any(blocker.kind is BlockerKind.LOCK for blocker in deploy.blockers)


def sentence(deploy: Deploy) -> str:
    """Where a deploy stands, in one sentence."""
    if deploy.state is State.QUEUED:
        return " ".join(blocker.message for blocker in deploy.blockers) or sentences.queued()
    if deploy.lost_since is not None:
        return sentences.turn_lost(deploy.name, deploy.lost_since, deploy.number)
    if deploy.state is State.CLAIMED:
        return sentences.claimed(deploy.runner or "")
    if deploy.state is State.RUNNING and deploy.cancel_requested_by:
        return sentences.cancelling(deploy.runner or "", deploy.cancel_requested_by)
    if deploy.state is State.RUNNING:
        return sentences.running(deploy.runner or "")
    took_s = (deploy.ended_at - deploy.started_at) / 1000 if deploy.ended_at and deploy.started_at else None
    return sentences.ended(deploy.state, took_s, deploy.reason)


async def say_app(ctx: Context, deploy: Deploy) -> str | None:
    """The app's name where its repository has several, so that a command has to name it."""

    async def of_repository(tx: Tx) -> list[str]:
        _, repository = await places.repository(tx, deploy.repository_id)
        return await places.apps_bound_to(tx, deploy.via, repository.id)

    here = deploy.repository.casefold()
    named = [one.name for one in ctx.apps.configs.values() if (one.repository or "").casefold() == here]
    apps = {*await ctx.stores.main.read(of_repository), *named} & set(ctx.apps.configs)
    return deploy.app if len(apps) > 1 else None


async def shipped(ctx: Context, deploy: Deploy) -> Shipped:
    """The commits since what is live, or was when it started; none where the provider cannot tell them. Raises
    RateLimited."""
    live = await ctx.stores.main.read(lambda tx: deploys.live(tx, deploy.environment_id))
    base = deploy.previous_sha if deploy.started_at else live.sha if live else None
    since = live.name if live and live.sha == base else sentences.short(base or "")
    if base is None:
        return Shipped()
    if base == deploy.sha:
        return Shipped(note=f"{sentences.short(base)} is live there already." if not deploy.state.terminal else None)
    _, repository = await ctx.stores.main.read(lambda tx: places.repository(tx, deploy.repository_id))
    try:
        found = await _compared(ctx, deploy, repository, base)
    except RateLimited:
        raise
    except RemoteError:
        return Shipped()
    if found.status == "behind":
        return Shipped(note=f"It takes {found.behind_by} commits back, to before {since}.", url=found.url)
    return Shipped(since, found.ahead_by, tuple(reversed(found.commits))[:COMMITS], found.url)


async def _compared(ctx: Context, deploy: Deploy, repository: Repository, base: str) -> Comparison:
    known = (deploy.repository_id, base, deploy.sha)
    if known not in ctx.compared:
        ctx.compared[known] = await ctx.providers[deploy.via].code(repository).compare(base, deploy.sha)
    return ctx.compared[known]
