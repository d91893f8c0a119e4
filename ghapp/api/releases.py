"""Release state: the commits between two deploys or between live and a ref, and where a commit is."""

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from ghapp.api import shapes
from ghapp.api.common import CONTEXT, READER, json_response
from ghapp.api.params import PRODUCTION, Name, NoParams
from ghapp.api.routing import Route
from ghapp.core import values
from ghapp.core.releases import Standing
from ghapp.core.times import rfc3339
from ghapp.service import releases
from ghapp.service.releases import Difference, Point, Whereabouts

Ref = Annotated[str, Meta(min_length=1, max_length=255)]


class CompareParams(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``from`` and ``to`` are numbers of deploys (``12``, ``#12``), refs or shas; they default to what is live in
    ``env`` and to the default branch."""

    env: Annotated[Name, PRODUCTION] | None = None
    from_: Ref | None = msgspec.field(default=None, name="from")
    to: Ref | None = None


class Commit(msgspec.Struct, frozen=True):
    """``message`` is the first line."""

    sha: str
    message: str
    author: str
    committed_at: str | None
    url: str | None


class End(msgspec.Struct, frozen=True):
    """``name`` is what it was called; ``number`` is the deploy's, where it was named by one."""

    name: str
    sha: str
    number: int | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """``commits`` are those that ``to`` has and ``from`` has not, oldest first: ``ahead_by`` of them, of which the
    first hundred are listed. ``status``: ``ahead``, ``behind``, ``identical``, ``diverged``."""

    from_: End = msgspec.field(name="from")
    to: End
    status: str
    ahead_by: int
    behind_by: int
    commits: list[Commit]
    url: str | None


class CommitInEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """``state``: ``live`` (``since``), ``running``, ``waiting`` (for ``blockers``), ``rolled_back`` or ``was_live``
    (``until``, by ``ended_by``), ``never``. ``number``, ``sha`` and ``user`` are of the deploy that brought it there
    or is to. Where ``exact`` is false, that is as far as could be looked."""

    environment: str
    state: str
    number: int | None
    sha: str | None
    user: str | None
    since: str | None
    until: str | None
    ended_by: str | None
    blockers: list[shapes.Blocker]
    exact: bool


class CommitPlaces(msgspec.Struct, frozen=True, kw_only=True):
    """``message`` says it all in words. ``commit`` is null where the provider could not be asked: ``problem``."""

    app: str
    sha: str
    message: str
    commit: Commit | None
    environments: list[CommitInEnvironment]
    problem: str | None


async def compare(request: web.Request, given: CompareParams) -> web.Response:
    app, reader = request.match_info["app"], request[READER]
    found = await releases.compare(request.app[CONTEXT], reader, app, given.env, given.from_, given.to)
    return json_response(_comparison(found))


async def commit(request: web.Request, _: NoParams) -> web.Response:
    app, name = request.match_info["app"], request.match_info["sha"]
    found = await releases.whereabouts(request.app[CONTEXT], request[READER], app, name)
    return json_response(_places(app, found))


ROUTES = (
    Route(
        method="GET",
        path="/api/0/{app}/compare",
        handler=compare,
        summary="The commits between two deploys, or between what is live and a ref.",
        takes=CompareParams,
        answers={200: Comparison},
        narrowed=True,
        refusals=("provider",),
    ),
    Route(
        method="GET",
        path="/api/0/{app}/commits/{sha}",
        handler=commit,
        summary="Where a commit is: since when, and what it waits for where it is not yet.",
        takes=NoParams,
        answers={200: CommitPlaces},
        narrowed=True,
        refusals=("provider",),
    ),
)


def _commit(one: values.Commit) -> Commit:
    return Commit(one.sha, one.message, one.author, rfc3339(one.committed_at or None), one.url)


def _end(point: Point) -> End:
    return End(point.name, point.sha, point.number)


def _comparison(found: Difference) -> Comparison:
    return Comparison(
        from_=_end(found.before),
        to=_end(found.after),
        status=found.comparison.status,
        ahead_by=found.comparison.ahead_by,
        behind_by=found.comparison.behind_by,
        commits=[_commit(one) for one in found.comparison.commits],
        url=found.comparison.url,
    )


def _places(app: str, found: Whereabouts) -> CommitPlaces:
    return CommitPlaces(
        app=app,
        sha=found.sha,
        message=found.message,
        commit=_commit(found.commit) if found.commit else None,
        environments=[_standing(one) for one in found.standings],
        problem=found.problem,
    )


def _standing(one: Standing) -> CommitInEnvironment:
    return CommitInEnvironment(
        environment=one.environment,
        state=one.reach.value,
        number=one.number,
        sha=one.sha,
        user=one.user,
        since=rfc3339(one.since),
        until=rfc3339(one.until),
        ended_by=one.ended_by,
        blockers=[shapes.blocker(blocker) for blocker in one.blockers],
        exact=one.exact,
    )
