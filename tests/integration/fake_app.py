"""An app as strict as the protocol asks for: it keeps the states of its deploys and notes every breach by a runner.

Faults are queued by call; each request to that call meets the next one.
"""

import asyncio
import contextlib
import secrets
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import zstandard
from aiohttp import web
from aiohttp.test_utils import TestServer

from ghapp import wire

RUNNER_TOKEN = "runner-token-0123456789abcdef"
HTML = "<html><body>Please sign in to the hotel's network</body></html>"

Body = TypeVar("Body", bound=msgspec.Struct)


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class Fault:
    """``processed``: is the call done before the answer goes wrong? ``answer`` None: the connection is cut."""

    processed: bool = False
    answer: web.Response | None = None
    hang: bool = False
    late_s: float = 0


def http(status: int, text: str = HTML) -> Fault:
    return Fault(answer=web.Response(status=status, text=text, content_type="text/html"))


def kedge_error(status: int, code: str) -> web.Response:
    error = wire.ErrorBody(error=wire.WireError(code=code, message=f"It is {code}."))
    return web.Response(status=status, body=msgspec.json.encode(error), content_type="application/json")


LOST_REQUEST = Fault()
LOST_ANSWER = Fault(processed=True)
HANG = Fault(hang=True)
NONSENSE = http(200)
REDIRECT = Fault(answer=web.Response(status=302, headers={"Location": "https://login.example.com/"}))


@dataclass
class Deploy:
    """One deploy as the app sees it. ``start`` is what its start is answered; ``grants`` whether statuses may be
    written by the runner."""

    job: wire.Job
    state: str = "queued"
    lease: str = ""
    claim_id: str = ""
    beaten: bool = False
    cancel: wire.Who | None = None
    dead: bool = False
    start: wire.StartAnswer = field(default_factory=lambda: wire.StartAnswer(answer="yes", good_for_s=30))
    grants: bool = True
    write_within_s: float = 20.0
    writer: str | None = None
    confirmed: list[str] = field(default_factory=list)
    given_back: list[tuple[str, wire.Hold]] = field(default_factory=list)
    starts: list[wire.Start] = field(default_factory=list)
    finishes: list[wire.Finish] = field(default_factory=list)
    beats: list[wire.Beat] = field(default_factory=list)
    chunks: dict[int, bytes] = field(default_factory=dict)
    poke: asyncio.Event = field(default_factory=asyncio.Event)
    renewed: wire.WireToken | None = None
    told_at: int = 0  # beats that had come when an answer first held the renewed token

    @property
    def terminal(self) -> bool:
        return self.state not in ("queued", "claimed", "running")

    @property
    def renewal_heard(self) -> bool:
        """The runner beats on after the answer that held the renewed token."""
        return 0 < self.told_at < len(self.beats)

    @property
    def log(self) -> bytes:
        """The contiguous part of the log. Two pieces must never tell different things."""
        log = bytearray()
        for start, data in sorted(self.chunks.items()):
            if start > len(log):
                break
            assert log[start : start + len(data)] == data[: len(log) - start], "the log was rewritten"
            log += data[len(log) - start :]
        return bytes(log)

    @property
    def output(self) -> str:
        """The log without Kedge's own lines."""
        lines = self.log.decode().splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("[kedge] "))

    def request_cancel(self) -> None:
        self.cancel = wire.Who(who="bob", at="2026-11-23T17:00:00Z")
        self.poke.set()


