"""What the API and the pages show: read in one transaction, so that it is true of one moment."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ghapp.core import sentences
from ghapp.core.actors import EVERYBODY, Actor
from ghapp.core.values import Lock, State
from ghapp.service import lines
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import deploys, events, locks, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.events import Recorded
from ghapp.store.places import App, Environment


@dataclass(frozen=True, slots=True)
class Seen:
    """A deploy and its place in line, counted from 1; None where it does not wait."""

    deploy: Deploy
    position: int | None = None


@dataclass(frozen=True, slots=True)
class SeenEnvironment:
    """``active`` is what is claimed or running there. ``locks`` are all that hold it, wider ones too."""

    name: str
    aliases: tuple[str, ...] = ()
    live: Deploy | None = None
    active: Deploy | None = None
    queue: tuple[Seen, ...] = ()
    locks: tuple[Lock, ...] = ()

    @property
    def busy(self) -> bool:
        return self.active is not None or bool(self.queue)


@dataclass(frozen=True, slots=True)
class SeenApp:
    """``via`` is None for an app that the config in force does not name: it is shown for its history."""

    name: str
    via: str | None
    repository: str | None
    environments: tuple[SeenEnvironment, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a history, newest first; ``next`` is the id to go on below."""

    items: tuple[Seen, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class _Around:
    """What is read once however many environments are shown: all of them, those with a line, whether any lock is."""

    environments: list[Environment]
    with_line: frozenset[int]
    locked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which deploys of an app; None is any. ``before``: only those with a smaller id."""

    environment: str | None = None
    state: State | None = None
    user: str | None = None
    before: int | None = None
    limit: int = 50


async def apps(tx: Tx, ctx: Context, reader: Actor = EVERYBODY) -> list[SeenApp]:
    """Every app of the config, and those no longer in it of which something still runs or waits; of these what the
    reader sees."""
    rows = {row.name: row for row in await places.apps(tx)}
    around = await _around(tx, ctx)
    found = []
    for name in dict.fromkeys([*ctx.apps.configs, *rows]):
        if not reader.sees(name):
            continue
        one = _seen_by(reader, await _app(tx, ctx, name, rows.get(name), around))
        if name in ctx.apps.configs or any(environment.busy for environment in one.environments):
            found.append(one)
    return found


async def app(tx: Tx, ctx: Context, name: str, reader: Actor = EVERYBODY) -> SeenApp:
    """One app, also one that only history knows. Raises Problem ``not_found`` with the nearest names."""
    row = await known_app(tx, ctx, name)
    return _seen_by(reader, await _app(tx, ctx, name, row, await _around(tx, ctx)))


async def deploy(tx: Tx, ctx: Context, app: str, number: int, reader: Actor = EVERYBODY) -> Seen:
    """Raises Problem ``not_found``: for the app with the nearest names, for the number with the newest; ``forbidden``
    for one that the reader does not see."""
    row = await known_app(tx, ctx, app)
    found = await deploys.by_number(tx, app, number)
    if found is None:
        newest = await deploys.history(tx, row.id, environment_ids=await _ids(tx, row), limit=1) if row else []
        hint = f"Its newest is {newest[0].name}." if newest else f"{app} has not been deployed yet."
        raise Problem("not_found", f"{app} has no deploy {number}.", hint=hint)
    check_sees(reader, app, found.environment)
    return await _now(tx, ctx, found)


def check_sees(reader: Actor, app: str, environment: str) -> None:
    """Raises Problem ``forbidden`` naming what the reader's token is for."""
    if not reader.sees(app, environment):
        raise Problem("forbidden", sentences.not_covered(reader.apps, reader.environments))


async def timeline(tx: Tx, deploy: Deploy) -> list[Recorded]:
    return await events.of_deploy(tx, deploy.id)


async def history(tx: Tx, ctx: Context, app: str, wanted: Filter, reader: Actor = EVERYBODY) -> Page:
    """Raises Problem as `environments_of` does."""
    row = await known_app(tx, ctx, app)
    found = await deploys.history(
        tx,
        row.id,
        environment_ids=[one.id for one in await environments_of(tx, ctx, app, wanted.environment, reader)],
        state=wanted.state.value if wanted.state else None,
        user=wanted.user,
        before=wanted.before,
        limit=wanted.limit + 1,
    )
    shown = found[: wanted.limit]
    waiting = await _waiting(tx, ctx, {one.environment_id for one in shown if one.state is State.QUEUED})
    items = tuple(waiting.get(one.id, Seen(one)) for one in shown)
    return Page(items, items[-1].deploy.id if len(found) > wanted.limit else None)


def _seen_by(reader: Actor, app: SeenApp) -> SeenApp:
    return replace(app, environments=tuple(one for one in app.environments if reader.sees(app.name, one.name)))


async def known_app(tx: Tx, ctx: Context, name: str) -> App:
    """An app, also one that only history knows. Raises Problem ``not_found`` with the nearest names."""
    rows = {row.name: row for row in await places.apps(tx)}
    if name not in rows:
        names = list(dict.fromkeys([*ctx.apps.configs, *rows]))
        raise Problem("not_found", f"There is no app {name}.{sentences.nearest(name, names)}")
    return rows[name]


async def environments_of(
    tx: Tx, ctx: Context, app: str, wanted: str | None = None, reader: Actor = EVERYBODY
) -> list[Environment]:
    """All environments that an app has or had and the reader sees, or the one of a name or alias. Raises Problem
    ``not_found`` with the nearest names, ``forbidden`` for one that the reader does not see."""
    known = [one for one in await places.environments(tx) if one.app == app]
    if wanted is None:
        return [one for one in known if reader.sees(app, one.name)]
    config = ctx.apps.configs.get(app)
    environment = config.environment(wanted) if config else None
    name = environment.name if environment else wanted
    found = [one for one in known if one.name.casefold() == name.casefold()]
    if not found:
        configured = [environment.name for environment in config.environments] if config else []
        names = list(dict.fromkeys([*configured, *(one.name for one in known)]))
        raise Problem("not_found", sentences.unknown_environment(wanted, names))
    check_sees(reader, app, found[0].name)
    return found[:1]


async def _ids(tx: Tx, app: App) -> list[int]:
    return [one.id for one in await places.environments(tx) if one.app_id == app.id]


async def _around(tx: Tx, ctx: Context) -> _Around:
    environments = await places.environments(tx)
    return _Around(
        environments, frozenset(await places.environments_with_line(tx)), bool(await locks.every(tx, ctx.now()))
    )


async def _app(tx: Tx, ctx: Context, name: str, row: App | None, around: _Around) -> SeenApp:
    config = ctx.apps.configs.get(name)
    rows = {one.name: one for one in around.environments if row and one.app_id == row.id}
    seen = []
    for environment in config.environments if config else ():
        known = rows.pop(environment.name, None)
        seen.append(await _environment(tx, ctx, environment.name, environment.aliases, known, around))
    for known in rows.values():
        one = await _environment(tx, ctx, known.name, (), known, around)
        if config is None or one.busy:
            seen.append(one)
    repository = config.repository if config else None
    if row and row.repository_id is not None:
        repository = (await places.repository(tx, row.repository_id))[1].full_name
    return SeenApp(name, config.via if config else None, repository, tuple(seen))


async def _environment(
    tx: Tx, ctx: Context, name: str, aliases: tuple[str, ...], row: Environment | None, around: _Around
) -> SeenEnvironment:
    if row is None:
        return SeenEnvironment(name, aliases)
    return SeenEnvironment(
        name,
        aliases,
        live=await deploys.live(tx, row.id),
        active=await deploys.active(tx, row.id),
        queue=tuple(await line(tx, ctx, row.id)) if row.id in around.with_line else (),
        locks=tuple(await locks.on(tx, row.id, ctx.now())) if around.locked else (),
    )


async def line(tx: Tx, ctx: Context, environment_id: int) -> list[Seen]:
    """The line of an environment in order. The blockers are those of this moment: what was last saved does not
    know that a runner fell silent, or for how long."""
    placed = await lines.places_in(tx, ctx, environment_id, counted=True)
    return [Seen(replace(one, blockers=place.blockers), place.position) for one, place in placed]


async def _waiting(tx: Tx, ctx: Context, environment_ids: Iterable[int]) -> dict[int, Seen]:
    return {one.deploy.id: one for each in environment_ids for one in await line(tx, ctx, each)}


async def _now(tx: Tx, ctx: Context, deploy: Deploy) -> Seen:
    if deploy.state is not State.QUEUED:
        return Seen(deploy)
    return (await _waiting(tx, ctx, [deploy.environment_id])).get(deploy.id, Seen(deploy))
