"""When what waits will run, and until when, judged by how long it took before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ghapp.core import sentences
from ghapp.core.values import Blocker, BlockerKind

#: Of so many succeeded deploys the median counts: enough to level one odd run out, few enough to follow a change.
SAMPLE = 20

#: Who is held by one of these does not hold those behind (as in `core.line`).
_ASIDE = frozenset({BlockerKind.LOCK, BlockerKind.REGISTERING, BlockerKind.ROLLED_BACK, BlockerKind.SUPERSEDED})


@dataclass(frozen=True, slots=True)
class Estimate:
    """Times in ms. What runs already has begun at ``starts_at``."""

    starts_at: int
    ends_at: int


@dataclass(frozen=True, slots=True)
class Active:
    """What holds the environment; ``started_at`` is None while a runner prepares it."""

    task: str
    started_at: int | None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """One in line, with what it waits for."""

    task: str
    blockers: tuple[Blocker, ...]


def estimate(
    now: int, took: Mapping[str, Sequence[int]], active: Active | None, line: Sequence[Waiting]
) -> tuple[Estimate | None, list[Estimate | None]]:
    """For the active one and for each in line. ``took``: ms that the newest succeeded deploys of a task ran.

    None where nothing can be known: the task has never succeeded there, it waits for something that has no time
    (checks, a runner, a lock without end), or it is behind such a one.
    """
    running = _running(now, took, active) if active else None
    free_at = now if active is None else running.ends_at if running else None
    found: list[Estimate | None] = []
    for one in line:
        one_estimate = _waiting(one, took, free_at)
        found.append(one_estimate)
        if one_estimate:
            free_at = one_estimate.ends_at
        elif not any(blocker.kind in _ASIDE for blocker in one.blockers):
            free_at = None
    return running, found


def typical_ms(sample: Sequence[int]) -> int | None:
    """How long it runs, judged by how long the newest ran (ms)."""
    return round(median(sample)) if sample else None


def tenths(now: int, started_at: int, usual_ms: int) -> int:
    """How many tenths of its usual time it has run, at most ten."""
    return min(10, max(0, now - started_at) * 10 // max(usual_ms, 1))


def next_tenth_at(now: int, started_at: int, usual_ms: int) -> int | None:
    """When (ms) the next tenth is over; None after the last."""
    over = tenths(now, started_at, usual_ms)
    return None if over == 10 else started_at + -(-(over + 1) * usual_ms // 10)


def _running(now: int, took: Mapping[str, Sequence[int]], active: Active) -> Estimate | None:
    usual_ms = typical_ms(took.get(active.task, ()))
    if usual_ms is None or active.lost:
        return None
    starts_at = now if active.started_at is None else active.started_at
    return Estimate(starts_at, max(now, starts_at + usual_ms))


def _waiting(one: Waiting, took: Mapping[str, Sequence[int]], free_at: int | None) -> Estimate | None:
    usual_ms = typical_ms(took.get(one.task, ()))
    if usual_ms is None or free_at is None:
        return None
    starts_at = free_at
    for blocker in one.blockers:
        if blocker.kind is BlockerKind.LOCK and blocker.until is not None:
            starts_at = max(starts_at, blocker.until)
        elif blocker.kind is not BlockerKind.TURN and blocker.message != sentences.ready():
            return None
    return Estimate(starts_at, starts_at + usual_ms)
