"""The outbox worker: tells providers what they should show, one writer at a time (protocol rules 16 to 18)."""

import structlog
from structlog.contextvars import bind_contextvars

from ghapp.core import sentences
from ghapp.core.remote import RemoteError
from ghapp.core.values import STATUS_OF, State
from ghapp.service import asking, commit_statuses, registering, speaking, statuses, telling, workers
from ghapp.service.attempts import Attempt, Fate, judge, retry_ms
from ghapp.service.context import Context
from ghapp.service.naming import name_of
from ghapp.store import deploys, events, outbox, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.outbox import Notice
from ghapp.vcs.provider import Deployments

log = structlog.get_logger(__name__)

BATCH = 20
#: Provider clients speak to one host; a few at a time keeps within its secondary limits.
AT_ONCE = 4


async def deliver_due(ctx: Context) -> int:
    """Deliver what is due, final states first; how many were tried."""
    now = ctx.now()
    notices = await ctx.stores.main.read(lambda tx: outbox.due(tx, now, BATCH))

    async def one(notice: Notice) -> None:
        if notice.deploy_id is not None:
            bind_contextvars(deploy=await name_of(ctx, notice.deploy_id))
        try:
            await _deliver(ctx, notice)
        except Exception as error:  # a third party's provider may raise anything; it keeps no other waiting
            log.exception("a provider failed", channel=notice.channel)
            again_at, problem = ctx.now() + retry_ms(notice.attempts), str(error)
            await ctx.stores.main.write(
                lambda tx: outbox.postpone(tx, notice.id, again_at, unsure=True, problem=problem)
            )

    await workers.beside(notices, one, AT_ONCE)
    return len(notices)


async def deliver_forever(ctx: Context) -> None:
    """Until cancelled."""
    await workers.forever(ctx, "outbox", deliver_due, outbox.next_at)


async def _deliver(ctx: Context, notice: Notice) -> None:
    provider, repository = await ctx.stores.main.read(lambda tx: places.repository(tx, notice.repository_id))
    account = (provider, repository.full_name.partition("/")[0])
    quiet_until = ctx.quiet_until.get(account, 0)
    if quiet_until > ctx.now():
        await ctx.stores.main.write(lambda tx: outbox.put_off(tx, notice.id, quiet_until))
        return
    if notice.channel in telling.CHANNELS:
        conversation = ctx.providers[provider].conversation(repository)
        _note(ctx, account, notice, await speaking.deliver(ctx, conversation, notice))
        return
    if notice.channel == outbox.COMMIT:
        await commit_statuses.deliver(ctx, ctx.providers[provider].files(repository), repository, notice)
        return
    client = ctx.providers[provider].deployments(repository)
    if client is None:  # it was, when this was decided
        await ctx.stores.main.write(lambda tx: outbox.end(tx, notice.id, "failed", sentences.no_deployments(provider)))
        return
    if notice.channel == outbox.REGISTER:
        await registering.deliver(ctx, client, notice)
        return
    taken = await ctx.stores.main.write(lambda tx: _take(tx, ctx, notice))
    if taken is None:
        return
    if taken.channel == outbox.VERIFY:
        await _verify(ctx, client, taken)
        return
    attempt = await _send(client, taken, look_first=taken.unsure)
    await ctx.stores.main.write(lambda tx: _settle(tx, ctx, taken, attempt))
    _note(ctx, account, taken, attempt)


def _note(ctx: Context, account: tuple[str, str], notice: Notice, attempt: Attempt) -> None:
    """Be quiet where the provider asked for it, and say what could not be written."""
    if attempt.wait_ms is not None:
        ctx.quiet_until[account] = ctx.now() + attempt.wait_ms
    if attempt.fate is not Fate.SHOWN:
        log.warning(
            "not written",
            channel=notice.channel,
            deployment=notice.deployment_id or None,
            fate=attempt.fate.value,
            why=attempt.problem,
        )


async def _held(tx: Tx, notice: Notice) -> Deploy | None:
    deploy = await deploys.get(tx, notice.deploy_id) if notice.deploy_id is not None else None
    if deploy is None:
        return None
    await places.hold_environment(tx, deploy.environment_id)
    return await deploys.get(tx, deploy.id)


