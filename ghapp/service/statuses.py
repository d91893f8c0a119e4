"""What the provider should show of a deploy, and who may write it now (protocol rules 16 to 18)."""

from ghapp.core import sentences
from ghapp.core.values import STATUS_OF, Blocker, DeploymentStatus, State
from ghapp.service import announcing
from ghapp.service.context import Context
from ghapp.store import deploys, outbox
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy

#: A grant to write ends when it is confirmed, or after this time by the app's clock.
GRANT_MS = 30_000
#: A grant is used within this time, request time-out included.
WRITE_WITHIN_S = 20
#: After the first description that names a blocker, at most one change in this time.
DESCRIPTION_EVERY_MS = 30_000
#: A minute after a terminal state the provider is looked at once more.
VERIFY_AFTER_MS = 60_000

APP = "app"
RUNNER = "runner"


def writer_free_at(deploy: Deploy, started_at: int) -> int:
    """From when on another party may write (ms). 0 where nobody may be writing now."""
    if deploy.status_writer is None or deploy.status_writer_since is None:
        return 0
    return max(deploy.status_writer_since, started_at if deploy.status_writer_since < started_at else 0) + GRANT_MS


def status_for(ctx: Context, deploy: Deploy, state: str, text: str, *, names_blocker: bool = False) -> DeploymentStatus:
    page = ctx.page(deploy.app, deploy.number)
    return DeploymentStatus(state, sentences.description(text), page, deploy.config.url, names_blocker)


def waiting_status(ctx: Context, deploy: Deploy, blockers: tuple[Blocker, ...]) -> DeploymentStatus:
    """A waiting deploy's: the state that is already shown, with the blockers as description."""
    state = STATUS_OF[State.CLAIMED if deploy.claims else State.QUEUED]
    text = " ".join(blocker.message for blocker in blockers) or sentences.queued()
    return status_for(ctx, deploy, state, text, names_blocker=bool(blockers))


async def want(tx: Tx, ctx: Context, deploy: Deploy, status: DeploymentStatus, *, next_at: int | None = None) -> None:
    """The provider shall show this status from now on, and whoever follows the deploy hears of it. No status is owed
    for a deploy that the provider does not know."""
    if status.state != "inactive":
        await announcing.deploy_changed(tx, ctx, deploy)
    if deploy.deployment_id is None:
        return
    now = ctx.now()
    owed = await outbox.waiting(tx, deploy.id)
    shown = (deploy.shown_state, deploy.shown_description)
    if (owed.status == status) if owed else (shown == (status.state, status.description)):
        return
    await outbox.put(
        tx,
        channel=outbox.STATUS,
        deploy_id=deploy.id,
        repository_id=deploy.repository_id,
        deployment_id=deploy.deployment_id,
        wanted=status,
        final=deploy.state.terminal,
        now=now,
        next_at=_send_at(deploy, status, now) if next_at is None else next_at,
    )


def _send_at(deploy: Deploy, status: DeploymentStatus, now: int) -> int:
    if status.state == deploy.shown_state and deploy.shown_blocker and deploy.shown_at:
        return max(now, deploy.shown_at + DESCRIPTION_EVERY_MS)
    return now


async def want_or_grant(tx: Tx, ctx: Context, deploy: Deploy, status: DeploymentStatus) -> DeploymentStatus | None:
    """Want a status; if nobody may be writing, the runner is granted it and the outbox steps in only after."""
    if deploy.deployment_id is None:
        await announcing.deploy_changed(tx, ctx, deploy)
        return None
    now = ctx.now()
    if writer_free_at(deploy, ctx.started_at) > now:
        await want(tx, ctx, deploy, status)
        return None
    await want(tx, ctx, deploy, status, next_at=now + GRANT_MS)
    if owed := await outbox.waiting(tx, deploy.id):
        await outbox.doubt(tx, owed.id)  # unconfirmed, it may have been written all the same
    await deploys.save(tx, deploy.id, status_writer=RUNNER, status_writer_since=now)
    return status


async def granted(tx: Tx, ctx: Context, deploy: Deploy) -> tuple[DeploymentStatus, float] | None:
    """The status that a runner was granted and may still write, with the seconds that are left for it."""
    if deploy.status_writer != RUNNER or deploy.status_writer_since is None:
        return None
    if _granted_state(deploy) != STATUS_OF[deploy.state]:
        return None  # the answer that was lost granted nothing
    left_s = WRITE_WITHIN_S - (ctx.now() - deploy.status_writer_since) / 1000
    owed = await outbox.waiting(tx, deploy.id)
    return (owed.status, left_s) if owed and left_s > 1 else None


def _granted_state(deploy: Deploy) -> str:
    """What the runner was granted to write: ``start`` grants in the moment that it starts, ``finish`` later."""
    from_start = deploy.status_writer_since == deploy.started_at and deploy.shown_state != STATUS_OF[State.RUNNING]
    return STATUS_OF[State.RUNNING if from_start else deploy.state]


async def written_by_runner(tx: Tx, ctx: Context, deploy: Deploy, state: str) -> Deploy:
    """The runner confirms that it wrote the status it was granted; the deploy as it is afterwards. Confirming an
    earlier one again changes nothing."""
    if deploy.status_writer != RUNNER or state != _granted_state(deploy):
        return deploy
    owed = await outbox.waiting(tx, deploy.id)
    if owed and owed.status.state == state:
        await outbox.end(tx, owed.id, "done")
        await shown(tx, ctx, deploy, owed.status)
    else:
        await deploys.save(tx, deploy.id, status_writer=None, status_writer_since=None, shown_state=state)
        if owed:
            await outbox.put_off(tx, owed.id, ctx.now())
    return await deploys.get(tx, deploy.id) or deploy


async def shown(tx: Tx, ctx: Context, deploy: Deploy, status: DeploymentStatus) -> None:
    """The provider is known to show this now, and nobody writes any more."""
    now = ctx.now()
    await deploys.save(
        tx,
        deploy.id,
        shown_state=status.state,
        shown_description=status.description,
        shown_at=now,
        shown_blocker=int(status.names_blocker),
        status_writer=None,
        status_writer_since=None,
        status_problem=None,
    )
    if deploy.state.terminal and status.state == STATUS_OF[deploy.state]:
        await _look_again(tx, deploy, status, now)
    if status.state == "success":
        await _retire(tx, ctx, deploy.environment_id)


async def _look_again(tx: Tx, deploy: Deploy, status: DeploymentStatus, now: int) -> None:
    if deploy.deployment_id is None:
        return
    await outbox.put(
        tx,
        channel=outbox.VERIFY,
        deploy_id=deploy.id,
        repository_id=deploy.repository_id,
        deployment_id=deploy.deployment_id,
        wanted=status,
        final=False,
        now=now,
        next_at=now + VERIFY_AFTER_MS,
    )


async def _retire(tx: Tx, ctx: Context, environment_id: int) -> None:
    """Older successes of the environment become inactive: the provider does it for some environments only."""
    live = await deploys.live(tx, environment_id)
    if live is None or live.ended_at is None:
        return
    for older in await deploys.shown_as_success(tx, environment_id, before=live.ended_at):
        status = status_for(ctx, older, "inactive", f"{live.name} is live now.")
        await want(tx, ctx, older, status)
