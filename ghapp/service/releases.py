"""What was, is and will be live, in terms of commits: the difference between two deploys, where a commit is."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ghapp.core import releases, sentences
from ghapp.core.actors import Actor
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.releases import Pending, Standing, Track
from ghapp.core.remote import NotFound, RemoteError
from ghapp.core.values import Commit
from ghapp.service import permits, requesting, seeing
from ghapp.service.apps import environment_id
from ghapp.service.context import Context
from ghapp.service.problems import Problem
from ghapp.store import deploys, places
from ghapp.store import releases as stored
from ghapp.store.base import Tx
from ghapp.vcs.base import Comparison
from ghapp.vcs.provider import Code

#: Releases of an environment that are looked at, the newest first.
HISTORY = 100
#: Deploys in one line that are looked at.
LINE = 5
#: Questions to the provider for one environment; what was asked once is remembered.
LOOKS = 12

_DEPLOY = re.compile(r"#?([0-9]{1,18})")
_SHA = re.compile(r"[0-9a-f]{7,64}")
_WHOLE_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Point:
    """A commit and what it was called: ``number`` is the deploy's, where it was named by one."""

    name: str
    sha: str
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    before: Point
    after: Point
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """``commit`` is None and ``problem`` says why where the provider could not be asked."""

    sha: str
    commit: Commit | None
    standings: tuple[Standing, ...]
    problem: str | None = None

    @property
    def message(self) -> str:
        return releases.where_it_is(self.commit.committed_at if self.commit else None, self.standings)


def deploy_number(app_name: str, text: str) -> int | None:
    """The number that ``12``, ``#12`` or ``app#12`` names a deploy by."""
    found = _DEPLOY.fullmatch(text.removeprefix(app_name) if text.startswith(f"{app_name}#") else text)
    return int(found[1]) if found else None


# The difference


async def compare(
    ctx: Context, reader: Actor, app_name: str, environment: str | None, before: str | None, after: str | None
) -> Difference:
    """The commits that ``after`` has and ``before`` has not; each a deploy (``12``, ``#12``), a ref or a sha.

    ``before`` defaults to what is live in the environment, ``after`` to the default branch. Raises Problem
    ``not_found``, ``forbidden`` for what the reader does not see, ``invalid`` naming the field, ``provider``.
    """
    app = requesting.app_of(ctx, app_name)
    config = requesting.environment_in(app, environment) if environment or not before else None
    if config:
        seeing.check_sees(reader, app.name, config.name)
    repository = await permits.repository_of(ctx, app)
    client = ctx.providers[app.via].code(repository)
    point = partial(_point, ctx, reader, client, app)
    try:
        first = await _live_in(ctx, app, config) if config and not before else None
        first = first or await point("from", before or "")
        second = await point("to", after or await client.default_branch())
        return Difference(first, second, await _comparison(client, first, second))
    except RemoteError as error:
        raise Problem("provider", error.message) from error


async def _live_in(ctx: Context, app: AppConfig, config: EnvironmentConfig) -> Point:
    async def live(tx: Tx) -> Sequence[releases.Release]:
        return await stored.newest(tx, await environment_id(tx, app, config), 1)

    found = await ctx.stores.main.read(live)
    if not found:
        raise Problem("invalid", releases.nothing_live(config.name), field="from")
    return Point(f"{app.name}#{found[0].number}", found[0].sha, found[0].number)


async def _point(ctx: Context, reader: Actor, client: Code, app: AppConfig, field: str, text: str) -> Point:
    number = deploy_number(app.name, text)
    if number is not None:
        deploy = await ctx.stores.main.read(lambda tx: deploys.by_number(tx, app.name, number))
        if deploy:
            seeing.check_sees(reader, app.name, deploy.environment)
            return Point(deploy.name, deploy.sha, deploy.number)
        if "#" in text or not _SHA.fullmatch(text):
            raise Problem("invalid", f"{app.name} has no deploy {number}.", field=field)
    try:
        return Point(text, (await client.commit(text)).sha)
    except NotFound as error:
        raise Problem("invalid", sentences.no_commit(text), field=field) from error


async def _comparison(client: Code, before: Point, after: Point) -> Comparison:
    try:
        return await client.compare(before.sha, after.sha)
    except NotFound as error:
        raise Problem("invalid", releases.not_comparable(before.name, after.name), field="to") from error


