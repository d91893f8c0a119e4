"""The runner's calls, as `ghapp.wire` says them. A runner's token claims; the lease authorizes the rest."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Literal, TypeVar

import msgspec
import zstandard
from aiohttp import web
from msgspec import Meta
from structlog.contextvars import bind_contextvars

from ghapp import wire
from ghapp.api import parameters
from ghapp.api.common import CLAIMANT, CONTEXT, QUIET, bearer, json_response, milliseconds, read, rfc3339
from ghapp.api.routing import NAME_LIMIT, Route, Sent
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

T = TypeVar("T", bound=msgspec.Struct)
Call = Callable[[web.Request, T], Awaitable[web.Response]]


class ChunkParams(msgspec.Struct, kw_only=True):
    """``offset`` counts bytes before compression."""

    offset: Annotated[int, Meta(ge=0, le=parameters.MOST)]
    codec: Literal["identity", "zstd"] = "identity"


async def claim(request: web.Request, asked: wire.Claim) -> web.Response:
    """A job, or 204 after ``wait_s`` without one."""
    token, grant = request[CLAIMANT]
    for name, value in (("claim_id", asked.claim_id), ("runner", asked.runner)):
        if not 0 < len(value) <= NAME_LIMIT or not value.isprintable():
            raise Problem("invalid", f"{name} must have 1 to {NAME_LIMIT} printable characters.", field=name)
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
    if claimed is None:
        request[QUIET] = True
        return web.Response(status=204)
    bind_contextvars(deploy=claimed.deploy.name)
    return json_response(job(ctx, claimed))


async def beat(request: web.Request, said: wire.Beat) -> web.Response:
    wait_s = wire.BEAT_S if said.wait_s is None else min(max(said.wait_s, 0), wire.BEAT_S)
    ctx, deploy_id, lease = _call(request)
    heard = await beating.beat(ctx, deploy_id, lease, said.status_written, wait_s)
    cancel = _cancel(heard.deploy)
    request[QUIET] = cancel is None
    return json_response(
        wire.BeatAnswer(cancel_requested=cancel, repo_token=_token(heard.token) if heard.token else None)
    )


async def hold(request: web.Request, said: wire.Hold) -> web.Response:
    ctx, deploy_id, lease = _call(request)
    report = _report(said)
    deploy = await ctx.decide(lambda tx: leases.hold(tx, ctx, deploy_id, lease, report))
    return json_response(wire.HoldAnswer(state=deploy.state, ready=_ready(ctx, deploy)))


async def reject(request: web.Request, said: wire.Hold) -> web.Response:
    ctx, deploy_id, lease = _call(request)
    report = _report(said)
    deploy = await ctx.decide(lambda tx: leases.reject(tx, ctx, deploy_id, lease, report))
    return json_response(wire.HoldAnswer(state=deploy.state, ready=_ready(ctx, deploy)))


async def start(request: web.Request, said: wire.Start) -> web.Response:
    ctx, deploy_id, lease = _call(request)
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


async def log(request: web.Request, given: ChunkParams) -> web.Response:
    ctx, deploy_id, lease = _call(request)
    chunk = _chunk(given.offset, given.codec, await read(request))
    request[QUIET] = True
    return json_response(wire.LogAnswer(end=await finishing.log(ctx, deploy_id, lease, chunk)))


async def finish(request: web.Request, said: wire.Finish) -> web.Response:
    ctx, deploy_id, lease = _call(request)
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


def _call_route(name: str, handler: Call[T], takes: type[T], answer: type[msgspec.Struct], does: str) -> Route[T]:
    return Route(
        method="POST",
        path=wire.DEPLOY_PATH.format(id="{id}", call=name),
        handler=handler,
        summary=does,
        takes=takes,
        sent=Sent.BYTES if takes is ChunkParams else Sent.JSON,
        answers={200: answer},
        scope="lease",
        refusals=("lease_over", "conflict", "too_late", "declared_dead", "wire_version"),
    )


ROUTES = (
    Route(
        method="POST",
        path=wire.CLAIM_PATH,
        handler=claim,
        summary="The next deploy that the runner may take; 204 where there is none within wait_s.",
        takes=wire.Claim,
        sent=Sent.JSON,
        answers={200: wire.Job, 204: None},
        scope="runner",
        refusals=("claim_over", "wire_version"),
    ),
    _call_route("beat", beat, wire.Beat, wire.BeatAnswer, "Renew the lease; answered when there is news."),
    _call_route("hold", hold, wire.Hold, wire.HoldAnswer, "The gate is closed for now: back in line."),
    _call_route("reject", reject, wire.Hold, wire.HoldAnswer, "The gate refuses."),
    _call_route("start", start, wire.Start, wire.StartAnswer, "Whether the command may run."),
    _call_route("log", log, ChunkParams, wire.LogAnswer, "A part of the log, from a byte on."),
    _call_route("finish", finish, wire.Finish, wire.FinishAnswer, "How the command ended."),
)


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
    return request.app[CONTEXT], parameters.deploy_id(request), bearer(request)


def _ready(ctx: Context, deploy: Deploy) -> bool:
    return deploy.ready_at is not None and deploy.ready_at <= ctx.now()


def _report(said: wire.Hold) -> Report:
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
    length = _unpacked_length(body) if codec == "zstd" else len(body)
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
