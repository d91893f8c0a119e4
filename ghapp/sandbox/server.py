"""A GitHub in a box: `Sandbox` serves it on loopback and is its Python API.

async with Sandbox(folder) as gh:
    gh.add_repository("acme/hello")
    app = gh.add_app(webhook_url="http://127.0.0.1:8000/webhooks/github")
    gh.install(app.id, ["acme/hello"])
    gh.set_status("acme/hello", "main", "ci", "success")
    gh.create_deployment("acme/hello", by="ana", environment="staging")
    await gh.settled()
"""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from . import control, dispatch, git_http, oauth, pages
from .box import Box
from .faults import Fault
from .world import now


class Sandbox(Box):
    """A Box behind a server. `port` 0 takes a free one. `enterprise`: the API is only where an Enterprise server has
    it; else it is below the web address too, as api.github.com has it."""

    def __init__(
        self, folder: Path, *, port: int = 0, clock: Callable[[], int] = now, enterprise: bool = False
    ) -> None:
        super().__init__(folder, clock=clock)
        self._port = port
        self.enterprise = enterprise
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The web address, and the API's in github.com's shape. Known once started."""
        return self.world.url

    @property
    def api_url(self) -> str:
        """The API's base address, as an Enterprise server has it."""
        return self.world.links.api

    @property
    def git_url(self) -> str:
        """Repositories are at `{git_url}/{owner}/{name}.git`."""
        return self.world.url

    async def start(self) -> None:
        """Listen on loopback; after a stop, on the same port again."""
        app = web.Application(client_max_size=25 * 1024**2)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self.world.url = f"http://127.0.0.1:{self._port}"
        await self.hooks.start()

    async def stop(self) -> None:
        """Close everything; what it knows, and webhooks not yet sent, are kept for the next start."""
        await self.hooks.stop()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.faults.clear()
        await self.stop()

    async def settled(self, timeout_s: float = 30.0) -> None:
        """Wait until all webhooks were sent. Raises TimeoutError; RuntimeError where they are held."""
        await self.hooks.settled(timeout_s)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == control.DOOR or request.path.startswith(f"{control.DOOR}/"):
            return await control.serve(request, self)
        if git_http.PATH.fullmatch(request.path):
            work: dispatch.Work = self._git
            path = request.path
        elif request.path.startswith(oauth.PATH):
            work, path = self._oauth, request.path
        elif pages.PATH.fullmatch(request.path):
            work, path = self._page, request.path
        elif self.enterprise and not request.path.startswith(f"{dispatch.ENTERPRISE}/"):
            return web.Response(status=404, text="Not Found")
        else:
            work = self._rest
            path = request.path.removeprefix(dispatch.ENTERPRISE) or "/"
        return await dispatch.guarded(request, path, self.world, self.faults, self.requests, work)

    async def _git(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        return await git_http.serve(request, self.world)

    async def _oauth(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        return await oauth.serve(request, self.world)

    async def _page(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        return await pages.serve(request, self.world)

    async def _rest(self, request: web.Request, fault: Fault | None) -> web.StreamResponse:
        path = request.path.removeprefix(dispatch.ENTERPRISE) or "/"
        return await dispatch.rest(request, path, self.world, fault)
