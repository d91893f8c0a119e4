"""Deploys from Kedge's own doors are deployments of the provider: one each, also when an answer is lost."""

from ghapp.core import sentences
from ghapp.core.remote import RemoteError
from ghapp.core.values import State
from ghapp.service import acting, asking, lines, statuses
from ghapp.service.attempts import Attempt, Fate, judge, retry_ms
from ghapp.service.context import Context
from ghapp.store import deploys, events, outbox, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.outbox import Notice
from ghapp.vcs.base import NewDeployment, Registered
from ghapp.vcs.provider import Deployments


async def deliver(ctx: Context, client: Deployments, notice: Notice) -> None:
    """Register the deploy of a notice, or find that an earlier attempt did it."""
    deploy = await ctx.stores.main.write(lambda tx: _take(tx, notice))
    if deploy is None:
        return
    try:
        registered = await _register(client, deploy, look_first=notice.unsure)
    except RemoteError as error:
        attempt = judge(error)
        await ctx.decide(lambda tx: _failed(tx, ctx, notice, attempt))
        return
    await ctx.decide(lambda tx: _settle(tx, ctx, notice, deploy.request, registered))


async def _take(tx: Tx, notice: Notice) -> Deploy | None:
    """The deploy that is still to be registered; from now on it is unsure whether it was."""
    deploy = await deploys.get(tx, notice.deploy_id) if notice.deploy_id is not None else None
    if deploy is None or not deploy.registering or (deploy.state.terminal and not notice.unsure):
        await outbox.end(tx, notice.id, "done")
        return None
    await outbox.doubt(tx, notice.id)
    return deploy


async def _register(client: Deployments, deploy: Deploy, *, look_first: bool) -> Registered | None:
    """None: it ended before it was registered, and no attempt has reached the provider."""
    new = NewDeployment(
        request=deploy.request,
        sha=deploy.sha,
        ref=deploy.ref,
        task=deploy.task,
        environment=deploy.environment,
        user=deploy.user,
        production=deploy.environment.startswith("prod"),
    )
    found = await client.find_deployment(new) if look_first else None
    if found or deploy.state.terminal:
        return found
    return await client.create_deployment(new)


async def _settle(tx: Tx, ctx: Context, notice: Notice, request: str, registered: Registered | None) -> None:
    if registered:
        await bind(tx, ctx, request, registered)
    await outbox.end(tx, notice.id, "done")


async def _failed(tx: Tx, ctx: Context, notice: Notice, attempt: Attempt) -> None:
    """Try again later; a refusal ends the deploy, because nobody could see it where deploys are looked for."""
    if attempt.fate is Fate.REFUSED:
        await outbox.end(tx, notice.id, "failed", attempt.problem)
        deploy = await acting.held(tx, notice.deploy_id or 0)
        if deploy.state is State.QUEUED:
            reason = sentences.not_registered(attempt.problem or "")
            await asking.end(tx, ctx, deploy, State.ERRORED, reason=reason, registering=0)
        return
    wait_ms = attempt.wait_ms if attempt.wait_ms is not None else retry_ms(notice.attempts)
    unsure = attempt.fate is Fate.UNSURE or notice.unsure
    await outbox.postpone(tx, notice.id, ctx.now() + wait_ms, unsure=unsure, problem=attempt.problem)


async def bind(tx: Tx, ctx: Context, request: str, registered: Registered) -> bool:
    """The provider's deployment belongs to the deploy that carries this request, whoever told of it first: the
    answer, the webhook or a listing. False where there is no such deploy, or it is bound already."""
    known = await deploys.by_request(tx, request)
    if known is None:
        return False
    await places.hold_environment(tx, known.environment_id)
    deploy = await deploys.get(tx, known.id) or known
    if deploy.deployment_id is not None:
        return deploy.deployment_id == registered.deployment_id
    await deploys.save(
        tx,
        deploy.id,
        deployment_id=registered.deployment_id,
        registering=0,
        asked_at=registered.created_at or deploy.asked_at,
    )
    await events.record(tx, ctx.now(), "registered", deploy=deploy.id, deployment=registered.deployment_id)
    bound = await deploys.get(tx, deploy.id) or deploy
    if bound.state.terminal:
        await statuses.want(tx, ctx, bound, asking.ended_status(ctx, bound))
    await lines.settle(tx, ctx, deploy.environment_id, deploy.id)
    return True
