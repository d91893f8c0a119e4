"""The app's service behind its real HTTP door, with a clock that the test turns and a provider in memory."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ghapp.api import runner as runner_api
from ghapp.api.auth import authenticate
from ghapp.api.common import CONTEXT, SETTINGS, Handler, errors, wire_version
from ghapp.config import Settings
from ghapp.core.checks import Check, CheckState
from ghapp.core.remote import RemoteError
from ghapp.core.settings import Network
from ghapp.core.values import Commit, CommitStatus, DeploymentStatus, Lock, Repository
from ghapp.service import acting, hearing, outgoing, reload, sweeping
from ghapp.service.context import Context
from ghapp.store import deploys, places
from ghapp.store.deploys import Deploy
from ghapp.store.stores import Stores
from ghapp.vcs.base import Comparison, NewDeployment, Registered, RepoToken, ShownStatus
from ghapp.vcs.events import CheckEvent, DeploymentEvent, Event
from ghapp.vcs.github_webhooks import GitHubWebhooks
from ghapp.vcs.provider import Webhooks
from tests.whole_provider import WholeProvider

RUNNER_TOKEN = "runner-token-of-the-tests-0123456789"
ADMIN_TOKEN = "admin-token-of-the-tests-0123456789"
WEBHOOK_SECRET = "webhook-secret-of-the-tests"
REPOSITORY = Repository(7, "acme/hello", "https://github.test/acme/hello.git", "main")
CONFIG = """
hello:
  repository: acme/hello
  deploy: "./deploy.sh {env} {sha}"
  environments:
    staging: {}
    production: {checks: [ci], checks_timeout: 10m}
"""
SHA = "a" * 40


@dataclass
class MemoryProvider(WholeProvider):
    """What a provider shows, in memory. ``refusals`` are raised by the next calls that write, one each, and nothing
    is written; those in ``lost`` are raised after the write was done. While ``gate`` is set, writes wait for it
    before they are done, and ``waiting`` tells how many do."""

    statuses: dict[int, list[DeploymentStatus]] = field(default_factory=dict)
    writes: int = 0
    refusals: list[Exception] = field(default_factory=list)
    lost: list[Exception] = field(default_factory=list)
    gate: asyncio.Event | None = None
    waiting: int = 0
    registered: dict[str, Registered] = field(default_factory=dict)
    permissions: dict[str, str] = field(default_factory=dict)
    permission_problem: RemoteError | None = None
    owner_login: str | None = "acme"
    owner_problem: RemoteError | None = None
    token_problem: RemoteError | None = None
    missing: tuple[str, ...] = ()
    repositories: list[Repository] = field(default_factory=lambda: [REPOSITORY])
    reachable_from: bool = True
    token_serial: int = 1
    changes: dict[int, list[tuple[str, bytes | None]]] = field(default_factory=dict)
    """What each repository's own config was at each commit that touched it, oldest first."""
    commit_statuses: list[CommitStatus] = field(default_factory=list)
    reads: int = 0
    own_checks: tuple[str, ...] = ("status/kedge", "run/99/")
    api_url: str = "https://api.github.test"
    webhooks: Webhooks | None = field(default_factory=lambda: GitHubWebhooks([WEBHOOK_SECRET]))

    async def owner(self) -> str | None:
        if self.owner_problem:
            raise self.owner_problem
        return self.owner_login

    async def find_repository(self, name: str) -> list[Repository]:
        return [one for one in self.repositories if name in {one.full_name, one.full_name.partition("/")[2]}]

    async def installed(self) -> list[Repository]:
        if self.refusals:
            raise self.refusals.pop(0)
        return list(self.repositories)

    def files(self, repository: Repository) -> "MemoryFiles":
        return MemoryFiles(self, repository.id)

    async def repo_token(self, repository: Repository) -> RepoToken:
        if self.token_problem:
            raise self.token_problem
        return RepoToken(f"token-{self.token_serial}", 10_000_000_000_000 + self.token_serial, self.missing)

    async def checks_of(self, sha: str) -> Sequence[Check]:
        return []

    async def create_status(self, deployment_id: int, status: DeploymentStatus) -> None:
        self.writes += 1
        if self.gate:
            self.waiting += 1
            await self.gate.wait()
            self.waiting -= 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.statuses.setdefault(deployment_id, []).append(status)
        if self.lost:
            raise self.lost.pop(0)

    def write(self, deployment_id: int, state: str, description: str) -> None:
        """Somebody else writes a status: a runner, or a person."""
        self.statuses.setdefault(deployment_id, []).append(DeploymentStatus(state, description))

    async def newest_status(self, deployment_id: int) -> ShownStatus | None:
        shown = self.statuses.get(deployment_id)
        return ShownStatus(shown[-1].state, shown[-1].description, 0, shown[-1].log_url) if shown else None

    async def permission(self, user: str) -> str:
        if self.permission_problem:
            raise self.permission_problem
        return self.permissions.get(user, "write")

    async def in_team(self, team: str, user: str) -> bool:
        return False

    async def login(self) -> str:
        return "kedge[bot]"

    async def commit(self, ref: str) -> Commit:
        return Commit(ref if len(ref) == 40 else SHA, "a commit", "ana", 0)

    async def default_branch(self) -> str:
        return "main"

    async def compare(self, base: str, head: str) -> Comparison:
        return Comparison("identical", 0, 0, ())

    async def create_deployment(self, new: NewDeployment) -> Registered:
        if self.refusals:
            raise self.refusals.pop(0)
        registered = Registered(1000 + len(self.registered), 1_800_000_200_000)
        self.registered[new.request] = registered
        if self.lost:
            raise self.lost.pop(0)
        return registered

    async def find_deployment(self, new: NewDeployment) -> Registered | None:
        return self.registered.get(new.request)

    async def reachable(self, sha: str, refs: Sequence[str]) -> bool:
        return self.reachable_from


