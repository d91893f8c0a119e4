"""The line of one environment: who is next, and what those behind wait for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ghapp.core import gate, sentences
from ghapp.core.values import Blocker, BlockerKind, Lock, RolledBack, State


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued deploy. ``front_at``: when it was put to the front, else None. ``own`` are the blockers that
    concern it alone (checks, permissions of the token …), as last reported. With anything in ``aside`` it can neither
    be claimed nor hold others. ``automatic``: nobody asked for it. ``out_of_line``: it has no place yet."""

    id: int
    name: str
    number: int
    user: str
    asked_at: int
    deployment_id: int | None = None
    front_at: int | None = None
    forced: frozenset[str] = frozenset()
    forced_by: str | None = None
    own: tuple[Blocker, ...] = ()
    aside: tuple[Blocker, ...] = ()
    automatic: bool = False
    out_of_line: bool = False


@dataclass(frozen=True, slots=True)
class Active:
    """The deploy that holds the environment: claimed or running."""

    name: str
    number: int
    user: str
    state: State
    since: int
    lost_since: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting deploy stands; ``position`` is None out of the line. ``next`` is true for the one that may be
    claimed."""

    id: int
    position: int | None
    blockers: tuple[Blocker, ...]
    next: bool


#: Who is held by one of these does not hold those behind.
_NO_PLACE = frozenset({BlockerKind.LOCK, BlockerKind.ROLLED_BACK})


def order(waiting: Waiting) -> tuple[int, int, int, int, int]:
    """Those put to the front first; else by (asked_at, provider's deployment id, own id). At the end those that are
    out of the line."""
    at = waiting.asked_at if waiting.front_at is None else waiting.front_at
    unregistered = 1 << 62
    return (waiting.out_of_line, waiting.front_at is None, at, waiting.deployment_id or unregistered, waiting.id)


def arrange(
    waiting: Iterable[Waiting],
    active: Active | None,
    locks: Sequence[Lock],
    rolled_back: RolledBack | None = None,
) -> list[Place]:
    """The line in order. A deploy that a lock or a rollback holds does not stop one that may pass."""
    places: list[Place] = []
    turn = _busy(active) if active else None
    for position, one in enumerate(sorted(waiting, key=order), 1):
        facts = gate.Facts(
            user=one.user,
            forced=one.forced,
            forced_by=one.forced_by,
            waiting=one.aside,
            locks=tuple(locks),
            rolled_back=rolled_back,
            turn=None if one.out_of_line else turn,
            automatic=one.automatic,
        )
        blockers = gate.decide(facts).blockers
        shown = None if one.out_of_line else position
        places.append(Place(one.id, shown, blockers or one.own, next=not blockers))
        if turn is None and not one.aside and not any(blocker.kind in _NO_PLACE for blocker in blockers):
            turn = _behind(one)
    return places


def _busy(active: Active) -> Blocker:
    if active.lost_since:
        message = sentences.turn_lost(active.name, active.lost_since, active.number)
        return Blocker(BlockerKind.LOST, message, since=active.lost_since, who=active.user)
    if active.state is State.CLAIMED:
        message = sentences.turn_preparing(active.name)
    else:
        message = sentences.turn_running(active.name, active.user, active.since)
    return Blocker(BlockerKind.TURN, message, since=active.since, who=active.user)


def _behind(head: Waiting) -> Blocker:
    waits_for = head.own[0].message if head.own else sentences.ready()
    return Blocker(BlockerKind.TURN, sentences.turn(head.name, waits_for, head.number), who=head.user)
