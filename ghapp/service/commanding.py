"""What a person may do to a deploy, whichever door they use: permission first, then the act."""

from ghapp.core.actors import Actor
from ghapp.core.config import AppConfig
from ghapp.core.releases import ROLLBACK
from ghapp.core.values import Chat, Door
from ghapp.service import acting, locking, permits, requesting, rollback, seeing
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store.deploys import Deploy


async def cancel(ctx: Context, actor: Actor, app: str, number: int) -> Deploy:
    """End it, or ask its runner to. Raises Problem ``not_found``, ``forbidden``, ``too_late``."""
    deploy = await _allowed(ctx, actor, app, number)
    return await ctx.decide(lambda tx: acting.cancel(tx, ctx, deploy.id, actor.name))


async def may_act(ctx: Context, actor: Actor, deploy: Deploy) -> bool:
    """Would a `cancel` be let through? Yes where only the provider can tell and does not: the act then says so."""
    if not actor.has("deploy", deploy.app, deploy.environment):
        return False
    try:
        await _require(ctx, actor, deploy)
    except Problem as problem:
        return problem.code != "forbidden"
    return True


async def force(ctx: Context, actor: Actor, app: str, number: int, what: frozenset[str]) -> Deploy:
    """Let it pass ``checks``, ``lock`` or ``all``. Raises Problem ``not_found``, ``forbidden``, ``conflict``."""
    deploy = await _allowed(ctx, actor, app, number)
    reach = await _reach(ctx, actor, deploy, what)
    return await ctx.decide(lambda tx: acting.force(tx, ctx, deploy.id, actor.name, what, reach))


async def declare_dead(ctx: Context, actor: Actor, app: str, number: int) -> Deploy:
    """Give up on a lost one. Raises Problem ``not_found``, ``forbidden``, ``conflict``."""
    deploy = await _find(ctx, app, number)
    await permits.require_admin(ctx, actor, _app_of(ctx, deploy), "Declaring a deploy dead", deploy.environment)
    return await ctx.decide(lambda tx: acting.declare_dead(tx, ctx, deploy.id, actor.name))


async def retry(
    ctx: Context, actor: Actor, app: str, number: int, *, key: str | None, door: Door, chat: Chat | None = None
) -> Deploy:
    """The same sha, environment and task again, as a new deploy; from a ``chat`` it waits for a lock. Raises Problem as
    `requesting.request` does."""
    deploy = await _find(ctx, app, number)
    if deploy.task == ROLLBACK:
        return await rollback.again(ctx, actor, deploy, key=key, door=door, chat=chat)
    where, what = deploy.environment, deploy.task
    wish = requesting.Wish(
        environment=where, sha=deploy.sha, task=what, key=key, door=door, chat=chat, wait=chat is not None
    )
    return await requesting.request(ctx, actor, app, wish)


async def _reach(ctx: Context, actor: Actor, deploy: Deploy, what: frozenset[str]) -> locking.Reach:
    if not what & {"lock", "all"}:
        return locking.Reach.NONE
    return await locking.reach_of(ctx, actor, _app_of(ctx, deploy), deploy.environment)


async def _find(ctx: Context, app: str, number: int) -> Deploy:
    return (await ctx.stores.main.read(lambda tx: seeing.deploy(tx, ctx, app, number))).deploy


def _app_of(ctx: Context, deploy: Deploy) -> AppConfig:
    """By the config in force; for an app that is no longer in it, by what the deploy was asked with."""
    return ctx.apps.configs.get(deploy.app) or AppConfig(deploy.app, deploy.via, deploy.repository, (deploy.config,))


async def _allowed(ctx: Context, actor: Actor, app: str, number: int) -> Deploy:
    deploy = await _find(ctx, app, number)
    await _require(ctx, actor, deploy)
    return deploy


async def _require(ctx: Context, actor: Actor, deploy: Deploy) -> None:
    config = _app_of(ctx, deploy)
    environment = config.environment(deploy.environment) or deploy.config
    await permits.require(ctx, actor, "deploy", config, environment)