class FakeApp:
    def __init__(self) -> None:
        self.deploys: dict[int, Deploy] = {}
        self.faults: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self.always: dict[str, Fault] = {}
        self.calls: list[str] = []
        self.claims: list[wire.Claim] = []
        self.breaches: list[str] = []
        self.log_limit: int | None = None
        self.url = ""
        self._asked = asyncio.Event()

    def add(self, job: wire.Job) -> Deploy:
        deploy = self.deploys[job.id] = Deploy(job)
        self._asked.set()
        return deploy

    def again(self, deploy: Deploy) -> None:
        """The line lets it be claimed again."""
        deploy.state = "queued"
        self._asked.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        self.calls.append(name)
        if request.headers.get(wire.WIRE_HEADER) != "1":
            self.breaches.append(f"{name} without the wire version")
        raw = await request.read()
        fault = self.faults[name].popleft() if self.faults[name] else self.always.get(name)
        if fault is None:
            return await self._answer(name, request, raw)
        if fault.hang:
            await asyncio.sleep(60)
        if fault.processed or fault.late_s:
            answer = await self._answer(name, request, raw)
            if fault.late_s:
                await asyncio.sleep(fault.late_s)
                return answer
        if fault.answer is not None:
            return web.Response(
                status=fault.answer.status, body=fault.answer.body, headers=_without_length(fault.answer)
            )
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _answer(self, name: str, request: web.Request, raw: bytes) -> web.Response:
        try:
            body = await self._claim(request, raw) if name == "claim" else await self._leased(name, request, raw)
        except Refusal as refusal:
            return kedge_error(refusal.status, refusal.code)
        if body is None:
            return web.Response(status=204)
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def _claim(self, request: web.Request, raw: bytes) -> wire.Job | None:
        if request.headers["Authorization"] != f"Bearer {RUNNER_TOKEN}":
            raise Refusal(401, "unauthorized")
        claim = self._decode(raw, wire.Claim)
        self.claims.append(claim)
        for deploy in self.deploys.values():
            if deploy.claim_id == claim.claim_id:
                if deploy.state not in ("claimed", "running"):
                    raise Refusal(409, "claim_over")
                return self._job(deploy)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(claim.wait_s):
                while True:
                    for deploy in self.deploys.values():
                        if deploy.state == "queued":
                            deploy.state, deploy.lease = "claimed", secrets.token_hex(16)
                            deploy.claim_id, deploy.beaten = claim.claim_id, False
                            return self._job(deploy)
                    self._asked.clear()
                    await self._asked.wait()
        return None

    def _job(self, deploy: Deploy) -> wire.Job:
        return msgspec.structs.replace(deploy.job, lease=deploy.lease)

    async def _leased(self, name: str, request: web.Request, raw: bytes) -> msgspec.Struct:
        deploy = self.deploys[int(request.path.split("/")[-2])]
        if request.headers["Authorization"] != f"Bearer {deploy.lease}" or deploy.state == "queued":
            raise Refusal(409, "lease_over")
        if deploy.dead:
            raise Refusal(410, "declared_dead")
        if name == "log":
            return self._log(deploy, request, raw)
        if name == "beat":
            return await self._beat(deploy, self._decode(raw, wire.Beat))
        if name == "start":
            return self._start(deploy, self._decode(raw, wire.Start))
        if name == "finish":
            return self._finish(deploy, self._decode(raw, wire.Finish))
        return self._give_back(deploy, name, self._decode(raw, wire.Hold))

    async def _beat(self, deploy: Deploy, beat: wire.Beat) -> wire.BeatAnswer:
        if deploy.terminal:
            raise Refusal(409, "lease_over")
        deploy.beaten = True
        deploy.beats.append(beat)
        self._written(deploy, beat.status_written)
        if deploy.cancel is None and (deploy.renewed is None or deploy.told_at):
            deploy.poke.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wire.BEAT_S if beat.wait_s is None else beat.wait_s):
                    await deploy.poke.wait()
        if deploy.dead:
            raise Refusal(410, "declared_dead")
        if deploy.state == "queued" or (deploy.terminal and not deploy.finishes):
            raise Refusal(409, "lease_over")
        if deploy.renewed and not deploy.told_at:
            deploy.told_at = len(deploy.beats)
        return wire.BeatAnswer(cancel_requested=deploy.cancel, repo_token=deploy.renewed)

    def _written(self, deploy: Deploy, state: str | None) -> None:
        if state is None or state in deploy.confirmed:  # said again, because an answer was lost or still on its way
            return
        if deploy.writer != state:
            self.breaches.append(f"{state} confirmed, which was not granted (that was {deploy.writer})")
        deploy.confirmed.append(state)
        deploy.writer = None

    def _give_back(self, deploy: Deploy, name: str, hold: wire.Hold) -> wire.HoldAnswer:
        if deploy.terminal:
            raise Refusal(409, "lease_over")
        if deploy.state == "running":
            self.breaches.append(f"{name} of what runs")
            raise Refusal(409, "conflict")
        deploy.given_back.append((name, hold))
        deploy.state = "rejected" if name == "reject" else "queued-later"
        deploy.lease = ""
        return wire.HoldAnswer(state="rejected" if name == "reject" else "queued", ready=False)

    def _start(self, deploy: Deploy, start: wire.Start) -> wire.StartAnswer:
        if deploy.terminal:
            raise Refusal(409, "lease_over")
        deploy.starts.append(start)
        if deploy.start.answer == "no":
            deploy.state, deploy.lease = "queued-later", ""
            return deploy.start
        deploy.state = "running"
        answer = msgspec.structs.replace(deploy.start, cancel_requested=deploy.cancel)
        return msgspec.structs.replace(answer, status=self._grant(deploy, "in_progress", "Running."))

    def _grant(self, deploy: Deploy, state: str, description: str) -> wire.WireStatus | None:
        if not deploy.grants or deploy.job.deployment_id is None or deploy.writer not in (None, state):
            return None
        deploy.writer = state
        return wire.WireStatus(
            state=state,
            description=description,
            log_url="https://kedge.example.com/sentry/deploys/7",
            write_within_s=deploy.write_within_s,
        )

    def _log(self, deploy: Deploy, request: web.Request, raw: bytes) -> wire.LogAnswer:
        offset, codec = int(request.query["offset"]), request.query["codec"]
        data = zstandard.decompress(raw, max_output_size=wire.LOG_CHUNK) if codec == "zstd" else raw
        if self.log_limit is not None and len(raw) > self.log_limit:
            raise Refusal(413, "too_large")
        if len(data) > wire.LOG_CHUNK or request.content_type != "application/octet-stream":
            self.breaches.append(f"a chunk of {len(data)} bytes as {request.content_type}")
        known = deploy.chunks.get(offset, b"")
        if len(data) > len(known):
            deploy.chunks[offset] = data
        return wire.LogAnswer(end=len(deploy.log))

    def _finish(self, deploy: Deploy, finish: wire.Finish) -> wire.FinishAnswer:
        self._written(deploy, finish.status_written)
        plain = msgspec.structs.replace(finish, status_written=None)
        if deploy.finishes:
            if deploy.finishes[0] != plain:
                raise Refusal(409, "too_late")
        elif deploy.state == "claimed" and finish.ended_by != "error":
            self.breaches.append(f"finish({finish.ended_by}) of what was not started")
            raise Refusal(409, "conflict")
        elif len(deploy.log) != finish.log_end:
            self.breaches.append(f"finish at {finish.log_end} with {len(deploy.log)} bytes of log")
        deploy.finishes.append(plain)
        deploy.state = {"exit": "succeeded" if finish.exit_code == 0 else "failed", "error": "errored"}.get(
            finish.ended_by, "cancelled" if finish.ended_by == "cancel" else "failed"
        )
        shown = {"succeeded": "success", "failed": "failure"}.get(deploy.state, "error")
        status = None if shown in deploy.confirmed else self._grant(deploy, shown, f"It {deploy.state}.")
        return wire.FinishAnswer(state=deploy.state, status=status)

    def _decode(self, raw: bytes, kind: type[Body]) -> Body:
        """Names that the wire does not know are a breach."""
        sent: dict[str, Any] = msgspec.json.decode(raw)
        if unknown := set(sent) - {each.name for each in msgspec.structs.fields(kind)}:
            self.breaches.append(f"unknown in {kind.__name__}: {unknown}")
        return msgspec.convert(sent, kind)


def _without_length(answer: web.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in ("Content-Length",)}


@asynccontextmanager
async def serving() -> AsyncIterator[FakeApp]:
    fake = FakeApp()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/{path:.*}", fake.serve)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    try:
        fake.url = str(server.make_url("")).rstrip("/")
        yield fake
    finally:
        await server.close()
