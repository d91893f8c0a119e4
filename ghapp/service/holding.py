"""Locks as people ask for them, whichever door they use: permission first, then the act."""

from dataclasses import dataclass

from ghapp.core import durations, sentences
from ghapp.core.actors import EVERYBODY, Actor
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.values import Lock, State
from ghapp.service import locking, permits, seeing
from ghapp.service.context import Context
from ghapp.service.locking import Reach
from ghapp.service.problems import Problem
from ghapp.service.seeing import Seen
from ghapp.store import deploys, locks, places
from ghapp.store.base import Tx

#: 9999-12-31T23:59:59.999Z: RFC 3339 has four digits for the year.
LAST_MS = 253_402_300_799_999
REASON_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that was set (``new``) or changed, and what runs there and goes on."""

    lock: Lock
    new: bool
    running: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is to be locked: an environment, an app, everything. A config is None where none names it (any more)."""

    app: places.App | None = None
    environment: places.Environment | None = None
    config: AppConfig | None = None
    environment_config: EnvironmentConfig | None = None

    @property
    def ids(self) -> tuple[int | None, int | None]:
        return self.app.id if self.app else None, self.environment.id if self.environment else None

    @property
    def width(self) -> Reach:
        return Reach.ENVIRONMENT if self.environment else Reach.APP if self.app else Reach.EVERYTHING

    @property
    def configured(self) -> bool:
        return self.app is None or bool(self.config and (self.environment is None or self.environment_config))

    @property
    def name(self) -> str:
        app = self.app.name if self.app else "everything"
        return f"{self.environment.name} of {app}" if self.environment else app


async def lock(
    ctx: Context, actor: Actor, app: str | None, environment: str | None, reason: str, until: int | None
) -> Held:
    """Lock an environment, an app (no environment) or everything (neither).

    Raises Problem ``not_found``, ``forbidden``, ``invalid`` (which names ``reason`` or ``until``), ``provider``.
    """
    scope = await ctx.stores.main.read(lambda tx: _scope(tx, ctx, app, environment))
    if not scope.configured:
        raise Problem("not_found", f"The config in force does not name {scope.name} any more.")
    _check_reason(reason)
    now = ctx.now()
    if until is not None and not now < until <= LAST_MS:
        raise Problem("invalid", "until must be in the future, and before the year 10000.", field="until")
    reach = await _reach(ctx, actor, scope, "Locking")
    wanted = Lock(actor.name, reason.strip(), now, until)

    async def work(tx: Tx) -> Held:
        before = await locking.lock(tx, ctx, *scope.ids, wanted, reach)
        held = await locks.of_scope(tx, *scope.ids) or wanted
        active = [await deploys.active(tx, one) for one in await places.hold_covered(tx, *scope.ids)]
        running = tuple(Seen(one) for one in active if one and one.state is State.RUNNING)
        return Held(held, before is None, running)

    return await ctx.decide(work)


async def unlock(ctx: Context, actor: Actor, app: str | None, environment: str | None) -> None:
    """Release the lock of exactly that scope. Raises Problem ``not_found``, ``forbidden``, ``provider``."""
    scope = await ctx.stores.main.read(lambda tx: _scope(tx, ctx, app, environment))
    reach = await _reach(ctx, actor, scope, "Unlocking")
    if not await ctx.decide(lambda tx: locking.unlock(tx, ctx, *scope.ids, actor.name, reach)):
        found = await ctx.stores.main.read(lambda tx: listed(tx, ctx, app, environment))
        wider = " ".join(sentences.locked(one) for one in found if locking.width(one) > scope.width)
        raise Problem("not_found", f"There is no lock on {scope.name}.", hint=wider or None)


async def listed(
    tx: Tx, ctx: Context, app: str | None = None, environment: str | None = None, reader: Actor = EVERYBODY
) -> list[Lock]:
    """The locks that hold an environment, anything of an app, or anything, as far as the reader sees it; oldest first.
    Raises Problem ``not_found`` with the nearest names, ``forbidden``."""
    scope = await _scope(tx, ctx, app, environment)
    if scope.app and scope.environment:
        seeing.check_sees(reader, scope.app.name, scope.environment.name)
    held = await locks.every(tx, ctx.now())
    found = [one for one in held if (reader.sees(one.app, one.environment) if one.app else reader.sees_anything)]
    if scope.app:
        found = [one for one in found if one.app in {None, scope.app.name}]
    if scope.environment:
        found = [one for one in found if one.environment in {None, scope.environment.name}]
    return found


def until_of(ctx: Context, until: int | None, lasting: str | None) -> int | None:
    """When a lock ends, given as a time or as how long. Raises Problem ``invalid`` for both, or no duration."""
    if lasting is None:
        return until
    if until is not None:
        raise Problem("invalid", "Give until or for, not both.", field="for")
    seconds = durations.seconds(lasting)
    if seconds is None or ctx.now() + seconds * 1000 > LAST_MS:
        raise Problem("invalid", "for must be a duration such as 30m, 2h or 1d.", field="for")
    return ctx.now() + seconds * 1000


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > REASON_LIMIT or not reason.isprintable():
        message = f"reason must be one line of printable text, at most {REASON_LIMIT} characters."
        raise Problem("invalid", message, hint="Say why, for those who find it locked.", field="reason")


async def _scope(tx: Tx, ctx: Context, app: str | None, environment: str | None) -> _Scope:
    if app is None:
        return _Scope()
    row = await seeing.known_app(tx, ctx, app)
    config = ctx.apps.configs.get(app)
    if environment is None:
        return _Scope(row, None, config)
    (found,) = await seeing.environments_of(tx, ctx, app, environment)
    return _Scope(row, found, config, config.environment(found.name) if config else None)


async def _reach(ctx: Context, actor: Actor, scope: _Scope, doing: str) -> Reach:
    """Whose lock of this scope the actor may change or release. Raises Problem ``forbidden``."""
    if not actor.can("lock"):
        raise Problem("forbidden", sentences.small_token("lock"))
    if scope.config and scope.environment_config:
        await permits.require(ctx, actor, "lock", scope.config, scope.environment_config)
        found = await ctx.stores.main.read(lambda tx: locks.of_scope(tx, *scope.ids))
        if found is None or found.who == actor.name:
            return Reach.NONE
        return await locking.reach_of(ctx, actor, scope.config, scope.environment_config.name)
    reach = await locking.reach_of(ctx, actor, scope.config)
    if scope.config is None and reach < Reach.EVERYTHING:
        raise Problem("forbidden", f"{doing} {scope.name} takes a token with the scope admin for everything.")
    if reach < Reach.APP:
        raise Problem("forbidden", sentences.admins_only(f"{doing} {scope.name}"))
    return reach
