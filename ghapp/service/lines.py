"""The line of an environment, brought up to date in the transaction that changes anything about it."""

import random

from ghapp.core import line, sentences
from ghapp.core.actors import ANYTHING, Grant
from ghapp.core.values import Blocker, BlockerKind
from ghapp.service import statuses
from ghapp.service.context import Context
from ghapp.store import deploys, locks, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.places import Runner

#: A runner that polls or beats is heard at least every 25 s.
RUNNER_SEEN_MS = 60_000
#: The slow net: whatever a deploy waits for, it is looked at again after this time.
SLOW_NET_MS = 60_000


def slow_net(now: int) -> int:
    """When to look again, with jitter so that not all do at once."""
    return now + SLOW_NET_MS + random.randint(-SLOW_NET_MS // 6, SLOW_NET_MS // 6)  # noqa: S311


def accepts(
    deploy: Deploy, labels: tuple[str, ...], apps: tuple[str, ...] | None, grant: Grant = ANYTHING
) -> bool:
    """May a runner with these labels and apps take the deploy, with a token that grants so much?"""
    if not set(deploy.config.runner) <= set(labels):
        return False
    if grant.environments is not None and deploy.environment not in grant.environments:
        return False
    wished = deploy.defined_in == "operator" if apps is None else _named(deploy, apps)
    return wished and (grant.apps is None or _named(deploy, grant.apps))


def _named(deploy: Deploy, apps: tuple[str, ...]) -> bool:
    """Is it one of the apps? What a repository defines itself must be named by its ``owner/repo``: anybody who may
    push there could give it the name of another app."""
    names = {name.casefold() for name in apps}
    own = deploy.defined_in == "operator" and deploy.app.casefold() in names
    return own or deploy.repository.casefold() in names


def ready_blocker(deploy: Deploy, runners: list[Runner], now: int, *, counted: bool = False) -> Blocker:
    """Why a deploy whose turn it is does not run: nothing but a runner is missing. ``counted`` as in `places_in`."""
    seen = max((one.seen_at for one in runners if accepts(deploy, one.labels, one.apps, one.grant)), default=None)
    if seen is not None and seen >= now - RUNNER_SEEN_MS:
        return Blocker(BlockerKind.RUNNER, sentences.ready())
    message = sentences.no_runner(deploy.config.runner, seen, now if counted else None)
    return Blocker(BlockerKind.RUNNER, message, since=seen)


def own_blockers(deploy: Deploy, runners: list[Runner], now: int, *, counted: bool = False) -> tuple[Blocker, ...]:
    """What a deploy waits for when it is its turn: what was last reported, and a runner where none is there."""
    runner = ready_blocker(deploy, runners, now, counted=counted)
    if deploy.own_blockers and runner.message == sentences.ready():
        return deploy.own_blockers
    return (*deploy.own_blockers, runner)


async def places_in(
    tx: Tx, ctx: Context, environment_id: int, *, counted: bool = False
) -> list[tuple[Deploy, line.Place]]:
    """The waiting deploys of an environment in order, each with its place. ``counted``: for somebody who reads it
    now, so that the blockers say for how long instead of since when."""
    now = ctx.now()
    waiting = {deploy.id: deploy for deploy in await deploys.waiting(tx, environment_id)}
    if not waiting:
        return []
    runners = await places.runners(tx)
    active = await deploys.active(tx, environment_id)
    arranged = line.arrange(
        (_waiting(deploy, own_blockers(deploy, runners, now, counted=counted)) for deploy in waiting.values()),
        _active(active) if active else None,
        await locks.on(tx, environment_id, now),
    )
    return [(waiting[place.id], place) for place in arranged]


async def settle(tx: Tx, ctx: Context, environment_id: int) -> None:
    """Give every waiting deploy its blockers, let the one whose turn it is be claimed, and owe the statuses."""
    now = ctx.now()
    for deploy, place in await places_in(tx, ctx, environment_id):
        ready_at = (deploy.ready_at or now) if place.next else None
        alone = place.next and {blocker.kind for blocker in place.blockers} == {BlockerKind.CHECKS}
        checks_until = (deploy.checks_until or now + deploy.config.checks_timeout_s * 1000) if alone else None
        same = (place.blockers, ready_at, checks_until) == (deploy.blockers, deploy.ready_at, deploy.checks_until)
        if same:
            continue
        await deploys.save(tx, deploy.id, blockers=place.blockers, ready_at=ready_at, checks_until=checks_until)
        if place.blockers != deploy.blockers:
            await statuses.want(tx, ctx, deploy, statuses.waiting_status(ctx, deploy, place.blockers))


def _waiting(deploy: Deploy, own: tuple[Blocker, ...]) -> line.Waiting:
    return line.Waiting(
        id=deploy.id,
        name=deploy.name,
        number=deploy.number,
        user=deploy.user,
        asked_at=deploy.asked_at,
        deployment_id=deploy.deployment_id,
        front_at=deploy.front_at,
        forced=deploy.forced,
        forced_by=deploy.forced_by,
        own=own,
        registering=_registering(deploy) if deploy.registering else None,
    )


def _registering(deploy: Deploy) -> Blocker:
    return Blocker(BlockerKind.REGISTERING, sentences.registering(), since=deploy.created_at)


def _active(deploy: Deploy) -> line.Active:
    since = deploy.started_at or deploy.claimed_at or deploy.asked_at
    return line.Active(deploy.name, deploy.number, deploy.user, deploy.state, since, deploy.lost_since)
