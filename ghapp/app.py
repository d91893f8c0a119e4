"""Builds the aiohttp application: the one place that knows every concrete class."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from functools import partial

import aiohttp
import structlog
from aiohttp import web

from ghapp.api import routes as api_routes
from ghapp.api.auth import authenticate
from ghapp.api.common import BODY_LIMIT, CONTEXT, SETTINGS, errors, wire_version
from ghapp.api.observing import observe
from ghapp.api.streaming import stop_following
from ghapp.config import Settings, read_apps, unmet
from ghapp.service import outgoing, reconciling, reload, sweeping, tokens
from ghapp.service.context import Context
from ghapp.store.base import StoreError
from ghapp.store.stores import open_stores
from ghapp.vcs import github_events
from ghapp.vcs.base import AppClient, SignIn
from ghapp.vcs.github_app import GitHubApp
from ghapp.vcs.github_sign_in import GitHubSignIn
from ghapp.vcs.session import open_session
from ghapp.web import routes as web_routes
from ghapp.web.shell import refusals, secure
from ghapp.webhooks import receive, work

log = structlog.get_logger(__name__)

#: From the outside in.
MIDDLEWARES = (observe, wire_version, errors, refusals, authenticate)
#: For requests under way; long polls are answered at once.
SHUTDOWN_S = 5.0


def providers(settings: Settings, session: aiohttp.ClientSession) -> dict[str, AppClient]:
    """The app's own clients, by provider name."""
    github = settings.github
    if github is None:
        return {}
    return {"github": GitHubApp(session, app_id=github.app_id, private_key=github.private_key, api_url=github.api_url)}


def sign_ins(settings: Settings, session: aiohttp.ClientSession) -> dict[str, SignIn]:
    """Where people can sign in, by provider name."""
    github = settings.github
    if github is None or github.client_id is None or github.client_secret is None:
        return {}
    made = GitHubSignIn(
        session,
        client_id=github.client_id,
        client_secret=github.client_secret,
        web_url=github.web_url,
        api_url=github.api_url,
    )
    return {"github": made}


async def _context(settings: Settings, app: web.Application) -> AsyncIterator[None]:
    """Open what the app needs, run its workers, and end them in the opposite order."""
    stores = await open_stores(settings.database_url)
    async with open_session() as session:
        ctx = Context(
            stores=stores,
            providers=providers(settings, session),
            sign_ins=sign_ins(settings, session),
            url=settings.url,
            lease_key=hashlib.sha256(b"lease:" + settings.secret_keys[-1].encode()).digest(),
        )
        app[CONTEXT] = ctx
        await reload.put_in_force(ctx, read_apps(settings))
        workers = [asyncio.create_task(job, name=name) for name, job in _workers(settings, ctx)]
        try:
            yield
        finally:
            for worker in workers:
                worker.cancel()
            for worker in workers:
                with suppress(asyncio.CancelledError):
                    await worker
            with suppress(StoreError):
                await tokens.keep_uses(ctx)
            await stores.close()


def _workers(settings: Settings, ctx: Context) -> list[tuple[str, Coroutine[None, None, None]]]:
    every_s = reconciling.ALONE_S if settings.inbound == "none" else reconciling.BESIDE_S
    return [
        ("inbox", work.work_forever(ctx, github_events.parse)),
        ("reconciler", reconciling.reconcile_forever(ctx, every_s)),
        ("outbox", outgoing.deliver_forever(ctx)),
        ("sweep", sweeping.sweep_forever(ctx)),
        ("config", reload.watch_forever(ctx, partial(read_apps, settings), partial(unmet, settings))),
    ]


def build(settings: Settings) -> web.Application:
    """The application, ready to be served; nothing is opened before it starts."""
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=BODY_LIMIT * 2)
    app[SETTINGS] = settings
    app.on_response_prepare.append(secure)
    app.cleanup_ctx.append(partial(_context, settings))
    app.on_shutdown.extend([_answer_long_polls, stop_following])
    app.add_routes(receive.routes())
    api_routes.install(app)
    app.add_routes(web_routes.routes())
    return app


async def _answer_long_polls(app: web.Application) -> None:
    app[CONTEXT].stop()


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set. ``handler_cancellation``: a client that hangs up ends its handler, so that no
    claim is given to a runner that is gone (https://docs.aiohttp.org/en/stable/web_advanced.html#web-handler-cancellation).
    """
    runner = web.AppRunner(build(settings), handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
        log.info("serving", url=settings.url, host=settings.host, port=settings.port)
        await stop.wait()
    finally:
        await runner.cleanup()
