"""The end of a deploy as its runner reports it, and the log that leads up to it."""

from dataclasses import dataclass

from ghapp.core import sentences, states
from ghapp.core.values import DeploymentStatus, EndedBy, State
from ghapp.service import asking, lines, rolled_back, statuses
from ghapp.service.claiming import LEASE_MS
from ghapp.service.context import Context
from ghapp.service.leases import checked, facts_of, leased, renew
from ghapp.service.problems import of_step
from ghapp.store import deploys, logs
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a command ended. ``started``: was it executed at all? ``ended_at`` in ms."""

    ended_by: EndedBy
    started: bool
    ended_at: int
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    log_end: int = 0
    status_written: str | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    deploy: Deploy
    status: DeploymentStatus | None = None
    write_within_s: float = 0
    too_late: str | None = None


def reason_of(deploy: Deploy, end: End) -> str:
    """The sentence that says why it did not succeed, with what the runner has to add."""
    match end.ended_by:
        case EndedBy.EXIT:
            said = "" if end.exit_code == 0 and end.signal is None else sentences.exit_code(end.exit_code, end.signal)
        case EndedBy.TIMEOUT:
            said = sentences.timed_out(deploy.config.timeout_s)
        case EndedBy.SILENCE:
            said = sentences.silent(deploy.config.silence_s or 0)
        case EndedBy.CANCEL if deploy.cancel_requested_by:
            said = f"by {deploy.cancel_requested_by}"
        case _:
            said = ""
    return " – ".join(part for part in (said, end.reason) if part)


async def finish(tx: Tx, ctx: Context, deploy_id: int, lease: str, end: End) -> Finished:
    """The command has ended. The same report again gets the same answer; another one is too late."""
    deploy = await leased(tx, deploy_id, lease)
    if end.status_written:
        deploy = await statuses.written_by_runner(tx, ctx, deploy, end.status_written)
    same = (deploy.ended_by, deploy.exit_code, deploy.signal, bool(deploy.started)) == (
        end.ended_by,
        end.exit_code,
        end.signal,
        end.started,
    )
    exit_code = 1 if end.signal is not None else end.exit_code
    facts = facts_of(deploy, exit_code=exit_code, same_again=same)
    step = states.step(states.FINISH_EVENT[end.ended_by], facts)
    if step.error == "too_late":
        return Finished(deploy, too_late=sentences.too_late(deploy.name, deploy.state))
    if step.error:
        raise of_step(step, deploy)
    if step.to is None:
        return Finished(deploy, *(await statuses.granted(tx, ctx, deploy) or ()))
    return await _close(tx, ctx, deploy, step.to, end)


async def _close(tx: Tx, ctx: Context, deploy: Deploy, state: State, end: End) -> Finished:
    now = ctx.now()
    ended = await asking.close(
        tx,
        ctx,
        deploy,
        state,
        reason=reason_of(deploy, end),
        who=deploy.cancel_requested_by if state is State.CANCELLED else deploy.runner,
        ended_at=max(deploy.started_at or 0, min(end.ended_at, now)) if end.started else now,
        ended_by=end.ended_by.value,
        started=int(end.started),
        exit_code=end.exit_code,
        signal=end.signal,
        log_end=end.log_end,
    )
    await rolled_back.ended(tx, ctx, ended)
    granted = await statuses.want_or_grant(tx, ctx, ended, asking.ended_status(ctx, ended))
    await lines.settle(tx, ctx, ended.environment_id)
    return Finished(await deploys.get(tx, ended.id) or ended, granted, statuses.WRITE_WITHIN_S)


async def log(ctx: Context, deploy_id: int, lease: str, chunk: logs.Chunk) -> int:
    """Store a part of the log durably; the contiguous end of all that is stored. A sign of life as any call."""
    await ctx.stores.main.write(lambda tx: _may_log(tx, ctx, deploy_id, lease, chunk))
    end = await ctx.stores.logs.write(lambda tx: logs.put(tx, deploy_id, chunk))
    ctx.signals.send(f"log:{deploy_id}")
    return end


async def _may_log(tx: Tx, ctx: Context, deploy_id: int, lease: str, chunk: logs.Chunk) -> None:
    deploy = await leased(tx, deploy_id, lease)
    checked(states.Event.LOG, deploy)
    if deploy.state.terminal:
        if chunk.start + chunk.length > (deploy.log_end or 0):
            raise of_step(states.Step(error="lease_over"), deploy)
        return
    fresh = deploy.confirmed and not deploy.lost_since and (deploy.lease_until or 0) > ctx.now() + LEASE_MS // 2
    if not fresh:
        await renew(tx, ctx, deploy)
