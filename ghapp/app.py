"""Builds the aiohttp application: the one place that knows every concrete class."""

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial

import aiohttp
import structlog
from aiohttp import web

from ghapp.api import routes as api_routes
from ghapp.api.auth import authenticate
from ghapp.api.common import BODY_LIMIT, CONTEXT, SETTINGS, errors, wire_version
from ghapp.api.observing import observe
from ghapp.api.streaming import stop_following
from ghapp.channels.sentry import SentryClient
from ghapp.channels.slack import SlackClient
from ghapp.channels.slack_replies import SlackReplies
from ghapp.channels.slack_socket import SlackSocket
from ghapp.channels.slack_webhook import SlackWebhook
from ghapp.channels.webhooks import WebhookClient
from ghapp.config import Settings, read_apps, unmet
from ghapp.config_github import kept_settings
from ghapp.core.settings import SettingsError
from ghapp.credentials import PURPOSE, Credentials, opened, sealed, write
from ghapp.sealing import sealer
from ghapp.service import (
    discovering,
    judging,
    messaging,
    outgoing,
    polling,
    reconciling,
    reload,
    sentry_telling,
    setting_up,
    slack_answers,
    slack_hearing,
    slack_hook,
    slack_telling,
    sweeping,
    tokens,
    webhook_telling,
)
from ghapp.service.channel import Channel
from ghapp.service.context import Context, system_clock
from ghapp.service.sentry_telling import SentryTelling
from ghapp.service.slack_answers import SlackAnswers
from ghapp.service.slack_hook import SlackHook
from ghapp.service.slack_people import SlackPeople
from ghapp.service.slack_telling import SlackTelling
from ghapp.service.webhook_telling import WebhookTelling
from ghapp.store import credentials as stored
from ghapp.store.base import StoreError
from ghapp.store.stores import open_stores
from ghapp.vcs import registry
from ghapp.vcs.base import SignIn
from ghapp.vcs.github_app import GitHubApp
from ghapp.vcs.github_sign_in import GitHubSignIn
from ghapp.vcs.provider import Opening, Provider
from ghapp.vcs.session import open_session, proxy_for, proxy_named_for
from ghapp.web import routes as web_routes
from ghapp.web.setup import SETUP, Setup, until_set_up
from ghapp.web.shell import refusals, secure
from ghapp.webhooks import receive, work

log = structlog.get_logger(__name__)

#: From the outside in.
MIDDLEWARES = (observe, wire_version, errors, refusals, until_set_up, authenticate)
#: For requests under way; long polls are answered at once.
SHUTDOWN_S = 5.0


def providers(settings: Settings, session: aiohttp.ClientSession) -> dict[str, Provider]:
    """Those that need settings of their own, by name; others are opened when a config names them."""
    github = settings.github
    if github is None:
        return {}
    made = GitHubApp(
        session,
        app_id=github.app_id,
        private_key=github.private_key,
        api_url=github.api_url,
        webhook_secrets=github.webhook_secrets,
    )
    return {"github": made}


def _open(settings: Settings, session: aiohttp.ClientSession, name: str) -> Provider:
    """A provider that needs no settings of Kedge's. Raises SettingsError where it cannot be opened."""
    folder = settings.data / "providers" / name
    try:
        return registry.provider(name)(Opening(session=session, folder=folder, environ=os.environ))
    except Exception as error:  # a third party's class may raise anything
        raise SettingsError([f"The provider {name} cannot be opened: {type(error).__name__}: {error}."]) from error


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


def channels(settings: Settings, session: aiohttp.ClientSession) -> dict[str, Channel]:
    """Where Kedge speaks beside the providers, by name."""
    return {**_slack(settings, session), **_notices(settings, session)}


def _notices(settings: Settings, session: aiohttp.ClientSession) -> dict[str, Channel]:
    made: dict[str, Channel] = {}
    if secrets := settings.notices.webhook_secrets:
        made[webhook_telling.NAME] = WebhookTelling(WebhookClient(session, proxy_for), secrets)
    if token := settings.notices.sentry_token:
        url = settings.notices.sentry_url
        client = SentryClient(session, token=token, url=url, proxy=proxy_for(url))
        made[sentry_telling.NAME] = SentryTelling(client)
    return made


