"""What gets past a blocker, told where it was asked for in a chat, or was to be forced and is held all the same.

hubot-deploy's ``!`` only changes what GitHub itself asks of a deployment (``auto_merge``, ``required_contexts``), and
the event shows neither: such a deploy is gated like any other, so its blockers say how to force it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ghapp.core import sentences
from ghapp.core.values import Blocker, BlockerKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A deploy that is held or was rejected. ``forced``: what was asked to be passed."""

    app: str
    number: int
    environment: str
    sha: str
    task: str
    forced: frozenset[str]


def waiting(held: Held, blockers: Iterable[Blocker]) -> tuple[Blocker, ...]:
    """The blockers of one that waits, the first of each kind with the way past it."""
    return _told(blockers, {BlockerKind.CHECKS: _past_checks(held), BlockerKind.LOCK: _past_lock(held)})


def rejected(held: Held, blockers: Sequence[Blocker]) -> tuple[Blocker, ...]:
    """The blockers of one that was rejected; only checks can be passed by asking again."""
    if held.forced & {"checks", "all"}:
        return tuple(blockers)
    again = sentences.force_again(held.app, held.environment, held.sha, held.task)
    return _told(blockers, {BlockerKind.CHECKS: again})


def _past_checks(held: Held) -> str:
    return sentences.force_checks(held.app, held.number)


def _past_lock(held: Held) -> str:
    """Whoever asked to pass it and did not may not take it over."""
    if held.forced & {"lock", "all"}:
        return sentences.taking_over()
    return sentences.force_lock(held.app, held.number)


def _told(blockers: Iterable[Blocker], ways: dict[BlockerKind, str]) -> tuple[Blocker, ...]:
    told = []
    for blocker in blockers:
        way = ways.pop(blocker.kind, None)
        told.append(replace(blocker, message=f"{blocker.message} {way}") if way else blocker)
    return tuple(told)
