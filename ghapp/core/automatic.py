"""Automatic deploys: what a push starts by itself, and when.

From its push on one waits out of the line, unknown to the provider, until its checks are green. Then it takes its
place and supersedes older ones that still wait. Not before: where pushes come faster than checks end, each would end
the one before it, and nothing would ever go out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ghapp.core import gate
from ghapp.core.checks import Evaluation
from ghapp.core.config import AppConfig, EnvironmentConfig
from ghapp.core.limits import Rate
from ghapp.core.sentences import duration, short, wrong_ref
from ghapp.core.values import Blocker, BlockerKind, State

#: Where every check that exists must be green, others may yet come: so long nothing must have changed.
SETTLE_MS = 10_000
#: A provider may answer from before a push that it has told of: so long a commit may be missing on its branch.
PATIENCE_MS = 15_000
#: So many may wait behind a newer one without being green; where more have come since, the newest takes over.
MOST_WAITING = 50
#: How often one is looked at because of its checks: each look costs a few of the provider's calls, and one commit may
#: have a thousand events a minute.
LOOKS = Rate(per_s=0.2, burst=10)
#: In the message of a branch's new head: this push starts nothing by itself.
SKIP = "[skip deploy]"


def skipped(message: str) -> bool:
    return SKIP in message.casefold()


def config_of(environment: EnvironmentConfig) -> EnvironmentConfig:
    """That of an automatic deploy. After a push it does not wait for whatever checks there are; those that the config
    names hold for everybody."""
    after_push = environment.auto is not None and environment.auto.after == "push"
    return replace(environment, checks=()) if after_push and environment.checks is None else environment


def in_force(app: AppConfig | None, environment: str, branch: str) -> EnvironmentConfig | None:
    """With what the branch is deployed by itself now; None where it is not (any more)."""
    named = (one for one in app.environments if one.name == environment) if app else ()
    return next((config_of(one) for one in named if one.auto and one.auto.branch == branch), None)


@dataclass(frozen=True, slots=True)
class Earlier:
    """An automatic deploy of the same sha to the same environment. ``blockers`` are those it ended with."""

    state: State
    started: bool
    blockers: tuple[Blocker, ...]


def may_begin(earlier: Sequence[Earlier], *, moved: bool) -> bool:
    """May a push start a deploy of this sha? Once only: what ran, failed, was cancelled or waits is not started again
    by itself. What gave way to another before it ran may come again, where the branch was ``moved`` back to it."""
    return all(moved and _gave_way(one) for one in earlier)


def _gave_way(one: Earlier) -> bool:
    kinds = {blocker.kind for blocker in one.blockers}
    return one.state is State.CANCELLED and not one.started and bool(kinds & {BlockerKind.SUPERSEDED, BlockerKind.REF})


class Verdict(Enum):
    """``GONE``: its branch does not contain it. ``REFUSED``: none of the refs that its environment takes does."""

    WAIT = "wait"
    GO = "go"
    GONE = "gone"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known about a waiting automatic deploy. ``evaluation`` is None where no checks are asked for,
    ``problem`` says why something could not be asked of the provider. ``off_refs``: the only refs that the environment
    takes, where none of them contains it. ``pushed_at``: when its push was heard of; ``changed_at``: when its checks
    last changed, where that counts (ms)."""

    user: str
    sha: str
    branch: str
    environment: str
    evaluation: Evaluation | None = None
    problem: str | None = None
    on_branch: bool = True
    off_refs: tuple[str, ...] = ()
    pushed_at: int = 0
    changed_at: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """``blockers`` say what it waits for; ``look_at`` (ms) when that may be over by itself. ``stale``: the provider
    answered from before something that it has told of."""

    verdict: Verdict
    blockers: tuple[Blocker, ...] = ()
    look_at: int | None = None
    stale: bool = False


def judge(facts: Facts, now: int) -> Judgement:
    """May it take its place in the line now?"""
    if facts.problem:
        return Judgement(Verdict.WAIT, (Blocker(BlockerKind.PROVIDER, unknown(facts.problem)),))
    if not facts.on_branch:
        return _elsewhere(facts, now, Verdict.GONE, off_branch(facts.sha, facts.branch))
    if facts.off_refs:
        return _elsewhere(facts, now, Verdict.REFUSED, wrong_ref(facts.sha, facts.environment, facts.off_refs))
    decision = gate.decide(gate.Facts(user=facts.user, evaluation=facts.evaluation, automatic=True))
    if decision.verdict is not gate.Verdict.OPEN:
        stale = facts.evaluation is not None and bool(facts.evaluation.stale)
        return Judgement(Verdict.WAIT, decision.blockers, stale=stale)
    settled_at = facts.changed_at + SETTLE_MS if facts.changed_at is not None else now
    if settled_at > now:
        return Judgement(Verdict.WAIT, (Blocker(BlockerKind.CHECKS, settling(), until=settled_at),), settled_at)
    return Judgement(Verdict.GO)


def _elsewhere(facts: Facts, now: int, verdict: Verdict, message: str) -> Judgement:
    young = now < facts.pushed_at + PATIENCE_MS
    return Judgement(Verdict.WAIT if young else verdict, (Blocker(BlockerKind.REF, message),), stale=young)


# In words


def unread() -> Blocker:
    """What it waits for until it was looked at for the first time."""
    return Blocker(BlockerKind.CHECKS, "Its checks are being asked.")


def comparing() -> Blocker:
    """What is live has changed, or its branch: neither may leave it behind."""
    message = "Being compared with its branch and what is live now: it may be part of that already."
    return Blocker(BlockerKind.SUPERSEDED, message)


def unknown(problem: str) -> str:
    return f"The provider could not be asked, so it waits: {problem}"


def left_alone(wait_s: float) -> str:
    return f"it wants to be left alone for {duration(wait_s)}."


def settling() -> str:
    return f"All checks are green; it goes out once nothing has changed for {duration(SETTLE_MS / 1000)}."


def off_branch(sha: str, branch: str) -> str:
    return f"{branch} does not contain {short(sha)}."


def not_in_force(app: str, environment: str, branch: str) -> Blocker:
    message = f"By the config in force, {environment} of {app} does not deploy {branch} by itself."
    return Blocker(BlockerKind.CONFIG, message)


def told_to_skip() -> str:
    return f"Its commit message says {SKIP}."


def part_of_live(live: str) -> str:
    return f"It is part of {live}, which is live."


def passed_over(sha: str, branch: str, environment: str, reason: str) -> str:
    return f"{short(sha)} on {branch} is not deployed to {environment} by itself. {reason}"
