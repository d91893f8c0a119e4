"""The runner's calls, as `ghapp.wire` says them. A runner's token claims; the lease authorizes the rest."""

from collections.abc import Callable
from datetime import UTC, datetime

import zstandard
from aiohttp import web

from ghapp import wire
from ghapp.api.auth import admitted_runner
from ghapp.api.common import CONTEXT, bearer, body_of, json_response, milliseconds, rfc3339
from ghapp.core import commands
from ghapp.core.checks import Check, CheckState
from ghapp.core.values import Blocker, BlockerKind, DeploymentStatus, EndedBy
from ghapp.service import asking, beating, claiming, finishing, leases
from ghapp.service.claiming import Claimed, Wish
from ghapp.service.context import Context
from ghapp.service.finishing import End
from ghapp.service.leases import Report
from ghapp.service.problems import Problem
from ghapp.store.deploys import Deploy
from ghapp.store.logs import Chunk
from ghapp.vcs.base import RepoToken

LONGEST_WAIT_S = 25.0


async def claim(request: web.Request) -> web.Response:
    """A job, or 204 after ``wait_s`` without one."""
    token, grant = await admitted_runner(request)
    asked = await body_of(request, wire.Claim)
    if not asked.claim_id or not asked.runner:
        raise Problem("invalid", "claim_id and runner must not be empty.")
    wish = Wish(
        claim_id=asked.claim_id,
        runner=asked.runner,
        labels=tuple(asked.labels),
        apps=None if asked.apps is None else tuple(asked.apps),
        boot_id=asked.boot_id,
        version=asked.version,
        wait_s=min(max(asked.wait_s, 0), LONGEST_WAIT_S),
        token=token,
        grant=grant,
    )
    ctx = request.app[CONTEXT]
    claimed = await claiming.claim(ctx, wish)
    return json_response(job(ctx, claimed)) if claimed else web.Response(status=204)


async def beat(request: web.Request) -> web.Response:
    said = await body_of(request, wire.Beat)
    wait_s = wire.BEAT_S if said.wait_s is None else min(max(said.wait_s, 0), wire.BEAT_S)
    ctx, deploy_id, lease = _call(request)
    heard = await beating.beat(ctx, deploy_id, lease, said.status_written, wait_s)
    return json_response(
        wire.BeatAnswer(cancel_requested=_cancel(heard.deploy), repo_token=_token(heard.token) if heard.token else None)
    )


async def hold(request: web.Request) -> web.Response:
    ctx, deploy_id, lease = _call(request)
    report = await _report(request)
    deploy = await ctx.decide(lambda tx: leases.hold(tx, ctx, deploy_id, lease, report))
    return json_response(wire.HoldAnswer(state=deploy.state, ready=_ready(ctx, deploy)))


async def reject(request: web.Request) -> web.Response:
    ctx, deploy_id, lease = _call(request)
    report = await _report(request)
    deploy = await ctx.decide(lambda tx: leases.reject(tx, ctx, deploy_id, lease, report))
    return json_response(wire.HoldAnswer(state=deploy.state, ready=_ready(ctx, deploy)))


async def start(request: web.Request) -> web.Response:
    ctx, deploy_id, lease = _call(request)
    said = await body_of(request, wire.Start)
    started = await ctx.decide(lambda tx: leases.start(tx, ctx, deploy_id, lease, said.check_counter))
    if not started.yes:
        blockers = [_wire_blocker(blocker) for blocker in started.deploy.blockers]
        return json_response(wire.StartAnswer(answer="no", state=started.deploy.state, blockers=blockers))
    return json_response(
        wire.StartAnswer(
            answer="yes",
            good_for_s=wire.START_GOOD_FOR_S,
            cancel_requested=_cancel(started.deploy),
            status=_status(started.status, started.write_within_s),
            state=started.deploy.state,
        )
    )


async def log(request: web.Request) -> web.Response:
    ctx, deploy_id, lease = _call(request)
    try:
        offset = int(request.query["offset"])
    except (KeyError, ValueError) as error:
        raise Problem("invalid", "offset must be a number of bytes.") from error
    chunk = _chunk(offset, request.query.get("codec", "identity"), await request.read())
    return json_response(wire.LogAnswer(end=await finishing.log(ctx, deploy_id, lease, chunk)))


async def finish(request: web.Request) -> web.Response:
    ctx, deploy_id, lease = _call(request)
    said = await body_of(request, wire.Finish)
    end = End(
        ended_by=EndedBy(said.ended_by),
        started=said.started,
        ended_at=milliseconds(said.ended_at) if said.ended_at else ctx.now(),
        exit_code=said.exit_code,
        signal=said.signal,
        reason=said.reason[:2000],
        log_end=said.log_end,
        status_written=said.status_written,
    )
    finished = await ctx.decide(lambda tx: finishing.finish(tx, ctx, deploy_id, lease, end))
    ctx.signals.send(f"log:{deploy_id}")
    return json_response(
        wire.FinishAnswer(
            state=finished.deploy.state,
            status=_status(finished.status, finished.write_within_s),
            too_late=finished.too_late,
        )
    )