def _slack(settings: Settings, session: aiohttp.ClientSession) -> dict[str, Channel]:
    slack = settings.slack
    if slack and slack.bot_token:
        proxy = proxy_named_for(slack.api_url)
        client = SlackClient(session, token=slack.bot_token, api_url=slack.api_url, proxy=proxy)
        people = SlackPeople(client, slack.users)
        answers = SlackAnswers(SlackReplies(session, api_url=slack.api_url, proxy=proxy))
        telling = SlackTelling(client, people, buttons=slack.app_token is not None)
        return {slack_telling.NAME: telling, slack_answers.NAME: answers}
    if slack and slack.webhook_url:
        hook = SlackWebhook(session, slack.webhook_url, proxy_named_for(slack.webhook_url))
        return {slack_hook.NAME: SlackHook(hook)}
    return {}


async def _context(settings: Settings, app: web.Application) -> AsyncIterator[None]:
    """Open what the app needs, run its workers, and end them in the opposite order."""
    stores = await open_stores(settings.database_url)
    async with open_session() as session:
        ctx = Context(
            stores=stores,
            providers=providers(settings, session),
            open_provider=partial(_open, settings, session),
            sign_ins=sign_ins(settings, session),
            channels=channels(settings, session),
            url=settings.url,
            accounts=settings.accounts,
            lease_key=hashlib.sha256(b"lease:" + settings.secret_keys[-1].encode()).digest(),
        )
        app[CONTEXT] = ctx
        if settings.github or not settings.setup:
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
            for provider in ctx.providers.values():
                await provider.close()
            with suppress(StoreError):
                await tokens.keep_uses(ctx)
            await stores.close()


def _workers(settings: Settings, ctx: Context) -> list[tuple[str, Coroutine[None, None, None]]]:
    if settings.setup and not settings.github:
        return []
    alone = settings.inbound == "none"
    every_s = reconciling.ALONE_S if alone else reconciling.BESIDE_S
    list_ms = discovering.ALONE_MS if alone else discovering.BESIDE_MS
    services = _services(ctx)
    workers: list[tuple[str, Coroutine[None, None, None]]] = [
        ("inbox", work.work_forever(ctx, services.keys())),
        *((f"{name} inbox", work.serve_forever(ctx, name, service)) for name, service in services.items()),
        ("reconciler", reconciling.reconcile_forever(ctx, every_s)),
        ("outbox", outgoing.deliver_forever(ctx)),
        *((name, messaging.say_forever(ctx, name)) for name in ctx.channels),
        ("polling", polling.poll_forever(ctx)),
        ("judging", judging.judge_forever(ctx)),
        ("sweep", sweeping.sweep_forever(ctx)),
        ("own configs", discovering.look_forever(ctx, list_ms)),
        ("config", reload.watch_forever(ctx, partial(read_apps, settings), partial(unmet, settings))),
    ]
    if settings.slack and settings.slack.app_token:
        api_url = settings.slack.api_url
        socket = SlackSocket(app_token=settings.slack.app_token, api_url=api_url, proxy=proxy_named_for(api_url))
        workers.append(("slack socket", socket.listen(partial(slack_hearing.take, ctx))))
    app = ctx.providers.get("github")
    if settings.setup and settings.github and settings.inbound == "webhooks" and isinstance(app, GitHubApp):
        since = settings.github.made_at or 0
        workers.append(("ping", setting_up.await_ping(ctx, app.send_ping_again, since)))
    return workers


def _services(ctx: Context) -> dict[str, work.Service]:
    """Who tells Kedge something and is no provider, by the name under which the inbox keeps it."""
    telling = ctx.channels.get(slack_telling.NAME)
    if isinstance(telling, SlackTelling) and telling.people:
        return {slack_telling.NAME: partial(slack_hearing.prepare, telling.people)}
    return {}


