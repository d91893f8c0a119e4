"""The app's reading half on a real database, with a repository token that costs nothing: for tests of API and pages."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import zstandard
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ghapp.api import routes as api_routes
from ghapp.api import streaming
from ghapp.api.common import BODY_LIMIT, CONTEXT, SETTINGS
from ghapp.app import MIDDLEWARES
from ghapp.config import Settings
from ghapp.core.settings import Network
from ghapp.core.values import Blocker, Door, EndedBy, Repository
from ghapp.service import asking, claiming, finishing, leases, reload
from ghapp.service.asking import Request
from ghapp.service.context import Context
from ghapp.service.finishing import End
from ghapp.service.leases import Report
from ghapp.store import deploys, places
from ghapp.store.base import Tx
from ghapp.store.deploys import Deploy
from ghapp.store.logs import Chunk
from ghapp.store.stores import Stores
from ghapp.vcs.base import RepoToken
from ghapp.vcs.record import DeliveryLog
from ghapp.web import routes as web_routes
from ghapp.web.shell import secure
from tests.whole_provider import WholeProvider

ADMIN_TOKEN = "admin-token-0123456789abcdef"
BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
CONFIG = """
shop:
  via: github
  repository: acme/shop
  deploy: "./deploy {env} {sha}"
  environments:
    staging: {aliases: [stg]}
    production: {}
blog:
  via: github
  deploy: "./deploy"
"""
#: 2026-11-23T14:00:00Z
NOON = 1_795_442_400_000
_NEVER_READ = object()


class Provider(WholeProvider):
    """As much of a provider as a claim needs; it keeps a record that is never read here."""

    record = cast(DeliveryLog, _NEVER_READ)
    api_url = "https://api.github.com"

    async def login(self) -> str:
        return "kedge[bot]"

    async def owner(self) -> str | None:
        return "acme"

    async def installed(self) -> list[Repository]:
        raise NotImplementedError

    async def find_repository(self, name: str) -> list[Repository]:
        raise NotImplementedError

    async def repo_token(self, repository: Repository) -> RepoToken:
        return RepoToken("token", NOON + 3_600_000)


def settings(**changes: object) -> Settings:
    made = Settings(
        host="127.0.0.1",
        port=8000,
        url="http://kedge.example",
        data=Path("/nowhere"),
        database_url="",
        apps_path=None,
        apps_text=CONFIG,
        accounts=(),
        secret_keys=("k" * 32,),
        admin_token=ADMIN_TOKEN,
        runner_token="runner-token-0123456789abcdef",
        anonymous_read=False,
        inbound="none",
        github=None,
        network=Network(),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@dataclass
class World:
    """A running app. ``now`` is its clock, in ms."""

    ctx: Context
    client: "TestClient[web.Request, web.Application]"
    now: list[int]
    leases: dict[int, str] = field(default_factory=dict)

    async def ask(self, app: str = "shop", environment: str = "production", **changes: object) -> Deploy:
        """A deploy as a GitHub deployment asks for it; each has a sha of its own."""
        config = self.ctx.apps.configs[app]
        environment_config = config.environment(environment)
        assert environment_config
        self.now[0] += 1000

        async def work(tx: Tx) -> Deploy:
            row = await places.keep_app(tx, app)
            repository = Repository(7, "acme/shop", "https://github.com/acme/shop.git")
            repository_id = await places.keep_repository(tx, "github", repository)
            await places.bind_app(tx, row.id, repository_id)
            request = Request(
                request=f"test-{self.now[0]}",
                config=environment_config,
                repository_id=repository_id,
                door=Door.DEPLOYMENT,
                task="deploy",
                ref="main",
                sha=f"{self.now[0]:040x}",
                user="alice",
                asked_at=self.now[0],
            )
            target = await places.keep_environment(tx, row, environment_config.name)
            return await asking.ask(tx, self.ctx, target, replace(request, **changes))  # type: ignore[arg-type]

        return await self.ctx.decide(work)

    async def claim(self, runner: str = "r1", labels: tuple[str, ...] = ()) -> Deploy:
        claimed = await self._claim(runner, labels)
        assert claimed
        self.leases[claimed.deploy.id] = claimed.lease
        return claimed.deploy

    async def claim_nothing(self, runner: str) -> None:
        assert await self._claim(runner, ()) is None

    async def _claim(self, runner: str, labels: tuple[str, ...]) -> claiming.Claimed | None:
        wish = claiming.Wish(
            claim_id=f"claim-{runner}-{self.now[0]}",
            runner=runner,
            labels=labels,
            apps=None,
            boot_id="b",
            version="1",
            wait_s=0,
        )
        return await claiming.claim(self.ctx, wish)

    async def hold(self, deploy: Deploy, *blockers: Blocker) -> Deploy:
        report = Report(0, blockers, ())
        lease = self.leases[deploy.id]
        return await self.ctx.decide(lambda tx: leases.hold(tx, self.ctx, deploy.id, lease, report))

    async def reject(self, deploy: Deploy, *blockers: Blocker) -> Deploy:
        report = Report(0, blockers, ())
        lease = self.leases[deploy.id]
        return await self.ctx.decide(lambda tx: leases.reject(tx, self.ctx, deploy.id, lease, report))

    async def start(self, deploy: Deploy) -> Deploy:
        lease = self.leases[deploy.id]
        self.now[0] += 1000
        return (await self.ctx.decide(lambda tx: leases.start(tx, self.ctx, deploy.id, lease, 0))).deploy

    async def running(self, **asked: object) -> Deploy:
        await self.ask(**asked)  # type: ignore[arg-type]
        return await self.start(await self.claim())

    async def log(self, deploy: Deploy, data: bytes, start: int = 0, *, codec: str = "zstd") -> int:
        body = zstandard.ZstdCompressor(1).compress(data) if codec == "zstd" else data
        chunk = Chunk(start, len(data), codec, body)
        return await finishing.log(self.ctx, deploy.id, self.leases[deploy.id], chunk)

    async def finish(self, deploy: Deploy, exit_code: int = 0, *, log_end: int = 0) -> Deploy:
        self.now[0] += 1000
        end = End(ended_by=EndedBy.EXIT, started=True, ended_at=self.now[0], exit_code=exit_code, log_end=log_end)
        lease = self.leases[deploy.id]
        finished = await self.ctx.decide(lambda tx: finishing.finish(tx, self.ctx, deploy.id, lease, end))
        return finished.deploy

    async def known(self, deploy: Deploy) -> Deploy:
        found = await self.ctx.stores.main.read(lambda tx: deploys.get(tx, deploy.id))
        assert found
        return found


@asynccontextmanager
async def world(stores: Stores, **changes: object) -> AsyncIterator[World]:
    """The app with its routes and middlewares, served on loopback."""
    chosen = settings(**changes)
    now = [NOON]
    ctx = Context(stores, {"github": Provider()}, chosen.url, b"lease", now=lambda: now[0])
    await reload.put_in_force(ctx, CONFIG)
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=BODY_LIMIT * 2)
    app[CONTEXT], app[SETTINGS] = ctx, chosen
    app.on_response_prepare.append(secure)
    app.on_shutdown.append(streaming.stop_following)
    api_routes.install(app)
    app.add_routes(web_routes.routes())
    client = TestClient(TestServer(app))
    await client.start_server()
    try:
        yield World(ctx, client, now)
    finally:
        await client.close()