def routes() -> list[web.RouteDef]:
    calls: dict[str, Callable[[web.Request], object]] = {
        "beat": beat,
        "hold": hold,
        "reject": reject,
        "start": start,
        "log": log,
        "finish": finish,
    }
    return [
        web.post(wire.CLAIM_PATH, claim),
        *(web.post(wire.DEPLOY_PATH.format(id=r"{id:\d{1,18}}", call=name), call) for name, call in calls.items()),  # type: ignore[arg-type]
    ]


# Values to the wire and back


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
        variables=commands.environment(values),
        env=config.env,
        secrets=list(config.secrets),
        checks=None if config.checks is None else list(config.checks),
        own_checks=list(ctx.own_checks),
        checks_newest=[_wire_check(check) for check in claimed.newest],
        check_counter=deploy.check_counter,
        timeout=config.timeout_s,
        silence=config.silence_s,
        grace=config.grace_s,
        log_limit=config.log_limit,
        previous_sha=deploy.previous_sha,
        log_url=page,
        defined_in="repository" if deploy.defined_in == "repository" else "operator",
        lease=claimed.lease,
        repo_token=_token(claimed.token),
    )


def _call(request: web.Request) -> tuple[Context, int, str]:
    return request.app[CONTEXT], int(request.match_info["id"]), bearer(request)


def _ready(ctx: Context, deploy: Deploy) -> bool:
    return deploy.ready_at is not None and deploy.ready_at <= ctx.now()


async def _report(request: web.Request) -> Report:
    said = await body_of(request, wire.Hold)
    try:
        blockers = tuple(
            Blocker(
                BlockerKind(one.kind),
                one.message,
                one.url,
                milliseconds(one.since) if one.since else None,
                one.who,
                milliseconds(one.until) if one.until else None,
            )
            for one in said.blockers
        )
    except ValueError as error:
        raise Problem("invalid", f"The body does not fit: {error}.") from error
    if not blockers:
        raise Problem("invalid", "blockers must name at least one reason.")
    checks = [
        Check(one.key, one.name, CheckState(one.state), milliseconds(one.at), one.serial, one.url, one.detail)
        for one in said.checks
    ]
    return Report(said.check_counter, blockers, checks)


def _chunk(offset: int, codec: str, body: bytes) -> Chunk:
    if offset < 0:
        raise Problem("invalid", "offset must not be negative.")
    if codec == "identity":
        length = len(body)
    elif codec == "zstd":
        length = _unpacked_length(body)
    else:
        raise Problem("invalid", "codec must be zstd or identity.")
    if length > wire.LOG_CHUNK:
        raise Problem("too_large", f"A chunk holds at most {wire.LOG_CHUNK} bytes before compression.")
    return Chunk(offset, length, codec, body)


def _unpacked_length(body: bytes) -> int:
    """Checked by unpacking: what is stored must be readable later, and as long as it says."""
    try:
        return len(zstandard.ZstdDecompressor().decompress(body, max_output_size=wire.LOG_CHUNK + 1))
    except zstandard.ZstdError as error:
        raise Problem("invalid", "The chunk is no zstd frame of a known size.") from error


def _cancel(deploy: Deploy) -> wire.Who | None:
    if deploy.cancel_requested_by is None:
        return None
    return wire.Who(who=deploy.cancel_requested_by, at=rfc3339(deploy.cancel_requested_at) or "")


def _status(status: DeploymentStatus | None, within_s: float) -> wire.WireStatus | None:
    if status is None:
        return None
    return wire.WireStatus(
        state=status.state,
        description=status.description,
        log_url=status.log_url,
        environment_url=status.environment_url,
        write_within_s=within_s,
    )


def _token(token: RepoToken) -> wire.WireToken:
    expires_at = datetime.fromtimestamp(token.expires_at / 1000, UTC)
    return wire.WireToken(value=token.value, expires_at=expires_at.isoformat().replace("+00:00", "Z"))


def _wire_check(check: Check) -> wire.WireCheck:
    return wire.WireCheck(
        key=check.key,
        name=check.name,
        state=check.state.value,
        at=rfc3339(check.at) or "",
        serial=check.serial,
        url=check.url,
        detail=check.detail,
    )


def _wire_blocker(blocker: Blocker) -> wire.WireBlocker:
    return wire.WireBlocker(
        kind=blocker.kind,
        message=blocker.message,
        url=blocker.url,
        since=rfc3339(blocker.since),
        who=blocker.who,
        until=rfc3339(blocker.until),
    )