def build(settings: Settings, setup: Setup | None = None) -> web.Application:
    """The application, ready to be served; nothing is opened before it starts."""
    app = web.Application(middlewares=MIDDLEWARES, client_max_size=BODY_LIMIT * 2)
    app[SETTINGS] = settings
    if setup:
        app[SETUP] = setup
    app.on_response_prepare.append(secure)
    app.cleanup_ctx.append(partial(_context, settings))
    app.on_shutdown.extend([_answer_long_polls, stop_following])
    app.add_routes(receive.routes())
    api_routes.install(app)
    app.add_routes(web_routes.routes())
    return app


async def _answer_long_polls(app: web.Application) -> None:
    app[CONTEXT].stop()


async def serve(settings: Settings, stop: asyncio.Event, tell_code: Callable[[str], None] | None = None) -> None:
    """Serve until ``stop`` is set. Where the GitHub App is yet to be made, set-up is open by a code that is told to
    ``tell_code``, or to the log; once it is made, everything begins anew with it, and no connection is refused
    meanwhile."""
    settings = await _with_kept(settings)
    if settings.github or not settings.setup:
        await _serve(settings, stop, partial(_listen, settings))
        return
    code = setting_up.Code(tell_code or partial(_log_code, settings))
    setup = Setup(settings.setup, code, partial(_keep, settings))
    with socket.create_server((settings.host, settings.port), family=_family(settings.host)) as listener:
        code.issue(system_clock())
        either = asyncio.Event()
        watching = [asyncio.create_task(_pass_on(event, either)) for event in (stop, setup.made)]
        await _serve(settings, either, partial(_accept, listener), setup)
        for task in watching:
            task.cancel()
        if setup.credentials:
            github = kept_settings(setup.credentials, settings.setup)
            await _serve(replace(settings, github=github), stop, partial(_accept, listener), setup)


async def _serve(settings: Settings, stop: asyncio.Event, listen: "_Listen", setup: Setup | None = None) -> None:
    """``handler_cancellation``: a client that hangs up ends its handler, so that no claim is given to a runner that is
    gone (https://docs.aiohttp.org/en/stable/web_advanced.html#web-handler-cancellation)."""
    app = build(settings, setup)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await listen(runner).start()
        log.info("serving", url=settings.url, host=settings.host, port=settings.port)
        await stop.wait()
    finally:
        await runner.cleanup()


_Listen = Callable[[web.AppRunner], web.BaseSite]


def _listen(settings: Settings, runner: web.AppRunner) -> web.BaseSite:
    return web.TCPSite(runner, settings.host, settings.port)


def _accept(listener: socket.socket, runner: web.AppRunner) -> web.BaseSite:
    """Who connects while one application ends and the next begins waits in the queue of the listening socket."""
    return web.SockSite(runner, listener.dup())


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def _pass_on(event: asyncio.Event, to: asyncio.Event) -> None:
    await event.wait()
    to.set()


# What set-up got


async def _with_kept(settings: Settings) -> Settings:
    """With the GitHub App that the database holds, where no disk lasts. Raises CredentialsError."""
    if settings.lasting or settings.github or not settings.setup:
        return settings
    stores = await open_stores(settings.database_url)
    try:
        kept = await stores.main.read(lambda tx: stored.kept(tx, "github"))
    finally:
        await stores.close()
    if kept is None:
        return settings
    credentials = opened(kept, sealer(settings.secret_keys, PURPOSE))
    return replace(settings, github=kept_settings(credentials, settings.setup))


async def _keep(settings: Settings, ctx: Context, credentials: Credentials) -> bool:
    """For good, before anything is done with them; False where there are some of another set-up. Raises OSError,
    StoreError."""
    if settings.lasting:
        return write(settings.credentials_file, credentials)
    kept, now = sealed(credentials, sealer(settings.secret_keys, PURPOSE)), ctx.now()
    return await ctx.stores.main.write(lambda tx: stored.keep(tx, "github", kept, now))


def _log_code(settings: Settings, code: str) -> None:
    log.warning(
        "no GitHub App is set up yet: open the page and enter the one-time code",
        page=f"{settings.url}/setup",
        code=code,
    )
