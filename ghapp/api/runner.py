"""The runner's calls, as `ghapp.wire` says them. A runner's token claims; the lease authorizes the rest."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Literal, TypeVar

import msgspec
import zstandard
from aiohttp import web
from msgspec import Meta
from structlog.contextvars import bind_contextvars

from ghapp import wire
from ghapp.api import as_wire, parameters
from ghapp.api.common import CLAIMANT, CONTEXT, QUIET, bearer, json_response, milliseconds, read
from ghapp.api.params import NoParams
from ghapp.api.routing import NAME_LIMIT, Route, Sent
from ghapp.core.checks import Check, CheckState
from ghapp.core.times import rfc3339
from ghapp.core.values import Blocker, BlockerKind, EndedBy
from ghapp.core.version import VERSION
from ghapp.service import beating, claiming, finishing, leases
from ghapp.service.claiming import Wish
from ghapp.service.context import Context
from ghapp.service.finishing import End
from ghapp.service.leases import Report
from ghapp.service.problems import Problem
from ghapp.store.deploys import Deploy
from ghapp.store.logs import Chunk

LONGEST_WAIT_S = 25.0

T = TypeVar("T", bound=msgspec.Struct)
Call = Callable[[web.Request, T], Awaitable[web.Response]]


class ChunkParams(msgspec.Struct, kw_only=True):
    """``offset`` counts bytes before compression."""

    offset: Annotated[int, Meta(ge=0, le=parameters.MOST)]
    codec: Literal["identity", "zstd"] = "identity"


async def hello(request: web.Request, _: NoParams) -> web.Response:
    grant = request[CLAIMANT][1]
    return json_response(
        wire.Hello(
            version=VERSION,
            now=rfc3339(request.app[CONTEXT].now()),
            **{name: None if value is None else list(value) for name, value in asdict(grant).items()},
        )
    )


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
    return json_response(as_wire.job(ctx, claimed))


async def beat(request: web.Request, said: wire.Beat) -> web.Response:
    wait_s = wire.BEAT_S if said.wait_s is None else min(max(said.wait_s, 0), wire.BEAT_S)
    ctx, deploy_id, lease = _call(request)
    heard = await beating.beat(ctx, deploy_id, lease, said.status_written, wait_s)
    cancel = as_wire.cancel_requested(heard.deploy)
    request[QUIET] = cancel is None
    return json_response(
        wire.BeatAnswer(cancel_requested=cancel, repo_token=as_wire.repo_token(heard.token) if heard.token else None)
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
        blockers = [as_wire.wire_blocker(blocker) for blocker in started.deploy.blockers]
        return json_response(wire.StartAnswer(answer="no", state=started.deploy.state, blockers=blockers))
    return json_response(
        wire.StartAnswer(
            answer="yes",
            good_for_s=wire.START_GOOD_FOR_S,
            cancel_requested=as_wire.cancel_requested(started.deploy),
            status=as_wire.status(started.status, started.write_within_s),
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
            status=as_wire.status(finished.status, finished.write_within_s),
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
        method="GET",
        path=wire.HELLO_PATH,
        handler=hello,
        summary="Which app this is, its clock, and what the runner's token is good for.",
        takes=NoParams,
        answers={200: wire.Hello},
        scope="runner",
        refusals=("wire_version",),
    ),
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
