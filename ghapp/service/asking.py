"""A request becomes a deploy, whichever door it came through."""

from dataclasses import dataclass

from ghapp.core import commands, sentences
from ghapp.core.config import EnvironmentConfig
from ghapp.core.releases import ROLLBACK
from ghapp.core.values import STATUS_OF, Blocker, BlockerKind, Chat, DeploymentStatus, Door, State
from ghapp.service import lines, measuring, rolled_back, statuses, telling
from ghapp.service.context import Context
from ghapp.store import deploys, events, outbox, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.places import Environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for. ``request`` tells repeated askings of the same thing; ``refused`` are blockers found
    when it was asked (who may, which refs): with any of them the deploy is recorded as rejected. ``registering``:
    the provider does not know of it yet and is to be told. ``out_of_line``: it is automatic, and to be judged before
    it takes its place. ``own``: what is known to be pending."""

    request: str
    config: EnvironmentConfig
    repository_id: int
    door: Door
    task: str
    ref: str
    sha: str
    user: str
    asked_at: int
    deployment_id: int | None = None
    registering: bool = False
    out_of_line: bool = False
    forced: frozenset[str] = frozenset()
    on_behalf_of: str | None = None
    chat: Chat | None = None
    hosts: str = ""
    refused: tuple[Blocker, ...] = ()
    own: tuple[Blocker, ...] = ()


def values_of(deploy: Deploy) -> commands.Values:
    """What the variables of a deploy's command stand for."""
    return commands.Values(
        app=deploy.app,
        env=deploy.environment,
        sha=deploy.sha,
        ref=deploy.ref,
        task=deploy.task,
        user=deploy.user,
        number=deploy.number,
        hosts=deploy.hosts,
        previous_sha=deploy.previous_sha or "",
    )


async def ask(tx: Tx, ctx: Context, environment: Environment, request: Request) -> Deploy:
    """Record the request: in line, or rejected at once. Raises store Conflict if it was asked before."""
    await places.hold_environment(tx, environment.id)
    now = ctx.now()
    deploy_id = await deploys.insert(
        tx,
        app_id=environment.app_id,
        environment_id=environment.id,
        repository_id=request.repository_id,
        request=request.request,
        deployment_id=request.deployment_id,
        registering=int(request.registering),
        out_of_line=int(request.out_of_line),
        judge_at=now if request.out_of_line else None,
        forced=request.forced,
        forced_by=request.user if request.forced else None,
        front_at=now if request.forced or request.task == ROLLBACK else None,
        door=request.door.value,
        task=request.task,
        ref=request.ref,
        sha=request.sha,
        user=request.user,
        on_behalf_of=request.on_behalf_of,
        chat=request.chat,
        hosts=request.hosts,
        config=request.config,
        defined_in=request.config.defined_in,
        own_blockers=request.own,
        state=State.QUEUED,
        asked_at=request.asked_at,
        created_at=now,
    )
    await events.record(tx, now, "asked", who=request.user, deploy=deploy_id, door=request.door.value)
    deploy = await _known(tx, deploy_id)
    if request.config.notify.pull_request:
        await telling.follow(tx, ctx, deploy, None)
    refused = (*request.refused, *_command_problems(deploy))
    if refused:
        return await end(tx, ctx, deploy, State.REJECTED, blockers=refused)
    if request.task == ROLLBACK:
        await rolled_back.begin(tx, ctx, deploy)
    if request.registering:
        await _register(tx, deploy, now)
    await lines.settle(tx, ctx, environment.id, deploy_id)
    return await _known(tx, deploy_id)


async def take_place(tx: Tx, ctx: Context, deploy: Deploy, *, compared_with: int | None) -> None:
    """One that was out of the line is asked for from now on, and registered where it is not yet and can be.
    ``compared_with``: the id of what is live, that does not contain it (0: nothing is). The caller settles the line."""
    now = ctx.now()
    provider, repository = await places.repository(tx, deploy.repository_id)
    new = deploy.deployment_id is None and ctx.providers[provider].deployments(repository) is not None
    await deploys.save(
        tx,
        deploy.id,
        out_of_line=0,
        judge_at=None,
        compared_with=compared_with,
        stale_holds=0,
        own_blockers=(),
        asked_at=now,
        registering=int(new),
    )
    await events.record(tx, now, "in_line", deploy=deploy.id)
    if new:
        await _register(tx, deploy, now)


