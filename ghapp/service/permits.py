"""Who may do what: the token's scope first, then ``allow`` of the environment, asked of the provider."""

from ghapp.core import sentences
from ghapp.core.actors import ADMIN, Actor
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.remote import RemoteError
from ghapp.core.values import Repository
from ghapp.service import accounts
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import places

_PUSH = frozenset({"admin", "maintain", "write"})


async def passes_allow(
    ctx: Context, provider: str, repository: Repository, user: str, allow: EnvironmentConfig, *, by_token: bool = False
) -> bool:
    """Does the user pass ``allow`` of the environment? Default: push permission on the repository. Bots that are
    named add to whoever may; only persons and teams replace the default. An account that is called like the operator
    never does: it would pass for the operator in locks and in the audit. ``by_token``: a token of Kedge's own says who
    it is, which suffices where the host knows no people and nobody is named. Raises RemoteError."""
    if user.casefold() == ADMIN.name:
        return False
    named = allow.allow
    if user.casefold() in {one.casefold() for one in named.users}:
        return True
    people = ctx.providers[provider].people(repository)
    if people is None:
        return by_token and not (named.teams or named.users)
    for team in named.teams:
        if await ctx.permissions.in_team(people, repository, team, user):
            return True
    if named.teams or any(not one.endswith("[bot]") for one in named.users):
        return False
    return await ctx.permissions.role(people, repository, user) in _PUSH


async def repository_of(ctx: Context, app: AppConfig) -> Repository:
    """The repository of an app: the one it is bound to, else the only installed one of its name.

    Raises Problem ``invalid`` for none or several, ``provider`` where the provider cannot be asked.
    """
    bound = await ctx.stores.main.read(lambda tx: places.repository_of_app(tx, app.name))
    if app.own_id is not None:
        if bound is None or bound.id != app.own_id:
            raise Problem("invalid", sentences.which_repository(app.name, app.name, ()))
        return bound
    if bound and (app.repository is None or app.repository.casefold() == bound.full_name.casefold()):
        return bound
    name = app.repository or app.name
    try:
        found = await accounts.named(ctx, app.via, name)
    except RemoteError as error:
        raise Problem("provider", error.message) from error
    if len(found) != 1:
        raise Problem("invalid", sentences.which_repository(app.name, name, [one.full_name for one in found]))
    return found[0]


async def require(ctx: Context, actor: Actor, scope: str, app: AppConfig, environment: EnvironmentConfig) -> None:
    """May the actor do this in the environment? Raises Problem ``forbidden`` naming who may, or ``provider``."""
    if not actor.can(scope):
        raise Problem("forbidden", sentences.small_token(scope))
    if not actor.covers(app.name, environment.name):
        raise Problem("forbidden", sentences.not_covered(actor, app.name))
    if actor.admin:
        return
    repository = await repository_of(ctx, app)
    try:
        allowed = await passes_allow(
            ctx, app.via, repository, actor.name, environment, by_token=actor.token is not None
        )
    except RemoteError as error:
        raise Problem("provider", error.message) from error
    if not allowed:
        allow = environment.allow
        raise Problem("forbidden", sentences.not_allowed(actor.name, environment.name, allow.users, allow.teams))


async def administers(ctx: Context, provider: str, repository: Repository, user: str) -> bool:
    """Has the user admin permission on the repository? Nobody has where the host knows no people. Raises
    RemoteError."""
    people = ctx.providers[provider].people(repository)
    return people is not None and await ctx.permissions.role(people, repository, user) == "admin"


async def is_admin(ctx: Context, actor: Actor, app: AppConfig | None, environment: str | None = None) -> bool:
    """Admin by token, or by permission on the app's repository: there, or of all of the app, or of everything."""
    if actor.has("admin", app.name if app else None, environment):
        return True
    if app is None or not actor.has("lock", app.name, environment):
        return False
    repository = await repository_of(ctx, app)
    try:
        return await administers(ctx, app.via, repository, actor.name)
    except RemoteError as error:
        raise Problem("provider", error.message) from error


async def require_admin(
    ctx: Context, actor: Actor, app: AppConfig | None, what: str, environment: str | None = None
) -> None:
    """Raises Problem ``forbidden`` for anybody but an admin."""
    if not await is_admin(ctx, actor, app, environment):
        raise Problem("forbidden", sentences.admins_only(what))
