"""The gate, as far as the provider knows it: fetch the checks of the sha and decide (protocol rule 15)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ghapp import wire
from ghapp.core import gate
from ghapp.core.checks import Check, CheckState, Policy, evaluate
from ghapp.core.remote import RemoteError, Unauthorized, Unavailable
from ghapp.core.times import rfc3339
from ghapp.core.values import Blocker
from ghapp.vcs.provider import Checks
from runner import journal

FRESH_S = 10.0
"""A fetch older than this is repeated before `start`."""

TRIES = 3
"""What a second try may cure is tried so often before the deploy is given back."""


@dataclass(frozen=True, slots=True)
class Gated:
    """What the gate said, on what was fetched at ``at_ns`` (CLOCK_BOOTTIME); ``unknown`` where nothing could be."""

    decision: gate.Decision
    fetched: tuple[Check, ...]
    at_ns: int
    unknown: bool = False

    @property
    def open(self) -> bool:
        return self.decision.verdict is gate.Verdict.OPEN

    @property
    def refused(self) -> bool:
        return self.decision.verdict is gate.Verdict.REFUSE

    @property
    def age_s(self) -> float:
        return (journal.boottime_ns() - self.at_ns) / 1e9

    @property
    def fresh(self) -> bool:
        return self.age_s <= FRESH_S


async def ask(job: wire.Job, source: Checks | None, retry_s: float) -> Gated:
    """Fetch and decide. What cannot be fetched keeps the gate closed; nothing is raised for it."""
    at_ns = journal.boottime_ns()
    facts = gate.Facts(user=job.user, forced=frozenset(job.forced), automatic=job.door == "automatic")
    if facts.forced & {"checks", "all"} or job.checks == []:
        return Gated(gate.decide(facts), (), at_ns)
    try:
        fetched = tuple(await _fetch(job, source, retry_s) if source else ())
    except RemoteError as error:
        closed = gate.Facts(user=job.user, automatic=facts.automatic, checks_problem=error.message)
        return Gated(gate.decide(closed), (), at_ns, unknown=True)
    policy = Policy(
        names=None if job.checks is None else tuple(job.checks),
        own=tuple(job.own_checks),
        automatic=facts.automatic,
    )
    evaluation = evaluate(fetched, policy, [from_wire(check) for check in job.checks_newest])
    judged = gate.Facts(user=job.user, automatic=facts.automatic, evaluation=evaluation)
    return Gated(gate.decide(judged), fetched, at_ns)


async def _fetch(job: wire.Job, source: Checks, retry_s: float) -> Sequence[Check]:
    for _ in range(TRIES - 1):
        try:
            return await source.checks(job.sha)
        except (Unavailable, Unauthorized):  # a new token may have come with a beat
            await asyncio.sleep(retry_s)
    return await source.checks(job.sha)


def from_wire(check: wire.WireCheck) -> Check:
    """A check as the core knows it."""
    return Check(
        key=check.key,
        name=check.name,
        state=CheckState(check.state),
        at=round(datetime.fromisoformat(check.at).timestamp() * 1000),
        serial=check.serial,
        url=check.url,
        detail=check.detail,
    )


def to_wire(check: Check) -> wire.WireCheck:
    """A check as the wire carries it."""
    return wire.WireCheck(
        key=check.key,
        name=check.name,
        state=check.state.value,
        at=rfc3339(check.at),
        serial=check.serial,
        url=check.url,
        detail=check.detail,
    )


def blocker_to_wire(blocker: Blocker) -> wire.WireBlocker:
    """A blocker as the wire carries it."""
    return wire.WireBlocker(
        kind=blocker.kind.value,
        message=blocker.message,
        url=blocker.url,
        since=rfc3339(blocker.since),
        who=blocker.who,
        until=rfc3339(blocker.until),
    )