async def reconfigure(tx: Tx, ctx: Context, deploy: Deploy, config: EnvironmentConfig) -> None:
    """One that is out of the line is to be asked for with another config than the one it was begun with."""
    await deploys.save(tx, deploy.id, config=config, judge_at=ctx.now())
    known = await _known(tx, deploy.id)
    if refused := _command_problems(known):
        await end(tx, ctx, known, State.REJECTED, blockers=refused)


async def _register(tx: Tx, deploy: Deploy, now: int) -> None:
    """The provider is owed the registration; the row was there first."""
    await outbox.put(
        tx,
        channel=outbox.REGISTER,
        deploy_id=deploy.id,
        repository_id=deploy.repository_id,
        deployment_id=0,
        wanted=DeploymentStatus(STATUS_OF[State.QUEUED], sentences.registering()),
        final=True,
        now=now,
        next_at=now,
    )


async def _known(tx: Tx, deploy_id: int) -> Deploy:
    deploy = await deploys.get(tx, deploy_id)
    if deploy is None:
        raise LookupError(f"no deploy with id {deploy_id}")
    return deploy


def _command_problems(deploy: Deploy) -> tuple[Blocker, ...]:
    """The command is rendered once when it is asked for, so that a value it cannot take is refused at once."""
    template = deploy.config.command(deploy.task)
    if template is None:
        message = sentences.unknown_task(deploy.task, deploy.config.task_names)
        return (Blocker(BlockerKind.CONFIG, message),)
    try:
        commands.render(template, values_of(deploy))
        commands.environment(values_of(deploy))
    except commands.UnsafeValue as unsafe:
        return (Blocker(BlockerKind.CONFIG, unsafe.message),)
    return ()


async def end(
    tx: Tx,
    ctx: Context,
    deploy: Deploy,
    state: State,
    *,
    reason: str = "",
    who: str | None = None,
    blockers: tuple[Blocker, ...] = (),
    **facts: object,
) -> Deploy:
    """A deploy ends: saved, its end recorded. The status is owed to the provider (see `ended_status`), and the
    line goes on; whoever grants the status to a runner instead does both by itself with `close`."""
    ended = await close(tx, ctx, deploy, state, reason=reason, who=who, blockers=blockers, **facts)
    await statuses.want(tx, ctx, ended, ended_status(ctx, ended))
    await lines.settle(tx, ctx, ended.environment_id)
    return ended


async def close(
    tx: Tx,
    ctx: Context,
    deploy: Deploy,
    state: State,
    *,
    reason: str = "",
    who: str | None = None,
    blockers: tuple[Blocker, ...] = (),
    **facts: object,
) -> Deploy:
    """Save the end of a deploy and record it; the deploy as it is then."""
    now = ctx.now()
    why = reason or " ".join(blocker.message for blocker in blockers)
    await deploys.save(
        tx,
        deploy.id,
        state=state,
        reason=why,
        blockers=blockers,
        own_blockers=(),
        ready_at=None,
        checks_until=None,
        lost_since=None,
        **{"ended_at": now, **facts},
    )
    await events.record(tx, now, state.value, who=who, deploy=deploy.id, reason=why)
    ended = await _known(tx, deploy.id)
    await measuring.ended(tx, ended)
    return ended


def ended_status(ctx: Context, deploy: Deploy) -> DeploymentStatus:
    """How its end is shown at the provider."""
    took_s = (deploy.ended_at - deploy.started_at) / 1000 if deploy.ended_at and deploy.started_at else None
    text = sentences.ended(deploy.state, took_s, deploy.reason)
    return statuses.status_for(ctx, deploy, STATUS_OF[deploy.state], text)
