"""Rolling back: what was live before is deployed again, from the front of the line, and recorded like any deploy.

What is to come back is decided again in the transaction that records the deploy: what is live may change meanwhile.
"""

from dataclasses import dataclass, replace

from ghapp.core import releases, sentences
from ghapp.core.actors import Actor
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.releases import ROLLBACK, Release
from ghapp.core.values import Chat, Door
from ghapp.service import lines, permits, requesting, rolled_back
from ghapp.service.apps import environment_id, environment_of
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.service.releases import deploy_number
from ghapp.store import deploys, places
from ghapp.store import releases as stored
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy

#: Releases of an environment that are looked at to find what to go back to.
HISTORY = 500
#: Releases that are named where the wrong one was.
NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for. ``to``: the deploy to go back to, such as ``12`` or ``#12``; None: the newest that
    was live before. The rest as in `requesting.Wish`."""

    environment: str | None = None
    to: str | None = None
    force: frozenset[str] = frozenset()
    wait: bool = False
    key: str | None = None
    door: Door
    chat: Chat | None = None


async def roll_back(ctx: Context, actor: Actor, app_name: str, wish: Wish) -> Deploy:
    """Ask for a rollback; the deploy as it waits. Raises Problem: ``conflict`` where there is nothing to go back to
    or that is under way, ``invalid`` for a deploy that was never live there, and as `requesting.request` does."""
    app = requesting.app_of(ctx, app_name)
    environment = requesting.environment_in(app, wish.environment)
    await permits.require(ctx, actor, "deploy", app, environment)
    asked = requesting.Wish(
        task=ROLLBACK,
        force=wish.force,
        wait=wish.wait,
        key=f"{ROLLBACK} {wish.key}" if wish.key else None,
        door=wish.door,
        was_live=True,
        chat=wish.chat,
    )

    async def look(tx: Tx) -> Deploy | Release:
        """At one moment: asked again while the first asking is under way, it is not in its own way."""
        return await requesting.known(tx, actor, app, asked) or await _target(tx, app, environment, wish.to)

    target = await ctx.stores.main.read(look)
    if isinstance(target, Deploy):
        return target

    async def unchanged(tx: Tx) -> None:
        if (await _target(tx, app, environment, wish.to)).sha != target.sha:
            raise Problem("conflict", releases.live_has_changed(environment.name))

    config, asked = environment.for_rollback(), replace(asked, sha=target.sha)
    return await requesting.request_in(ctx, actor, app, config, asked, unchanged)


async def again(
    ctx: Context, actor: Actor, deploy: Deploy, *, key: str | None, door: Door, chat: Chat | None = None
) -> Deploy:
    """Retry a rollback, to the same sha. One that was never live there is asked for like any other task."""
    wish = requesting.Wish(
        environment=deploy.environment,
        sha=deploy.sha,
        task=ROLLBACK,
        key=key,
        door=door,
        chat=chat,
        wait=chat is not None,
    )
    if not await ctx.stores.main.read(lambda tx: stored.was_live(tx, deploy.environment_id, deploy.sha)):
        return await requesting.request(ctx, actor, deploy.app, wish)
    app = requesting.app_of(ctx, deploy.app)
    environment = requesting.environment_in(app, deploy.environment).for_rollback()
    return await requesting.request_in(ctx, actor, app, environment, replace(wish, was_live=True))


async def resume(ctx: Context, actor: Actor, app_name: str, environment_name: str | None) -> EnvironmentConfig:
    """Let automatic deploys go on after a rollback; where none has to wait nothing is changed. Raises Problem
    ``not_found``, ``forbidden``."""
    app = requesting.app_of(ctx, app_name)
    config = requesting.environment_in(app, environment_name)
    await permits.require(ctx, actor, "deploy", app, config)

    async def work(tx: Tx) -> None:
        environment = await environment_of(tx, app, config)
        await places.hold_environment(tx, environment.id)
        if await rolled_back.resume(tx, ctx, environment.id, actor.name, app.name, config.name):
            await lines.settle(tx, ctx, environment.id, whole=True)

    await ctx.decide(work)
    return config


async def _target(tx: Tx, app: AppConfig, environment: EnvironmentConfig, to: str | None) -> Release:
    """What is to be brought back. Raises Problem ``conflict`` or ``invalid``."""
    where = await environment_id(tx, app, environment)
    history = await stored.newest(tx, where, HISTORY)
    found = releases.before(history) if to is None else await _named(tx, app, where, history, to)
    if found is None and to is None:
        raise Problem("conflict", releases.nothing_earlier(environment.name), hint=_hint(app, history))
    if found is None:
        message = releases.not_a_target(to or "", environment.name)
        raise Problem("invalid", message, hint=_hint(app, history), field="to", candidates=_candidates(history))
    await _not_under_way(tx, where, found)
    return found


async def _named(tx: Tx, app: AppConfig, environment_id: int, history: list[Release], to: str) -> Release | None:
    number = deploy_number(app.name, to)
    deploy = await deploys.by_number(tx, app.name, number) if number is not None else None
    if deploy is None or deploy.environment_id != environment_id or not history:
        return None
    release = await stored.one(tx, deploy.id)
    return release if release and release.sha != history[0].sha else None


async def _not_under_way(tx: Tx, environment_id: int, target: Release) -> None:
    deploy = await deploys.get(tx, target.id)
    for one in await deploys.of_sha(tx, deploy.repository_id, target.sha) if deploy else ():
        if one.task == ROLLBACK and one.environment_id == environment_id:
            raise Problem("conflict", releases.rolling_back(one.name, one.sha), deploy=one.name)


def _candidates(history: list[Release]) -> list[dict[str, object]]:
    return [{"number": one.number, "sha": one.sha} for one in releases.candidates(history)[:NAMED]]


def _hint(app: AppConfig, history: list[Release]) -> str | None:
    """Which deploys may be named."""
    named = [f"{app.name}#{one.number} ({sentences.short(one.sha)})" for one in releases.candidates(history)[:NAMED]]
    return f"With to= it may be {sentences.joined(named, NAMED)}." if named else None
