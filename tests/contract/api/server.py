"""The whole API on loopback, in a thread of its own, for callers that block. Things have happened in its app."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ghapp.api import streaming
from ghapp.core.actors import ADMIN, SCOPES
from ghapp.core.checks import Check
from ghapp.core.limits import Rate
from ghapp.service import tokens
from ghapp.service.limits import Limits
from ghapp.store.stores import open_stores
from ghapp.vcs.base import NewDeployment, Registered
from tests.integration.commit_graph import Commits, sha
from tests.integration.kedge_world import ADMIN_TOKEN, NOON, World, world

_NO_LIMIT = Rate(1e6, 10**6)


class Provider(Commits):
    """Also registers deployments, and has no checks."""

    async def checks_of(self, sha: str) -> list[Check]:
        return []

    async def in_team(self, team: str, user: str) -> bool:
        return False

    async def create_deployment(self, new: NewDeployment) -> Registered:
        return Registered(hash(new.request) % 10**9, NOON)


@dataclass(frozen=True, slots=True)
class Served:
    """``tokens`` by their only scope, with ``all`` for KEDGE_ADMIN_TOKEN and ``none`` for no token. ``lease`` is that
    of the running deploy ``running`` (its id)."""

    url: str
    tokens: dict[str, str | None]
    running: int
    lease: str


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Until the block is left."""
    ready: list[Served | BaseException] = []
    told, stop = threading.Event(), threading.Event()

    async def serve() -> None:
        stores = await open_stores(f"sqlite:///{folder / 'kedge.sqlite'}")
        try:
            async with world(stores) as kedge:
                ready.append(await _prepared(kedge))
                told.set()
                while not stop.is_set():
                    kedge.ctx.signals.send(streaming.STOPPING)  # whoever follows is answered at once
                    await asyncio.sleep(0.02)
        finally:
            await stores.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            ready.append(error)
            raise
        finally:
            told.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert told.wait(60)
        found = ready[-1]
        if isinstance(found, BaseException):
            raise found
        yield found
    finally:
        stop.set()
        thread.join(60)


async def _prepared(kedge: World) -> Served:
    """Deploys that ended, one that runs, one that waits; long polls are answered at once."""
    provider = Provider()
    provider.grow("abc")
    kedge.ctx.providers = {"github": provider}
    kedge.ctx.limits = Limits(_NO_LIMIT, _NO_LIMIT, _NO_LIMIT)
    for letter, exit_code in zip("abc", (0, 1, 0), strict=True):
        done = await kedge.running(environment="production", sha=sha(letter))
        await kedge.log(done, b"one\ntwo\n")
        await kedge.finish(done, exit_code, log_end=8)
    running = await kedge.running(environment="production")
    await kedge.ask(environment="production")
    made: dict[str, str | None] = {"all": ADMIN_TOKEN, "none": None}
    for scope in SCOPES:
        new = tokens.NewToken(name=scope, owner="ana", scopes=[scope])
        made[scope] = (await tokens.create(kedge.ctx, ADMIN, new)).secret
    kedge.ctx.stopping = True
    port = cast(int, kedge.client.port)
    return Served(f"http://127.0.0.1:{port}", made, running.id, kedge.leases[running.id])