@dataclass
class MemoryFiles:
    """What a repository of `MemoryProvider` holds of its own config."""

    provider: MemoryProvider
    repository_id: int

    async def newest_change(self, path: str, branch: str) -> str | None:
        assert (path, branch) == (".github/kedge.yml", "main")
        if self.provider.refusals:
            raise self.provider.refusals.pop(0)
        changes = self.provider.changes.get(self.repository_id)
        return changes[-1][0] if changes else None

    async def read_file(self, path: str, sha: str) -> bytes | None:
        self.provider.reads += 1
        return dict(self.provider.changes[self.repository_id])[sha]

    async def create_commit_status(self, status: CommitStatus) -> None:
        if self.provider.refusals:
            raise self.provider.refusals.pop(0)
        self.provider.commit_statuses.append(status)


@dataclass
class Rig:
    """Drives the app as GitHub, people, runners and time would."""

    ctx: Context
    provider: MemoryProvider
    client: TestClient[web.Request, web.Application]
    clock: list[int]
    ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    handling: list[web.Request] = field(default_factory=list)
    """Requests whose handlers have not ended."""

    # Time

    async def pass_s(self, seconds: float) -> None:
        """Let time pass, and what time brings happen."""
        self.clock[0] += int(seconds * 1000)
        for job in (sweeping.expire_leases, sweeping.expire_locks, sweeping.time_out_checks):
            await job(self.ctx)

    async def deliver(self) -> None:
        """Let the outbox deliver all that is due."""
        while await outgoing.deliver_due(self.ctx):
            pass

    def restart(self) -> None:
        """The app starts anew on the same database: what it had in memory is gone."""
        self.ctx.started_at = self.ctx.now()
        for memory in (self.ctx.handed_out, self.ctx.told_cancel, self.ctx.quiet_until):
            memory.clear()

    async def config(self, text: str) -> None:
        """Another config is in force."""
        await reload.put_in_force(self.ctx, text)
        assert self.ctx.apps.problem is None, self.ctx.apps.problem

    # GitHub

    async def hear(self, event: Event) -> bool:
        plan = await hearing.prepare(self.ctx, "github", event)
        return await self.ctx.decide(plan)

    async def deployment(self, environment: str = "staging", **changes: Any) -> Deploy:
        """A deployment is created on GitHub; the deploy it becomes."""
        deployment_id = changes.pop("deployment_id", None) or next(self.ids)
        values: dict[str, Any] = {
            "repository": REPOSITORY,
            "installation_id": 5,
            "deployment_id": deployment_id,
            "sha": SHA,
            "ref": "main",
            "task": "deploy",
            "environment": environment,
            "creator": "ana",
            "creator_is_person": True,
            "created_at": self.clock[0],
        }
        event = DeploymentEvent(**{**values, **changes})
        await self.hear(event)
        return await self.by_deployment(deployment_id, event.repository)

    async def by_deployment(self, deployment_id: int, repository: Repository = REPOSITORY) -> Deploy:
        async def find(tx: Any) -> Deploy | None:
            repository_id = await places.repository_by_provider_id(tx, "github", repository.id)
            return await deploys.by_deployment(tx, repository_id or 0, deployment_id)

        deploy = await self.ctx.stores.main.read(find)
        assert deploy is not None, f"deployment {deployment_id} became no deploy"
        return deploy

    async def check(self, name: str, state: str, *, at: int = 0, serial: int = 0, sha: str = SHA) -> None:
        """GitHub tells of a commit status."""
        check = Check(f"status/{name}", name, CheckState(state), at or self.clock[0], serial or next(self.ids))
        await self.hear(CheckEvent(REPOSITORY, sha, check))

    def shown(self, deploy: Deploy) -> list[str]:
        """The states the provider was shown, in order."""
        return [status.state for status in self.provider.statuses.get(deploy.deployment_id or 0, [])]

    # People

    async def get(self, deploy: Deploy) -> Deploy:
        found = await self.ctx.stores.main.read(lambda tx: deploys.get(tx, deploy.id))
        assert found is not None
        return found

    async def cancel(self, deploy: Deploy, who: str = "bob") -> Deploy:
        return await self.ctx.decide(lambda tx: acting.cancel(tx, self.ctx, deploy.id, who))

    async def force(self, deploy: Deploy, what: str, who: str = "bob") -> Deploy:
        return await self.ctx.decide(lambda tx: acting.force(tx, self.ctx, deploy.id, who, frozenset({what})))

    async def declare_dead(self, deploy: Deploy, who: str = "bob") -> Deploy:
        return await self.ctx.decide(lambda tx: acting.declare_dead(tx, self.ctx, deploy.id, who))

    async def lock(self, deploy: Deploy, who: str = "bob", until: int | None = None) -> None:
        lock = Lock(who, "broken db", self.clock[0], until, deploy.app, deploy.environment)
        await self.ctx.decide(lambda tx: acting.lock(tx, self.ctx, deploy.app_id, deploy.environment_id, lock))

    async def unlock(self, deploy: Deploy, who: str = "bob") -> bool:
        return await self.ctx.decide(lambda tx: acting.unlock(tx, self.ctx, deploy.app_id, deploy.environment_id, who))

    # The runner

    async def post(self, path: str, token: str, body: Any = None, data: bytes | None = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}", "Kedge-Wire-Version": "1"}
        async with self.client.post(path, headers=headers, json=body, data=data) as response:
            assert response.headers["Kedge-Wire-Version"] == "1"
            return response.status, await response.json() if response.status != 204 else None

    async def claim(self, claim_id: str | None = None, **wish: Any) -> tuple[int, Any]:
        body = {"claim_id": claim_id or f"claim-{next(self.ids)}", "runner": "r1", "wait_s": 0, **wish}
        return await self.post("/api/0/runner/claim", RUNNER_TOKEN, body)

    async def claimed(self, **wish: Any) -> dict[str, Any]:
        """The job of a claim that must succeed."""
        status, job = await self.claim(**wish)
        assert status == 200, job
        assert isinstance(job, dict)
        return job

    async def call(self, job: dict[str, Any], name: str, **body: Any) -> tuple[int, Any]:
        return await self.post(f"/api/0/runner/deploys/{job['id']}/{name}", job["lease"], body)

    async def beat(self, job: dict[str, Any], **body: Any) -> tuple[int, Any]:
        return await self.call(job, "beat", **{"phase": "running", "wait_s": 0, **body})

    async def hold(self, job: dict[str, Any], call: str = "hold", **body: Any) -> tuple[int, Any]:
        blockers = [{"kind": "checks", "message": "Waiting for check ci."}]
        return await self.call(job, call, **{"check_counter": job["check_counter"], "blockers": blockers, **body})

    async def start(self, job: dict[str, Any], **body: Any) -> tuple[int, Any]:
        said = {"check_counter": job["check_counter"], "checks_age_s": 0.1, "boot_id": "b1", **body}
        return await self.call(job, "start", **said)

    async def started(self, environment: str = "staging") -> tuple[Deploy, dict[str, Any]]:
        """A deploy whose command is allowed to run; its runner was granted the status ``in_progress``."""
        deploy = await self.deployment(environment)
        job = await self.claimed()
        status, answer = await self.start(job)
        assert (status, answer["answer"]) == (200, "yes"), answer
        return await self.get(deploy), job

    async def ready(self, deploy: Deploy) -> bool:
        """May it be claimed now?"""
        now = await self.get(deploy)
        return now.state == "queued" and now.ready_at is not None and now.ready_at <= self.clock[0]

    async def in_state(self, state: str) -> tuple[Deploy, dict[str, Any]]:
        """A deploy in a state (``lost`` and ``dead`` too) and the job of its lease, which for a queued one is over."""
        deploy = await self.deployment()
        job = await self.claimed(claim_id="first")
        if state == "queued":
            await self.hold(job)
        if state in {"running", "lost", "dead", "succeeded"}:
            await self.start(job)
        if state in {"lost", "dead"}:
            await self.pass_s(61)
        if state == "dead":
            await self.declare_dead(deploy)
        if state == "succeeded":
            await self.finish(job)
        return await self.get(deploy), job

    async def finish(self, job: dict[str, Any], ended_by: str = "exit", **body: Any) -> tuple[int, Any]:
        said = {"ended_by": ended_by, "started": True, "ended_at": "2026-01-01T00:00:00Z", "exit_code": 0, **body}
        return await self.call(job, "finish", **said)

    async def log(self, job: dict[str, Any], offset: int, data: bytes) -> tuple[int, Any]:
        path = f"/api/0/runner/deploys/{job['id']}/log?offset={offset}&codec=identity"
        return await self.post(path, job["lease"], data=data)