async def _take(tx: Tx, ctx: Context, notice: Notice) -> Notice | None:
    """Take the right to write, saved before the request leaves; None if another party may be writing."""
    deploy = await _held(tx, notice)
    current = await outbox.get(tx, notice.id)
    now = ctx.now()
    if current is None or current.next_at > now:
        return None
    if deploy is None or current.channel == outbox.VERIFY:
        return current
    free_at = statuses.writer_free_at(deploy, ctx.started_at)
    own = deploy.status_writer == statuses.APP and (deploy.status_writer_since or 0) >= ctx.started_at
    if free_at > now and not own:
        await outbox.put_off(tx, current.id, free_at)
        return None
    await deploys.save(tx, deploy.id, status_writer=statuses.APP, status_writer_since=now)
    await outbox.doubt(tx, current.id)
    return current


async def _send(client: Deployments, notice: Notice, *, look_first: bool) -> Attempt:
    """Write the status; where an earlier answer was lost, look first whether it is there already."""
    try:
        if look_first:
            newest = await client.newest_status(notice.deployment_id)
            if newest and (newest.state, newest.description) == (notice.status.state, notice.status.description):
                return Attempt(Fate.SHOWN)
        await client.create_status(notice.deployment_id, notice.status)
    except RemoteError as error:
        return judge(error)
    return Attempt(Fate.SHOWN)


async def _settle(tx: Tx, ctx: Context, notice: Notice, attempt: Attempt) -> None:
    """Save what came of it. A newer wish that arrived meanwhile is sent next."""
    deploy = await _held(tx, notice)
    current = await outbox.get(tx, notice.id)
    replaced = current is not None and current.version != notice.version
    if deploy and deploy.status_writer == statuses.APP and not attempt.in_flight:
        await deploys.save(tx, deploy.id, status_writer=None, status_writer_since=None)
    match attempt.fate:
        case Fate.SHOWN:
            if current and replaced:
                await outbox.trust(tx, current.id)
            else:
                await outbox.end(tx, notice.id, "done")
            if deploy:
                await statuses.shown(tx, ctx, deploy, notice.status)
        case Fate.REFUSED if not replaced:
            await outbox.end(tx, notice.id, "failed", attempt.problem)
            if deploy:
                await deploys.save(tx, deploy.id, status_problem=attempt.problem)
                await events.record(tx, ctx.now(), "status_refused", deploy=deploy.id, why=attempt.problem)
            if deploy and attempt.gone and deploy.state is State.QUEUED:
                await asking.end(tx, ctx, deploy, State.CANCELLED, reason=sentences.deployment_gone(), lease_hash=None)
        case _ if current and not replaced:
            wait_ms = attempt.wait_ms if attempt.wait_ms is not None else retry_ms(notice.attempts)
            unsure = attempt.fate is Fate.UNSURE or notice.unsure
            await outbox.postpone(tx, notice.id, ctx.now() + wait_ms, unsure=unsure, problem=attempt.problem)


async def _verify(ctx: Context, client: Deployments, notice: Notice) -> None:
    """A minute after a terminal state: does the provider still show it? A person may have made it inactive."""
    try:
        newest = await client.newest_status(notice.deployment_id)
    except RemoteError as error:
        attempt = judge(error)
        problem = attempt.problem
        wait_ms = attempt.wait_ms or retry_ms(notice.attempts)
        if attempt.fate is Fate.REFUSED:
            await ctx.stores.main.write(lambda tx: outbox.end(tx, notice.id, "failed", problem))
            return
        await ctx.stores.main.write(
            lambda tx: outbox.postpone(tx, notice.id, ctx.now() + wait_ms, unsure=False, problem=problem)
        )
        return

    async def work(tx: Tx) -> None:
        deploy = await _held(tx, notice)
        await outbox.end(tx, notice.id, "done")
        right = {STATUS_OF[deploy.state], "inactive"} if deploy else set()
        if deploy and (newest is None or newest.state not in right):
            await events.record(tx, ctx.now(), "status_put_right", deploy=deploy.id)
            await deploys.save(tx, deploy.id, shown_state=newest.state if newest else None)
            corrected = await deploys.get(tx, deploy.id) or deploy
            await statuses.want(tx, ctx, corrected, notice.status)

    await ctx.decide(work)
