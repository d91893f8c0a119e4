"""Values as the runner is told them, in the shapes of `ghapp.wire`. Pure."""

from datetime import UTC, datetime

from ghapp import wire
from ghapp.core import commands
from ghapp.core.checks import Check
from ghapp.core.times import rfc3339
from ghapp.core.values import Blocker, DeploymentStatus
from ghapp.service import asking
from ghapp.service.claiming import Claimed
from ghapp.service.context import Context
from ghapp.store.deploys import Deploy
from ghapp.vcs.base import RepoToken


def job(ctx: Context, claimed: Claimed) -> wire.Job:
    """All that the runner needs, and nothing that is not its business."""
    deploy, config = claimed.deploy, claimed.deploy.config
    values = asking.values_of(deploy)
    page = ctx.page(deploy.app, deploy.number)
    return wire.Job(
        id=deploy.id,
        app=deploy.app,
        number=deploy.number,
        environment=deploy.environment,
        task=deploy.task,
        sha=deploy.sha,
        ref=deploy.ref,
        user=deploy.user,
        door=deploy.door,
        forced_by=deploy.forced_by,
        forced=sorted(deploy.forced),
        repository=wire.WireRepository(
            id=claimed.repository.id,
            full_name=claimed.repository.full_name,
            clone_url=claimed.repository.clone_url,
            provider=claimed.provider,
            api_url=ctx.providers[claimed.provider].api_url,
        ),
        deployment_id=deploy.deployment_id,
        command=commands.render(config.command(deploy.task) or "", values),
        heroku=None if config.command(deploy.task) else config.heroku,
        variables=commands.environment(values),
        env=config.env,
        secrets=list(config.secrets),
        token=config.token,
        checks=None if config.checks is None else list(config.checks),
        checks_command=_checks_command(claimed.deploy),
        own_checks=list(ctx.own_checks),
        checks_newest=[wire_check(check) for check in claimed.newest],
        check_counter=deploy.check_counter,
        timeout=config.timeout_s,
        silence=config.silence_s,
        grace=config.grace_s,
        log_limit=config.log_limit,
        previous_sha=deploy.previous_sha,
        log_url=page,
        defined_in="repository" if deploy.defined_in == "repository" else "operator",
        lease=claimed.lease,
        repo_token=repo_token(claimed.token) if claimed.token else None,
    )


def cancel_requested(deploy: Deploy) -> wire.Who | None:
    if deploy.cancel_requested_by is None:
        return None
    return wire.Who(who=deploy.cancel_requested_by, at=rfc3339(deploy.cancel_requested_at) or "")


def status(status: DeploymentStatus | None, within_s: float) -> wire.WireStatus | None:
    if status is None:
        return None
    return wire.WireStatus(
        state=status.state,
        description=status.description,
        log_url=status.log_url,
        environment_url=status.environment_url,
        write_within_s=within_s,
    )


def _checks_command(deploy: Deploy) -> str | None:
    template = deploy.config.checks_command
    about = commands.Commit(app=deploy.app, env=deploy.environment, sha=deploy.sha, ref=deploy.ref)
    return commands.render(template, about) if template else None


def repo_token(token: RepoToken) -> wire.WireToken:
    expires_at = datetime.fromtimestamp(token.expires_at / 1000, UTC)
    return wire.WireToken(
        value=token.value, expires_at=expires_at.isoformat().replace("+00:00", "Z"), username=token.username
    )


def wire_check(check: Check) -> wire.WireCheck:
    return wire.WireCheck(
        key=check.key,
        name=check.name,
        state=check.state.value,
        at=rfc3339(check.at),
        serial=check.serial,
        url=check.url,
        detail=check.detail,
    )


def wire_blocker(blocker: Blocker) -> wire.WireBlocker:
    return wire.WireBlocker(
        kind=blocker.kind,
        message=blocker.message,
        url=blocker.url,
        since=rfc3339(blocker.since),
        who=blocker.who,
        until=rfc3339(blocker.until),
    )