def settings() -> Settings:
    return Settings(
        host="127.0.0.1",
        port=0,
        url="https://kedge.test",
        data=Path("/nonexistent"),
        database_url="",
        apps_path=None,
        apps_text=CONFIG,
        accounts=(),
        secret_keys=("k" * 32,),
        admin_token=ADMIN_TOKEN,
        runner_token=RUNNER_TOKEN,
        anonymous_read=False,
        inbound="none",
        github=None,
        network=Network(),
    )


@asynccontextmanager
async def rig_on(stores: Stores) -> AsyncIterator[Rig]:
    """A rig on these stores, up for long enough that things may expire."""
    clock = [1_800_000_000_000]
    provider = MemoryProvider()
    ctx = Context(
        stores=stores,
        providers={"github": provider},  # all of it that these calls use
        url="https://kedge.test",
        lease_key=b"k" * 32,
        now=lambda: clock[0],
    )
    await reload.put_in_force(ctx, CONFIG)
    clock[0] += 120_000
    handling: list[web.Request] = []

    @web.middleware
    async def watch(request: web.Request, handler: Handler) -> web.StreamResponse:
        handling.append(request)
        try:
            return await handler(request)
        finally:
            handling.remove(request)

    app = web.Application(middlewares=[watch, wire_version, errors, authenticate], client_max_size=2 << 20)
    app[CONTEXT] = ctx
    app[SETTINGS] = settings()
    app.add_routes([route.definition() for route in runner_api.ROUTES])
    server = TestServer(app, handler_cancellation=True)
    async with TestClient(server) as client:
        yield Rig(ctx, provider, client, clock, handling=handling)
