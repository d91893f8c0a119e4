"""The one gate. Every door, the claim, the start and the runner ask `decide`; each brings the facts it has."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from ghapp.core import releases, sentences
from ghapp.core.checks import Evaluation
from ghapp.core.values import Blocker, BlockerKind, Lock, RolledBack


class Verdict(IntEnum):
    """Ordered: what refuses outweighs what waits, what waits outweighs nothing."""

    OPEN = 0
    WAIT = 1
    REFUSE = 2


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    blockers: tuple[Blocker, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known about one deploy at one moment. What the asker cannot know it leaves at its default.

    ``forced`` holds what a permitted person, ``forced_by``, passed: ``checks``, ``lock``, ``all``. ``refused``
    are blockers that were found when it was asked and do not change (who may, which refs, which task).
    ``checks_problem`` says why the checks could not be read; ``token_missing`` names permissions that the
    installation does not grant. ``rolled_back`` holds what is ``automatic``, and nobody forces it past that.
    """

    user: str
    forced: frozenset[str] = frozenset()
    forced_by: str | None = None
    cancelled_by: str | None = None
    refused: tuple[Blocker, ...] = ()
    waiting: tuple[Blocker, ...] = ()
    locks: tuple[Lock, ...] = ()
    rolled_back: RolledBack | None = None
    turn: Blocker | None = None
    evaluation: Evaluation | None = None
    checks_problem: str | None = None
    token_missing: tuple[str, ...] = ()
    automatic: bool = False


def decide(facts: Facts) -> Decision:
    """Open, wait or refuse, with the blockers that say why. Of a refusal only the refusing ones are told."""
    findings = list(_findings(facts))
    verdict = max((found for found, _ in findings), default=Verdict.OPEN)
    return Decision(verdict, tuple(blocker for found, blocker in findings if found is verdict))


def _passes(facts: Facts, lock: Lock) -> bool:
    """Who forces takes the locks over, and passes only their own: one that somebody sets later holds."""
    return bool(facts.forced & {"lock", "all"}) and lock.who == facts.forced_by


def _findings(facts: Facts) -> Iterator[tuple[Verdict, Blocker]]:
    if facts.cancelled_by:
        message = sentences.cancelled(facts.cancelled_by)
        yield Verdict.REFUSE, Blocker(BlockerKind.SUPERSEDED, message, who=facts.cancelled_by)
    for blocker in facts.refused:
        yield Verdict.REFUSE, blocker
    for blocker in facts.waiting:
        yield Verdict.WAIT, blocker
    yield from ((Verdict.WAIT, _lock_blocker(lock)) for lock in facts.locks if not _passes(facts, lock))
    if facts.automatic and facts.rolled_back:
        yield Verdict.WAIT, _rolled_back_blocker(facts.rolled_back)
    if facts.turn:
        yield Verdict.WAIT, facts.turn
    if facts.token_missing:
        message = sentences.token_permission(facts.token_missing)
        yield Verdict.WAIT, Blocker(BlockerKind.TOKEN_PERMISSION, message)
    if not facts.forced & {"checks", "all"}:
        yield from _check_findings(facts)


def _lock_blocker(lock: Lock) -> Blocker:
    return Blocker(BlockerKind.LOCK, sentences.locked(lock), since=lock.since, who=lock.who, until=lock.until)


def _rolled_back_blocker(one: RolledBack) -> Blocker:
    return Blocker(BlockerKind.ROLLED_BACK, releases.rolled_back(one), since=one.since, who=one.who)


def _check_findings(facts: Facts) -> Iterator[tuple[Verdict, Blocker]]:
    if facts.checks_problem:
        yield Verdict.WAIT, Blocker(BlockerKind.PROVIDER, sentences.checks_unknown(facts.checks_problem))
    evaluation = facts.evaluation or Evaluation()
    red = Verdict.WAIT if facts.automatic else Verdict.REFUSE
    for check in evaluation.failed:
        yield red, Blocker(BlockerKind.CHECKS, sentences.check_failed(check), url=check.url, since=check.at or None)
    for check in evaluation.stale:
        yield Verdict.WAIT, Blocker(BlockerKind.CHECKS, sentences.check_stale(check), url=check.url)
    for check in evaluation.pending:
        message = sentences.check_pending(check)
        yield Verdict.WAIT, Blocker(BlockerKind.CHECKS, message, url=check.url, since=check.at or None)
    for name in evaluation.missing:
        yield Verdict.WAIT, Blocker(BlockerKind.CHECKS, sentences.check_missing(name))
    if evaluation.none_at_all:
        yield Verdict.WAIT, Blocker(BlockerKind.CHECKS, sentences.no_checks())
