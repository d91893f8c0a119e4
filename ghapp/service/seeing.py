"""What the API and the pages show: read in one transaction, so that it is true of one moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ghapp.core import sentences
from ghapp.core.actors import EVERYBODY, Actor
from ghapp.core.config import EnvironmentConfig
from ghapp.core.line import Place
from ghapp.core.values import Lock, RolledBack, State
from ghapp.service import lines
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import automatic, deploys, events, locks, own_configs, places, releases
from ghapp.store import history as pages
from ghapp.store import waiting as stored
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.events import Recorded
from ghapp.store.own_configs import OwnConfig
from ghapp.store.places import App, Environment


@dataclass(frozen=True, slots=True)
class Seen:
    """A deploy and its place in line, counted from 1; None where it does not wait there."""

    deploy: Deploy
    position: int | None = None


@dataclass(frozen=True, slots=True)
class SeenEnvironment:
    """``active`` is what is claimed or running there. ``queue`` is the front of the line (`lines.FRONT`), in which
    ``waiting`` deploys wait. ``locks`` are all that hold it, wider ones too. ``default_ref`` is deployed where none is
    named; None: the repository's default branch."""

    name: str
    aliases: tuple[str, ...] = ()
    default_ref: str | None = None
    live: Deploy | None = None
    active: Deploy | None = None
    queue: tuple[Seen, ...] = ()
    waiting: int = 0
    locks: tuple[Lock, ...] = ()
    rolled_back: RolledBack | None = None

    @property
    def busy(self) -> bool:
        return self.active is not None or bool(self.queue)


@dataclass(frozen=True, slots=True)
class SeenApp:
    """``via`` and ``defined_in`` are None for an app that the config in force does not name: it is shown for its
    history. ``own``: its repository defines it, or did; ``problem`` says why the newest of that was not taken."""

    name: str
    via: str | None
    repository: str | None
    environments: tuple[SeenEnvironment, ...]
    defined_in: str | None
    own: bool
    problem: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a history, newest first; ``next`` is the id to go on below."""

    items: tuple[Seen, ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class _Found:
    """What is read once however many environments are shown, by the environment's id."""

    environments: list[Environment]
    live: Mapping[int, Deploy]
    active: Mapping[int, Deploy]
    queues: Mapping[int, list[Seen]]
    lengths: Mapping[int, int]
    locks: list[Lock]
    rolled_back: Mapping[int, RolledBack]
    troubled: Mapping[int | None, OwnConfig]


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
    names = await places.repository_names(tx)
    found = await _find(tx, ctx, await places.environments(tx))
    shown = []
    for name in dict.fromkeys([*ctx.apps.configs, *rows]):
        if not reader.sees(name):
            continue
        one = _seen_by(reader, _app(ctx, name, rows.get(name), names, found))
        if name in ctx.apps.configs or any(environment.busy for environment in one.environments):
            shown.append(one)
    return shown


async def troubled(tx: Tx, reader: Actor = EVERYBODY) -> list[OwnConfig]:
    """Repositories of which the newest config was not taken; of these what the reader sees: what concerns no app is
    for who sees all of them."""
    names: dict[int | None, list[str]] = {}
    for row in await places.apps(tx):
        names.setdefault(row.defined_by, []).append(row.name)
    found = await own_configs.troubled(tx)
    every = reader.can("read") and reader.apps is None
    return [one for one in found if every or any(map(reader.sees, names.get(one.repository_id, ())))]


async def app(tx: Tx, ctx: Context, name: str, reader: Actor = EVERYBODY) -> SeenApp:
    """One app, also one that only history knows. Raises Problem ``not_found`` with the nearest names."""
    row = await known_app(tx, ctx, name)
    found = await _find(tx, ctx, await places.environments_of(tx, name))
    return _seen_by(reader, _app(ctx, name, row, await places.repository_names(tx), found))


async def deploy(tx: Tx, ctx: Context, app: str, number: int, reader: Actor = EVERYBODY) -> Seen:
    """Raises Problem ``not_found``: for the app with the nearest names, for the number with the newest; ``forbidden``
    for one that the reader does not see."""
    await known_app(tx, ctx, app)
    found = await deploys.by_number(tx, app, number)
    if found is None:
        newest = await pages.page(tx, [one.id for one in await places.environments_of(tx, app)], limit=1)
        hint = f"Its newest is {newest[0].name}." if newest else f"{app} has not been deployed yet."
        raise Problem("not_found", f"{app} has no deploy {number}.", hint=hint)
    check_sees(reader, app, found.environment)
    return (await _now(tx, ctx, [found]))[0]


def check_sees(reader: Actor, app: str, environment: str | None = None) -> None:
    """Raises Problem ``forbidden`` naming what the reader's token is for."""
    if not reader.sees(app, environment):
        raise Problem("forbidden", sentences.not_covered(reader, app))


def config_problem(ctx: Context, reader: Actor) -> str | None:
    """Why a changed config was not taken; not in full to whoever does not see every app that it may name."""
    if ctx.apps.problem is None or not reader.sees_anything:
        return None
    return "What is wrong with it is told to whoever sees every app." if reader.narrowed else ctx.apps.problem


async def timeline(tx: Tx, deploy: Deploy) -> list[Recorded]:
    return await events.of_deploy(tx, deploy.id)


