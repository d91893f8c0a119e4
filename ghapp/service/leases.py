"""What the holder of a lease reports: beat, hold, reject, start, log. (`finish` is in `finishing`.)"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from ghapp.core import forcing, gate, sentences, states
from ghapp.core.checks import Check, CheckState, Policy, agree, evaluate
from ghapp.core.values import STATUS_OF, Blocker, BlockerKind, DeploymentStatus, Door, State
from ghapp.service import announcing, asking, lines, statuses
from ghapp.service.claiming import LEASE_MS
from ghapp.service.context import Context, lease_hash
from ghapp.service.problems import Problem, of_step
from ghapp.store import checks, deploys, events, locks, places, releases
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy

#: Where a fetch was older than an event, it is asked again after 1, 2, 4, 8 s, then by the slow net.
STALE_RETRY_MS = (1_000, 2_000, 4_000, 8_000)


def facts_of(deploy: Deploy, **more: object) -> states.Facts:
    """What the state table may depend on, of this deploy."""
    return states.Facts(
        deploy.state,
        lost=deploy.lost_since is not None,
        declared_dead=deploy.declared_dead_by is not None,
        cancel_requested=deploy.cancel_requested_by is not None,
        **more,  # type: ignore[arg-type]
    )


async def leased(tx: Tx, deploy_id: int, lease: str) -> Deploy:
    """The deploy this lease is for, its environment's row taken. Raises Problem ``lease_over`` or
    ``declared_dead`` for any other lease; who has lost its lease changes nothing."""
    known = await deploys.get(tx, deploy_id)
    if known is None:
        raise Problem("lease_over", f"There is no deploy with id {deploy_id}.")
    await places.hold_environment(tx, known.environment_id)
    deploy = await deploys.get(tx, deploy_id) or known
    if not hmac.compare_digest(lease_hash(lease), deploy.lease_hash or ""):
        raise of_step(states.step(states.Event.OTHER_LEASE, facts_of(deploy)), deploy)
    return deploy


def checked(event: states.Event, deploy: Deploy, **more: object) -> states.Step:
    """The step of the table; raises its refusal as Problem."""
    step = states.step(event, facts_of(deploy, **more))
    if step.error:
        raise of_step(step, deploy)
    return step


async def renew(tx: Tx, ctx: Context, deploy: Deploy) -> None:
    """Any call with the lease is a sign of life: it confirms, renews and heals."""
    now = ctx.now()
    if deploy.lost_since:
        await events.record(tx, now, "healed", who=deploy.runner, deploy=deploy.id)
    await deploys.save(tx, deploy.id, lease_until=now + LEASE_MS, confirmed=1, lost_since=None)
    if deploy.runner:
        await places.see_runner(tx, deploy.runner, now)
    if deploy.lost_since:
        await announcing.deploy_changed(tx, ctx, deploy)
        await lines.settle(tx, ctx, deploy.environment_id)


async def beat(tx: Tx, ctx: Context, deploy_id: int, lease: str, status_written: str | None) -> Deploy:
    deploy = await leased(tx, deploy_id, lease)
    checked(states.Event.BEAT, deploy)
    await renew(tx, ctx, deploy)
    if status_written:
        await statuses.written_by_runner(tx, ctx, deploy, status_written)
    return await deploys.get(tx, deploy_id) or deploy


def policy_of(ctx: Context, deploy: Deploy) -> Policy:
    return Policy(deploy.config.checks, ctx.own_checks, automatic=deploy.door == Door.AUTOMATIC)


async def back_in_line(
    tx: Tx, ctx: Context, deploy: Deploy, *, ready_at: int, own: tuple[Blocker, ...] = (), stale_holds: int = 0
) -> Deploy:
    """Back to its place: the lease is over, the blockers are kept, somebody looks again at ``ready_at``. An automatic
    one whose checks are not green loses its place, and the app looks."""
    out = deploy.automatic and any(blocker.kind is BlockerKind.CHECKS for blocker in own)
    await deploys.save(
        tx,
        deploy.id,
        state=State.QUEUED,
        lease_hash=None,
        lease_until=None,
        own_blockers=own,
        ready_at=ready_at,
        stale_holds=stale_holds,
        out_of_line=int(out),
        judge_at=ready_at if out else deploy.judge_at,
    )
    await events.record(tx, ctx.now(), "held", who=deploy.runner, deploy=deploy.id, blockers=own)
    await lines.settle(tx, ctx, deploy.environment_id)
    return await deploys.get(tx, deploy.id) or deploy


@dataclass(frozen=True, slots=True)
class Report:
    """What a runner's gate found: its blockers, the checks as fetched, and the counter it was given."""

    check_counter: int
    blockers: tuple[Blocker, ...]
    checks: Sequence[Check]


def _only_checks(report: Report) -> bool:
    return all(blocker.kind is BlockerKind.CHECKS for blocker in report.blockers)


def _forced_since(deploy: Deploy, report: Report) -> bool:
    """Did somebody pass the checks after the runner was given the job?"""
    return _only_checks(report) and bool(deploy.forced & {"checks", "all"})


