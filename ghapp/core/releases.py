"""Releases of an environment: what a rollback goes back to, and where a commit has come.

A release is a finished success whose task is deploy or rollback. A history lists releases newest first, so that
the first is what is live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ghapp.core.sentences import clock, short
from ghapp.core.values import Blocker, RolledBack

#: The task of a deploy that brings back what was live before.
ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Release:
    """Live from ``at`` (ms) on, until the next one. ``id`` and ``number`` are its deploy's."""

    id: int
    number: int
    sha: str
    user: str
    at: int
    rollback: bool = False


# What to go back to


def before(history: Sequence[Release]) -> Release | None:
    """What a rollback goes back to where nothing is named: the newest earlier release of another sha that was not
    itself rolled back from. None where there is no such release.

    Earlier than a rollback is what was live before the release it brought back, so that a second rollback goes
    one further: A, B, C, back to B, back to A, and never to C again.
    """
    bad = {release.sha for index, release in enumerate(history) if _given_up(history, index)}
    return next((release for release in history[_origin(history) + 1 :] if release.sha not in bad), None)


def candidates(history: Sequence[Release]) -> list[Release]:
    """What may be named: the newest release of every sha that was live, but for the one that is."""
    newest: dict[str, Release] = {}
    for release in history:
        newest.setdefault(release.sha, release)
    return [release for sha, release in newest.items() if sha != history[0].sha]


def _given_up(history: Sequence[Release], index: int) -> bool:
    """Is this what is live, or the newest release of its sha, and one that somebody rolled back from?"""
    sha = history[index].sha
    if sha == history[0].sha:
        return True
    return history[index - 1].rollback and all(release.sha != sha for release in history[:index])


def _origin(history: Sequence[Release]) -> int:
    """Where in the history that stands what is live: a rollback stands where the release stands that it brought
    back."""
    at = 0
    while at < len(history) and history[at].rollback:
        sha = history[at].sha
        brought_back = next((index for index in range(at + 1, len(history)) if history[index].sha == sha), None)
        if brought_back is None:
            break
        at = brought_back
    return at


# Where a commit is


class Reach(StrEnum):
    """How far a commit has come in one environment."""

    LIVE = "live"
    RUNNING = "running"
    WAITING = "waiting"
    ROLLED_BACK = "rolled_back"
    WAS_LIVE = "was_live"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Pending:
    """A deploy on its way: claimed or running (``running``), else in line for the reasons in ``blockers``."""

    number: int
    sha: str
    user: str
    since: int
    running: bool = False
    blockers: tuple[Blocker, ...] = ()


