"""The line of an environment, brought up to date in the transaction that changes anything about it."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ghapp.core import automatic, forcing, line, own_config, sentences
from ghapp.core.actors import ANYTHING, Grant
from ghapp.core.values import Blocker, BlockerKind, Door, Lock, RolledBack, State
from ghapp.service import statuses
from ghapp.service.context import Context
from ghapp.store import automatic as unasked
from ghapp.store import deploys, locks, places, releases
from ghapp.store import waiting as stored
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.places import App, Runner

#: A runner that polls or beats is heard at least every 25 s.
RUNNER_SEEN_MS = 60_000
#: The slow net: whatever a deploy waits for, it is looked at again after this time.
SLOW_NET_MS = 60_000
#: So many at the front of a line are brought up to date whenever it changes: when the head leaves, everybody waits for
#: another one. Those further back hear of it when they come near, or by the slow net; who looks sees it as it is.
FRONT = 30


def slow_net(now: int) -> int:
    """When to look again, with jitter so that not all do at once."""
    return now + SLOW_NET_MS + random.randint(-SLOW_NET_MS // 6, SLOW_NET_MS // 6)  # noqa: S311


class Claimable(Protocol):
    """What tells who may claim a deploy."""

    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def app(self) -> str: ...
    @property
    def environment(self) -> str: ...
    @property
    def repository(self) -> str: ...
    @property
    def defined_in(self) -> str: ...


def accepts(deploy: Claimable, labels: tuple[str, ...], apps: tuple[str, ...] | None, grant: Grant = ANYTHING) -> bool:
    """May a runner with these labels and apps take the deploy, with a token that grants so much?"""
    if not set(deploy.labels) <= set(labels):
        return False
    if grant.environments is not None and deploy.environment not in grant.environments:
        return False
    wished = deploy.defined_in == "operator" if apps is None else _named(deploy, apps)
    return wished and (grant.apps is None or _named(deploy, grant.apps))


def _named(deploy: Claimable, apps: tuple[str, ...]) -> bool:
    """Is it one of the apps? What a repository defines itself must be named by its ``owner/repo``: anybody who may
    push there could give it the name of another app."""
    names = {name.casefold() for name in apps}
    own = deploy.defined_in == "operator" and deploy.app.casefold() in names
    return own or deploy.repository.casefold() in names


def ready_blocker(deploy: Deploy, runners: list[Runner], now: int, *, counted: bool = False) -> Blocker:
    """Why a deploy whose turn it is does not run: nothing but a runner is missing. ``counted`` as in `arranged`."""
    seen = max((one.seen_at for one in runners if accepts(deploy, one.labels, one.apps, one.grant)), default=None)
    if seen is not None and seen >= now - RUNNER_SEEN_MS:
        return Blocker(BlockerKind.RUNNER, sentences.ready())
    if seen is None and deploy.defined_in == "repository":
        return Blocker(BlockerKind.RUNNER, own_config.no_runner(deploy.repository))
    message = sentences.no_runner(deploy.config.runner, seen, now if counted else None)
    return Blocker(BlockerKind.RUNNER, message, since=seen)


def own_blockers(deploy: Deploy, runners: list[Runner], now: int, *, counted: bool = False) -> tuple[Blocker, ...]:
    """What a deploy waits for when it is its turn: what was last reported, and a runner where none is there."""
    runner = ready_blocker(deploy, runners, now, counted=counted)
    if deploy.own_blockers and runner.message == sentences.ready():
        return deploy.own_blockers
    return (*deploy.own_blockers, runner)


@dataclass(frozen=True, slots=True)
class Around:
    """What decides about a line besides those who wait in it. ``live`` is the id of the deploy that is, 0: none."""

    active: Deploy | None
    locks: Sequence[Lock]
    rolled_back: RolledBack | None
    runners: list[Runner]
    app: App
    live: int = 0


#: A waiting deploy and where it stands.
Placed = tuple[Deploy, line.Place]


def arranged(waiting: Iterable[Deploy], around: Around, now: int, *, counted: bool = False) -> list[Placed]:
    """Waiting deploys in order, each with its place. ``counted``: for somebody who reads it now, so that the blockers
    say for how long instead of since when."""
    known = {deploy.id: deploy for deploy in waiting}
    found = line.arrange(
        (_waiting(deploy, around, now, counted=counted) for deploy in known.values()),
        _active(around.active) if around.active else None,
        around.locks,
        around.rolled_back,
    )
    return [(known[place.id], _with_way_on(known[place.id], place)) for place in found]


def _with_way_on(deploy: Deploy, place: line.Place) -> line.Place:
    if deploy.chat is None and not deploy.forced:
        return place
    return replace(place, blockers=forcing.waiting(held(deploy), place.blockers))


def held(deploy: Deploy) -> forcing.Held:
    """What tells how to force it."""
    return forcing.Held(
        app=deploy.app,
        number=deploy.number,
        environment=deploy.environment,
        sha=deploy.sha,
        task=deploy.task,
        forced=deploy.forced,
    )


async def places_in(
    tx: Tx, ctx: Context, environment_id: int, most: int | None = None, *, counted: bool = False
) -> list[Placed]:
    """The line of an environment, whole or the first of it, and at its end what is out of it. ``counted`` as in
    `arranged`."""
    waiting = await stored.line(tx, environment_id, most)
    if most is None or len(waiting) < most:
        waiting += await unasked.out_of_line(tx, [environment_id])
    return arranged(waiting, await _around(tx, ctx, environment_id), ctx.now(), counted=counted) if waiting else []


async def front_of(
    tx: Tx, ctx: Context, environment_id: int, also: Sequence[Deploy] = (), *, counted: bool = False
) -> list[Placed]:
    """The `FRONT` of the line, or as much as it takes to know whose turn it is; and those of ``also`` that wait further
    back, whose positions are not right then. What is out of the line comes last."""
    waiting = await stored.line(tx, environment_id, FRONT)
    out_of_line = await unasked.out_of_line(tx, [environment_id])
    if not waiting and not out_of_line:
        return []
    around = await _around(tx, ctx, environment_id)
    front = {one.id for one in (*waiting, *out_of_line)}
    behind = [one for one in also if one.id not in front and one.state is State.QUEUED]
    placed = arranged([*waiting, *behind, *out_of_line], around, ctx.now(), counted=counted)
    somebody = around.active or any(place.next for deploy, place in placed if deploy.id in front)
    if len(waiting) == FRONT and not somebody and _may_pass_further_back(around, waiting):
        return await places_in(tx, ctx, environment_id, counted=counted)
    return placed


def _may_pass_further_back(around: Around, waiting: Sequence[Deploy]) -> bool:
    """Nobody at the front can go. Only who is forced passes a lock, and those are at the very front."""
    return not around.locks or waiting[-1].front_at is not None


async def _around(tx: Tx, ctx: Context, environment_id: int) -> Around:
    return Around(
        await deploys.active(tx, environment_id),
        await locks.on(tx, environment_id, ctx.now()),
        await releases.rolled_back(tx, environment_id),
        await places.runners(tx),
        await places.app_of(tx, environment_id),
        next((one.id for one in await releases.newest(tx, environment_id, 1)), 0),
    )


async def settle(tx: Tx, ctx: Context, environment_id: int, *also: int, whole: bool = False) -> None:
    """Give waiting deploys their blockers, let the one whose turn it is be claimed, and owe the statuses.

    That is for the front of the line, and for the deploys of the ids in ``also``; or for the ``whole`` line.
    """
    if whole:
        placed = await places_in(tx, ctx, environment_id)
    else:
        placed = await front_of(tx, ctx, environment_id, await deploys.several(tx, also) if also else ())
    now = ctx.now()
    for deploy, place in placed:
        ready_at = (deploy.ready_at or now) if place.next else None
        kinds = {blocker.kind for blocker in place.blockers}
        alone = place.next and kinds == {BlockerKind.CHECKS} and not deploy.automatic
        checks_until = (deploy.checks_until or now + deploy.config.checks_timeout_s * 1000) if alone else None
        judge_at = now if deploy.judge_at is None and BlockerKind.SUPERSEDED in kinds else deploy.judge_at
        saved = {"blockers": place.blockers, "ready_at": ready_at, "checks_until": checks_until, "judge_at": judge_at}
        if all(getattr(deploy, name) == value for name, value in saved.items()):
            continue
        await deploys.save(tx, deploy.id, **saved)
        if place.blockers != deploy.blockers:
            await statuses.want(tx, ctx, deploy, statuses.waiting_status(ctx, deploy, place.blockers))


def undefined(deploy: Deploy, app: App) -> Blocker | None:
    """Why a deploy that was asked for by a repository's own config does not run: that is no longer in force."""
    if deploy.defined_in != "repository":
        return None
    if app.defined_by != deploy.repository_id:
        message = own_config.defined_elsewhere(app.name, deploy.repository, deploy.number)
        return Blocker(BlockerKind.CONFIG, message)
    return Blocker(BlockerKind.CONFIG, own_config.waits(app.withdrawn, deploy.number)) if app.withdrawn else None


def _waiting(deploy: Deploy, around: Around, now: int, *, counted: bool) -> line.Waiting:
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
        own=own_blockers(deploy, around.runners, now, counted=counted),
        aside=_aside(deploy, around),
        automatic=deploy.door == Door.AUTOMATIC,
        out_of_line=bool(deploy.out_of_line),
    )


def _aside(deploy: Deploy, around: Around) -> tuple[Blocker, ...]:
    """What keeps it from having a place: its config is no longer in force; it is registered first, an automatic one
    judged and compared with what is live."""
    withdrawn = undefined(deploy, around.app)
    found = (withdrawn,) if withdrawn else ()
    if deploy.out_of_line:
        return (*found, *(deploy.own_blockers or (automatic.unread(),)))
    if deploy.registering:
        return (Blocker(BlockerKind.REGISTERING, sentences.registering(), since=deploy.created_at), *found)
    if deploy.automatic and around.live != deploy.compared_with:
        return (*found, automatic.comparing(), *deploy.own_blockers)
    return found


def _active(deploy: Deploy) -> line.Active:
    since = deploy.started_at or deploy.claimed_at or deploy.asked_at
    return line.Active(deploy.name, deploy.number, deploy.user, deploy.state, since, deploy.lost_since)