async def hold(tx: Tx, ctx: Context, deploy_id: int, lease: str, report: Report) -> Deploy:
    """The gate is closed for now. Ready at once if events came in since; soon if the fetch was the stale side."""
    deploy = await leased(tx, deploy_id, lease)
    now = ctx.now()
    newer = await checks.counter(tx, deploy.repository_id, deploy.sha) > report.check_counter
    checked(states.Event.HOLD, deploy, newer_events=newer)
    told = await checks.newest(tx, deploy.repository_id, deploy.sha)
    stale = bool(evaluate(report.checks, policy_of(ctx, deploy), told).stale)
    holds = deploy.stale_holds + 1 if stale else 0
    if newer or _forced_since(deploy, report):
        ready_at = now
    elif stale and holds <= len(STALE_RETRY_MS):
        ready_at = now + STALE_RETRY_MS[holds - 1]
    else:
        ready_at = lines.slow_net(now)
    return await back_in_line(tx, ctx, deploy, ready_at=ready_at, own=report.blockers, stale_holds=holds)


async def reject(tx: Tx, ctx: Context, deploy_id: int, lease: str, report: Report) -> Deploy:
    """The gate refuses. Events that came in since and disagree put the deploy back in line instead."""
    deploy = await leased(tx, deploy_id, lease)
    gated = "disagree" if _forced_since(deploy, report) else ""
    if _only_checks(report):
        newer = await checks.newest(tx, deploy.repository_id, deploy.sha, after=report.check_counter)
        if newer and not agree(report.checks, newer, policy_of(ctx, deploy)).failed:
            gated = "disagree"
    step = checked(states.Event.REJECT, deploy, gate=gated)
    if step.to is State.QUEUED:
        return await back_in_line(tx, ctx, deploy, ready_at=ctx.now(), own=report.blockers)
    blockers = forcing.rejected(lines.held(deploy), report.blockers) if deploy.chat else report.blockers
    return await asking.end(tx, ctx, deploy, State.REJECTED, blockers=blockers, lease_hash=None)


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to ``start``; with yes perhaps a status that the runner may write, and the seconds left for it."""

    deploy: Deploy
    yes: bool
    status: DeploymentStatus | None = None
    write_within_s: float = 0


async def start(tx: Tx, ctx: Context, deploy_id: int, lease: str, check_counter: int) -> Started:
    """May the command run? The last question of the gate, asked in the transaction that makes it running."""
    deploy = await leased(tx, deploy_id, lease)
    verdict = await _start_verdict(tx, ctx, deploy, check_counter) if deploy.state is State.CLAIMED else ""
    step = checked(states.Event.START, deploy, gate=verdict)
    if step.to is State.QUEUED:
        held = await back_in_line(tx, ctx, deploy, ready_at=ctx.now())
        return Started(held, yes=False)
    await renew(tx, ctx, deploy)
    if step.to is None:
        left = await statuses.granted(tx, ctx, deploy)
        return Started(await deploys.get(tx, deploy_id) or deploy, True, *(left or ()))
    return await _run(tx, ctx, deploy)


async def _start_verdict(tx: Tx, ctx: Context, deploy: Deploy, check_counter: int) -> str:
    held_by = tuple(await locks.on(tx, deploy.environment_id, ctx.now()))
    undefined = lines.undefined(deploy, await places.app_of(tx, deploy.environment_id))
    facts = gate.Facts(
        user=deploy.user,
        forced=deploy.forced,
        forced_by=deploy.forced_by,
        waiting=(undefined,) if undefined else (),
        locks=held_by,
        rolled_back=await releases.rolled_back(tx, deploy.environment_id),
        automatic=deploy.door == Door.AUTOMATIC,
    )
    decision = gate.decide(facts)
    if decision.verdict is not gate.Verdict.OPEN:
        return "no"
    if deploy.forced & {"checks", "all"} or deploy.config.checks == ():
        return "yes"
    policy = policy_of(ctx, deploy)
    newer = await checks.newest(tx, deploy.repository_id, deploy.sha, after=check_counter)
    disagree = any(policy.counts(check) and check.state is not CheckState.SUCCESS for check in newer)
    return "disagree" if disagree else "yes"


async def _run(tx: Tx, ctx: Context, deploy: Deploy) -> Started:
    now = ctx.now()
    await deploys.save(
        tx, deploy.id, state=State.RUNNING, started_at=now, blockers=(), own_blockers=(), checks_until=None
    )
    await events.record(tx, now, "started", who=deploy.runner, deploy=deploy.id)
    running = await deploys.get(tx, deploy.id) or deploy
    text = sentences.running(deploy.runner or "")
    status = statuses.status_for(ctx, running, STATUS_OF[State.RUNNING], text)
    granted = await statuses.want_or_grant(tx, ctx, running, status)
    await lines.settle(tx, ctx, deploy.environment_id)
    return Started(running, True, granted, statuses.WRITE_WITHIN_S)