# Where a commit is


async def whereabouts(ctx: Context, reader: Actor, app_name: str, name: str) -> Whereabouts:
    """Where the commit of a sha (abbreviated to 7 digits at least) or ref is, in every environment the reader sees.

    Where the provider is away, only deploys of exactly that sha are known; a ref then cannot be looked up. Raises
    Problem ``not_found`` for an unknown app or commit, ``provider``.
    """
    app = requesting.app_of(ctx, app_name)
    look = _Looking(ctx, reader, app)
    sha, commit = await look.resolve(name)
    tracks = await ctx.stores.main.read(lambda tx: _tracks(tx, ctx, reader, app))
    standings = await asyncio.gather(*(look.standing(track, sha) for track in tracks))
    problem = releases.exact_only(look.problem) if look.problem else None
    return Whereabouts(sha, commit, tuple(standings), problem)


class _Looking:
    """One look at a commit, with the provider as long as it answers: ``problem`` says why it does not."""

    def __init__(self, ctx: Context, reader: Actor, app: AppConfig) -> None:
        self._ctx = ctx
        self._reader = reader
        self._app = app
        self.problem: str | None = None

    async def resolve(self, name: str) -> tuple[str, Commit | None]:
        """The whole sha, and the commit where the provider told it."""
        try:
            repository = await permits.repository_of(self._ctx, self._app)
            commit = await self._ctx.providers[self._app.via].code(repository).commit(name)
        except (RemoteError, Problem) as error:
            self.problem = error.message
            unknown = isinstance(error, NotFound)
        else:
            return commit.sha, commit
        if known := await self._deployed(name.lower()):
            return known, None
        if unknown:
            raise Problem("not_found", sentences.no_commit(name))
        if _WHOLE_SHA.fullmatch(name.lower()):
            return name.lower(), None
        raise Problem("provider", self.problem)

    async def _deployed(self, name: str) -> str | None:
        """The sha of a deploy that begins so, if that is clear."""

        async def work(tx: Tx) -> list[str]:
            app = next((one for one in await places.apps(tx) if one.name == self._app.name), None)
            seen = await seeing.environments_of(tx, self._ctx, self._app.name, None, self._reader)
            return await stored.shas(tx, app.id, [one.id for one in seen], name) if app else []

        found = await self._ctx.stores.main.read(work) if _SHA.fullmatch(name) else []
        return found[0] if len(found) == 1 else None

    async def standing(self, track: Track, commit: str) -> Standing:
        """Look until nothing more is to be decided, or enough was asked."""
        has: dict[str, bool] = {}
        for _ in range(LOOKS):
            sha = releases.next_look(track, has)
            if sha is None:
                break
            has[sha] = await self._contains(sha, commit)
        return releases.standing(track, has, exact=self.problem is None)

    async def _contains(self, sha: str, commit: str) -> bool:
        if self.problem is None and sha != commit:
            try:
                repository = await permits.repository_of(self._ctx, self._app)
                client = self._ctx.providers[self._app.via].code(repository)
                return await self._ctx.ancestry.contains(self._app.via, client, repository, sha, commit)
            except NotFound:
                return False
            except (RemoteError, Problem) as error:
                self.problem = error.message
        return sha == commit


async def _tracks(tx: Tx, ctx: Context, reader: Actor, app: AppConfig) -> list[Track]:
    rows = {one.name: one.id for one in await places.environments(tx) if one.app == app.name}
    names = [one.name for one in app.environments if reader.sees(app.name, one.name)]
    return [await _track(tx, ctx, name, rows[name]) if name in rows else Track(name) for name in names]


async def _track(tx: Tx, ctx: Context, name: str, environment_id: int) -> Track:
    history = await stored.newest(tx, environment_id, HISTORY)
    pending = []
    if active := await deploys.active(tx, environment_id):
        since = active.started_at or active.claimed_at or active.asked_at
        pending.append(Pending(active.number, active.sha, active.user, since, running=True))
    for one in (await seeing.front(tx, ctx, environment_id))[:LINE]:
        waiting = one.deploy
        pending.append(Pending(waiting.number, waiting.sha, waiting.user, waiting.asked_at, blockers=waiting.blockers))
    return Track(name, tuple(history), tuple(pending), whole=len(history) < HISTORY)
