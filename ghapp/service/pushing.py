"""A push to a branch: the environments that deploy it by themselves get a deploy each, out of the line at first.

Only pushes begin automatic deploys; statuses and checks never do. What comes of a late or shuffled push is judged
later, by what the provider says of its branch then, and by which commit contains which.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from ghapp.core import automatic
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.releases import Release
from ghapp.core.values import Door
from ghapp.service import asking, lines
from ghapp.service.apps import bind, environment_id, environment_of
from ghapp.service.context import Context
from ghapp.store import automatic as stored
from ghapp.store import deploys, events, places, releases
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.places import Environment
from ghapp.vcs.events import PushEvent


@dataclass(frozen=True, slots=True)
class _Target:
    """An environment that deploys the branch by itself. ``passed_over`` says why it does not this time."""

    app: AppConfig
    config: EnvironmentConfig
    passed_over: str | None = None


async def prepare(
    ctx: Context, provider: str, event: PushEvent, candidates: Sequence[AppConfig]
) -> Callable[[Tx], Awaitable[bool]]:
    """What a push to a repository of these apps brings; the plan says True if anything. Raises RemoteError."""
    targets = [
        _Target(app, config)
        for app in candidates
        for config in app.environments
        if config.auto and config.auto.branch == event.branch
    ]
    if targets and event.after:
        targets = [await _looked_at(ctx, provider, event, one) for one in targets]
    return lambda tx: _take_in(tx, ctx, provider, event, candidates, targets)


async def _looked_at(ctx: Context, provider: str, event: PushEvent, target: _Target) -> _Target:
    sha, config = event.after or "", target.config
    if automatic.skipped(event.message):
        return replace(target, passed_over=automatic.told_to_skip())

    async def live(tx: Tx) -> Release | None:
        newest = await releases.newest(tx, await environment_id(tx, target.app, config), 1)
        return newest[0] if newest else None

    client = ctx.providers[provider].code(event.repository)
    found = await ctx.stores.main.read(live)
    if found and await ctx.ancestry.has(provider, client, event.repository, found.sha, sha):
        return replace(target, passed_over=automatic.part_of_live(f"{target.app.name}#{found.number}"))
    return target


async def _take_in(
    tx: Tx,
    ctx: Context,
    provider: str,
    event: PushEvent,
    candidates: Sequence[AppConfig],
    targets: Sequence[_Target],
) -> bool:
    if not candidates:
        return False
    repository_id = await places.keep_repository(tx, provider, event.repository, event.installation_id)
    found = [(await environment_of(tx, one.app, one.config), one) for one in targets]
    left = await _left_behind(tx, event, candidates)
    for one in sorted({*(environment.id for environment, _ in found), *(deploy.environment_id for deploy in left)}):
        await places.hold_environment(tx, one)
    for environment, target in found:
        await bind(tx, target.app, environment, repository_id)
        if event.after:
            await _begin(tx, ctx, event, repository_id, environment, target)
    for deploy in left:
        await deploys.save(tx, deploy.id, judge_at=ctx.now(), compared_with=None)
    for one in {deploy.environment_id for deploy in left}:
        await lines.settle(tx, ctx, one)
    return bool(found or left)


async def _left_behind(tx: Tx, event: PushEvent, candidates: Sequence[AppConfig]) -> list[Deploy]:
    """Commits have left the branch: those that wait for it, with one of them perhaps. In line they hold no place until
    the provider was asked."""
    if not (event.deleted or event.forced):
        return []
    rows = [row for app in candidates for row in await places.environments_of(tx, app.name)]
    waiting = [one for row in rows for one in await stored.waiting(tx, row.id)]
    return [one for one in waiting if one.ref == event.branch]


async def _begin(
    tx: Tx, ctx: Context, event: PushEvent, repository_id: int, environment: Environment, target: _Target
) -> None:
    """The deploy, unless there was one already, or a reason against it; that is recorded."""
    sha, config = event.after or "", target.config
    rows = await stored.of_commit(tx, environment.app_id, environment.id, sha)
    earlier = [automatic.Earlier(one.state, one.started_at is not None, one.blockers) for one in rows]
    if not automatic.may_begin(earlier, moved=event.forced or event.created):
        return
    if target.passed_over:
        message = automatic.passed_over(sha, event.branch, config.name, target.passed_over)
        await events.record(
            tx,
            ctx.now(),
            "passed_over",
            who=event.pusher,
            app=environment.app,
            environment=environment.name,
            sha=sha,
            message=message,
        )
        return
    request = asking.Request(
        request=secrets.token_hex(16),
        config=automatic.config_of(config),
        repository_id=repository_id,
        door=Door.AUTOMATIC,
        task="deploy",
        ref=event.branch,
        sha=sha,
        user=event.pusher,
        asked_at=ctx.now(),
        out_of_line=True,
        own=(automatic.unread(),),
    )
    await asking.ask(tx, ctx, environment, request)