async def history(tx: Tx, ctx: Context, app: str, wanted: Filter, reader: Actor = EVERYBODY) -> Page:
    """Raises Problem as `environments_of` does."""
    await known_app(tx, ctx, app)
    found = await pages.page(
        tx,
        [one.id for one in await environments_of(tx, ctx, app, wanted.environment, reader)],
        state=wanted.state.value if wanted.state else None,
        user=wanted.user,
        before=wanted.before,
        limit=wanted.limit + 1,
    )
    items = await _now(tx, ctx, found[: wanted.limit])
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
    known = await places.environments_of(tx, app)
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


async def _find(tx: Tx, ctx: Context, environments: list[Environment]) -> _Found:
    ids = [one.id for one in environments]
    active, live = await deploys.active_in(tx, ids), await deploys.live_in(tx, ids)
    held_by = await locks.every(tx, ctx.now())
    rolled_back = await releases.all_rolled_back(tx)
    runners = await places.runners(tx)
    rows = {row.id: row for row in await places.apps(tx)}
    troubled = {one.repository_id: one for one in await own_configs.troubled(tx)}
    waiting: dict[int, list[Deploy]] = {}
    lengths = await stored.lengths(tx, ids)
    fronts = await stored.fronts(tx, list(lengths), lines.FRONT)
    for deploy in [*fronts, *await automatic.out_of_line(tx, list(lengths))]:
        waiting.setdefault(deploy.environment_id, []).append(deploy)
    queues = {}
    for one in environments:
        if line := waiting.get(one.id):
            holding = [lock for lock in held_by if _holds(lock, one)]
            around = lines.Around(
                active.get(one.id),
                holding,
                rolled_back.get(one.id),
                runners,
                rows[one.app_id],
                live[one.id].id if one.id in live else 0,
            )
            queues[one.id] = [_seen(*placed) for placed in lines.arranged(line, around, ctx.now(), counted=True)]
    return _Found(environments, live, active, queues, lengths, held_by, rolled_back, troubled)


def _holds(lock: Lock, environment: Environment) -> bool:
    return lock.app in {None, environment.app} and lock.environment in {None, environment.name}


def _app(ctx: Context, name: str, row: App | None, repositories: Mapping[int, str], found: _Found) -> SeenApp:
    config = ctx.apps.configs.get(name)
    rows = {one.name: one for one in found.environments if row and one.app_id == row.id}
    seen = []
    for environment in config.environments if config else ():
        known = rows.pop(environment.name, None)
        seen.append(_environment(environment.name, environment, known, found))
    for known in rows.values():
        one = _environment(known.name, None, known, found)
        if config is None or one.busy:
            seen.append(one)
    repository = config.repository if config else None
    if row and row.repository_id is not None:
        repository = repositories[row.repository_id]
    via, defined_in = (config.via, config.defined_in) if config else (None, None)
    owner = row.defined_by if row else None
    troubled = found.troubled.get(owner) if owner is not None else None
    problem = troubled.said if troubled else None
    return SeenApp(name, via, repository, tuple(seen), defined_in, owner is not None, problem)


def _environment(
    name: str, config: EnvironmentConfig | None, row: Environment | None, found: _Found
) -> SeenEnvironment:
    aliases = config.aliases if config else ()
    default_ref = config.default_ref if config else None
    if row is None:
        return SeenEnvironment(name, aliases, default_ref)
    return SeenEnvironment(
        name,
        aliases,
        default_ref,
        live=found.live.get(row.id),
        active=found.active.get(row.id),
        queue=tuple(found.queues.get(row.id, ())),
        waiting=found.lengths.get(row.id, 0),
        locks=tuple(lock for lock in found.locks if _holds(lock, row)),
        rolled_back=found.rolled_back.get(row.id),
    )


def _seen(deploy: Deploy, place: Place) -> Seen:
    """The blockers are those of this moment: what was last saved does not know that a runner fell silent, or for how
    long."""
    return Seen(replace(deploy, blockers=place.blockers), place.position)


async def line(tx: Tx, ctx: Context, environment_id: int, most: int) -> list[Seen]:
    """The first of the line of an environment, in order."""
    return [_seen(*placed) for placed in await lines.places_in(tx, ctx, environment_id, most, counted=True)]


async def front(tx: Tx, ctx: Context, environment_id: int) -> list[Seen]:
    """The first of the line (`lines.FRONT`)."""
    return [_seen(*placed) for placed in await lines.front_of(tx, ctx, environment_id, counted=True)]


async def _now(tx: Tx, ctx: Context, shown: Sequence[Deploy]) -> tuple[Seen, ...]:
    """The deploys, those that wait with their place in line."""
    waiting: dict[int, list[Deploy]] = {}
    for one in shown:
        if one.state is State.QUEUED:
            waiting.setdefault(one.environment_id, []).append(one)
    seen: dict[int, Seen] = {}
    for environment_id, here in waiting.items():
        positions = await stored.positions(tx, environment_id, [one.id for one in here])
        for one, place in await lines.front_of(tx, ctx, environment_id, here, counted=True):
            seen[one.id] = _seen(one, replace(place, position=positions.get(one.id)))
    return tuple(seen.get(one.id, Seen(one)) for one in shown)