@dataclass(frozen=True, slots=True)
class Track:
    """What went, goes and will go to one environment. ``pending`` in order, what runs first. ``whole``: the
    history goes back to the first release."""

    environment: str
    history: tuple[Release, ...] = ()
    pending: tuple[Pending, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a commit stands in one environment.

    ``number``, ``sha`` and ``user`` are of the deploy that brought it there, that is to bring it, or that was the
    last to have it. ``since`` and ``until`` (ms): while it was live; ``ended_by`` brought something else. Not
    ``exact``: that is as far as could be looked.
    """

    environment: str
    reach: Reach
    number: int | None = None
    sha: str | None = None
    user: str | None = None
    since: int | None = None
    until: int | None = None
    ended_by: str | None = None
    blockers: tuple[Blocker, ...] = ()
    exact: bool = True


def next_look(track: Track, has: Mapping[str, bool]) -> str | None:
    """The sha of which has to be known next whether it contains the commit; None once that decides nothing more."""
    history = [release.sha for release in track.history]
    if history and history[0] not in has:
        return history[0]
    if not (history and has[history[0]]):
        for one in track.pending:
            if one.sha not in has:
                return one.sha
            if has[one.sha]:
                return None
    return _end_of_run(history, has)


def _end_of_run(history: Sequence[str], has: Mapping[str, bool]) -> str | None:
    """The first sha that is not known, up to where the newest releases that contain the commit begin."""
    within = False
    for sha in history:
        if sha not in has:
            return sha
        if within and not has[sha]:
            return None
        within = has[sha]
    return None


def standing(track: Track, has: Mapping[str, bool], *, exact: bool = True) -> Standing:
    """Where a commit stands, by what is known of the shas that contain it; what is not known does not."""
    exact = exact and next_look(track, has) is None
    having = [index for index, release in enumerate(track.history) if has.get(release.sha)]
    if having[:1] == [0]:
        return _live(track, having, exact)
    if found := next((one for one in track.pending if has.get(one.sha)), None):
        reach = Reach.RUNNING if found.running else Reach.WAITING
        where = (track.environment, reach, found.number, found.sha, found.user, found.since)
        return Standing(*where, blockers=found.blockers, exact=exact)
    if having:
        return _gone(track, having, exact)
    return Standing(track.environment, Reach.NEVER, exact=exact and track.whole)


def _live(track: Track, having: list[int], exact: bool) -> Standing:
    last, first = track.history[0], track.history[_unbroken(having)]
    whole = track.whole or first is not track.history[-1]
    return Standing(
        track.environment, Reach.LIVE, first.number, last.sha, first.user, since=first.at, exact=exact and whole
    )


def _gone(track: Track, having: list[int], exact: bool) -> Standing:
    last, first, after = track.history[having[0]], track.history[_unbroken(having)], track.history[having[0] - 1]
    return Standing(
        track.environment,
        Reach.ROLLED_BACK if after.rollback else Reach.WAS_LIVE,
        last.number,
        last.sha,
        last.user,
        since=first.at,
        until=after.at,
        ended_by=after.user,
        exact=exact,
    )


def _unbroken(having: list[int]) -> int:
    """The last of the indexes that follow one another from the first on."""
    end = having[0]
    for index in having[1:]:
        if index != end + 1:
            break
        end = index
    return end


# In words


def where_it_is(committed_at: int | None, standings: Sequence[Standing]) -> str:
    """``Committed Nov 23, 14:02 UTC, staging since Nov 23, 14:10 UTC, production waiting: …``"""
    begun = [f"Committed {clock(committed_at)}"] if committed_at else []
    text = ", ".join([*begun, *(_place(one) for one in standings)])
    return f"{text.rstrip('.')}." if text else "It has no environments."


def _place(one: Standing) -> str:
    where, since = one.environment, clock(one.since) if one.since else ""
    match one.reach:
        case Reach.LIVE:
            return f"{where} since {since}" + ("" if one.exact else " or earlier")
        case Reach.RUNNING:
            return f"{where} running since {since}"
        case Reach.WAITING:
            reasons = " ".join(blocker.message for blocker in one.blockers)
            return f"{where} waiting: {reasons}".rstrip(". ")
        case Reach.ROLLED_BACK:
            return f"{where} rolled back {clock(one.until or 0)} by {one.ended_by}"
        case Reach.WAS_LIVE:
            return f"{where} until {clock(one.until or 0)}"
        case Reach.NEVER:
            return f"{where} never" if one.exact else f"{where} not as far as is known"


def exact_only(problem: str) -> str:
    return f"The provider could not be asked, so only deploys of exactly this sha are known: {problem}"


def rolled_back(one: RolledBack) -> str:
    return (
        f"Rolled back from {one.name} ({short(one.sha)}) by {one.who}, {clock(one.since)}; automatic deploys to "
        f"{one.environment} wait until somebody deploys there or resumes them."
    )


def nothing_live(environment: str) -> str:
    return f"Nothing is live in {environment} yet; say what to compare from."


def nothing_earlier(environment: str) -> str:
    return f"Nothing that was live in {environment} before is left to go back to."


def not_a_target(name: str, environment: str) -> str:
    return f"{name} cannot be rolled back to: it was never live in {environment}, or its commit is live now."


def rolling_back(name: str, sha: str) -> str:
    return f"{name} already brings {short(sha)} back."


def live_has_changed(environment: str) -> str:
    return f"What is live in {environment} has just changed, so nothing was done; look, and ask again."


def not_comparable(one: str, other: str) -> str:
    return f"{one} and {other} cannot be compared: they share no history, or a commit is gone from the repository."
